//! A dataflow as text: one line a node, inputs below it, as `EXPLAIN` shows it.

mod changelog;
mod execution;
mod join;
mod over;
mod rank;
mod text;

use std::collections::HashSet;
use std::fmt::Write;

use millstream_engine::checkpoint::change::{Change, Fate};
use millstream_engine::plan::{
    AggregateCall, AggregateFunction, ChangelogMode, Dataflow, GroupAggregateSpec, Node, NodeId, OperatorSpec,
    PairStatistic, Partitioning, SortKey, WatermarkSpec, Window, WindowEmit, WindowInput, WindowTime,
};
use millstream_engine::ports::Guarantee;

pub(crate) use execution::{advice, json};
pub(crate) use text::readable;
use text::steps;

use crate::query::nodes::{describe_emit, describe_window, span};

/// What is told of a dataflow, and of where it would run.
#[derive(Debug, Clone, Copy)]
pub struct ExplainOptions<'a> {
    /// Number of shards.
    pub shards: usize,
    /// Tells the kinds of changes on each edge.
    pub kinds: bool,
    /// Checkpoints are made: what a sink promises with them, it keeps.
    pub checkpoints: bool,
    /// What becomes of the state of a running job that would compute this instead.
    pub change: Option<&'a Change>,
}

/// The dataflow, its last node first.
pub(crate) fn dataflow(dataflow: &Dataflow, options: ExplainOptions<'_>) -> String {
    let ExplainOptions { shards, kinds, checkpoints, change } = options;
    let mut text = format!("dataflow on {shards} {}\n", if shards == 1 { "shard" } else { "shards" });
    let mut printer = Printer { dataflow, shards, kinds, checkpoints, change, seen: HashSet::new(), out: &mut text };
    let read: HashSet<NodeId> =
        dataflow.nodes.iter().flat_map(|node| node.inputs.iter().map(|input| input.from)).collect();
    // A statement set ends in several sinks.
    for end in dataflow.nodes.iter().filter(|node| !read.contains(&node.id)) {
        printer.node(end.id, 0, None);
    }
    readable(&text)
}

struct Printer<'a> {
    dataflow: &'a Dataflow,
    shards: usize,
    kinds: bool,
    checkpoints: bool,
    change: Option<&'a Change>,
    seen: HashSet<NodeId>,
    out: &'a mut String,
}

impl Printer<'_> {
    fn node(&mut self, id: NodeId, depth: usize, edge: Option<&Partitioning>) {
        let Some(node) = self.dataflow.nodes.get(id.0) else { return };
        let indent = "  ".repeat(depth);
        let edge = edge.map_or_else(String::new, |edge| format!(" ── {}", partitioning(edge, node, self.shards)));
        if !self.seen.insert(id) {
            let _ = writeln!(self.out, "{indent}#{} (shown above){edge}", id.0);
            return;
        }
        let guarantee = guarantee(self.dataflow, node, self.checkpoints);
        let _ = writeln!(self.out, "{indent}#{} {}{guarantee}{edge}", id.0, headline(self.dataflow, node));
        let kinds = if self.kinds { format!(" | {}", changelog::kinds(self.dataflow, node)) } else { String::new() };
        let _ = writeln!(self.out, "{indent}     {}{kinds}", properties(node));
        if let Some(state) = state(node) {
            let _ = writeln!(self.out, "{indent}     state: {state}");
        }
        if let Some(change) = self.change {
            let _ = writeln!(self.out, "{indent}     change: {}", fate(change.of(id.0), &node.spec));
        }
        for input in &node.inputs {
            self.node(input.from, depth + 1, Some(&input.partitioning));
        }
    }
}

/// What becomes of an operator when its job computes something else.
fn fate(fate: Fate, spec: &OperatorSpec) -> &'static str {
    match (fate, spec) {
        (Fate::Kept, _) => "goes on",
        (Fate::Reissued, _) => "goes on, and gives its rows once more to what is made anew",
        (Fate::Rebuilt, OperatorSpec::Source(_)) => "is read again from its beginning",
        (Fate::Rebuilt, _) => "is made anew",
    }
}

/// What becomes of rows over a restart: of a source that cannot be read again, and of a sink behind all sources.
fn guarantee(dataflow: &Dataflow, node: &Node, checkpoints: bool) -> String {
    let lost = |node: &Node| match &node.spec {
        OperatorSpec::Source(spec) => (!spec.source.replayable()).then(|| spec.table.clone()),
        _ => None,
    };
    let OperatorSpec::Sink(spec) = &node.spec else {
        return lost(node).map_or_else(String::new, |_| ", cannot be read again".to_owned());
    };
    match (spec.sink.guarantee(), dataflow.nodes.iter().find_map(lost)) {
        (Guarantee::None, _) => ", guarantee none".to_owned(),
        (Guarantee::AtLeastOnce | Guarantee::ExactlyOnce, Some(source)) => {
            format!(", guarantee none: {source} cannot be read again")
        }
        (Guarantee::ExactlyOnce, None) if checkpoints => ", guarantee exactly-once".to_owned(),
        (Guarantee::ExactlyOnce, None) => {
            ", guarantee at-least-once: exactly-once needs checkpoints, which are off".to_owned()
        }
        (Guarantee::AtLeastOnce, None) => ", guarantee at-least-once".to_owned(),
    }
}

/// How rows of an input reach their shard. `from`: the node that they come from.
fn partitioning(edge: &Partitioning, from: &Node, shards: usize) -> String {
    match edge {
        Partitioning::Forward => "forward".into(),
        Partitioning::Single => "to shard 0".into(),
        Partitioning::Hash(columns) => format!("hash({}) to {shards} shards", names(from, columns)),
    }
}

fn names(node: &Node, columns: &[usize]) -> String {
    let name = |column: &usize| node.edge.schema.fields().get(*column).map_or("?", |field| field.name().as_str());
    columns.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn properties(node: &Node) -> String {
    let mut parts = vec![format!("changelog: {}", node.edge.changelog)];
    if let Some(key) = &node.edge.stream_key {
        parts.push(format!("key: ({})", names(node, key)));
    }
    if let Some(time) = node.edge.time_column {
        parts.push(format!("event time: {}", names(node, &[time])));
    }
    parts.push(format!("columns: {}", names(node, &(0..node.edge.schema.fields().len()).collect::<Vec<_>>())));
    parts.join(" | ")
}

/// How the event time of a source advances.
fn watermark(watermark: &WatermarkSpec) -> String {
    let mut text = format!(", watermark {}", watermark.expr);
    if let Some(timeout) = watermark.idle_timeout_us {
        let _ = write!(text, ", idle after {}", span(timeout));
    }
    if let Some(alignment) = &watermark.alignment {
        let _ = write!(text, ", at most {} ahead in group {}", span(alignment.max_drift_us), alignment.group);
    }
    text
}

fn headline(dataflow: &Dataflow, node: &Node) -> String {
    let of_port = |port: usize, columns: &[usize]| {
        let input = node.inputs.get(port).and_then(|input| dataflow.nodes.get(input.from.0));
        input.map_or_else(String::new, |input| names(input, columns))
    };
    let (of_input, of_right) = (|columns: &[usize]| of_port(0, columns), |columns: &[usize]| of_port(1, columns));
    match &node.spec {
        OperatorSpec::Source(spec) => {
            let mut text = format!("Source {}: {}", spec.table, spec.source.describe());
            if !spec.steps.is_empty() {
                let _ = write!(text, ", {}", steps(&spec.steps));
            }
            text + &spec.watermark.as_ref().map_or_else(String::new, watermark)
        }
        OperatorSpec::ViewSource(spec) => match &spec.watermark {
            Some(watermark) => format!("Read {}, watermark {}", spec.name, watermark.expr),
            None => format!("Read {}", spec.name),
        },
        OperatorSpec::Stateless(spec) => format!("Stateless: {}", steps(&spec.steps)),
        OperatorSpec::Union => "Union".into(),
        OperatorSpec::WindowAggregate(spec) => {
            let window = match spec.window {
                WindowInput::Assign { window, time } => {
                    format!("{} on {}", describe_window(window), window_time(time, &of_input))
                }
                WindowInput::Attached { start, end } => format!("windows of ({})", of_input(&[start, end])),
            };
            let grouping = grouping(&of_input(&spec.keys), &spec.calls, &of_input);
            format!("WindowAggregate {window}{grouping}{}", emission(spec.emit))
        }
        OperatorSpec::SessionAggregate(spec) => {
            let window = describe_window(Window::Session { gap_us: spec.gap_us });
            let time = window_time(spec.time, &of_input);
            format!("SessionAggregate {window} on {time}{}", grouping(&of_input(&spec.keys), &spec.calls, &of_input))
        }
        OperatorSpec::SessionAssign(spec) => {
            let window = describe_window(Window::Session { gap_us: spec.gap_us });
            let (time, keys) = (window_time(spec.time, &of_input), keys(&of_input(&spec.keys)));
            format!("SessionAssign {window} on {time}{keys}{}", emission(spec.emit))
        }
        OperatorSpec::GroupAggregate(spec) => {
            format!("GroupAggregate{}", grouping(&of_input(&spec.keys), &spec.calls, &of_input))
        }
        OperatorSpec::Join(spec) => join::headline(spec, &of_input, &of_right),
        OperatorSpec::MultiJoin(spec) => join::multi(spec, &of_port),
        OperatorSpec::IntervalJoin(spec) => join::interval(spec, &of_input, &of_right),
        OperatorSpec::TemporalJoin(spec) => join::temporal(spec, &of_input, &of_right),
        OperatorSpec::LookupJoin(spec) => join::lookup(spec, &of_input),
        OperatorSpec::CurrentJoin(spec) => join::current(spec, &of_input, &of_right),
        OperatorSpec::WindowJoin(spec) => {
            let pair = |(a, b): &(usize, usize)| format!("{} = {}", of_input(&[*a]), of_right(&[*b]));
            let on: Vec<String> = spec.keys.iter().chain([&spec.window_start, &spec.window_end]).map(pair).collect();
            let residual = spec.residual.as_ref().map_or_else(String::new, |residual| format!(" and {residual}"));
            format!("WindowJoin {:?} on {}{residual}", spec.kind, on.join(", "))
        }
        OperatorSpec::Rank(spec) => rank::headline(spec, &of_input),
        OperatorSpec::Over(spec) => over::headline(spec, &of_input),
        OperatorSpec::Materialize(spec) => format!("Materialize {}", spec.name),
        OperatorSpec::Sink(spec) => {
            format!("Sink {}: {}", spec.table, spec.sink.describe())
        }
    }
}

/// When windows come out, where it is not at their close.
fn emission(emit: WindowEmit) -> String {
    if emit.updates() { format!(", {}", describe_emit(emit)) } else { String::new() }
}

fn window_time(time: WindowTime, names: &dyn Fn(&[usize]) -> String) -> String {
    match time {
        WindowTime::Event(column) => names(&[column]),
        WindowTime::Processing => "processing time".into(),
    }
}

fn keys(names: &str) -> String {
    if names.is_empty() { String::new() } else { format!(" by ({names})") }
}

fn grouping(key_names: &str, calls: &[AggregateCall], names: &dyn Fn(&[usize]) -> String) -> String {
    let calls: Vec<String> = calls.iter().map(|call| aggregate(call, names)).collect();
    let calls = if calls.is_empty() { String::new() } else { format!(": {}", calls.join(", ")) };
    format!("{}{calls}", keys(key_names))
}

fn aggregate(call: &AggregateCall, names: &dyn Fn(&[usize]) -> String) -> String {
    let name = aggregate_name(&call.function);
    let distinct = if call.distinct { "distinct " } else { "" };
    let args = if call.args.is_empty() { "*".to_owned() } else { names(&call.args) };
    let order = |key: &SortKey| format!("{}{}", names(&[key.column]), if key.descending { " desc" } else { "" });
    let order: Vec<String> = call.order_by.iter().map(order).collect();
    let order = if order.is_empty() { String::new() } else { format!(" order by {}", order.join(", ")) };
    let filter = call.filter.map_or_else(String::new, |filter| format!(" filter ({})", names(&[filter])));
    format!("{name}({distinct}{args}{order}){filter}")
}

fn aggregate_name(function: &AggregateFunction) -> &'static str {
    match function {
        AggregateFunction::Count => "count",
        AggregateFunction::Sum => "sum",
        AggregateFunction::Avg => "avg",
        AggregateFunction::Min => "min",
        AggregateFunction::Max => "max",
        AggregateFunction::FirstValue => "first_value",
        AggregateFunction::LastValue => "last_value",
        AggregateFunction::StddevSamp => "stddev_samp",
        AggregateFunction::StddevPop => "stddev_pop",
        AggregateFunction::VarSamp => "var_samp",
        AggregateFunction::VarPop => "var_pop",
        AggregateFunction::BoolAnd => "bool_and",
        AggregateFunction::BoolOr => "bool_or",
        AggregateFunction::BitAnd => "bit_and",
        AggregateFunction::BitOr => "bit_or",
        AggregateFunction::BitXor => "bit_xor",
        AggregateFunction::ApproxCountDistinct => "approx_count_distinct",
        AggregateFunction::StringAgg { .. } => "string_agg",
        AggregateFunction::ArrayAgg => "array_agg",
        AggregateFunction::PercentileCont(_) => "percentile_cont",
        AggregateFunction::PercentileDisc(_) => "percentile_disc",
        AggregateFunction::Median => "median",
        AggregateFunction::OfPairs(statistic) => match statistic {
            PairStatistic::CovarPop => "covar_pop",
            PairStatistic::CovarSamp => "covar_samp",
            PairStatistic::Corr => "corr",
            PairStatistic::RegrSlope => "regr_slope",
            PairStatistic::RegrIntercept => "regr_intercept",
            PairStatistic::RegrCount => "regr_count",
            PairStatistic::RegrR2 => "regr_r2",
            PairStatistic::RegrAvgX => "regr_avgx",
            PairStatistic::RegrAvgY => "regr_avgy",
            PairStatistic::RegrSxx => "regr_sxx",
            PairStatistic::RegrSyy => "regr_syy",
            PairStatistic::RegrSxy => "regr_sxy",
        },
    }
}

/// What the watermark does to a window that is no longer needed.
fn dropping(emit: WindowEmit) -> String {
    match emit.lateness_us {
        0 => "closes them".to_owned(),
        lateness => format!("is {} past their close", span(lateness)),
    }
}

/// What an operator keeps, and until when.
fn state(node: &Node) -> Option<String> {
    let forever = "grows for ever: nothing bounds it";
    Some(match &node.spec {
        OperatorSpec::WindowAggregate(spec) if spec.emit.updates() => {
            format!("groups of each window, dropped when the watermark {}", dropping(spec.emit))
        }
        OperatorSpec::WindowAggregate(spec) => match spec.window {
            WindowInput::Assign { time: WindowTime::Processing, .. } => {
                "groups of each slice, dropped when the clock closes its last window".into()
            }
            WindowInput::Assign { .. } => {
                "groups of each slice, dropped when the watermark closes its last window".into()
            }
            WindowInput::Attached { .. } => "groups of each window, dropped when the watermark closes it".into(),
        },
        OperatorSpec::SessionAggregate(_) => "one group a session, dropped when the watermark closes it".into(),
        OperatorSpec::SessionAssign(spec) => {
            format!("rows of open sessions, dropped when the watermark {}", dropping(spec.emit))
        }
        OperatorSpec::GroupAggregate(spec) if spec.keys.is_empty() => "one group".into(),
        OperatorSpec::GroupAggregate(GroupAggregateSpec { ttl_us: Some(ttl_us), .. }) => {
            format!("one group a key, dropped when no row has touched it for {}", span(*ttl_us))
        }
        OperatorSpec::GroupAggregate(_) => format!("one group a key, {forever} (warning)"),
        OperatorSpec::Join(spec) => join::state(spec),
        OperatorSpec::MultiJoin(_) => format!("the rows of all inputs, {forever} (warning)"),
        OperatorSpec::IntervalJoin(_) => "rows of both sides until the watermark tells that no partner can come".into(),
        OperatorSpec::TemporalJoin(spec) => join::temporal_state(spec),
        OperatorSpec::LookupJoin(spec) => join::lookup_state(spec),
        OperatorSpec::CurrentJoin(spec) => join::current_state(spec),
        OperatorSpec::WindowJoin(_) => "rows of both sides of each window, dropped when the watermark closes it".into(),
        OperatorSpec::Rank(spec) => rank::state(spec),
        OperatorSpec::Over(spec) => over::state(spec),
        OperatorSpec::Materialize(_) => match node.edge.changelog {
            ChangelogMode::Append => format!("all rows, {forever} (warning)"),
            ChangelogMode::Retract | ChangelogMode::Upsert => "the rows of the view".into(),
        },
        OperatorSpec::Source(_)
        | OperatorSpec::ViewSource(_)
        | OperatorSpec::Stateless(_)
        | OperatorSpec::Union
        | OperatorSpec::Sink(_) => return None,
    })
}
