//! [`Table`]: a table of state as its node tells it at a checkpoint, in the way that costs the node least.
//!
//! A node that can say nothing better gives all rows, and the writer of checkpoints finds what has changed. One whose rows lie
//! in pieces gives the pieces. One whose state is changed in place keeps note of what it has changed, and gives that.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use super::edits::Edit;
use super::format_run::Batch;
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::operators::OperatorState;
use crate::pieces::{Piece, live_batch};

/// A table of state.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows, in order.
    pub rows: Rows,
}

/// How the rows of a table are told.
#[derive(Debug)]
pub enum Rows {
    /// All of them. They are compared with those of the last checkpoint.
    Whole(Vec<RecordBatch>),
    /// All of them, as the live rows of pieces. Pieces of the last checkpoint are known by their numbers.
    Pieces(Vec<Piece>),
    /// Those that are new since an earlier capture, or all.
    Changes(Changes),
}

/// A table by its changes.
#[derive(Debug)]
pub struct Changes {
    /// The epoch of the capture that the table has come out of, and how. `None`: all rows are told.
    pub since: Option<(Epoch, Vec<Edit>)>,
    /// The rows that are told, in order.
    pub told: RecordBatch,
    /// How many rows the table has.
    pub rows: usize,
}

impl Table {
    /// A table whose rows are all told, to be compared.
    pub fn whole(name: &str, rows: RecordBatch) -> Self {
        Self { name: name.to_owned(), schema: rows.schema(), rows: Rows::Whole(vec![rows]) }
    }

    /// A table whose rows are told in pieces.
    pub fn in_pieces(name: &str, schema: &SchemaRef, pieces: Vec<Piece>) -> Self {
        Self { name: name.to_owned(), schema: Arc::clone(schema), rows: Rows::Pieces(pieces) }
    }

    /// The tables of a whole state.
    pub fn all(state: OperatorState) -> Vec<Self> {
        state.tables.into_iter().map(|(name, rows)| Self::whole(&name, rows)).collect()
    }

    /// The state out of tables whose rows are all told.
    ///
    /// # Errors
    /// Where only changes are told; where Arrow cannot join batches.
    pub fn state(tables: Vec<Self>) -> Result<OperatorState> {
        let whole = |table: Self| {
            let batches = table.batches().ok_or_else(|| EngineError::Internal("a state of changes alone".into()))?;
            let live = batches.iter().map(|batch| live_batch(&batch.rows, batch.live.as_ref()));
            let live = live.collect::<Result<Vec<_>>>()?;
            let rows = match &live[..] {
                [only] => only.clone(),
                parts => concat_batches(&table.schema, parts)?,
            };
            Ok((table.name, rows))
        };
        Ok(OperatorState { tables: tables.into_iter().map(whole).collect::<Result<_>>()? })
    }

    /// How many rows it has.
    pub fn count(&self) -> usize {
        match &self.rows {
            Rows::Whole(batches) => batches.iter().map(RecordBatch::num_rows).sum(),
            Rows::Pieces(pieces) => pieces.iter().map(Piece::live_rows).sum(),
            Rows::Changes(changes) => changes.rows,
        }
    }

    /// All its rows; `None` where only changes are told.
    pub fn batches(&self) -> Option<Vec<Batch>> {
        match &self.rows {
            Rows::Whole(batches) => Some(batches.iter().cloned().map(Batch::from).collect()),
            Rows::Pieces(pieces) => Some(pieces.iter().map(Batch::from).collect()),
            Rows::Changes(Changes { since: None, told, .. }) => Some(vec![told.clone().into()]),
            Rows::Changes(Changes { since: Some(_), .. }) => None,
        }
    }

    /// Whether all rows are told.
    pub fn is_whole(&self) -> bool {
        match &self.rows {
            Rows::Whole(_) | Rows::Pieces(_) => true,
            Rows::Changes(changes) => changes.since.is_none(),
        }
    }
}

impl From<&Piece> for Batch {
    fn from(piece: &Piece) -> Self {
        Self { rows: piece.rows.clone(), live: piece.live.clone() }
    }
}
