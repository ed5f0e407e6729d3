//! [`WindowJoin`]: joins rows of equal windows and equal keys, when the watermark closes the window.
//!
//! Rows wait with their window; a closing window is joined as a whole with a hash table over the right side, and dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt32Builder,
};
use arrow::compute::{concat_batches, filter, take, take_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::aggregate::{find_table, table_of};
use super::event_time::event_times;
use super::{Context, Operator, OperatorState};
use crate::error::{EngineError, Result};
use crate::expr::EvalContext;
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::plan::{JoinKind, WindowJoinSpec};
use crate::time::EventTime;

/// No further row with this key.
const NONE: u32 = u32::MAX;

/// See the module. Output: the left columns, then the right; for semi and anti joins the left alone.
pub struct WindowJoin {
    spec: WindowJoinSpec,
    schemas: [SchemaRef; 2],
    output: SchemaRef,
    /// Rows of both sides by (end, start).
    open: BTreeMap<(i64, i64), [Vec<RecordBatch>; 2]>,
    watermark: i64,
}

impl WindowJoin {
    /// The operator.
    pub fn new(spec: &WindowJoinSpec, left: SchemaRef, right: SchemaRef, output: SchemaRef) -> Self {
        Self { spec: spec.clone(), schemas: [left, right], output, open: BTreeMap::new(), watermark: i64::MIN }
    }

    /// Joins and drops the windows that a watermark closes, in order of their ends.
    fn close(&mut self, watermark: i64, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        while let Some(first) = self.open.first_entry().filter(|first| is_closed(first.key().0, watermark)) {
            let [left, right] = first.remove();
            let left = concat_batches(&self.schemas[0], &left)?;
            let right = concat_batches(&self.schemas[1], &right)?;
            self.join(&left, &right, context)?;
        }
        Ok(())
    }

    fn join(&self, left: &RecordBatch, right: &RecordBatch, context: &mut Context<'_>) -> Result<()> {
        let (mut pairs_left, mut pairs_right) = self.equal_pairs(left, right)?;
        if let Some(residual) = &self.spec.residual {
            let pairs = self.pairs(left, &pairs_left, right, &pairs_right)?;
            let keep = residual.evaluate_predicate(&pairs, EvalContext { now: context.now })?;
            pairs_left = narrowed(&pairs_left, &keep)?;
            pairs_right = narrowed(&pairs_right, &keep)?;
        }
        let kind = self.spec.kind;
        match kind {
            JoinKind::Semi | JoinKind::Anti => {
                let rows = unmatched(left.num_rows(), &pairs_left, kind == JoinKind::Semi);
                return self.emit(take_record_batch(left, &rows)?.columns().to_vec(), rows.len(), context);
            }
            JoinKind::Mark => {
                let mut columns = left.columns().to_vec();
                columns.push(Arc::new(partnered(left.num_rows(), &pairs_left)));
                return self.emit(columns, left.num_rows(), context);
            }
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {}
        }
        let lonely_left = match kind {
            JoinKind::Left | JoinKind::Full => unmatched(left.num_rows(), &pairs_left, false),
            _ => UInt32Array::from(Vec::<u32>::new()),
        };
        let lonely_right = match kind {
            JoinKind::Right | JoinKind::Full => unmatched(right.num_rows(), &pairs_right, false),
            _ => UInt32Array::from(Vec::<u32>::new()),
        };
        let rows = pairs_left.len() + lonely_left.len() + lonely_right.len();
        let take_left = places(&pairs_left, &lonely_left, 0, lonely_right.len());
        let take_right = places(&pairs_right, &lonely_right, lonely_left.len(), 0);
        let mut columns = Vec::with_capacity(left.num_columns() + right.num_columns());
        for column in left.columns() {
            columns.push(take(column, &take_left, None)?);
        }
        for column in right.columns() {
            columns.push(take(column, &take_right, None)?);
        }
        self.emit(columns, rows, context)
    }

    /// Row numbers of all pairs with equal keys. Null equals nothing.
    fn equal_pairs(&self, left: &RecordBatch, right: &RecordBatch) -> Result<(UInt32Array, UInt32Array)> {
        let mut pairs_left = UInt32Builder::new();
        let mut pairs_right = UInt32Builder::new();
        if self.spec.keys.is_empty() {
            for row in 0..u32::try_from(left.num_rows()).unwrap_or(NONE) {
                for other in 0..u32::try_from(right.num_rows()).unwrap_or(NONE) {
                    pairs_left.append_value(row);
                    pairs_right.append_value(other);
                }
            }
            return Ok((pairs_left.finish(), pairs_right.finish()));
        }
        let fields = self.spec.keys.iter().map(|(key, _)| self.schemas[0].field(*key).data_type().clone());
        let converter = RowConverter::new(fields.map(SortField::new).collect())?;
        let left_keys = Keys::new(&converter, left, self.spec.keys.iter().map(|(key, _)| *key))?;
        let right_keys = Keys::new(&converter, right, self.spec.keys.iter().map(|(_, key)| *key))?;
        let mut table: HashTable<(u64, u32)> = HashTable::with_capacity(right.num_rows());
        let mut next = vec![NONE; right.num_rows()];
        // Backwards, so that the chain of a key gives its rows in order.
        for row in (0..right.num_rows()).rev().filter(|row| right_keys.valid[*row]) {
            let key = right_keys.rows.row(row);
            let hash = xxh3_64(key.as_ref());
            let at = u32::try_from(row).unwrap_or(NONE);
            let same = |(of, first): &(u64, u32)| *of == hash && right_keys.rows.row(*first as usize) == key;
            match table.find_mut(hash, same) {
                Some((_, first)) => next[row] = std::mem::replace(first, at),
                None => {
                    table.insert_unique(hash, (hash, at), |(hash, _)| *hash);
                }
            }
        }
        for row in (0..left.num_rows()).filter(|row| left_keys.valid[*row]) {
            let key = left_keys.rows.row(row);
            let hash = xxh3_64(key.as_ref());
            let same = |(of, first): &(u64, u32)| *of == hash && right_keys.rows.row(*first as usize) == key;
            let mut at = table.find(hash, same).map_or(NONE, |(_, first)| *first);
            while at != NONE {
                pairs_left.append_value(u32::try_from(row).unwrap_or(NONE));
                pairs_right.append_value(at);
                at = next[at as usize];
            }
        }
        Ok((pairs_left.finish(), pairs_right.finish()))
    }

    /// The columns of pairs, for the residual condition.
    fn pairs(
        &self,
        left: &RecordBatch,
        of_left: &UInt32Array,
        right: &RecordBatch,
        of_right: &UInt32Array,
    ) -> Result<RecordBatch> {
        let mut columns = take_record_batch(left, of_left)?.columns().to_vec();
        columns.extend(take_record_batch(right, of_right)?.columns().iter().map(Arc::clone));
        let fields = self.schemas.iter().flat_map(|schema| schema.fields().iter().map(Arc::clone));
        let schema = arrow::datatypes::Schema::new(fields.collect::<Vec<_>>());
        let options = RecordBatchOptions::new().with_row_count(Some(of_left.len()));
        Ok(RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)?)
    }

    fn emit(&self, columns: Vec<ArrayRef>, rows: usize, context: &mut Context<'_>) -> Result<()> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?;
        for start in (0..rows).step_by(BATCH_ROWS) {
            context.emit(Delta::append(batch.slice(start, BATCH_ROWS.min(rows - start))));
        }
        Ok(())
    }
}

/// The keys of one side, and which of them have no null.
struct Keys {
    rows: Rows,
    valid: Vec<bool>,
}

impl Keys {
    fn new(converter: &RowConverter, batch: &RecordBatch, keys: impl Iterator<Item = usize>) -> Result<Self> {
        let columns: Vec<ArrayRef> = keys.map(|key| Arc::clone(batch.column(key))).collect();
        let mut valid = vec![true; batch.num_rows()];
        for nulls in columns.iter().filter_map(|column| column.logical_nulls()) {
            valid.iter_mut().zip(nulls.iter()).for_each(|(valid, present)| *valid &= present);
        }
        Ok(Self { rows: converter.convert_columns(&columns)?, valid })
    }
}

fn is_closed(end: i64, watermark: i64) -> bool {
    end.saturating_sub(1_000) <= watermark
}

fn narrowed(rows: &UInt32Array, keep: &BooleanArray) -> Result<UInt32Array> {
    let kept = filter(rows, keep)?;
    Ok(arrow::array::cast::as_primitive_array(&kept).clone())
}

/// The rows that are (`want`) or are not among the pairs.
fn unmatched(rows: usize, pairs: &UInt32Array, want: bool) -> UInt32Array {
    let mut matched = vec![false; rows];
    pairs.values().iter().for_each(|&row| matched[row as usize] = true);
    (0_u32..).zip(matched).filter(|(_, matched)| *matched == want).map(|(row, _)| row).collect()
}

/// Whether each row is among the pairs.
fn partnered(rows: usize, pairs: &UInt32Array) -> BooleanArray {
    let mut matched = vec![false; rows];
    pairs.values().iter().for_each(|&row| matched[row as usize] = true);
    BooleanArray::from(matched)
}

/// Row numbers to take: pairs, nulls, lonely rows, nulls.
fn places(pairs: &UInt32Array, lonely: &UInt32Array, nulls_before: usize, nulls_after: usize) -> UInt32Array {
    let some = |rows: &UInt32Array| rows.values().iter().copied().map(Some).collect::<Vec<_>>();
    let nulls = |count| std::iter::repeat_n(None, count);
    some(pairs).into_iter().chain(nulls(nulls_before)).chain(some(lonely)).chain(nulls(nulls_after)).collect()
}

impl Operator for WindowJoin {
    fn on_delta(&mut self, port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Unsupported("a window join of an updating input".into()));
        }
        let (start, end) = match port {
            0 => (self.spec.window_start.0, self.spec.window_end.0),
            _ => (self.spec.window_start.1, self.spec.window_end.1),
        };
        let (starts, ends) = (event_times(&delta.batch, start)?, event_times(&delta.batch, end)?);
        let mut parts: BTreeMap<(i64, i64), Vec<u32>> = BTreeMap::new();
        for (row, (&start, &end)) in (0_u32..).zip(starts.iter().zip(ends.iter())) {
            parts.entry((end, start)).or_default().push(row);
        }
        for (window, rows) in parts {
            if is_closed(window.0, self.watermark) {
                context.count_late(rows.len());
                continue;
            }
            let rows = take_record_batch(&delta.batch, &UInt32Array::from(rows))?;
            if let Some(side) = self.open.entry(window).or_default().get_mut(port) {
                side.push(rows);
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        self.close(watermark.0, context)?;
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, _context: &mut Context<'_>) -> Result<()> {
        Ok(())
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.close(i64::MAX, context)
    }

    fn snapshot(&self) -> Result<OperatorState> {
        let mut state = OperatorState::default();
        for (port, name) in ["left", "right"].into_iter().enumerate() {
            let rows = self.open.values().flat_map(|sides| &sides[port]);
            state.tables.push((name.into(), concat_batches(&self.schemas[port], rows)?));
        }
        let watermark: ArrayRef = Arc::new(Int64Array::from(vec![self.watermark]));
        state.tables.push(("times".into(), table_of(vec![watermark], 1)?));
        Ok(state)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let mut out = super::Outbox::default();
        let mut context = Context::new(crate::time::ProcessingTime(0), &mut out);
        for (port, name) in ["left", "right"].into_iter().enumerate() {
            let rows = find_table(&state, name)?.clone();
            self.on_delta(port, Delta::append(rows), &mut context)?;
        }
        let times = find_table(&state, "times")?;
        let watermark = times.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        self.watermark = watermark.filter(|times| !times.is_empty()).map_or(i64::MIN, |times| times.value(0));
        Ok(())
    }
}
