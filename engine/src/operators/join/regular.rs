//! [`Join`]: a join of two inputs that are kept whole, by their changes.
//!
//! The changes of an epoch wait until its barrier, netted by row; then only the net change comes out, retractions
//! first. A pair of rows is there `left weight · right weight` times. Where rows come out on their own, the number of
//! their partners is kept: an outer row comes out while it is zero. A join that cannot retract, because neither input does
//! and no partner takes anything back, emits at once.

use arrow::datatypes::SchemaRef;

use super::NONE;
use super::keys::Keys;
use super::pairs::{Output, Pairs, Residual, Rows, comes_alone, gives_pairs, shows};
use super::side::{Changes, Side};
use super::walk::Walk;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch};
use crate::operators::aggregate::{table_if_any, table_parts};
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{JoinKind, JoinSpec};
use crate::time::EventTime;

/// The names of the tables of a snapshot: rows, and what is known of them, where that is not the same of all.
const TABLES: [(&str, &str); 2] = [("left", "left_state"), ("right", "right_state")];

/// See the module.
pub struct Join {
    kind: JoinKind,
    /// Neither input nor the result retracts.
    append_only: bool,
    keys: Keys,
    sides: [Side; 2],
    residual: Residual,
    output: Output,
}

/// What a sweep over changed rows gives.
#[derive(Default)]
struct Found {
    /// Pairs that come out or are taken back, as often as they are.
    pairs: Pairs,
    deltas: Vec<Delta>,
}

/// Rows of one side whose partners became more or fewer, with the number before.
type Moved = Vec<(u32, u32)>;

impl Join {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where keys are not of equal types; `NOT IN` over several columns.
    pub fn new(spec: &JoinSpec, left: &SchemaRef, right: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let inserts = matches!(spec.kind, JoinKind::Inner | JoinKind::Semi);
        Ok(Self {
            kind: spec.kind,
            append_only: inserts && spec.retracts == (false, false),
            keys: Keys::new(&spec.keys, [left, right], spec.null_aware)?,
            sides: [
                Side::new(left.clone(), spec.retracts.0, spec.ttl_us.0, comes_alone(spec.kind, 0)),
                Side::new(right.clone(), spec.retracts.1, spec.ttl_us.1, comes_alone(spec.kind, 1)),
            ],
            residual: Residual::new(spec.residual.clone(), [left, right]),
            output: Output::new(spec.kind, output),
        })
    }

    /// Emits the net change since the last call.
    fn flush(&mut self, context: &mut Context<'_>) -> Result<()> {
        let changes = [self.sides[0].changes()?, self.sides[1].changes()?];
        let mut moved: [Moved; 2] = Default::default();
        let mut retracted = Found::default();
        self.sweep(&changes, false, &mut moved, &mut retracted, context)?;
        let mut inserted = Found::default();
        self.sweep(&changes, true, &mut moved, &mut inserted, context)?;
        let mut spent = Vec::new();
        let mut alone = Vec::new();
        for (port, moved) in moved.into_iter().enumerate().filter(|(port, _)| comes_alone(self.kind, *port)) {
            self.sides[port].told.touch(moved.iter().map(|(row, _)| *row));
            self.alone(port, &changes[port], moved, [&mut retracted.deltas, &mut alone], &mut spent)?;
        }
        for delta in retracted.deltas.into_iter().chain(alone).chain(inserted.deltas) {
            context.emit(delta);
        }
        let mut emptied = Vec::new();
        for side in &mut self.sides {
            side.settle(context.now, &mut emptied);
        }
        spent.iter().for_each(|&row| self.sides[0].forget(row, &mut emptied));
        self.tidy(emptied)
    }

    /// Forgets the keys without rows, and compacts.
    fn tidy(&mut self, mut emptied: Vec<u32>) -> Result<()> {
        emptied.retain(|&slot| self.sides.iter().all(|side| side.store.first(slot) == NONE));
        self.keys.remove(&emptied);
        self.sides.iter_mut().try_for_each(Side::compact)
    }

    /// Visits each pair with a changed row once: pairs that there are fewer of, or (`rising`) more of.
    fn sweep(
        &mut self,
        changes: &[Changes; 2],
        rising: bool,
        moved: &mut [Moved; 2],
        found: &mut Found,
        context: &mut Context<'_>,
    ) -> Result<()> {
        for (port, changes) in changes.iter().enumerate() {
            let drivers = if rising { &changes.rises } else { &changes.falls };
            let mut walk = Walk::new(drivers, self.keys.null_slot());
            loop {
                let mut pairs = Pairs::default();
                let (own, other) = (&self.sides[port], &self.sides[1 - port]);
                // Pairs of two changed rows are visited from the left.
                let accept = |_, partner| {
                    let (old, new) = (other.old(partner), other.new_weight(partner));
                    let (there, moves) = if rising { (new > 0, new > old) } else { (old > 0, new < old) };
                    there && !(port == 1 && moves)
                };
                let more = walk.fill(&own.store, &other.store, accept, &mut pairs);
                if port == 1 {
                    pairs = (pairs.1, pairs.0);
                }
                self.residual.narrow_changes(self.rows(), &mut pairs, !rising, context)?;
                self.count(&pairs, rising, moved, found, context)?;
                if !more || found.pairs.0.len() >= BATCH_ROWS {
                    self.put_out(found, !rising)?;
                }
                if !more {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Counts partners, and the changes of the pairs themselves.
    fn count(
        &mut self,
        pairs: &Pairs,
        rising: bool,
        moved: &mut [Moved; 2],
        found: &mut Found,
        context: &Context<'_>,
    ) -> Result<()> {
        let (counts, pairs_out) = ([0, 1].map(|port| comes_alone(self.kind, port)), gives_pairs(self.kind));
        for (&left, &right) in pairs.0.iter().zip(&pairs.1) {
            let rows = [left, right];
            let (old, new) = ([0, 1].map(|port| self.sides[port].old(rows[port])), {
                [0, 1].map(|port| self.sides[port].new_weight(rows[port]))
            });
            let was = old[0] > 0 && old[1] > 0;
            let is = new[0] > 0 && new[1] > 0;
            for port in (0..2).filter(|port| counts[*port] && was != is) {
                let partners = &mut self.sides[port].partners[rows[port] as usize];
                moved[port].push((rows[port], *partners));
                *partners = if is { partners.saturating_add(1) } else { partners.saturating_sub(1) };
            }
            let more = new[0] * new[1] - old[0] * old[1];
            let times = if rising { more } else { -more };
            let mut times = if pairs_out { usize::try_from(times).unwrap_or(0) } else { 0 };
            // Two rows that are there a million times each are a thousand billion pairs.
            while times > 0 {
                let some = times.min(BATCH_ROWS);
                found.pairs.0.extend(std::iter::repeat_n(left, some));
                found.pairs.1.extend(std::iter::repeat_n(right, some));
                times -= some;
                if times > 0 {
                    context.check()?;
                    self.put_out(found, !rising)?;
                }
            }
        }
        Ok(())
    }

    /// The rows of both sides.
    fn rows(&self) -> [&super::chunks::Chunks; 2] {
        [&self.sides[0].store.rows, &self.sides[1].store.rows]
    }

    /// Makes deltas of the pairs that were found.
    fn put_out(&self, found: &mut Found, retract: bool) -> Result<()> {
        let rows = Rows::Pairs(&found.pairs.0, &found.pairs.1);
        self.output.make(self.rows(), &rows, retract, &mut found.deltas)?;
        found.pairs = Pairs::default();
        Ok(())
    }

    /// The changes of the rows of a side that come out on their own. `out`: retractions, insertions. `spent`: left rows
    /// that will never come out again.
    fn alone(
        &self,
        port: usize,
        changes: &Changes,
        mut moved: Moved,
        out: [&mut Vec<Delta>; 2],
        spent: &mut Vec<u32>,
    ) -> Result<()> {
        let side = &self.sides[port];
        // Stable: the first of each row has the number of partners before the epoch.
        moved.sort_by_key(|(row, _)| *row);
        moved.dedup_by_key(|(row, _)| *row);
        let is_moved = |row: &u32| moved.binary_search_by_key(row, |(row, _)| *row).is_ok();
        let unmoved = changes.falls.iter().chain(&changes.rises).filter(|row| !is_moved(row));
        let unmoved: Vec<(u32, u32)> = unmoved.map(|&row| (row, side.partners[row as usize])).collect();
        // Retractions and insertions of rows without and with partners.
        let mut rows: [[Vec<u32>; 2]; 2] = Default::default();
        for (row, before) in moved.into_iter().chain(unmoved) {
            let after = side.partners[row as usize];
            for partner in [false, true] {
                if !shows(self.kind, partner) {
                    continue;
                }
                let old = if (before > 0) == partner { side.old(row) } else { 0 };
                let new = if (after > 0) == partner { side.new_weight(row) } else { 0 };
                let list = &mut rows[usize::from(new > old)][usize::from(partner)];
                list.extend(std::iter::repeat_n(row, usize::try_from(new.abs_diff(old)).unwrap_or(0)));
            }
            if self.is_final() && after > 0 {
                spent.push(row);
            }
        }
        for ((rows, out), retract) in rows.iter().zip(out).zip([true, false]) {
            for (rows, partner) in rows.iter().zip([false, true]) {
                let rows = if port == 0 { Rows::Left(rows, partner) } else { Rows::Right(rows) };
                self.output.make(self.rows(), &rows, retract, out)?;
            }
        }
        Ok(())
    }

    /// Whether a left row with a partner is done with: it has come out, or never will.
    fn is_final(&self) -> bool {
        let inserts = self.sides.iter().all(|side| !side.retracts());
        matches!(self.kind, JoinKind::Semi | JoinKind::Anti) && inserts
    }
}

impl Operator for Join {
    fn on_delta(&mut self, port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        let (delta, slots) = self.keys.keyed(port, delta, comes_alone(self.kind, port))?;
        if let Some(side) = self.sides.get_mut(port) {
            side.fold(&delta, &slots)?;
        }
        if self.append_only { self.flush(context) } else { Ok(()) }
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)?;
        let mut emptied = Vec::new();
        for side in &mut self.sides {
            let gone = side.expire(context.now, &mut emptied);
            context.count_evicted(gone);
        }
        self.tidy(emptied)
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let mut tables = Vec::new();
        for (side, names) in self.sides.iter_mut().zip(TABLES) {
            tables.extend(side.capture(names, epoch, base)?);
        }
        Ok(tables)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        for (port, (rows_name, state_name)) in TABLES.into_iter().enumerate() {
            let numbers = table_if_any(&state, state_name)?;
            let mut start = 0;
            for rows in table_parts(&state, rows_name) {
                let slots = self.keys.slots(port, rows)?;
                let of_part = numbers.filter(|numbers| numbers.num_rows() >= start + rows.num_rows());
                if of_part.is_none() && numbers.is_some() {
                    return Err(EngineError::Internal("the state of a join does not fit".into()));
                }
                let of_part = of_part.map(|numbers| numbers.slice(start, rows.num_rows()));
                if let Some(side) = self.sides.get_mut(port) {
                    side.restore(rows.clone(), of_part.as_ref(), &slots)?;
                }
                start += rows.num_rows();
            }
        }
        Ok(())
    }
    fn reissue(&mut self) -> Result<()> {
        self.sides.iter_mut().for_each(Side::reissue);
        Ok(())
    }
}
