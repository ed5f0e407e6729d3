//! Aggregations: over windows that they take up themselves, over rows that carry their window, and without a window.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use millstream_engine::expr::Scalar;
use millstream_engine::plan::{
    AggregateCall, AggregateFunction, ChangelogMode, GroupAggregateSpec, OperatorSpec, SessionAggregateSpec, Step,
    Window, WindowAggregateSpec, WindowInput, WindowTime,
};

use super::rel::{Rel, WindowColumns};
use super::window::{columns, spread, window_time};
use super::{Lowering, broken, column_of, refuse};
use crate::error::Result;
use crate::query::from_datafusion;
use crate::query::nodes::{WINDOW_TYPE, WindowTvf};

/// Which column of a window a grouping expression is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Start,
    End,
    Time,
}

/// A grouping expression: a key, or a column of the window.
type Grouping = Result<usize, Part>;

/// An aggregation whose keys, arguments and filters are columns of its input.
struct Prepared {
    /// The input with those columns.
    rel: Rel,
    /// For each grouping expression its key (an index into `keys`) or the window's column that it is.
    grouping: Vec<Grouping>,
    keys: Vec<usize>,
    calls: Vec<AggregateCall>,
    /// Extra columns that were asked for, in order.
    extra: Vec<usize>,
}

impl Lowering<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Rel> {
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return Err(refuse("GROUPING SETS", None));
        }
        if let Some(rel) = self.window_aggregate(aggregate)? {
            return Ok(rel);
        }
        let rel = self.plan(&aggregate.input)?;
        let input = aggregate.input.schema();
        let part = |expr: &Expr| column_of(expr, input).and_then(|column| part_of(&rel.window, column));
        let parts: Vec<Option<Part>> = aggregate.group_expr.iter().map(part).collect();
        let windowed = parts.contains(&Some(Part::Start)) && parts.contains(&Some(Part::End));
        if !windowed || rel.changelog == ChangelogMode::Retract {
            return self.group_aggregate(aggregate, rel);
        }
        let ends = |columns: &std::collections::BTreeSet<usize>| columns.first().copied();
        let (Some(start), Some(end)) = (ends(&rel.window.start), ends(&rel.window.end)) else {
            return Err(broken("a window without its columns"));
        };
        let prepared =
            prepare(rel, &aggregate.group_expr, &parts, &aggregate.aggr_expr, &[start, end], input, &aggregate.schema)?;
        let [start, end] = prepared.extra[..] else { return Err(broken("a window without its columns")) };
        let together: Vec<usize> = if prepared.keys.is_empty() { vec![start, end] } else { prepared.keys.clone() };
        let window = WindowInput::Attached { start, end };
        let spec =
            WindowAggregateSpec { window, keys: prepared.keys.clone(), calls: prepared.calls.clone(), retracts: false };
        self.emit_window(OperatorSpec::WindowAggregate(spec), prepared, &together, &aggregate.schema)
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
        let time = window_time(tvf, &rel)?;
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
                OperatorSpec::WindowAggregate(WindowAggregateSpec { window, keys, calls, retracts: false })
            }
        };
        self.emit_window(spec, prepared, &together, &aggregate.schema).map(Some)
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
        let inputs = vec![self.exchange(rel, together)];
        let mut out = Rel::new(millstream_engine::plan::NodeId(0), made);
        let all: Vec<usize> = (0..keys.len()).collect();
        out.stream_key = Some(all.iter().copied().chain([first, first + 1]).collect());
        out.window = WindowColumns { start: [first].into(), end: [first + 1].into(), time: [first + 2].into() };
        out.spread = if by_keys { spread(&all) } else { super::rel::Spread::Hash(vec![first, first + 1]) };
        out.time_column = Some(first + 2);
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
        if rel.changelog == ChangelogMode::Retract {
            return Err(refuse("an aggregation of rows that change", Some("aggregate the rows of the table itself")));
        }
        let none = vec![None; aggregate.group_expr.len()];
        let input = aggregate.input.schema();
        let prepared = prepare(rel, &aggregate.group_expr, &none, &aggregate.aggr_expr, &[], input, &aggregate.schema)?;
        let Prepared { rel, grouping, keys, calls, .. } = prepared;
        let mut fields: Vec<FieldRef> = keys.iter().map(|&key| Arc::clone(&rel.schema.fields()[key])).collect();
        fields.extend(calls.iter().map(|call| Arc::clone(&call.output)));
        let all: Vec<usize> = (0..keys.len()).collect();
        let mut out = Rel::new(millstream_engine::plan::NodeId(0), Arc::new(Schema::new(fields)));
        out.changelog =
            if calls.is_empty() && !keys.is_empty() { ChangelogMode::Append } else { ChangelogMode::Retract };
        out.stream_key = Some(all.clone());
        out.spread = spread(&all);
        let inputs = vec![self.exchange(rel, &keys)];
        let (first, last) = (keys.len(), keys.len() + calls.len());
        let spec = GroupAggregateSpec { keys, calls, retracts: false, ttl_us: None };
        let out = self.node(OperatorSpec::GroupAggregate(spec), inputs, out);
        let order: Vec<usize> = grouping.iter().map(|key| key.unwrap_or_default()).chain(first..last).collect();
        Ok(reordered(out, &order, &aggregate.schema))
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

fn part_of(window: &WindowColumns, column: usize) -> Option<Part> {
    if window.start.contains(&column) {
        Some(Part::Start)
    } else if window.end.contains(&column) {
        Some(Part::End)
    } else if window.time.contains(&column) {
        Some(Part::Time)
    } else {
        None
    }
}

/// Projects the input of an aggregation to its keys, arguments and filters (and the `extra` columns).
fn prepare(
    mut rel: Rel,
    group: &[Expr],
    parts: &[Option<Part>],
    aggregates: &[Expr],
    extra: &[usize],
    input: &DFSchema,
    output: &DFSchemaRef,
) -> Result<Prepared> {
    let mut columns = ColumnList { exprs: Vec::new(), places: HashMap::new() };
    let (mut grouping, mut keys) = (Vec::new(), Vec::new());
    for (expr, part) in group.iter().zip(parts) {
        grouping.push(match part {
            Some(part) => Err(*part),
            None => {
                let column = columns.place(expr);
                let known = keys.iter().position(|key| *key == column);
                Ok(known.unwrap_or_else(|| {
                    keys.push(column);
                    keys.len() - 1
                }))
            }
        });
    }
    let mut calls = Vec::with_capacity(aggregates.len());
    for (index, expr) in aggregates.iter().enumerate() {
        let field = Arc::clone(&output.fields()[group.len() + index]);
        calls.push(call(expr, field, &mut columns)?);
    }
    let column_exprs: Vec<Expr> = extra.iter().map(|&column| Expr::from(input.qualified_field(column))).collect();
    let extra = column_exprs.iter().map(|expr| columns.place(expr)).collect();
    let from: Vec<Option<usize>> = columns.exprs.iter().map(|expr| column_of(expr, input)).collect();
    let mut exprs = Vec::with_capacity(columns.exprs.len());
    let mut fields = Vec::with_capacity(columns.exprs.len());
    for (expr, of) in columns.exprs.iter().zip(&from) {
        let (scalar, field) = match of {
            Some(column) => (Scalar::column(&rel.schema, *column), rel.schema.field(*column).clone()),
            None => {
                let scalar = Scalar::compile(expr, input)?;
                let data_type = scalar.data_type(&rel.schema)?;
                (scalar, Field::new(expr.to_string(), data_type, true))
            }
        };
        fields.push(field.with_nullable(true));
        exprs.push(scalar);
    }
    let schema = Arc::new(Schema::new(fields));
    let mut steps = std::mem::take(&mut rel.steps);
    steps.push(Step::Project { exprs, schema: Arc::clone(&schema) });
    let mut rel = rel.mapped(&from, schema);
    rel.steps = steps;
    Ok(Prepared { rel, grouping, keys, calls, extra })
}

/// The columns that an aggregation needs, each once.
struct ColumnList {
    exprs: Vec<Expr>,
    places: HashMap<Expr, usize>,
}

impl ColumnList {
    fn place(&mut self, expr: &Expr) -> usize {
        let expr = expr.clone().unalias();
        *self.places.entry(expr).or_insert_with_key(|expr| {
            self.exprs.push(expr.clone());
            self.exprs.len() - 1
        })
    }
}

/// An aggregate expression as a call over columns.
fn call(expr: &Expr, output: FieldRef, columns: &mut ColumnList) -> Result<AggregateCall> {
    let expr = expr.clone().unalias();
    let Expr::AggregateFunction(aggregate) = &expr else { return Err(broken("an aggregate that is none")) };
    let name = aggregate.func.name().to_ascii_lowercase();
    let function = match name.as_str() {
        "count" => AggregateFunction::Count,
        "sum" => AggregateFunction::Sum,
        "avg" | "mean" => AggregateFunction::Avg,
        "min" => AggregateFunction::Min,
        "max" => AggregateFunction::Max,
        "first_value" => AggregateFunction::FirstValue,
        "last_value" => AggregateFunction::LastValue,
        "stddev" | "stddev_samp" => AggregateFunction::StddevSamp,
        "stddev_pop" => AggregateFunction::StddevPop,
        "var" | "var_samp" | "var_sample" | "variance" => AggregateFunction::VarSamp,
        "var_pop" | "var_population" => AggregateFunction::VarPop,
        other => return Err(refuse(&format!("the aggregate {other}"), None)),
    };
    let params = &aggregate.params;
    if !params.order_by.is_empty() {
        return Err(refuse(&format!("ORDER BY in {name}"), None));
    }
    let args = match params.args.as_slice() {
        [Expr::Literal(value, _)] if function == AggregateFunction::Count && !value.is_null() => Vec::new(),
        [arg] => vec![columns.place(arg)],
        [] => Vec::new(),
        _ => return Err(refuse(&format!("{name} of several arguments"), None)),
    };
    let filter = params.filter.as_ref().map(|filter| columns.place(filter));
    Ok(AggregateCall { function, args, order_by: Vec::new(), distinct: params.distinct, filter, output })
}

/// Filters and projections between an aggregation and the window function below, with the aggregation's expressions
/// written over the window function's output.
struct Chain<'a> {
    tvf: &'a WindowTvf,
    schema: &'a DFSchemaRef,
    group: Vec<Expr>,
    aggregates: Vec<Expr>,
    filters: Vec<Expr>,
}

impl<'a> Chain<'a> {
    fn of(aggregate: &'a Aggregate) -> Result<Option<Self>> {
        let (mut group, mut aggregates) = (aggregate.group_expr.clone(), aggregate.aggr_expr.clone());
        let (mut filters, mut plan) = (Vec::new(), aggregate.input.as_ref());
        loop {
            if let Some(tvf) = WindowTvf::of(plan) {
                return Ok(Some(Self { tvf, schema: plan.schema(), group, aggregates, filters }));
            }
            match plan {
                LogicalPlan::SubqueryAlias(alias) => {
                    let inner = alias.input.schema();
                    let definitions: Vec<Expr> = inner.iter().map(Expr::from).collect();
                    for expr in group.iter_mut().chain(&mut aggregates).chain(&mut filters) {
                        *expr = inlined(expr, &alias.schema, &definitions)?;
                    }
                    plan = alias.input.as_ref();
                }
                LogicalPlan::Projection(projection) => {
                    for expr in group.iter_mut().chain(&mut aggregates).chain(&mut filters) {
                        *expr = inlined(expr, &projection.schema, &projection.expr)?;
                    }
                    plan = projection.input.as_ref();
                }
                LogicalPlan::Filter(filter) => {
                    filters.push(filter.predicate.clone());
                    plan = filter.input.as_ref();
                }
                _ => return Ok(None),
            }
        }
    }

    /// Which of the window's columns an expression is.
    fn part(&self, expr: &Expr, width: usize) -> Option<Part> {
        match column_of(expr, self.schema)?.checked_sub(width)? {
            0 => Some(Part::Start),
            1 => Some(Part::End),
            _ => Some(Part::Time),
        }
    }

    /// Whether an expression reads a column from `width` on.
    fn reads_from(&self, expr: &Expr, width: usize) -> bool {
        let reads = |column: &datafusion::common::Column| {
            self.schema.maybe_index_of_column(column).is_none_or(|index| index >= width)
        };
        expr.column_refs().into_iter().any(reads)
    }
}

/// An expression over the output of a projection, written over its input.
fn inlined(expr: &Expr, schema: &DFSchema, definitions: &[Expr]) -> Result<Expr> {
    let replaced = expr.clone().transform(|node| {
        let index = match &node {
            Expr::Column(column) => schema.maybe_index_of_column(column),
            _ => None,
        };
        Ok(match index.and_then(|index| definitions.get(index)) {
            Some(definition) => {
                let jump = datafusion::common::tree_node::TreeNodeRecursion::Jump;
                Transformed::new(definition.clone().unalias(), true, jump)
            }
            None => Transformed::no(node),
        })
    });
    Ok(replaced.map_err(from_datafusion)?.data)
}
