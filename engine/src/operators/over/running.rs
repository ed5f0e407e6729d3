//! [`Running`]: window functions over rows that come in their order, once and for all.
//!
//! Aggregates of frames that start at `UNBOUNDED PRECEDING` go on from accumulators, one a partition; for other calls the
//! rows that they reach are kept and put before the new ones.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat, take, take_arrays};
use arrow::datatypes::SchemaRef;

use super::aggregates::Carried;
use super::block::{Block, RangeKeys, Segment};
use super::calls::{Calls, default_of};
use super::history::{Arrived, Histories};
use super::reach::{Reach, check_running, is_running};
use crate::checkpoint::numbers::{NUMBERS, numbers_table};
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::operators::OperatorState;
use crate::operators::aggregate::{AggregateSet, Arrival, find_table, table_of};
use crate::operators::group_table::GroupTable;
use crate::operators::told::Told;
use crate::plan::{OverCall, OverFunction, OverSpec};

/// See the module.
pub(super) struct Running {
    partition: Vec<usize>,
    /// The input columns that calls name; the calls name them by position here.
    columns: Vec<usize>,
    calls: Calls,
    table: GroupTable,
    /// Accumulators by partition, for each group of aggregates without a start.
    sets: Vec<AggregateSet>,
    /// Rows so far, for aggregates that depend on their order.
    arrived: i64,
    histories: Histories,
    /// Partitions without kept rows can be forgotten.
    forgets: bool,
    /// Rows of equal time are peers.
    has_peers: bool,
    /// When all partitions were last looked at for rows that are not reached any more.
    swept: i64,
    range: Option<i64>,
    told: Told,
}

/// Rows in order: by partition, then by time.
pub(super) struct Sorted<'a> {
    pub(super) batch: &'a RecordBatch,
    /// The partition and the time of each row of the batch.
    pub(super) slots: &'a [u32],
    pub(super) times: &'a [i64],
    /// The rows of the batch in order.
    pub(super) order: &'a [u32],
    /// Later rows have this time or more.
    pub(super) horizon: i64,
}

impl Running {
    /// The calls of a description.
    ///
    /// # Errors
    /// Where a call cannot work on the way.
    pub(super) fn new(spec: &OverSpec, input: &SchemaRef, has_peers: bool) -> Result<Self> {
        check_running(spec.calls.iter())?;
        let mut columns: Vec<usize> = spec.calls.iter().flat_map(named).collect();
        columns.sort_unstable();
        columns.dedup();
        let schema: SchemaRef = Arc::new(input.project(&columns)?);
        let calls: Vec<OverCall> = spec.calls.iter().map(|call| renamed(call, &columns)).collect();
        let calls = Calls::new(&calls, Arc::clone(&schema))?;
        let running = calls.groups().iter().filter(|group| group.is_running());
        let sets =
            running.map(|group| AggregateSet::new(&group.aggregates, &schema, false)).collect::<Result<Vec<_>>>()?;
        let types: Vec<_> = spec.partition.iter().map(|&column| input.field(column).data_type().clone()).collect();
        // What is carried is not looked for in kept rows.
        let carried =
            |call: &&OverCall| !matches!(call.function, OverFunction::Aggregate(_)) || !is_running(&call.frame);
        let reach = Reach::of(calls.iter().filter(carried));
        let counts = |call: &OverCall| {
            matches!(call.function, OverFunction::RowNumber | OverFunction::Rank | OverFunction::DenseRank)
        };
        let forgets = sets.is_empty() && reach.head == 0 && reach.rows == 0 && !reach.all && !calls.iter().any(counts);
        Ok(Self {
            partition: spec.partition.clone(),
            columns,
            calls,
            table: GroupTable::new(&types)?,
            sets,
            arrived: 0,
            histories: Histories::new(schema, reach)?,
            forgets,
            has_peers,
            swept: i64::MIN,
            range: reach.range,
            told: Told::default(),
        })
    }

    /// The partitions of rows.
    ///
    /// # Errors
    /// Where a column is not of its declared type.
    pub(super) fn slots(&mut self, batch: &RecordBatch) -> Result<Vec<u32>> {
        let keys: Vec<ArrayRef> = self.partition.iter().map(|&column| Arc::clone(batch.column(column))).collect();
        self.intern(&keys, batch.num_rows())
    }

    fn intern(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut slots = Vec::new();
        self.table.intern(keys, rows, &mut slots)?;
        self.told.touch(slots.iter().copied());
        self.histories.resize(self.table.capacity_slots());
        self.sets.iter_mut().for_each(|set| set.resize(self.table.capacity_slots()));
        Ok(slots)
    }

    /// The results for rows, in their order, a column a call.
    ///
    /// # Errors
    /// Where a result cannot be computed.
    pub(super) fn process(&mut self, rows: &Sorted<'_>) -> Result<Vec<ArrayRef>> {
        let new = rows.batch.project(&self.columns)?;
        let mut layout = BlockRows::default();
        let mut arrived = Vec::new();
        let mut rest = rows.order;
        while let Some(&first) = rest.first() {
            let slot = rows.slots[first as usize];
            let count = rest.iter().take_while(|row| rows.slots[**row as usize] == slot).count();
            let (own, others) = rest.split_at(count);
            let groups = self.place(slot, own, rows.times, &mut layout);
            arrived.push(Arrived { slot, rows: own, groups });
            rest = others;
        }
        let of_targets: Vec<u32> = rows.order.iter().map(|&row| rows.slots[row as usize]).collect();
        let kept = self.histories.decode(&layout.kept)?;
        let block = Block {
            batch: layout.gather(&kept, &new)?,
            segments: layout.segments,
            peers: layout.peers,
            keys: Some(RangeKeys::ascending(layout.times)),
        };
        let carried = Carried { sets: &self.sets, slots: &of_targets, arrived: self.arrived };
        let results = self.calls.evaluate(&block, Some(carried).filter(|carried| !carried.sets.is_empty()))?;
        if !self.sets.is_empty() {
            let order = UInt32Array::from(rows.order.to_vec());
            // `COUNT(*)` names no column.
            let options = RecordBatchOptions::new().with_row_count(Some(order.len()));
            let columns = take_arrays(new.columns(), &order, None)?;
            let in_order = RecordBatch::try_new_with_options(new.schema(), columns, &options)?;
            let arrival = Arrival { first: self.arrived, rows: None };
            for set in &mut self.sets {
                set.update_arrived(&in_order, None, &of_targets, Some(arrival))?;
            }
            self.arrived += rows.order.len() as i64;
        }
        self.histories.add(&new, rows.times, &arrived, rows.horizon)?;
        self.sweep(rows.horizon)?;
        Ok(results)
    }

    /// Puts the kept and the new rows of a partition into a block; gives the number of new groups of peers.
    fn place(&self, slot: u32, own: &[u32], times: &[i64], layout: &mut BlockRows) -> u64 {
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let start = number(layout.times.len());
        let kept = layout.kept.len();
        self.histories.kept(slot, &mut layout.times, &mut layout.kept);
        layout.places.extend((kept..layout.kept.len()).map(|at| (true, number(at))));
        let from = number(layout.times.len());
        layout.times.extend(own.iter().map(|&row| times[row as usize]));
        layout.places.extend(own.iter().map(|&row| (false, row)));
        let end = number(layout.times.len());
        // No new row is a peer of a kept one: the watermark passes all rows of a time at once.
        let mut groups = 0;
        let mut first = start;
        while first < end {
            let time = layout.times[first as usize];
            let same = layout.times[first as usize..].iter().take_while(|other| **other == time).count();
            let to = if self.has_peers { first + number(same) } else { first + 1 };
            layout.peers.extend((first..to).map(|_| (first, to)));
            groups += u64::from(first >= from);
            first = to;
        }
        let (rows_before, groups_before) = self.histories.counts(slot);
        layout.segments.push(Segment { start, from, end, rows_before, groups_before });
        groups
    }

    /// Now and then drops what no row reaches any more of partitions that have no new rows.
    pub(super) fn sweep(&mut self, horizon: i64) -> Result<()> {
        let Some(range) = self.range else { return Ok(()) };
        if horizon.saturating_sub(range.max(1)) < self.swept {
            return Ok(());
        }
        self.swept = horizon;
        let mut empty = Vec::new();
        for slot in self.table.live_slots() {
            if !self.histories.evict(slot, horizon)? && self.forgets {
                empty.push(slot);
            }
        }
        self.histories.remove(&empty)?;
        self.table.remove(&empty);
        Ok(())
    }

    /// All state, for a checkpoint at `epoch` after that of `base`.
    ///
    /// # Errors
    /// Where Arrow cannot build a table.
    pub(super) fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let telling = self.told.tell(epoch, base, self.table.live());
        let slots = &telling.slots;
        let mut tables = vec![
            telling.table("keys", table_of(self.table.keys(slots)?, slots.len())?),
            telling.table(NUMBERS, numbers_table(slots)?),
        ];
        tables.extend(self.histories.capture(&telling, epoch, base)?);
        let arrived: ArrayRef = Arc::new(Int64Array::from(vec![self.arrived]));
        tables.push(Table::whole("arrived", table_of(vec![arrived], 1)?));
        for (index, set) in self.sets.iter_mut().enumerate() {
            let prefix = format!("running{index}.");
            tables.push(telling.table(format!("{prefix}calls"), set.calls_table(slots)?));
            tables.extend(set.capture_distinct(&prefix, epoch, base)?);
        }
        Ok(tables)
    }

    /// Takes over what [`Self::capture`] told, with places instead of slots.
    ///
    /// # Errors
    /// Where the state is not of these calls.
    pub(super) fn restore(&mut self, state: &OperatorState) -> Result<()> {
        let keys = find_table(state, "keys")?;
        let slots = self.intern(keys.columns(), keys.num_rows())?;
        self.histories.restore(state, &slots)?;
        let arrived = find_table(state, "arrived")?.columns().first().and_then(|column| column.as_primitive_opt());
        self.arrived = arrived.and_then(|arrived: &Int64Array| arrived.iter().next().flatten()).unwrap_or(0);
        for (index, set) in self.sets.iter_mut().enumerate() {
            set.restore(&format!("running{index}."), state, &slots)?;
        }
        Ok(())
    }
}

/// The rows of a block: which of the kept ones, and which of the new ones.
#[derive(Default)]
struct BlockRows {
    times: Vec<i64>,
    kept: Vec<u32>,
    /// Whether the row is a kept one, and its number among them.
    places: Vec<(bool, u32)>,
    peers: Vec<(u32, u32)>,
    segments: Vec<Segment>,
}

impl BlockRows {
    fn gather(&self, kept: &RecordBatch, new: &RecordBatch) -> Result<RecordBatch> {
        let offset = u32::try_from(kept.num_rows()).map_err(|_| EngineError::Internal("2^32 kept rows".into()))?;
        let places = self.places.iter().map(|&(is_kept, at)| if is_kept { at } else { offset + at });
        let places = UInt32Array::from_iter_values(places);
        let mut columns = Vec::with_capacity(new.num_columns());
        for (kept, new) in kept.columns().iter().zip(new.columns()) {
            columns.push(if kept.is_empty() {
                take(new, &places, None)?
            } else {
                take(&concat(&[kept, new])?, &places, None)?
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        Ok(RecordBatch::try_new_with_options(new.schema(), columns, &options)?)
    }
}

/// The columns that a call names.
fn named(call: &OverCall) -> Vec<usize> {
    call.args.iter().copied().chain(call.filter).chain(default_of(call)).collect()
}

/// The call over the named columns alone.
fn renamed(call: &OverCall, columns: &[usize]) -> OverCall {
    let at = |column: usize| columns.iter().position(|other| *other == column).unwrap_or(usize::MAX);
    let mut call = call.clone();
    call.args.iter_mut().for_each(|column| *column = at(*column));
    call.filter = call.filter.map(at);
    call.function = match call.function {
        OverFunction::Lag { offset, default } => OverFunction::Lag { offset, default: default.map(at) },
        OverFunction::Lead { offset, default } => OverFunction::Lead { offset, default: default.map(at) },
        other => other,
    };
    call
}
