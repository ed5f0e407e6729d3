//! [`Harness`]: one operator of one shard under observation. It holds every emission to laws 3 and 5 at once, folds what
//! comes out, and can replace the operator by a restored one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit};

use super::rescale::dealt_and_gathered;
use super::saved::{Costs, Saved};
use crate::checkpoint::change::reissues;
use crate::error::Result;
use crate::message::{BATCH_ROWS, Delta, Epoch};
use crate::operators::build::build;
use crate::operators::{Context, Emitted, Operator, OperatorState, Outbox};
use crate::plan::{ChangelogMode, Edge, Node, NodeId, OperatorSpec};
use crate::time::{EventTime, ProcessingTime};

/// The values of a row as whole numbers: timestamps in milliseconds, booleans 0 or 1.
pub(super) type Cells = Vec<Option<i64>>;

/// How often each row is there.
pub(super) type Folded = BTreeMap<Cells, i64>;

/// What is known of the times of the rows that come out.
#[derive(Clone)]
pub(super) enum Times {
    /// Nothing.
    None,
    /// No row is earlier than the watermark before it.
    NotBefore(usize),
    /// The same of several columns, where they are not null.
    NoneBefore(Vec<usize>),
    /// Rows come with the first watermark that reaches these columns: neither before nor after.
    Closing(Vec<usize>),
}

/// An operator with its surroundings.
pub(super) struct Harness {
    node: Node,
    inputs: Vec<SchemaRef>,
    operator: Box<dyn Operator>,
    out: Outbox,
    times: Times,
    epoch: u64,
    now: ProcessingTime,
    /// Watermarks in microseconds: that which came last, and that which the operator emitted last.
    reached: i64,
    emitted: i64,
    pub(super) folded: Folded,
    pub(super) late: u64,
    /// What was emitted since it was last asked for, as text.
    log: Vec<String>,
    saved: Saved,
}

impl Harness {
    pub(super) fn new(spec: OperatorSpec, inputs: &[SchemaRef], output: &SchemaRef, times: Times) -> Self {
        let edge =
            Edge { schema: Arc::clone(output), changelog: ChangelogMode::Retract, stream_key: None, time_column: None };
        let node = Node { id: NodeId(0), spec, inputs: Vec::new(), edge };
        Self {
            operator: build(&node, inputs, 0).unwrap(),
            node,
            inputs: inputs.to_vec(),
            out: Outbox::default(),
            times,
            epoch: 0,
            now: ProcessingTime(0),
            reached: i64::MIN,
            emitted: i64::MIN,
            folded: Folded::new(),
            late: 0,
            log: Vec::new(),
            saved: Saved::new(),
        }
    }

    /// What came out since the last call, as text.
    pub(super) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// The schema of a port.
    pub(super) fn input(&self, port: usize) -> &SchemaRef {
        &self.inputs[port]
    }

    pub(super) fn delta(&mut self, port: usize, delta: Delta) -> Result<()> {
        self.call(|operator, context| operator.on_delta(port, delta, context))
    }

    /// A watermark in milliseconds.
    pub(super) fn watermark(&mut self, millis: i64) -> Result<()> {
        self.raise(EventTime(millis * 1_000))
    }

    fn raise(&mut self, watermark: EventTime) -> Result<()> {
        self.reached = watermark.0;
        self.call(|operator, context| operator.on_watermark(watermark, context))
    }

    fn close_epoch(&mut self) -> Result<()> {
        self.epoch += 1;
        let epoch = Epoch(self.epoch);
        self.call(|operator, context| operator.on_barrier(epoch, context))
    }

    /// Closes the epoch with a checkpoint, and gives what that costs.
    pub(super) fn checkpoint(&mut self) -> Result<Costs> {
        self.close_epoch()?;
        self.saved.costs(self.operator.as_mut())
    }

    pub(super) fn barrier(&mut self) -> Result<()> {
        self.close_epoch()?;
        if self.epoch.is_multiple_of(2) { self.saved.checkpoint(self.operator.as_mut()) } else { Ok(()) }
    }

    /// Sets the clock to milliseconds; the timer goes off if it is due.
    pub(super) fn clock(&mut self, millis: i64) -> Result<()> {
        self.now = ProcessingTime(millis * 1_000);
        if self.out.timer.is_some_and(|timer| timer <= self.now) {
            self.out.timer = None;
            let now = self.now;
            self.call(|operator, context| operator.on_timer(now, context))?;
        }
        Ok(())
    }

    /// The timer that was asked for, in milliseconds.
    pub(super) fn timer(&self) -> Option<i64> {
        self.out.timer.map(|at| at.0.div_euclid(1_000))
    }

    pub(super) fn end(&mut self) -> Result<()> {
        self.raise(EventTime::MAX)?;
        self.call(|operator, context| operator.on_end(context))?;
        self.barrier()
    }

    /// Closes the epoch and goes on with a new operator that took over the state.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.barrier()?;
        let mut state = self.saved.read_back(self.operator.as_mut())?;
        if self.epoch.is_multiple_of(2) {
            state = dealt_and_gathered(&state, &self.node.spec)?;
        } else if matches!(self.node.spec, OperatorSpec::Join(_)) {
            state = in_parts(state);
        }
        if reissues(&self.node.spec, &self.inputs) {
            self.check_reissue(state.clone())?;
        }
        // Timers are not part of the state: the operator asks for them again.
        self.out.timer = None;
        self.operator = build(&self.node, &self.inputs, 0)?;
        self.operator.restore(state)
    }

    /// Law 6: an operator whose state holds what is out can give it out once more.
    fn check_reissue(&self, state: OperatorState) -> Result<()> {
        let mut again = Self::new(self.node.spec.clone(), &self.inputs, &self.node.edge.schema, Times::None);
        again.operator.restore(state)?;
        again.operator.reissue()?;
        again.now = self.now;
        again.call(|operator, context| operator.on_barrier(Epoch(1), context))?;
        assert_eq!(again.folded, self.folded, "law 6: what comes out once more");
        Ok(())
    }

    /// Notes how many rows each table of the state has.
    pub(super) fn tell_state(&mut self) -> Result<()> {
        let state = self.operator.snapshot()?;
        let rows = state.tables.iter().map(|(name, rows)| format!("{name} {}", rows.num_rows()));
        self.log.push(rows.collect::<Vec<_>>().join(", "));
        Ok(())
    }

    fn call(&mut self, run: impl FnOnce(&mut dyn Operator, &mut Context<'_>) -> Result<()>) -> Result<()> {
        run(self.operator.as_mut(), &mut Context::new(self.now, &mut self.out))?;
        for item in std::mem::take(&mut self.out.items) {
            match item {
                Emitted::Delta(delta) => self.observe(&delta),
                Emitted::Watermark(watermark) => {
                    assert!(watermark.0 >= self.emitted, "a watermark went back");
                    self.emitted = watermark.0;
                }
            }
        }
        if self.out.evicted_keys > 0 {
            self.log.push(format!("evicted {}", std::mem::take(&mut self.out.evicted_keys)));
        }
        let (rejected, _) = self.out.rejects.take();
        if rejected.late > 0 {
            self.log.push(format!("late {}", rejected.late));
            self.late += rejected.late;
        }
        Ok(())
    }

    fn observe(&mut self, delta: &Delta) {
        assert_eq!(delta.batch.schema_ref(), &self.node.edge.schema, "rows of another schema");
        assert!(delta.rows() <= BATCH_ROWS, "a batch of {} rows", delta.rows());
        for (row, cells) in cells_of(&delta.batch).into_iter().enumerate() {
            // A retraction is as late as whoever takes the row back.
            if !delta.is_retract(row) {
                self.check_time(&cells);
            }
            let (sign, change) = if delta.is_retract(row) { ('-', -1) } else { ('+', 1) };
            self.log.push(format!("{sign} {}", text_of(&cells)));
            let count = self.folded.get(&cells).copied().unwrap_or(0) + change;
            assert!(count >= 0, "law 5: a row was retracted more often than inserted");
            match count {
                0 => self.folded.remove(&cells),
                _ => self.folded.insert(cells, count),
            };
        }
    }

    /// Law 3, and that windows close neither early nor late.
    fn check_time(&self, cells: &Cells) {
        match &self.times {
            Times::None => {}
            Times::NotBefore(column) => {
                let time = cells[*column].unwrap_or(i64::MAX / 1_000) * 1_000;
                assert!(time >= self.emitted, "law 3: time {time} after watermark {}", self.emitted);
            }
            Times::NoneBefore(columns) => {
                for time in columns.iter().filter_map(|column| cells[*column]) {
                    assert!(time * 1_000 >= self.emitted, "law 3: time {time} after watermark {}", self.emitted);
                }
            }
            Times::Closing(columns) => {
                for time in columns.iter().filter_map(|column| cells[*column]) {
                    let time = time * 1_000;
                    assert!(time > self.emitted, "a window came late: {time} after watermark {}", self.emitted);
                    assert!(time <= self.reached, "a window came early: {time} at watermark {}", self.reached);
                }
            }
        }
    }
}

/// The state with the rows of a join in two parts, as those of over 2 GiB are.
fn in_parts(state: OperatorState) -> OperatorState {
    let parts = |(name, rows): (String, RecordBatch)| {
        let half = if name.ends_with("_state") { 0 } else { rows.num_rows() / 2 };
        let first = (half > 0).then(|| (name.clone(), rows.slice(0, half)));
        first.into_iter().chain([(name, rows.slice(half, rows.num_rows() - half))])
    };
    OperatorState { tables: state.tables.into_iter().flat_map(parts).collect() }
}

/// A row as text; null is `_`.
pub(super) fn text_of(cells: &Cells) -> String {
    let text = |cell: &Option<i64>| cell.map_or("_".to_owned(), |value| value.to_string());
    cells.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// The rows of a batch.
pub(super) fn cells_of(batch: &RecordBatch) -> Vec<Cells> {
    let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
    let number = |column: &ArrayRef| {
        let column = match column.data_type() {
            DataType::Timestamp(..) => cast(column, &millis).unwrap(),
            _ => Arc::clone(column),
        };
        cast(&column, &DataType::Int64).unwrap()
    };
    let columns: Vec<ArrayRef> = batch.columns().iter().map(number).collect();
    let row = |row: usize| {
        let cell = |column: &ArrayRef| column.is_valid(row).then(|| column.as_primitive::<Int64Type>().value(row));
        columns.iter().map(cell).collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

/// A batch out of rows.
pub(super) fn batch_of(schema: &SchemaRef, rows: &[Cells]) -> RecordBatch {
    let column = |index: usize| {
        let values: Int64Array = rows.iter().map(|cells| cells[index]).collect();
        cast(&values, schema.field(index).data_type()).unwrap()
    };
    let columns = (0..schema.fields().len()).map(column).collect();
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

/// A delta out of rows and whether each is retracted.
pub(super) fn delta_of(schema: &SchemaRef, rows: &[(bool, Cells)]) -> Delta {
    let (signs, cells): (Vec<bool>, Vec<Cells>) = rows.iter().cloned().unzip();
    Delta::signed(batch_of(schema, &cells), BooleanBuffer::from(signs))
}
