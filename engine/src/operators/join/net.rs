//! [`Pending`]: what came on one input of a join in this epoch, and its net change.

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

use super::side::Identity;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Sign};

/// See the module.
pub(super) struct Pending {
    schema: SchemaRef,
    deltas: Vec<Delta>,
    /// Of an input that retracts.
    converter: Option<RowConverter>,
}

/// Rows and how often they were added or taken.
pub(super) struct Change {
    pub(super) rows: RecordBatch,
    pub(super) weights: Vec<i64>,
    pub(super) identities: Vec<Identity>,
}

impl Pending {
    /// Nothing has come.
    pub(super) fn new(schema: &SchemaRef, retracts: bool) -> Result<Self> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = if retracts { Some(RowConverter::new(fields)?) } else { None };
        Ok(Self { schema: SchemaRef::clone(schema), deltas: Vec::new(), converter })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deltas.is_empty()
    }

    /// Notes what came.
    ///
    /// # Errors
    /// Where an input retracts that said it would not.
    pub(super) fn push(&mut self, delta: Delta) -> Result<()> {
        if self.converter.is_none() && delta.sign != Sign::AppendOnly {
            return Err(EngineError::Internal("an append-only input of a join retracts rows".into()));
        }
        self.deltas.push(delta);
        Ok(())
    }

    /// The content of each row as a number.
    pub(super) fn identities(&self, rows: &RecordBatch) -> Result<Vec<Identity>> {
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        if rows.num_columns() == 0 {
            return Ok(vec![0; rows.num_rows()]);
        }
        let rows = converter.convert_columns(rows.columns())?;
        Ok(rows.iter().map(|row| xxh3_128(row.as_ref())).collect())
    }

    /// What was taken and what was added since the last call, each row once.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(super) fn take_net(&mut self) -> Result<(Change, Change)> {
        let deltas = std::mem::take(&mut self.deltas);
        if self.converter.is_none() {
            let rows = concat_batches(&self.schema, deltas.iter().map(|delta| &delta.batch))?;
            let weights = vec![1; rows.num_rows()];
            return Ok((Change::none(&self.schema), Change { rows, weights, identities: Vec::new() }));
        }
        let mut entries: HashMap<Identity, usize> = HashMap::new();
        let mut net: Vec<(Identity, i64, (usize, usize))> = Vec::new();
        for (index, delta) in deltas.iter().enumerate() {
            for (row, identity) in self.identities(&delta.batch)?.into_iter().enumerate() {
                let at = *entries.entry(identity).or_insert_with(|| {
                    net.push((identity, 0, (index, row)));
                    net.len() - 1
                });
                if let Some(entry) = net.get_mut(at) {
                    entry.1 += if delta.is_retract(row) { -1 } else { 1 };
                }
            }
        }
        let batches: Vec<&RecordBatch> = deltas.iter().map(|delta| &delta.batch).collect();
        let change = |sign: i64| -> Result<Change> {
            let of_sign: Vec<_> = net.iter().filter(|(_, weight, _)| weight.signum() == sign).collect();
            if of_sign.is_empty() {
                return Ok(Change::none(&self.schema));
            }
            let places: Vec<(usize, usize)> = of_sign.iter().map(|(.., place)| *place).collect();
            Ok(Change {
                rows: picked(&self.schema, &batches, &places)?,
                weights: of_sign.iter().map(|(_, weight, _)| weight.abs()).collect(),
                identities: of_sign.iter().map(|(identity, ..)| *identity).collect(),
            })
        };
        Ok((change(-1)?, change(1)?))
    }
}

fn picked(schema: &Schema, batches: &[&RecordBatch], places: &[(usize, usize)]) -> Result<RecordBatch> {
    if schema.fields().is_empty() {
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(places.len()));
        return Ok(RecordBatch::try_new_with_options(schema.clone().into(), Vec::new(), &options)?);
    }
    Ok(interleave_record_batch(batches, places)?)
}

impl Change {
    fn none(schema: &SchemaRef) -> Self {
        Self { rows: RecordBatch::new_empty(SchemaRef::clone(schema)), weights: Vec::new(), identities: Vec::new() }
    }
}
