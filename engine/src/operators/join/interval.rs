//! [`IntervalJoin`]: a join of append-only inputs whose event times lie within bounds of one another.
//!
//! A row waits until the watermark tells that no partner of it can come: a left row until `left_time - lower`, a right one
//! until `right_time + upper`. Then it is dropped; an outer row without a partner comes out. Rows behind the watermark are
//! late: they are counted and dropped, since rows they would have met may be gone. So the result is the join of all rows
//! that were not late, whatever their order.
//!
//! # Watermark
//! A row comes out with a partner, or alone, when it may be older than the watermark: a left one by `-lower`, a right one by
//! `upper`. The watermark of the output is that of the input minus the greater of the two, so that it holds for both time
//! columns; of semi, anti and mark joins, which give left rows only, minus `-lower`. It is never ahead of the input's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::{Int64Type, SchemaRef};

use super::NONE;
use super::keys::Keys;
use super::pairs::{Output, Pairs, Residual, Rows, comes_alone, gives_pairs, shows};
use super::store::keep;
use super::timed::TimedStore;
use super::walk::Walk;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch, Sign};
use crate::operators::aggregate::{find_table, table_of};
use crate::operators::told::Told;
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{IntervalJoinSpec, JoinKind};
use crate::time::EventTime;

/// The names of the tables of a snapshot: rows, and whether each has had a partner.
const TABLES: [(&str, &str); 2] = [("left", "left_matched"), ("right", "right_matched")];

/// See the module.
pub struct IntervalJoin {
    kind: JoinKind,
    keys: Keys,
    sides: [TimedStore; 2],
    /// By side and row: whether it has had a partner.
    matched: [Vec<bool>; 2],
    /// What checkpoints know of that.
    told: [Told; 2],
    lower_us: i64,
    upper_us: i64,
    residual: Residual,
    output: Output,
    watermark: i64,
}

impl IntervalJoin {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where keys are not of equal types.
    pub fn new(spec: &IntervalJoinSpec, left: &SchemaRef, right: &SchemaRef, output: SchemaRef) -> Result<Self> {
        Ok(Self {
            kind: spec.kind,
            keys: Keys::new(&spec.keys, [left, right], false)?,
            sides: [TimedStore::new(left, spec.left_time), TimedStore::new(right, spec.right_time)],
            matched: Default::default(),
            told: Default::default(),
            lower_us: spec.lower_us,
            upper_us: spec.upper_us,
            residual: Residual::new(spec.residual.clone(), [left, right]),
            output: Output::new(spec.kind, output),
            watermark: i64::MIN,
        })
    }

    /// Rows of an input that are before this cannot find a partner any more.
    fn horizon(&self, port: usize) -> i64 {
        match (self.watermark, port) {
            (i64::MAX, _) => i64::MAX,
            (watermark, 0) => watermark.saturating_add(self.lower_us),
            (watermark, _) => watermark.saturating_sub(self.upper_us),
        }
    }

    /// The watermark of the output.
    fn behind(&self, watermark: i64) -> i64 {
        let of_left = self.lower_us.saturating_neg().max(0);
        let lag = if gives_pairs(self.kind) { of_left.max(self.upper_us) } else { of_left };
        if watermark == i64::MAX { watermark } else { watermark.saturating_sub(lag) }
    }

    /// Joins the rows from `first` on with those of the other side.
    fn meet(&mut self, port: usize, first: u32, context: &mut Context<'_>) -> Result<()> {
        let drivers: Vec<u32> = (first..self.sides[port].store.len()).collect();
        let mut walk = Walk::new(&drivers, None);
        let mut done = Vec::new();
        loop {
            let mut pairs = Pairs::default();
            let (own, other) = (&self.sides[port], &self.sides[1 - port]);
            let accept = |driver, partner| {
                let (own_time, other_time) = (own.times[driver as usize], other.times[partner as usize]);
                let (left, right) = if port == 0 { (own_time, other_time) } else { (other_time, own_time) };
                right.saturating_add(self.lower_us) <= left && left <= right.saturating_add(self.upper_us)
            };
            let more = walk.fill(&own.store, &other.store, accept, &mut pairs);
            if port == 1 {
                pairs = (pairs.1, pairs.0);
            }
            let [left, right] = &self.sides;
            self.residual.narrow([&left.store.rows, &right.store.rows], &mut pairs, context)?;
            self.put_out(&pairs, &mut done, context)?;
            if !more {
                break;
            }
        }
        // What has come out, or never will, need not wait.
        let mut emptied = Vec::new();
        done.iter().for_each(|&row| emptied.extend(self.sides[0].store.remove(row)));
        self.forget_keys(emptied);
        Ok(())
    }

    /// Emits what follows from pairs. Left rows that are done with are added to `done`.
    fn put_out(&mut self, pairs: &Pairs, done: &mut Vec<u32>, context: &mut Context<'_>) -> Result<()> {
        let mut found = Vec::new();
        for (&left, &right) in pairs.0.iter().zip(&pairs.1) {
            if !std::mem::replace(&mut self.matched[1][right as usize], true) {
                self.told[1].touch([right]);
            }
            if !std::mem::replace(&mut self.matched[0][left as usize], true) {
                self.told[0].touch([left]);
                found.push(left);
            }
        }
        match self.kind {
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
                return self.emit(&Rows::Pairs(&pairs.0, &pairs.1), context);
            }
            JoinKind::Semi | JoinKind::Mark => self.emit(&Rows::Left(&found, true), context)?,
            JoinKind::Anti => {}
        }
        done.append(&mut found);
        Ok(())
    }

    /// Drops the rows that no partner can come for any more.
    fn expire(&mut self, context: &mut Context<'_>) -> Result<()> {
        let mut emptied = Vec::new();
        for port in 0..2 {
            let horizon = self.horizon(port);
            let side = &mut self.sides[port];
            let mut lonely = Vec::new();
            while let Some(row) = side.pop_before(horizon) {
                if !self.matched[port][row as usize] {
                    lonely.push(row);
                }
                emptied.extend(side.store.remove(row));
            }
            if comes_alone(self.kind, port) && shows(self.kind, false) {
                let rows = if port == 0 { Rows::Left(&lonely, false) } else { Rows::Right(&lonely) };
                self.emit(&rows, context)?;
            }
        }
        self.forget_keys(emptied);
        for ((side, matched), told) in self.sides.iter_mut().zip(&mut self.matched).zip(&mut self.told) {
            if let Some(kept) = side.compact()? {
                keep(matched, &kept);
                told.forget();
            }
        }
        Ok(())
    }

    fn forget_keys(&mut self, mut emptied: Vec<u32>) {
        emptied.retain(|&slot| self.sides.iter().all(|side| side.store.first(slot) == NONE));
        self.keys.remove(&emptied);
    }

    fn emit(&self, rows: &Rows<'_>, context: &mut Context<'_>) -> Result<()> {
        let mut deltas = Vec::new();
        let [left, right] = &self.sides;
        self.output.make([&left.store.rows, &right.store.rows], rows, false, &mut deltas)?;
        deltas.into_iter().for_each(|delta| context.emit(delta));
        Ok(())
    }
}

impl Operator for IntervalJoin {
    fn on_delta(&mut self, port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Unsupported("an interval join of an updating input".into()));
        }
        let delta = self.sides[port].in_time(delta, self.watermark, context)?;
        let (delta, slots) = self.keys.keyed(port, delta, comes_alone(self.kind, port))?;
        let first = self.sides[port].store.len();
        self.sides[port].add(delta.batch, &slots)?;
        self.matched[port].resize(self.sides[port].times.len(), false);
        self.meet(port, first, context)?;
        // Rows that only earlier ones can meet need not wait at all.
        self.expire(context)
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark.0);
        self.expire(context)?;
        context.emit_watermark(EventTime(self.behind(self.watermark)));
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, _context: &mut Context<'_>) -> Result<()> {
        Ok(())
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.watermark = i64::MAX;
        self.expire(context)
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let mut tables = Vec::with_capacity(5);
        let sides = self.sides.iter().zip(&self.matched).zip(&mut self.told);
        for (((side, matched), told), (rows_name, matched_name)) in sides.zip(TABLES) {
            let telling = told.tell(epoch, base, side.store.live());
            let matched: BooleanArray = telling.slots.iter().map(|&row| Some(matched[row as usize])).collect();
            tables.push(side.store.table(rows_name));
            tables.push(telling.table(matched_name, table_of(vec![Arc::new(matched)], telling.slots.len())?));
        }
        let watermark: ArrayRef = Arc::new(Int64Array::from(vec![self.watermark]));
        tables.push(Table::whole("times", table_of(vec![watermark], 1)?));
        Ok(tables)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        for (port, (rows_name, matched_name)) in TABLES.into_iter().enumerate() {
            let rows = find_table(&state, rows_name)?.clone();
            let matched = find_table(&state, matched_name)?.columns().first().and_then(|it| it.as_boolean_opt());
            let slots = self.keys.slots(port, &rows)?;
            let matched = matched.filter(|matched| matched.len() == rows.num_rows());
            let wrong = || EngineError::Internal("the state of an interval join does not fit".into());
            self.matched[port] = matched.ok_or_else(wrong)?.values().iter().collect();
            self.sides[port].add(rows, &slots)?;
        }
        let times = find_table(&state, "times")?;
        let watermark = times.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        self.watermark = watermark.filter(|times| !times.is_empty()).map_or(i64::MIN, |times| times.value(0));
        Ok(())
    }
}
