//! [`Output`]: what a join emits in an epoch, retractions before insertions.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;

use super::store::RowStore;
use crate::error::Result;
use crate::expr::{EvalContext, Scalar};
use crate::message::{BATCH_ROWS, Delta};
use crate::operators::Context;
use crate::plan::{JoinKind, JoinSpec};

/// See the module.
pub(super) struct Output {
    kind: JoinKind,
    residual: Option<Scalar>,
    schema: SchemaRef,
    retractions: Vec<RecordBatch>,
    insertions: Vec<RecordBatch>,
}

/// Rows of one side that show themselves: which, and the mark of each.
#[derive(Default)]
pub(super) struct Alone {
    rows: Vec<u32>,
    marks: Vec<bool>,
}

impl Alone {
    pub(super) fn push(&mut self, row: u32, times: i64, mark: bool) {
        let times = usize::try_from(times).unwrap_or(0);
        self.rows.extend(std::iter::repeat_n(row, times));
        self.marks.extend(std::iter::repeat_n(mark, times));
    }
}

impl Output {
    pub(super) fn new(spec: &JoinSpec, schema: SchemaRef) -> Self {
        let residual = spec.residual.clone();
        Self { kind: spec.kind, residual, schema, retractions: Vec::new(), insertions: Vec::new() }
    }

    fn gives_pairs(&self) -> bool {
        match self.kind {
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => true,
            JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => false,
        }
    }

    /// Puts candidates to the residual condition and emits those that hold as often as their weight says. Gives their
    /// positions among the candidates.
    ///
    /// # Errors
    /// Where the condition cannot be evaluated.
    #[expect(clippy::too_many_arguments, reason = "both sides of the pairs, and what to do with them")]
    pub(super) fn pairs(
        &mut self,
        side: usize,
        rows: &RecordBatch,
        own: &[u32],
        store: &RowStore,
        others: &[u32],
        weights: &[i64],
        retract: bool,
        context: &Context<'_>,
    ) -> Result<Vec<usize>> {
        if !self.gives_pairs() && self.residual.is_none() {
            return Ok((0..own.len()).collect());
        }
        let own = take_record_batch(rows, &UInt32Array::from(own.to_vec()))?;
        let others = store.take(others)?;
        let (left, right) = if side == 0 { (&own, &others) } else { (&others, &own) };
        let columns: Vec<ArrayRef> = left.columns().iter().chain(right.columns()).cloned().collect();
        let options = RecordBatchOptions::new().with_row_count(Some(own.num_rows()));
        let fields = left.schema_ref().fields().iter().chain(right.schema_ref().fields()).cloned();
        let fields: Vec<_> = fields.map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        let pairs = RecordBatch::try_new_with_options(schema, columns, &options)?;
        let kept: Vec<usize> = match &self.residual {
            None => (0..pairs.num_rows()).collect(),
            Some(residual) => {
                let holds = residual.evaluate_predicate(&pairs, EvalContext { now: context.now })?;
                holds.values().set_indices().collect()
            }
        };
        if self.gives_pairs() && !kept.is_empty() {
            let once = kept.iter().all(|position| weights[*position] == 1);
            let emitted = if once && kept.len() == pairs.num_rows() {
                pairs
            } else {
                let times = |position: &usize| {
                    std::iter::repeat_n(*position as u32, usize::try_from(weights[*position]).unwrap_or(0))
                };
                take_record_batch(&pairs, &UInt32Array::from_iter_values(kept.iter().flat_map(times)))?
            };
            let options = RecordBatchOptions::new().with_row_count(Some(emitted.num_rows()));
            let schema = Arc::clone(&self.schema);
            let emitted = RecordBatch::try_new_with_options(schema, emitted.columns().to_vec(), &options)?;
            if retract { &mut self.retractions } else { &mut self.insertions }.push(emitted);
        }
        Ok(kept)
    }

    /// Emits rows of one side by themselves.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(super) fn alone(&mut self, side: usize, store: &RowStore, alone: &Alone, retract: bool) -> Result<()> {
        for start in (0..alone.rows.len()).step_by(BATCH_ROWS) {
            let end = alone.rows.len().min(start + BATCH_ROWS);
            let rows = store.take(&alone.rows[start..end])?;
            let width = self.schema.fields().len() - rows.num_columns().min(self.schema.fields().len());
            let nulls = |first: usize| -> Vec<ArrayRef> {
                let fields = self.schema.fields().iter().skip(first).take(width);
                fields.map(|field| new_null_array(field.data_type(), rows.num_rows())).collect()
            };
            let columns = match (self.kind, side) {
                (JoinKind::Semi | JoinKind::Anti, _) => rows.columns().to_vec(),
                (JoinKind::Mark, _) => {
                    let marks: ArrayRef = Arc::new(BooleanArray::from(alone.marks[start..end].to_vec()));
                    rows.columns().iter().cloned().chain([marks]).collect()
                }
                (_, 0) => rows.columns().iter().cloned().chain(nulls(rows.num_columns())).collect(),
                (..) => nulls(0).into_iter().chain(rows.columns().iter().cloned()).collect(),
            };
            let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            let emitted = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
            if retract { &mut self.retractions } else { &mut self.insertions }.push(emitted);
        }
        Ok(())
    }

    /// Sends what was gathered.
    pub(super) fn flush(&mut self, context: &mut Context<'_>) {
        for rows in self.retractions.drain(..) {
            let all = BooleanBuffer::new_set(rows.num_rows());
            context.emit(Delta::signed(rows, all));
        }
        for rows in self.insertions.drain(..) {
            for start in (0..rows.num_rows()).step_by(BATCH_ROWS) {
                context.emit(Delta::append(rows.slice(start, BATCH_ROWS.min(rows.num_rows() - start))));
            }
        }
    }

    /// Forgets what was gathered.
    pub(super) fn clear(&mut self) {
        self.retractions.clear();
        self.insertions.clear();
    }
}
