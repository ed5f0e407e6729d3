//! [`Upserts`]: an operator whose updates come without the old row, for a sink that replaces rows by key.
//!
//! What the operator emits in one call, at a barrier or by a watermark, is looked through: a row that goes is left out where a
//! row of its key comes. It is put around operators that emit net changes and do not leave old rows out themselves.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::Schema;

use super::group_table::GroupTable;
use super::{Context, Emitted, Operator, OperatorState};
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch, Sign};
use crate::time::{EventTime, ProcessingTime};

/// See the module. Output: as the operator inside.
pub(super) struct Upserts {
    inner: Box<dyn Operator>,
    key: Vec<usize>,
    types: Vec<arrow::datatypes::DataType>,
}

impl Upserts {
    /// `key`: the columns of the output that identify a row.
    ///
    /// # Errors
    /// Where there is no such column.
    pub(super) fn new(inner: Box<dyn Operator>, key: &[usize], output: &Schema) -> Result<Self> {
        let fields = key.iter().map(|column| output.fields().get(*column).map(|field| field.data_type().clone()));
        let types = fields.collect::<Option<_>>();
        let types = types.ok_or_else(|| EngineError::Internal("an upsert key that is not in the rows".into()))?;
        Ok(Self { inner, key: key.to_vec(), types })
    }

    /// Leaves out the old rows among what was emitted since there were `from` items.
    fn replace(&self, from: usize, context: &mut Context<'_>) -> Result<()> {
        let items = context.out.items.get_mut(from..).unwrap_or_default();
        let retracts = |item: &Emitted| matches!(item, Emitted::Delta(Delta { sign: Sign::Retracts(_), .. }));
        if !items.iter().any(retracts) {
            return Ok(());
        }
        let mut table = GroupTable::new(&self.types)?;
        let mut slots = Vec::new();
        for item in &*items {
            let Emitted::Delta(delta) = item else { continue };
            let columns = self.key.iter().filter_map(|column| delta.batch.columns().get(*column).cloned());
            table.intern(&columns.collect::<Vec<ArrayRef>>(), delta.rows(), &mut slots)?;
        }
        let mut comes = vec![false; table.capacity_slots()];
        let mut at = slots.iter();
        for item in &*items {
            let Emitted::Delta(delta) = item else { continue };
            for (row, &slot) in at.by_ref().take(delta.rows()).enumerate() {
                comes[slot as usize] |= !delta.is_retract(row);
            }
        }
        let mut at = slots.iter();
        for item in items {
            let Emitted::Delta(delta) = item else { continue };
            let rows = at.by_ref().take(delta.rows()).enumerate();
            let keep: BooleanArray =
                rows.map(|(row, &slot)| Some(!(delta.is_retract(row) && comes[slot as usize]))).collect();
            if keep.true_count() < delta.rows() {
                *delta = delta.filter(&keep)?;
            }
        }
        context.out.items.retain(|item| !matches!(item, Emitted::Delta(delta) if delta.rows() == 0));
        Ok(())
    }
}

impl Operator for Upserts {
    fn on_delta(&mut self, port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        self.inner.on_delta(port, delta, context)
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        let from = context.out.items.len();
        self.inner.on_watermark(watermark, context)?;
        self.replace(from, context)
    }

    fn on_barrier(&mut self, epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        let from = context.out.items.len();
        self.inner.on_barrier(epoch, context)?;
        self.replace(from, context)
    }

    fn on_timer(&mut self, now: ProcessingTime, context: &mut Context<'_>) -> Result<()> {
        let from = context.out.items.len();
        self.inner.on_timer(now, context)?;
        self.replace(from, context)
    }

    fn on_port_end(&mut self, port: usize, context: &mut Context<'_>) -> Result<()> {
        self.inner.on_port_end(port, context)
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        let from = context.out.items.len();
        self.inner.on_end(context)?;
        self.replace(from, context)
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        self.inner.capture(epoch, base)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        self.inner.restore(state)
    }

    fn reissue(&mut self) -> Result<()> {
        self.inner.reissue()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use std::sync::Arc;

    use arrow::array::{AsArray, Int32Array, RecordBatch};
    use arrow::buffer::BooleanBuffer;
    use arrow::datatypes::{DataType, Field, Int32Type};

    use super::*;
    use crate::operators::Outbox;

    /// Gives what it was given, at the barrier.
    struct Held(Vec<Delta>);

    impl Operator for Held {
        fn on_delta(&mut self, _port: usize, delta: Delta, _context: &mut Context<'_>) -> Result<()> {
            self.0.push(delta);
            Ok(())
        }

        fn on_watermark(&mut self, _watermark: EventTime, _context: &mut Context<'_>) -> Result<()> {
            Ok(())
        }

        fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
            self.0.drain(..).for_each(|delta| context.emit(delta));
            Ok(())
        }

        fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
            self.on_barrier(Epoch(0), context)
        }

        fn capture(&mut self, _epoch: Epoch, _base: Option<Epoch>) -> Result<Vec<Table>> {
            Ok(Vec::new())
        }

        fn restore(&mut self, _state: OperatorState) -> Result<()> {
            Ok(())
        }
    }

    fn delta(schema: &Arc<Schema>, rows: &[(char, i32, i32)]) -> Delta {
        let keys: Int32Array = rows.iter().map(|row| Some(row.1)).collect();
        let values: Int32Array = rows.iter().map(|row| Some(row.2)).collect();
        let batch = RecordBatch::try_new(Arc::clone(schema), vec![Arc::new(keys), Arc::new(values)]).unwrap();
        Delta::signed(batch, rows.iter().map(|row| row.0 == '-').collect::<BooleanBuffer>())
    }

    #[test]
    fn only_rows_that_are_not_replaced_are_taken_back() {
        let fields = ["key", "value"].map(|name| Field::new(name, DataType::Int32, true));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let mut operator = Upserts::new(Box::new(Held(Vec::new())), &[0], &schema).unwrap();
        let (mut out, now) = (Outbox::default(), ProcessingTime(0));
        let context = &mut Context::new(now, &mut out);
        // The new row of the key 1 comes in another batch, that of the key 3 before the old one; the key 2 is gone.
        let deltas =
            [vec![('-', 1, 10), ('-', 2, 20), ('+', 3, 31)], vec![('-', 3, 30)], vec![('+', 1, 11), ('+', 4, 40)]];
        for rows in deltas {
            operator.on_delta(0, delta(&schema, &rows), context).unwrap();
        }
        operator.on_barrier(Epoch(1), context).unwrap();
        let mut emitted = Vec::new();
        for item in out.items {
            let Emitted::Delta(delta) = item else { continue };
            assert!(delta.rows() > 0);
            let column = |at: usize| delta.batch.column(at).as_primitive::<Int32Type>().clone();
            let (keys, values) = (column(0), column(1));
            emitted.extend((0..delta.rows()).map(|row| (delta.is_retract(row), keys.value(row), values.value(row))));
        }
        assert_eq!(emitted, [(true, 2, 20), (false, 3, 31), (false, 1, 11), (false, 4, 40)]);
    }
}
