//! [`CurrentJoin`]: joins rows with the rows that a table holds when they arrive.
//!
//! "When they arrive" is counted in epochs: the left rows of an epoch wait for its barrier and are joined with the table as
//! it is then, so that no state inside an epoch is ever seen. A table that ends is read to its end before: left rows wait until
//! then, and afterwards are joined at once. What came out stays; a later change of the table does not touch it.
//!
//! The left watermark passes behind the rows that wait.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::NONE;
use super::chunks::Chunks;
use super::keys::Keys;
use super::pairs::{Output, Pairs, Residual, Rows};
use super::side::Side;
use super::store::Store;
use super::walk::Walk;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::operators::aggregate::{find_table, table_if_any, table_of};
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::CurrentJoinSpec;
use crate::time::EventTime;

/// See the module. Port 0: the rows; port 1: the table.
pub struct CurrentJoin {
    /// Rows without a partner come out too.
    outer: bool,
    keys: Keys,
    left: SchemaRef,
    table: Side,
    residual: Residual,
    output: Output,
    /// Left rows that are not joined yet.
    waiting: Chunks,
    /// The watermark behind the rows that wait.
    held: Option<EventTime>,
    /// The table is read to its end before anything is joined.
    until_end: bool,
    ended: bool,
}

impl CurrentJoin {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where keys are not of equal types; for a kind other than `Inner` and `Left`.
    pub fn new(spec: &CurrentJoinSpec, left: &SchemaRef, right: &SchemaRef, output: SchemaRef) -> Result<Self> {
        Ok(Self {
            outer: super::temporal::is_outer(spec.kind)?,
            keys: Keys::new(&spec.keys, [left, right], false)?,
            left: Arc::clone(left),
            table: Side::new(Arc::clone(right), spec.right_retracts, None, false),
            residual: Residual::new(spec.residual.clone(), [left, right]),
            output: Output::new(spec.kind, output),
            waiting: Chunks::new(Arc::clone(left)),
            held: None,
            until_end: spec.right_ends,
            ended: false,
        })
    }

    /// The table is as it is now.
    fn settle(&mut self, context: &Context<'_>) -> Result<()> {
        self.table.changes()?;
        let mut emptied = Vec::new();
        self.table.settle(context.now, &mut emptied);
        emptied.retain(|&slot| self.table.store.first(slot) == NONE);
        self.keys.remove(&emptied);
        self.table.compact()
    }

    /// Joins the rows that wait.
    fn release(&mut self, context: &mut Context<'_>) -> Result<()> {
        let none = Chunks::new(Arc::clone(&self.left));
        for batch in std::mem::replace(&mut self.waiting, none).into_batches() {
            self.join(batch, context)?;
        }
        if let Some(watermark) = self.held.take() {
            context.emit_watermark(watermark);
        }
        Ok(())
    }

    /// Joins rows with the table as it is.
    fn join(&mut self, batch: RecordBatch, context: &mut Context<'_>) -> Result<()> {
        let slots = self.keys.slots(0, &batch)?;
        let mut left = Store::new(Arc::clone(&self.left));
        left.add(batch, &slots)?;
        let drivers: Vec<u32> = (0..left.len()).collect();
        let rows = [&left.rows, &self.table.store.rows];
        let mut matched = vec![false; drivers.len()];
        let (mut walk, mut out) = (Walk::new(&drivers, None), Vec::new());
        loop {
            let mut pairs = Pairs::default();
            let more = walk.fill(&left, &self.table.store, |_, _| true, &mut pairs);
            self.residual.narrow(rows, &mut pairs, context)?;
            pairs.0.iter().for_each(|&row| matched[row as usize] = true);
            if self.table.retracts() {
                self.put_repeated(rows, &pairs, &mut out, context)?;
            } else {
                self.output.make(rows, &Rows::Pairs(&pairs.0, &pairs.1), false, &mut out)?;
            }
            if !more {
                break;
            }
        }
        if self.outer {
            let lonely = drivers.iter().copied().zip(&matched).filter(|(_, matched)| !**matched).map(|(row, _)| row);
            self.output.make(rows, &Rows::Left(&lonely.collect::<Vec<_>>(), false), false, &mut out)?;
        }
        out.into_iter().for_each(|delta| context.emit(delta));
        let mut unknown = slots;
        unknown.retain(|&slot| slot != NONE && self.table.store.first(slot) == NONE);
        unknown.sort_unstable();
        unknown.dedup();
        self.keys.remove(&unknown);
        Ok(())
    }

    /// Makes deltas of each pair as often as its row is in the table.
    fn put_repeated(
        &self,
        rows: [&Chunks; 2],
        pairs: &Pairs,
        out: &mut Vec<Delta>,
        context: &Context<'_>,
    ) -> Result<()> {
        let times = |row: u32| usize::try_from(self.table.new_weight(row)).unwrap_or(0);
        let pairs = pairs.0.iter().zip(&pairs.1);
        let mut all = pairs.flat_map(|(&left, &right)| std::iter::repeat_n((left, right), times(right)));
        loop {
            let some: Pairs = all.by_ref().take(BATCH_ROWS).unzip();
            if some.0.is_empty() {
                return Ok(());
            }
            context.check()?;
            self.output.make(rows, &Rows::Pairs(&some.0, &some.1), false, out)?;
        }
    }
}

impl Operator for CurrentJoin {
    fn on_delta(&mut self, port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if port == 1 {
            let (delta, slots) = self.keys.keyed(1, delta, false)?;
            return self.table.fold(&delta, &slots);
        }
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Unsupported("a temporal join of an updating left input".into()));
        }
        if self.ended {
            return self.join(delta.batch, context);
        }
        self.waiting.push(delta.batch)
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        if self.waiting.is_empty() {
            context.emit_watermark(watermark);
        } else {
            self.held = Some(watermark);
        }
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        self.settle(context)?;
        if self.until_end && !self.ended { Ok(()) } else { self.release(context) }
    }

    fn on_port_end(&mut self, port: usize, context: &mut Context<'_>) -> Result<()> {
        if port == 1 {
            self.ended = true;
            self.settle(context)?;
            self.release(context)?;
        }
        Ok(())
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.settle(context)?;
        self.release(context)
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let ended: ArrayRef = Arc::new(BooleanArray::from(vec![self.ended]));
        let ended = Table::whole("ended", table_of(vec![ended], 1)?);
        let mut tables = vec![Table::in_pieces("left", &self.left, self.waiting.pieces(None)), ended];
        tables.extend(self.table.capture(("right", "right_state"), epoch, base)?);
        Ok(tables)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let ended = find_table(&state, "ended")?.columns().first().and_then(|column| column.as_boolean_opt());
        self.ended = ended.is_some_and(|ended| !ended.is_empty() && ended.value(0));
        let rows = find_table(&state, "right")?.clone();
        let slots = self.keys.slots(1, &rows)?;
        self.table.restore(rows, table_if_any(&state, "right_state")?, &slots)?;
        self.waiting.push(find_table(&state, "left")?.clone())
    }
}
