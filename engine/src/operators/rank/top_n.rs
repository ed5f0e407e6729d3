//! [`TopN`]: the first rows of each partition, kept up to date; emits the net change at the barrier.
//!
//! When a partition is first touched in an epoch its wanted rows are noted; that is what was emitted last. At the barrier
//! they are compared with the wanted rows then.

use arrow::datatypes::{Schema, SchemaRef};

use super::changes::{Changes, Identity};
use super::expiry::Expiry;
use super::partitions::{Partitions, Ranks};
use super::touched::Touched;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch, Sign};
use crate::operators::aggregate::find_table;
use crate::operators::held_watermark::HeldWatermark;
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{RankFunction, RankSpec};
use crate::time::EventTime;

/// See the module. Output: the input columns, then the rank if asked for.
pub(super) struct TopN {
    partitions: Partitions,
    output: SchemaRef,
    ranks: Ranks,
    identity: Identity,
    retracts: bool,
    epoch: Touched,
    changes: Changes,
    held: HeldWatermark,
    expiry: Option<Expiry>,
}

impl TopN {
    /// The operator.
    ///
    /// # Errors
    /// Where a column has a type that cannot be compared.
    pub(super) fn new(spec: &RankSpec, input: &Schema, output: SchemaRef) -> Result<Self> {
        let ranks = Ranks { function: spec.function, from: spec.from, to: spec.to };
        let bound = (!spec.retracts && spec.to < u64::MAX).then_some(ranks);
        let identity = match (&spec.rank_column, spec.function) {
            (None, _) => Identity::Row,
            (Some(_), RankFunction::RowNumber) => Identity::Number,
            (Some(_), RankFunction::Rank | RankFunction::DenseRank) => Identity::RowAndRank,
        };
        Ok(Self {
            partitions: Partitions::new(input, &spec.partition, &spec.order, bound)?,
            output,
            ranks,
            identity,
            retracts: spec.retracts,
            epoch: Touched::default(),
            changes: Changes::default(),
            held: HeldWatermark::default(),
            expiry: spec.ttl_us.map(Expiry::new),
        })
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<()> {
        let epoch = std::mem::take(&mut self.epoch);
        let (mut after, mut empty) = (Vec::new(), Vec::new());
        for (slot, before) in epoch.iter() {
            after.clear();
            self.partitions.show(slot, self.ranks, self.identity == Identity::Number, &mut after);
            self.changes.compare(self.partitions.store(), slot, before, &after, self.identity);
            if self.partitions.is_empty(slot) {
                empty.push(slot);
            }
        }
        self.changes.emit(self.partitions.store(), &self.output, context)?;
        if let Some(expiry) = &mut self.expiry {
            expiry.touch(epoch.iter().map(|(slot, _)| slot), context.now);
            if expiry.is_due(context.now) {
                let expired = expiry.expired(&self.partitions.live_slots(), context.now);
                let before = empty.len();
                empty.extend(expired.into_iter().filter(|&slot| !self.partitions.is_empty(slot)));
                context.count_evicted(empty.len() - before);
            }
        }
        self.epoch = epoch.cleared();
        self.partitions.remove(&empty);
        self.partitions.release()
    }
}

impl Operator for TopN {
    fn on_delta(&mut self, _port: usize, delta: Delta, _context: &mut Context<'_>) -> Result<()> {
        if !self.retracts && delta.sign != Sign::AppendOnly {
            return Err(EngineError::Internal("retractions into a rank over insertions".into()));
        }
        let (ranks, each_copy, epoch) = (self.ranks, self.identity == Identity::Number, &mut self.epoch);
        self.partitions.apply(&delta, |partitions, slot, _| {
            epoch.touch(partitions, slot, ranks, each_copy);
            true
        })
    }

    fn on_watermark(&mut self, watermark: EventTime, _context: &mut Context<'_>) -> Result<()> {
        self.held.hold(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)?;
        self.held.release(context);
        Ok(())
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)?;
        self.held.release(context);
        Ok(())
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        Ok(vec![self.partitions.capture("rows", epoch, base)?])
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        self.partitions.restore(find_table(&state, "rows")?)?;
        self.partitions.release()
    }
    fn reissue(&mut self) -> Result<()> {
        self.partitions.live_slots().into_iter().for_each(|slot| self.epoch.touch_unseen(slot));
        Ok(())
    }
}
