//! [`Join`]: a join of two inputs that are kept whole, which may change.
//!
//! Where both inputs only insert, an inner join emits pairs at once. Everything else is done at the barrier, from the net
//! change of both inputs: first what is taken away on the left, then on the right, then what is added on the left, then
//! on the right. So no pair is made that is not there in the end, and every retraction comes before every insertion.
//!
//! Outer, semi, anti and mark joins also show rows by themselves, as the number of their partners says. What such a row
//! showed before the epoch is noted when it is first touched, and compared with what it shows at the end.

mod net;
mod output;
mod side;
mod store;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};

use self::net::{Change, Pending};
use self::output::Output;
use self::side::{Side, Weighted};
use self::store::NONE;
use super::aggregate::find_table;
use super::group_table::GroupTable;
use super::{Context, Operator, OperatorState};
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch};
use crate::plan::{JoinKind, JoinSpec};
use crate::time::{EventTime, ProcessingTime};

const LEFT: usize = 0;
const RIGHT: usize = 1;

/// See the module.
pub struct Join {
    spec: JoinSpec,
    keys: [Vec<usize>; 2],
    table: GroupTable,
    sides: [Side; 2],
    pending: [Pending; 2],
    /// Rows on the right, and those of them whose key is null: what `NOT IN` asks for.
    right: Population,
    /// What touched rows showed before the epoch, by side.
    dirty: [Vec<(u32, Shown)>; 2],
    is_dirty: [Vec<bool>; 2],
    output: Output,
}

/// How many rows a side has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Population {
    rows: i64,
    null_keys: i64,
}

/// What a row shows by itself: how often, and the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    times: i64,
    mark: bool,
}

impl Join {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where a column cannot be compared.
    pub fn new(spec: &JoinSpec, left: &SchemaRef, right: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let types: Vec<_> = spec.keys.iter().map(|key| left.field(key.left).data_type().clone()).collect();
        Ok(Self {
            spec: spec.clone(),
            keys: [spec.keys.iter().map(|key| key.left).collect(), spec.keys.iter().map(|key| key.right).collect()],
            table: GroupTable::new(&types)?,
            sides: [
                Side::new(left, spec.retracts.0, spec.ttl_us.0)?,
                Side::new(right, spec.retracts.1, spec.ttl_us.1)?,
            ],
            pending: [Pending::new(left, spec.retracts.0)?, Pending::new(right, spec.retracts.1)?],
            right: Population::default(),
            dirty: Default::default(),
            is_dirty: Default::default(),
            output: Output::new(spec, output),
        })
    }

    /// Whether pairs are emitted as they come.
    fn is_immediate(&self) -> bool {
        self.spec.kind == JoinKind::Inner && self.spec.retracts == (false, false)
    }

    /// Whether rows of a side show themselves, and so have their partners counted.
    fn counts(&self, side: usize) -> bool {
        match self.spec.kind {
            JoinKind::Inner => false,
            JoinKind::Left | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => side == LEFT,
            JoinKind::Right => side == RIGHT,
            JoinKind::Full => true,
        }
    }

    /// The key slot of each row, [`NONE`] where it can have no partner.
    fn slots(&mut self, side: usize, rows: &RecordBatch) -> Result<Vec<u32>> {
        let columns: Vec<ArrayRef> = self.keys[side].iter().map(|key| Arc::clone(rows.column(*key))).collect();
        let mut slots = Vec::new();
        self.table.intern(&columns, rows.num_rows(), &mut slots)?;
        for (key, column) in self.spec.keys.iter().zip(&columns) {
            let Some(nulls) = column.logical_nulls().filter(|nulls| !key.null_equal && nulls.null_count() > 0) else {
                continue;
            };
            let unused: Vec<u32> = (0..slots.len())
                .filter(|row| nulls.is_null(*row))
                .map(|row| std::mem::replace(&mut slots[row], NONE))
                .collect();
            self.table.remove(&unused.into_iter().filter(|slot| *slot != NONE).collect::<Vec<_>>());
        }
        Ok(slots)
    }

    fn weighted(&mut self, side: usize, change: Change) -> Result<Weighted> {
        let slots = self.slots(side, &change.rows)?;
        Ok(Weighted { rows: change.rows, slots, weights: change.weights, identities: change.identities })
    }

    /// What a row shows, given the population of the right side.
    fn shown(&self, side: usize, row: u32, right: Population) -> Shown {
        let at = row as usize;
        let of = &self.sides[side];
        let (weight, partners) = (of.weights[at], of.partners[at]);
        let when = |shown: bool| Shown { times: if shown { weight } else { 0 }, mark: false };
        match self.spec.kind {
            JoinKind::Inner => when(false),
            JoinKind::Left | JoinKind::Right | JoinKind::Full => when(partners == 0),
            JoinKind::Semi => when(partners > 0),
            JoinKind::Anti if self.spec.null_aware => {
                when(right.rows == 0 || (right.null_keys == 0 && of.slots[at] != NONE && partners == 0))
            }
            JoinKind::Anti => when(partners == 0),
            JoinKind::Mark => Shown { times: weight, mark: partners > 0 },
        }
    }

    /// Notes what a row shows before it is changed.
    fn touch(&mut self, side: usize, row: u32, right: Population) {
        let marks = &mut self.is_dirty[side];
        if marks.len() <= row as usize {
            marks.resize(row as usize + 1, false);
        }
        if !std::mem::replace(&mut marks[row as usize], true) {
            let shown = self.shown(side, row, right);
            self.dirty[side].push((row, shown));
        }
    }

    /// Emits the pairs of rows of `side` with what is on the other side, and counts them there. Gives the number of
    /// partners of each row.
    fn pair(
        &mut self,
        side: usize,
        rows: &Weighted,
        retract: bool,
        before: Population,
        context: &mut Context<'_>,
    ) -> Result<Vec<i64>> {
        let other = 1 - side;
        let mut partners = vec![0; rows.weights.len()];
        let (mut own, mut others) = (Vec::with_capacity(BATCH_ROWS), Vec::with_capacity(BATCH_ROWS));
        for (row, &slot) in rows.slots.iter().enumerate() {
            let mut candidate = if slot == NONE { NONE } else { self.sides[other].head(slot) };
            while candidate != NONE {
                own.push(row as u32);
                others.push(candidate);
                candidate = self.sides[other].next(candidate);
                if own.len() >= BATCH_ROWS {
                    self.pair_candidates(side, rows, (&own, &others), retract, before, &mut partners, context)?;
                    own.clear();
                    others.clear();
                }
            }
        }
        self.pair_candidates(side, rows, (&own, &others), retract, before, &mut partners, context)?;
        Ok(partners)
    }

    #[expect(clippy::too_many_arguments, reason = "a part of `pair`, which cuts its work into pieces")]
    fn pair_candidates(
        &mut self,
        side: usize,
        rows: &Weighted,
        (own, others): (&[u32], &[u32]),
        retract: bool,
        before: Population,
        partners: &mut [i64],
        context: &mut Context<'_>,
    ) -> Result<()> {
        if own.is_empty() {
            return Ok(());
        }
        let other = 1 - side;
        let weights: Vec<i64> = (own.iter().zip(others))
            .map(|(own, other_row)| rows.weights[*own as usize] * self.sides[other].weights[*other_row as usize])
            .collect();
        let kept =
            self.output.pairs(side, &rows.rows, own, &self.sides[other].store, others, &weights, retract, context)?;
        let counts = self.counts(other);
        for position in kept {
            let (row, other_row) = (own[position] as usize, others[position]);
            partners[row] += self.sides[other].weights[other_row as usize];
            if counts {
                self.touch(other, other_row, before);
                let change = if retract { -rows.weights[row] } else { rows.weights[row] };
                self.sides[other].partners[other_row as usize] += change;
            }
        }
        Ok(())
    }

    /// Takes rows away from a side.
    fn remove(&mut self, side: usize, change: Change, before: Population, context: &mut Context<'_>) -> Result<()> {
        let mut rows = self.weighted(side, change)?;
        // What was forgotten has no pairs to take back.
        let mut ids = Vec::with_capacity(rows.identities.len());
        for (index, identity) in rows.identities.iter().enumerate() {
            let found = self.sides[side].find(*identity)?;
            if found.is_none() {
                rows.slots[index] = NONE;
            }
            ids.push(found);
        }
        self.pair(side, &rows, true, before, context)?;
        let mut empty = Vec::new();
        for ((id, &weight), &slot) in ids.into_iter().zip(&rows.weights).zip(&rows.slots) {
            let Some(id) = id else { continue };
            if self.counts(side) {
                self.touch(side, id, before);
            }
            self.sides[side].lighten(id, weight)?;
            self.populate(side, slot, -weight);
            empty.push(slot);
        }
        self.forget_keys(&empty);
        Ok(())
    }

    /// Adds rows to a side.
    fn add(&mut self, side: usize, change: Change, before: Population, context: &mut Context<'_>) -> Result<()> {
        let rows = self.weighted(side, change)?;
        let partners = self.pair(side, &rows, false, before, context)?;
        let first_new = self.sides[side].store.len();
        let ids = self.sides[side].insert(&rows, context.now)?;
        for (((&id, &partners), &slot), &weight) in ids.iter().zip(&partners).zip(&rows.slots).zip(&rows.weights) {
            if self.counts(side) {
                // Before it was put in a row showed nothing; what was there showed as often as it was there.
                self.sides[side].weights[id as usize] -= weight;
                self.touch(side, id, before);
                self.sides[side].weights[id as usize] += weight;
                if id >= first_new {
                    self.sides[side].partners[id as usize] = partners;
                }
            }
            self.populate(side, slot, weight);
        }
        Ok(())
    }

    fn populate(&mut self, side: usize, slot: u32, weight: i64) {
        if side == RIGHT {
            self.right.rows += weight;
            self.right.null_keys += if slot == NONE { weight } else { 0 };
        }
    }

    /// Gives back the slots of keys that no row has any more.
    fn forget_keys(&mut self, slots: &[u32]) {
        let unused = |slot: &u32| self.sides.iter().all(|side| side.head(*slot) == NONE);
        let unused: Vec<u32> = slots.iter().copied().filter(|slot| *slot != NONE).filter(unused).collect();
        self.table.remove(&unused);
    }

    /// Emits the net change of the epoch.
    fn flush(&mut self, context: &mut Context<'_>) -> Result<()> {
        if self.pending.iter().any(|pending| !pending.is_empty()) {
            let before = self.right;
            let (left_gone, left_new) = self.pending[LEFT].take_net()?;
            let (right_gone, right_new) = self.pending[RIGHT].take_net()?;
            self.remove(LEFT, left_gone, before, context)?;
            self.remove(RIGHT, right_gone, before, context)?;
            self.add(LEFT, left_new, before, context)?;
            self.add(RIGHT, right_new, before, context)?;
            self.show(before)?;
        }
        self.output.flush(context);
        for side in [LEFT, RIGHT] {
            let gone = self.sides[side].expire(context.now);
            context.count_evicted(gone.len());
            self.forget_keys(&gone);
            self.sides[side].shrink()?;
        }
        Ok(())
    }

    /// Emits what touched rows show otherwise than before.
    fn show(&mut self, before: Population) -> Result<()> {
        let turned = |population: Population| (population.rows == 0, population.null_keys == 0);
        if self.spec.null_aware && turned(before) != turned(self.right) {
            // Every row on the left may show itself now, or no longer.
            for row in self.sides[LEFT].live() {
                self.touch(LEFT, row, before);
            }
        }
        for side in [LEFT, RIGHT] {
            let dirty = std::mem::take(&mut self.dirty[side]);
            let (mut gone, mut new) = (output::Alone::default(), output::Alone::default());
            for &(row, was) in &dirty {
                self.is_dirty[side][row as usize] = false;
                let is = self.shown(side, row, self.right);
                if was.mark == is.mark {
                    let change = is.times - was.times;
                    if change < 0 { &mut gone } else { &mut new }.push(row, change.abs(), is.mark);
                } else {
                    gone.push(row, was.times, was.mark);
                    new.push(row, is.times, is.mark);
                }
            }
            self.output.alone(side, &self.sides[side].store, &gone, true)?;
            self.output.alone(side, &self.sides[side].store, &new, false)?;
        }
        Ok(())
    }

    /// Puts in the rows of a snapshot.
    fn restore_side(&mut self, side: usize, table: &RecordBatch) -> Result<()> {
        let width = table.num_columns().saturating_sub(2);
        let numbers =
            |column: usize| table.columns().get(column).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let (Some(weights), Some(came)) = (numbers(width), numbers(width + 1)) else {
            return Err(EngineError::Internal("the state is not of a join".into()));
        };
        let rows = table.project(&(0..width).collect::<Vec<_>>())?;
        let identities = self.pending[side].identities(&rows)?;
        let change = Change { rows, weights: weights.values().to_vec(), identities };
        let rows = self.weighted(side, change)?;
        let ids = self.sides[side].insert(&rows, ProcessingTime(0))?;
        for (((&id, &at), &slot), &weight) in ids.iter().zip(came.values()).zip(&rows.slots).zip(&rows.weights) {
            self.sides[side].set_came_us(id, at);
            self.populate(side, slot, weight);
        }
        Ok(())
    }

    /// Counts the partners of all rows anew.
    fn recount(&mut self) -> Result<()> {
        let mut nothing = super::Outbox::default();
        let mut context = Context::new(ProcessingTime(0), &mut nothing);
        for part in self.sides[LEFT].live().chunks(BATCH_ROWS) {
            let left = &self.sides[LEFT];
            let rows = Weighted {
                rows: left.store.take(part)?,
                slots: part.iter().map(|row| left.slots[*row as usize]).collect(),
                weights: part.iter().map(|row| left.weights[*row as usize]).collect(),
                identities: Vec::new(),
            };
            let partners = self.pair(LEFT, &rows, false, Population::default(), &mut context)?;
            for (&row, partners) in part.iter().zip(partners) {
                self.sides[LEFT].partners[row as usize] = partners;
            }
        }
        self.output.clear();
        self.dirty = Default::default();
        self.is_dirty = Default::default();
        Ok(())
    }
}

impl Operator for Join {
    fn on_delta(&mut self, port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if port > RIGHT {
            return Err(EngineError::Internal("a join has two inputs".into()));
        }
        self.pending[port].push(delta)?;
        if self.is_immediate() {
            let (_, new) = self.pending[port].take_net()?;
            self.add(port, new, Population::default(), context)?;
            self.output.flush(context);
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)
    }

    fn snapshot(&self) -> Result<OperatorState> {
        let mut state = OperatorState::default();
        for (side, name) in self.sides.iter().zip(["left", "right"]) {
            let live = side.live();
            let mut columns = side.store.take(&live)?.columns().to_vec();
            let weights: Int64Array = live.iter().map(|row| Some(side.weights[*row as usize])).collect();
            columns.push(Arc::new(weights));
            columns.push(Arc::new(Int64Array::from(side.came_us(&live))));
            state.tables.push((name.into(), super::aggregate::table_of(columns, live.len())?));
        }
        Ok(state)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        for (side, name) in ["left", "right"].into_iter().enumerate() {
            self.restore_side(side, find_table(&state, name)?)?;
        }
        if self.spec.kind == JoinKind::Inner { Ok(()) } else { self.recount() }
    }
}
