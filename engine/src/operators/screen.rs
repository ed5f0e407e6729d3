//! [`Screen`]: rows that an operator cannot take do not reach it: those without an event time.
//!
//! Operators with state look at the times of a batch first and give an error for a null. Where rows that fail are not to fail
//! the job this stands before them.

use super::{Context, Operator, OperatorState};
use crate::checkpoint::table::Table;
use crate::error::Result;
use crate::message::{Delta, Epoch};
use crate::operators::event_time::event_times;
use crate::plan::{OperatorSpec, OverEmit, RankEmit, WindowInput, WindowTime};
use crate::rejects::{RejectKind, narrow};
use crate::time::{EventTime, ProcessingTime};

/// See the module.
struct Screen {
    inner: Box<dyn Operator>,
    /// By port the columns that must have a time.
    times: [Vec<usize>; 2],
}

/// The operator behind a screen, where it needs event times.
pub fn screened(operator: Box<dyn Operator>, spec: &OperatorSpec) -> Box<dyn Operator> {
    let times = times_of(spec);
    if times.iter().all(Vec::is_empty) {
        return operator;
    }
    Box::new(Screen { inner: operator, times })
}

/// The columns of both ports that must have a time.
fn times_of(spec: &OperatorSpec) -> [Vec<usize>; 2] {
    let of_window = |time: WindowTime| match time {
        WindowTime::Event(column) => vec![column],
        WindowTime::Processing => Vec::new(),
    };
    let of_one = |columns| [columns, Vec::new()];
    match spec {
        OperatorSpec::WindowAggregate(spec) => of_one(match spec.window {
            WindowInput::Assign { time, .. } => of_window(time),
            WindowInput::Attached { start, end } => vec![start, end],
        }),
        OperatorSpec::SessionAggregate(spec) => of_one(of_window(spec.time)),
        OperatorSpec::SessionAssign(spec) => of_one(of_window(spec.time)),
        OperatorSpec::IntervalJoin(spec) => [vec![spec.left_time], vec![spec.right_time]],
        OperatorSpec::TemporalJoin(spec) => [vec![spec.left_time], vec![spec.right_time]],
        OperatorSpec::WindowJoin(spec) => {
            [vec![spec.window_start.0, spec.window_end.0], vec![spec.window_start.1, spec.window_end.1]]
        }
        OperatorSpec::Rank(spec) => of_one(match (spec.window_end, spec.emit) {
            (Some(end), _) => vec![end],
            (None, RankEmit::OnWatermark { time_column }) => vec![time_column],
            (None, RankEmit::NetChange | RankEmit::FirstArrival | RankEmit::LastArrival) => Vec::new(),
        }),
        OperatorSpec::Over(spec) => of_one(match spec.emit {
            OverEmit::OnWatermark { column } => vec![column],
            OverEmit::NetChange | OverEmit::OnArrival => Vec::new(),
        }),
        OperatorSpec::Source(_)
        | OperatorSpec::ViewSource(_)
        | OperatorSpec::Stateless(_)
        | OperatorSpec::Union
        | OperatorSpec::GroupAggregate(_)
        | OperatorSpec::Join(_)
        | OperatorSpec::MultiJoin(_)
        | OperatorSpec::CurrentJoin(_)
        | OperatorSpec::LookupJoin(_)
        | OperatorSpec::Materialize(_)
        | OperatorSpec::Sink(_) => of_one(Vec::new()),
    }
}

impl Operator for Screen {
    fn on_delta(&mut self, port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        let times = self.times.get(port).map_or(&[][..], Vec::as_slice);
        let has_null = |column: &usize| delta.batch.columns().get(*column).is_some_and(|times| times.null_count() > 0);
        if !times.iter().any(has_null) {
            return self.inner.on_delta(port, delta, context);
        }
        let parts = narrow(RejectKind::Bad, &delta, context.rejects(), &mut |part| {
            times.iter().try_for_each(|column| event_times(&part.batch, *column).map(|_| ()))?;
            Ok(part.clone())
        })?;
        parts.into_iter().try_for_each(|part| self.inner.on_delta(port, part, context))
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        self.inner.on_watermark(watermark, context)
    }

    fn on_barrier(&mut self, epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        self.inner.on_barrier(epoch, context)
    }

    fn on_timer(&mut self, now: ProcessingTime, context: &mut Context<'_>) -> Result<()> {
        self.inner.on_timer(now, context)
    }

    fn on_port_end(&mut self, port: usize, context: &mut Context<'_>) -> Result<()> {
        self.inner.on_port_end(port, context)
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.inner.on_end(context)
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        self.inner.capture(epoch, base)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        self.inner.restore(state)
    }

    fn reissue(&mut self) -> Result<()> {
        self.inner.reissue()
    }
}
