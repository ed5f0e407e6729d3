//! Aggregations: over windows that they take up themselves, over rows that carry their window, and without a window.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use millstream_engine::expr::Scalar;
use millstream_engine::plan::{
    ChangelogMode, GroupAggregateSpec, NodeId, OperatorSpec, SessionAggregateSpec, Step, Window, WindowAggregateSpec,
    WindowEmit, WindowInput, WindowTime,
};

use super::calls::{Grouping, Part, Prepared, part_of, prepare};
use super::chain::Chain;
use super::rel::{Rel, WindowColumns};
use super::window::{columns, spread, window_time};
use super::{Lowering, broken, column_of};
use crate::error::Result;
use crate::query::from_datafusion;
use crate::query::nodes::{WINDOW_TYPE, WindowTvf};

impl Lowering<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Rel> {
        if let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() {
            return self.grouping_sets(aggregate, sets);
        }
        if let Some(rel) = self.window_aggregate(aggregate)? {
            return Ok(rel);
        }
        let rel = self.plan(&aggregate.input)?;
        let input = aggregate.input.schema();
        let part = |expr: &Expr| column_of(expr, input).and_then(|column| part_of(&rel.window, column));
        let parts: Vec<Option<Part>> = aggregate.group_expr.iter().map(part).collect();
        let windowed = parts.contains(&Some(Part::Start)) && parts.contains(&Some(Part::End));
        if !windowed {
            return self.group_aggregate(aggregate, rel);
        }
        let ends = window_ends(&rel)?;
        let prepared =
            prepare(rel, &aggregate.group_expr, &parts, &aggregate.aggr_expr, &ends, input, &aggregate.schema)?;
        self.attached_windows(prepared, &aggregate.schema)
    }

    /// An aggregation of rows that carry their window, whose ends are the extra columns.
    pub(super) fn attached_windows(&mut self, prepared: Prepared, schema: &DFSchemaRef) -> Result<Rel> {
        let [start, end] = prepared.extra[..] else { return Err(broken("a window without its columns")) };
        let together: Vec<usize> = if prepared.keys.is_empty() { vec![start, end] } else { prepared.keys.clone() };
        let window = WindowInput::Attached { start, end };
        let spec = self.window_spec(window, &prepared, prepared.rel.emit);
        self.emit_window(OperatorSpec::WindowAggregate(spec), prepared, &together, schema)
    }

    /// `SELECT DISTINCT`: an aggregation without aggregates.
    pub(super) fn distinct(&mut self, input: &LogicalPlan, schema: &DFSchemaRef) -> Result<Rel> {
        let exprs: Vec<Expr> = input.schema().iter().map(Expr::from).collect();
        let aggregate = Aggregate::try_new(Arc::new(input.clone()), exprs, Vec::new()).map_err(from_datafusion)?;
        let mut rel = self.aggregate(&aggregate)?;
        rel.schema = Arc::clone(schema.inner());
        Ok(rel)
    }

    /// An aggregation right over a window function, with only filters and projections between them that do not read the
    /// window's columns: it places the rows in slices itself.
    fn window_aggregate(&mut self, aggregate: &Aggregate) -> Result<Option<Rel>> {
        let Some(chain) = Chain::of(aggregate)? else { return Ok(None) };
        let tvf = chain.tvf;
        let width = tvf.input.schema().fields().len();
        let reads_window = |expr: &Expr| chain.reads_from(expr, width);
        let parts: Vec<Option<Part>> = chain.group.iter().map(|expr| chain.part(expr, width)).collect();
        let windowed = parts.contains(&Some(Part::Start)) && parts.contains(&Some(Part::End));
        let foreign = chain.group.iter().zip(&parts).any(|(expr, part)| part.is_none() && reads_window(expr));
        if !windowed || foreign || chain.aggregates.iter().chain(&chain.filters).any(reads_window) {
            return Ok(None);
        }
        let input = tvf.input.schema();
        if let Window::Session { .. } = tvf.window {
            let keys = columns(&tvf.partition_by, tvf)?;
            let grouped: Option<Vec<usize>> = chain
                .group
                .iter()
                .zip(&parts)
                .filter(|(_, part)| part.is_none())
                .map(|(expr, _)| column_of(expr, input))
                .collect();
            let same = grouped.is_some_and(|grouped| {
                grouped.iter().all(|key| keys.contains(key)) && keys.iter().all(|key| grouped.contains(key))
            });
            // Other keys split a session's rows, and a filter may take away what holds a session together.
            if !same || !chain.filters.is_empty() {
                return Ok(None);
            }
        }
        let mut rel = self.plan(&tvf.input)?;
        let emit = tvf.emit.unwrap_or_default();
        let revised = emit.updates() || rel.changelog == ChangelogMode::Retract;
        if matches!(tvf.window, Window::Session { .. }) && revised {
            return Ok(None);
        }
        let time = window_time(tvf, &rel)?;
        rel.emit = emit;
        for filter in &chain.filters {
            rel.steps.push(Step::Filter(Scalar::compile(filter, input)?));
        }
        let extra: Vec<usize> = match time {
            WindowTime::Event(column) => vec![column],
            WindowTime::Processing => Vec::new(),
        };
        let prepared = prepare(rel, &chain.group, &parts, &chain.aggregates, &extra, input, &aggregate.schema)?;
        let time = match (time, prepared.extra.first()) {
            (WindowTime::Event(_), Some(column)) => WindowTime::Event(*column),
            (WindowTime::Event(_), None) => return Err(broken("a window without its time")),
            (WindowTime::Processing, _) => WindowTime::Processing,
        };
        let (keys, calls) = (prepared.keys.clone(), prepared.calls.clone());
        let together = keys.clone();
        let spec = match tvf.window {
            Window::Session { gap_us } => {
                OperatorSpec::SessionAggregate(SessionAggregateSpec { gap_us, time, keys, calls })
            }
            window @ (Window::Tumble { .. } | Window::Hop { .. } | Window::Cumulate { .. }) => {
                let window = WindowInput::Assign { window, time };
                OperatorSpec::WindowAggregate(self.window_spec(window, &prepared, emit))
            }
        };
        self.emit_window(spec, prepared, &together, &aggregate.schema).map(Some)
    }

    /// The aggregation of windows that come out as `emit` says.
    fn window_spec(&mut self, window: WindowInput, prepared: &Prepared, emit: WindowEmit) -> WindowAggregateSpec {
        if emit.lateness_us > 0 {
            self.pass_watermark(prepared.rel.node);
        }
        let retracts = prepared.rel.changelog == ChangelogMode::Retract;
        let emit = WindowEmit { holds_watermark: true, ..emit };
        WindowAggregateSpec { window, keys: prepared.keys.clone(), calls: prepared.calls.clone(), retracts, emit }
    }

    /// Lets the window aggregation that gives these rows, if one does, pass its watermark on as it is: what is over it
    /// takes late rows itself, and would wait for the lateness twice.
    fn pass_watermark(&mut self, mut node: NodeId) {
        while let Some(found) = self.nodes.get_mut(node.0) {
            match (&mut found.spec, found.inputs.first()) {
                (OperatorSpec::WindowAggregate(spec), _) => {
                    spec.emit.holds_watermark = false;
                    return;
                }
                (OperatorSpec::Stateless(_), Some(input)) => node = input.from,
                _ => return,
            }
        }
    }

    /// Adds a windowed aggregation and puts its output in the order of the plan.
    fn emit_window(
        &mut self,
        spec: OperatorSpec,
        prepared: Prepared,
        together: &[usize],
        schema: &DFSchemaRef,
    ) -> Result<Rel> {
        let Prepared { rel, grouping, keys, calls, .. } = prepared;
        let mut fields: Vec<FieldRef> = keys.iter().map(|&key| Arc::clone(&rel.schema.fields()[key])).collect();
        fields.extend(calls.iter().map(|call| Arc::clone(&call.output)));
        let first = fields.len();
        fields.extend(WindowTvf::NAMES.map(|name| Arc::new(Field::new(name, WINDOW_TYPE, false))));
        let made: SchemaRef = Arc::new(Schema::new(fields));
        let by_keys = together == keys;
        let emit = rel.emit;
        let inputs = vec![self.exchange(rel, together)];
        let mut out = Rel::new(NodeId(0), made);
        let all: Vec<usize> = (0..keys.len()).collect();
        out.stream_key = Some(all.iter().copied().chain([first, first + 1]).collect());
        out.window = WindowColumns { start: [first].into(), end: [first + 1].into(), time: [first + 2].into() };
        out.spread = if by_keys { spread(&all) } else { super::rel::Spread::Hash(vec![first, first + 1]) };
        out.time_column = Some(first + 2);
        out.emit = emit;
        if emit.updates() {
            out.changelog = ChangelogMode::Retract;
        }
        let out = self.node(spec, inputs, out);
        let place = |grouping: &Grouping| match grouping {
            Ok(key) => *key,
            Err(Part::Start) => first,
            Err(Part::End) => first + 1,
            Err(Part::Time) => first + 2,
        };
        let order: Vec<usize> = grouping.iter().map(place).chain(keys.len()..first).collect();
        Ok(reordered(out, &order, schema))
    }

    /// An aggregation without a window: its rows change.
    fn group_aggregate(&mut self, aggregate: &Aggregate, rel: Rel) -> Result<Rel> {
        let none = vec![None; aggregate.group_expr.len()];
        let input = aggregate.input.schema();
        let prepared = prepare(rel, &aggregate.group_expr, &none, &aggregate.aggr_expr, &[], input, &aggregate.schema)?;
        Ok(self.emit_groups(prepared, &aggregate.schema))
    }

    /// Adds an aggregation without a window and puts its output in the order of the plan.
    pub(super) fn emit_groups(&mut self, prepared: Prepared, schema: &DFSchemaRef) -> Rel {
        let Prepared { rel, grouping, keys, calls, .. } = prepared;
        let mut fields: Vec<FieldRef> = keys.iter().map(|&key| Arc::clone(&rel.schema.fields()[key])).collect();
        fields.extend(calls.iter().map(|call| Arc::clone(&call.output)));
        let all: Vec<usize> = (0..keys.len()).collect();
        let retracts = rel.changelog == ChangelogMode::Retract;
        let mut out = Rel::new(NodeId(0), Arc::new(Schema::new(fields)));
        if retracts || !calls.is_empty() || keys.is_empty() {
            out.changelog = ChangelogMode::Retract;
        }
        out.stream_key = Some(all.clone());
        out.spread = spread(&all);
        let ttl_us = self.ttl_us(&rel);
        let inputs = vec![self.exchange(rel, &keys)];
        let (first, last) = (keys.len(), keys.len() + calls.len());
        let spec = GroupAggregateSpec { keys, calls, retracts, ttl_us, upserts: false };
        let out = self.node(OperatorSpec::GroupAggregate(spec), inputs, out);
        let order: Vec<usize> = grouping.iter().map(|key| key.unwrap_or_default()).chain(first..last).collect();
        reordered(out, &order, schema)
    }
}

/// The columns of the start and the end of the window that rows carry.
pub(super) fn window_ends(rel: &Rel) -> Result<[usize; 2]> {
    match (rel.window.start.first(), rel.window.end.first()) {
        (Some(start), Some(end)) => Ok([*start, *end]),
        _ => Err(broken("a window without its columns")),
    }
}

/// The columns of a node in another order, under the names of the plan.
fn reordered(rel: Rel, order: &[usize], schema: &DFSchemaRef) -> Rel {
    let exprs = order.iter().map(|&column| Scalar::column(&rel.schema, column)).collect();
    let from: Vec<Option<usize>> = order.iter().copied().map(Some).collect();
    let fields = order
        .iter()
        .zip(schema.fields())
        .map(|(&column, named)| rel.schema.field(column).clone().with_name(named.name()));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut out = rel.mapped(&from, Arc::clone(&schema));
    out.steps.push(Step::Project { exprs, schema });
    out
}
