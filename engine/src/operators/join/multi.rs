//! [`MultiJoin`]: the inner join of several inputs on one key, of which none retracts.
//!
//! Only the inputs are kept, never what some of them give together: a row that comes meets the rows of its key on all other
//! inputs, and the product comes out at once.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use super::NONE;
use super::keys::Keys;
use super::product::Product;
use super::store::Store;
use crate::checkpoint::belongs::input_table;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch, Sign};
use crate::operators::aggregate::table_parts;
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::MultiJoinSpec;
use crate::time::EventTime;

/// See the module.
pub struct MultiJoin {
    keys: Keys,
    stores: Vec<Store>,
    columns: Vec<(usize, usize)>,
    output: SchemaRef,
    /// All that the stores give is to come out once more.
    again: bool,
}

impl MultiJoin {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where the keys or columns are none of the inputs' or the keys are not of equal types.
    pub fn new(spec: &MultiJoinSpec, inputs: &[SchemaRef], output: SchemaRef) -> Result<Self> {
        let width = |input: usize| inputs.get(input).map_or(0, |schema| schema.fields().len());
        if spec.columns.iter().any(|(input, column)| *column >= width(*input)) {
            return Err(EngineError::Internal("a column of a join that no input has".into()));
        }
        Ok(Self {
            keys: Keys::of_inputs(&spec.keys, inputs)?,
            stores: inputs.iter().map(|schema| Store::new(Arc::clone(schema))).collect(),
            columns: spec.columns.clone(),
            output,
            again: false,
        })
    }

    /// Emits what these rows of one input give with the rows of all others.
    fn emit(&self, port: usize, rows: std::ops::Range<u32>, context: &mut Context<'_>) -> Result<()> {
        let mut product = Product::new(&self.stores, port, rows);
        loop {
            context.check()?;
            let tuples = product.next_rows();
            let count = tuples.first().map_or(0, Vec::len);
            if count == 0 {
                return Ok(());
            }
            context.emit(Delta::append(self.made(&tuples, count)?));
        }
    }

    /// Output rows of the rows of each input.
    fn made(&self, tuples: &[Vec<u32>], count: usize) -> Result<RecordBatch> {
        let mut made: Vec<Option<ArrayRef>> = vec![None; self.columns.len()];
        for (input, (store, rows)) in self.stores.iter().zip(tuples).enumerate() {
            let places = self.columns.iter().enumerate().filter(|(_, (from, _))| *from == input);
            let (places, columns): (Vec<usize>, Vec<usize>) = places.map(|(to, (_, column))| (to, *column)).unzip();
            for (to, column) in places.into_iter().zip(store.rows.gather_some(&columns, rows)?) {
                if let Some(place) = made.get_mut(to) {
                    *place = Some(column);
                }
            }
        }
        let columns: Option<Vec<ArrayRef>> = made.into_iter().collect();
        let columns = columns.ok_or_else(|| EngineError::Internal("a column of a join that no input has".into()))?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?)
    }

    /// What is to come out once more.
    fn emit_again(&mut self, context: &mut Context<'_>) -> Result<()> {
        if !std::mem::take(&mut self.again) {
            return Ok(());
        }
        let rows = self.stores.first().map_or(0, Store::len);
        self.emit(0, 0..rows, context)
    }
}

impl Operator for MultiJoin {
    fn on_delta(&mut self, port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        self.emit_again(context)?;
        if matches!(delta.sign, Sign::Retracts(_)) {
            return Err(EngineError::Internal("a retraction on an append-only input of a join".into()));
        }
        let (delta, slots) = self.keys.keyed(port, delta, false)?;
        let Some(store) = self.stores.get_mut(port) else { return Ok(()) };
        let first = store.len();
        store.add(delta.batch, &slots)?;
        let end = store.len();
        self.emit(port, first..end, context)
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        self.emit_again(context)
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.emit_again(context)
    }

    fn capture(&mut self, _epoch: Epoch, _base: Option<Epoch>) -> Result<Vec<Table>> {
        // Rows are never changed: the pieces that a checkpoint has already are not told again.
        Ok(self.stores.iter().enumerate().map(|(port, store)| store.table(&input_table(port))).collect())
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        for (port, store) in self.stores.iter_mut().enumerate() {
            for rows in table_parts(&state, &input_table(port)) {
                let slots = self.keys.slots(port, rows)?;
                if slots.contains(&NONE) {
                    return Err(EngineError::Internal("the state of a join does not fit".into()));
                }
                store.add(rows.clone(), &slots)?;
            }
        }
        Ok(())
    }

    fn reissue(&mut self) -> Result<()> {
        self.again = true;
        Ok(())
    }
}
