//! [`WindowJoin`]: joins rows of equal windows and equal keys, when the watermark closes the window.
//!
//! Rows wait with their window; a closing window is joined as a whole, and dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};

use super::chunks::Chunks;
use super::keys::Keys;
use super::pairs::{Output, Pairs, Residual, Rows, comes_alone, gives_pairs, shows};
use super::store::Store;
use super::walk::Walk;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch, Sign};
use crate::operators::aggregate::{find_table, table_of};
use crate::operators::event_time::event_times;
use crate::operators::{Context, Operator, OperatorState, Outbox};
use crate::plan::{JoinKey, JoinKind, WindowJoinSpec};
use crate::time::{EventTime, ProcessingTime};

/// See the module.
pub struct WindowJoin {
    kind: JoinKind,
    /// Columns of the window's start and end, by side.
    windows: [(usize, usize); 2],
    schemas: [SchemaRef; 2],
    keys: Keys,
    residual: Residual,
    output: Output,
    /// Rows of both sides by (end, start).
    open: BTreeMap<(i64, i64), [Chunks; 2]>,
    watermark: i64,
}

impl WindowJoin {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where keys are not of equal types.
    pub fn new(spec: &WindowJoinSpec, left: &SchemaRef, right: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let key = |&(left, right): &(usize, usize)| JoinKey { left, right, null_equal: false };
        let keys: Vec<JoinKey> = spec.keys.iter().map(key).collect();
        Ok(Self {
            kind: spec.kind,
            windows: [(spec.window_start.0, spec.window_end.0), (spec.window_start.1, spec.window_end.1)],
            schemas: [Arc::clone(left), Arc::clone(right)],
            keys: Keys::new(&keys, [left, right], false)?,
            residual: Residual::new(spec.residual.clone(), [left, right]),
            output: Output::new(spec.kind, output),
            open: BTreeMap::new(),
            watermark: i64::MIN,
        })
    }

    /// Joins and drops the windows that a watermark closes, in order of their ends.
    fn close(&mut self, watermark: i64, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        while let Some(first) = self.open.first_entry().filter(|first| is_closed(first.key().0, watermark)) {
            let sides = first.remove();
            self.join(sides, context)?;
        }
        Ok(())
    }

    /// Joins the rows of a window.
    fn join(&mut self, sides: [Chunks; 2], context: &mut Context<'_>) -> Result<()> {
        let mut stores = [0, 1].map(|port| Store::new(Arc::clone(&self.schemas[port])));
        let mut used = Vec::new();
        for (port, rows) in sides.into_iter().enumerate() {
            for batch in rows.into_batches() {
                let slots = self.keys.slots(port, &batch)?;
                stores[port].add(batch, &slots)?;
                used.extend(slots);
            }
        }
        let [left, right] = &stores;
        let rows = [&left.rows, &right.rows];
        let mut matched = [left, right].map(|store| vec![false; store.len() as usize]);
        let drivers: Vec<u32> = (0..left.len()).collect();
        let (mut walk, mut out) = (Walk::new(&drivers, None), Vec::new());
        loop {
            let mut pairs = Pairs::default();
            // Where no pairs come out one partner is enough.
            let accept = |left, _| gives_pairs(self.kind) || !matched[0][left as usize];
            let more = walk.fill(left, right, accept, &mut pairs);
            self.residual.narrow(rows, &mut pairs, context)?;
            pairs.0.iter().for_each(|&row| matched[0][row as usize] = true);
            pairs.1.iter().for_each(|&row| matched[1][row as usize] = true);
            if gives_pairs(self.kind) {
                self.output.make(rows, &Rows::Pairs(&pairs.0, &pairs.1), false, &mut out)?;
            }
            if !more {
                break;
            }
        }
        for (port, matched) in matched.iter().enumerate().filter(|(port, _)| comes_alone(self.kind, *port)) {
            for partner in [false, true].into_iter().filter(|partner| shows(self.kind, *partner)) {
                let alone = (0..).zip(matched).filter(|(_, matched)| **matched == partner).map(|(row, _)| row);
                let alone: Vec<u32> = alone.collect();
                let alone = if port == 0 { Rows::Left(&alone, partner) } else { Rows::Right(&alone) };
                self.output.make(rows, &alone, false, &mut out)?;
            }
        }
        out.into_iter().for_each(|delta| context.emit(delta));
        self.keys.remove(&used);
        Ok(())
    }
}

fn is_closed(end: i64, watermark: i64) -> bool {
    end.saturating_sub(1_000) <= watermark
}

impl Operator for WindowJoin {
    fn on_delta(&mut self, port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Unsupported("a window join of an updating input".into()));
        }
        let (start, end) = self.windows[port];
        let (starts, ends) = (event_times(&delta.batch, start)?, event_times(&delta.batch, end)?);
        let mut parts: BTreeMap<(i64, i64), Vec<u32>> = BTreeMap::new();
        for (row, (&start, &end)) in (0_u32..).zip(starts.iter().zip(ends.iter())) {
            parts.entry((end, start)).or_default().push(row);
        }
        for (window, rows) in parts {
            if is_closed(window.0, self.watermark) {
                context.late(&delta, rows.into_iter())?;
                continue;
            }
            let rows = take_record_batch(&delta.batch, &UInt32Array::from(rows))?;
            let none = || [0, 1].map(|port| Chunks::new(Arc::clone(&self.schemas[port])));
            if let Some(side) = self.open.entry(window).or_insert_with(none).get_mut(port) {
                side.push(rows)?;
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

    fn capture(&mut self, _epoch: Epoch, _base: Option<Epoch>) -> Result<Vec<Table>> {
        let rows = |(port, name): (usize, &str)| {
            let pieces = self.open.values().flat_map(|sides| sides[port].pieces(None)).collect();
            Table::in_pieces(name, &self.schemas[port], pieces)
        };
        let mut tables: Vec<Table> = ["left", "right"].into_iter().enumerate().map(rows).collect();
        let watermark: ArrayRef = Arc::new(Int64Array::from(vec![self.watermark]));
        tables.push(Table::whole("times", table_of(vec![watermark], 1)?));
        Ok(tables)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let mut out = Outbox::default();
        let mut context = Context::new(ProcessingTime(0), &mut out);
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
