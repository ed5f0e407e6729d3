//! [`TemporalJoin`]: joins rows with the version of a table that is valid at their time.
//!
//! A left row waits until the watermark has passed it: then no older version can come. It is joined with the
//! version of its key that has the greatest time up to its own, and comes out once; a later correction of the table does
//! not change it. Late left rows are counted and dropped; late versions still count for the rows that wait. Versions of a table
//! with a key come as updates, those of a stream as insertions; two of the same key and time: the last one counts.
//!
//! The watermark passes unchanged: it speaks of the left time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{Int64Type, SchemaRef};

use super::NONE;
use super::chunks::Chunks;
use super::keys::Keys;
use super::pairs::{Output, Pairs, Residual, Rows};
use super::timed::TimedStore;
use super::versions::Versions;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::operators::aggregate::{find_table, table_of};
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{JoinKind, TemporalJoinSpec};
use crate::time::EventTime;

/// See the module. Port 0: the rows; port 1: the table.
pub struct TemporalJoin {
    /// Rows without a version come out too.
    outer: bool,
    /// A version at the row's own time does not count.
    strict: bool,
    keys: Keys,
    waiting: TimedStore,
    versions: Versions,
    residual: Residual,
    output: Output,
    watermark: i64,
}

impl TemporalJoin {
    /// The operator on one shard. `strict`: a version is earlier than the row.
    ///
    /// # Errors
    /// Where keys are not of equal types; for a kind other than `Inner` and `Left`.
    pub fn new(
        spec: &TemporalJoinSpec,
        strict: bool,
        left: &SchemaRef,
        right: &SchemaRef,
        output: SchemaRef,
    ) -> Result<Self> {
        Ok(Self {
            outer: is_outer(spec.kind)?,
            strict,
            keys: Keys::new(&spec.keys, [left, right], false)?,
            waiting: TimedStore::new(left, spec.left_time),
            versions: Versions::new(right, spec.right_time),
            residual: Residual::new(spec.residual.clone(), [left, right]),
            output: Output::new(spec.kind, output),
            watermark: i64::MIN,
        })
    }

    /// Emits left rows, each with its version. `versions`: by place in `rows`, [`NONE`] where there is none.
    fn put_out(&self, left: &Chunks, rows: &[u32], versions: &[u32], context: &mut Context<'_>) -> Result<()> {
        let stores = [left, &self.versions.store.rows];
        let mut pairs: Pairs = rows.iter().zip(versions).filter(|(_, version)| **version != NONE).unzip();
        self.residual.narrow(stores, &mut pairs, context)?;
        let mut deltas = Vec::new();
        self.output.make(stores, &Rows::Pairs(&pairs.0, &pairs.1), false, &mut deltas)?;
        if self.outer {
            let mut joined = pairs.0.iter().peekable();
            let lonely = rows.iter().copied().filter(|row| joined.next_if_eq(&row).is_none());
            self.output.make(stores, &Rows::Left(&lonely.collect::<Vec<_>>(), false), false, &mut deltas)?;
        }
        deltas.into_iter().for_each(|delta| context.emit(delta));
        Ok(())
    }

    /// Emits the rows that the watermark has passed.
    fn pass(&mut self, watermark: i64, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        // What does not count need not be waited for.
        let horizon = self.watermark.saturating_add(i64::from(self.strict));
        let mut emptied = Vec::new();
        loop {
            let (mut rows, mut versions) = (Vec::new(), Vec::new());
            while rows.len() < BATCH_ROWS
                && let Some(row) = self.waiting.pop_before(horizon)
            {
                let time = self.waiting.times[row as usize];
                let upto = time.saturating_sub(i64::from(self.strict));
                versions.push(self.versions.valid_at(self.waiting.store.slot(row), upto));
                rows.push(row);
            }
            if rows.is_empty() {
                break;
            }
            self.put_out(&self.waiting.store.rows, &rows, &versions, context)?;
            rows.iter().for_each(|&row| emptied.extend(self.waiting.store.remove(row)));
        }
        self.versions.expire(self.watermark, &mut emptied);
        self.forget_keys(emptied);
        self.waiting.compact()?;
        self.versions.compact()
    }

    fn forget_keys(&mut self, mut emptied: Vec<u32>) {
        let stores = [&self.waiting.store, &self.versions.store];
        emptied.retain(|&slot| stores.iter().all(|store| store.first(slot) == NONE));
        self.keys.remove(&emptied);
    }
}

/// Whether rows without a partner come out of a join with the versions of a table.
///
/// # Errors
/// For a kind other than `Inner` and `Left`.
pub(super) fn is_outer(kind: JoinKind) -> Result<bool> {
    match kind {
        JoinKind::Inner => Ok(false),
        JoinKind::Left => Ok(true),
        JoinKind::Right | JoinKind::Full | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => {
            Err(EngineError::Unsupported("a temporal join other than INNER and LEFT".into()))
        }
    }
}

impl Operator for TemporalJoin {
    fn on_delta(&mut self, port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if port == 1 {
            let (delta, slots) = self.keys.keyed(1, delta, false)?;
            let mut emptied = Vec::new();
            self.versions.fold(&delta, &slots, &mut emptied)?;
            // Slots of retractions that named no version.
            emptied.extend(slots);
            self.forget_keys(emptied);
            return self.versions.compact();
        }
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Unsupported("a temporal join of an updating left input".into()));
        }
        let delta = self.waiting.in_time(delta, self.watermark, context)?;
        let (delta, slots) = self.keys.keyed(0, delta, self.outer)?;
        self.waiting.add(delta.batch, &slots)
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        self.pass(watermark.0, context)?;
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, _context: &mut Context<'_>) -> Result<()> {
        let mut emptied = Vec::new();
        self.versions.settle(&mut emptied);
        self.forget_keys(emptied);
        self.versions.compact()
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.pass(i64::MAX, context)
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let watermark: ArrayRef = Arc::new(Int64Array::from(vec![self.watermark]));
        let times = Table::whole("times", table_of(vec![watermark], 1)?);
        let [versions, deleted] = self.versions.capture(epoch, base)?;
        Ok(vec![self.waiting.store.table("left"), versions, deleted, times])
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let times = find_table(&state, "times")?;
        let watermark = times.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        self.watermark = watermark.filter(|times| !times.is_empty()).map_or(i64::MIN, |times| times.value(0));
        let waiting = find_table(&state, "left")?.clone();
        if waiting.num_rows() > 0 {
            let slots = self.keys.slots(0, &waiting)?;
            self.waiting.add(waiting, &slots)?;
        }
        let versions = find_table(&state, "right")?.clone();
        let slots = self.keys.slots(1, &versions)?;
        self.versions.restore(versions, find_table(&state, "right_deleted")?, &slots, self.watermark)
    }
}
