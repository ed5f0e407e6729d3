//! The operators under law: for each what it is, what it reads, and the query that tells its result.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::harness::Times;
use super::oracle::{scalar, sessions, windows};
use super::stateless::{expand, stateless, unnest};
use crate::plan::{
    AggregateCall, AggregateFunction, GroupAggregateSpec, JoinKind, OperatorSpec, PairStatistic, SessionAggregateSpec,
    SessionAssignSpec, SortKey, Window, WindowAggregateSpec, WindowEmit, WindowInput, WindowJoinSpec, WindowTime,
};

/// An operator and what is expected of it.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) spec: OperatorSpec,
    /// The schema of each port: [`rows`], or [`windowed`] with windows `tumble 10 0`.
    pub(super) inputs: Vec<SchemaRef>,
    pub(super) output: SchemaRef,
    pub(super) times: Times,
    /// The query that gives the result.
    pub(super) result: String,
    /// The query that counts late rows, where rows may be late.
    pub(super) late: Option<String>,
    /// Retractions may come in.
    pub(super) retracts: bool,
}

impl Case {
    /// Retractions may even come before what they retract, in the same epoch.
    pub(super) fn any_order(&self) -> bool {
        match &self.spec {
            OperatorSpec::GroupAggregate(spec) => spec.retracts,
            OperatorSpec::WindowAggregate(spec) => spec.retracts,
            OperatorSpec::SessionAssign(spec) => spec.retracts,
            OperatorSpec::Join(spec) => spec.retracts != (false, false),
            _ => false,
        }
    }

    /// The result depends on what has come when a watermark comes.
    pub(super) fn closes(&self) -> bool {
        let windows = matches!(&self.spec, OperatorSpec::WindowAggregate(_) | OperatorSpec::SessionAssign(_));
        windows || matches!(self.times, Times::Closing(_))
    }
}

/// Columns `k`, `ts`, `v`, `b`.
pub(super) fn rows() -> SchemaRef {
    Arc::new(Schema::new(row_fields()))
}

/// [`rows`] with the columns of a window.
pub(super) fn windowed() -> SchemaRef {
    Arc::new(Schema::new([row_fields(), window_fields()].concat()))
}

pub(super) fn row_fields() -> Vec<Field> {
    let number = |name| Field::new(name, DataType::Int64, true);
    vec![number("k"), millis("ts"), number("v"), Field::new("b", DataType::Boolean, true)]
}

pub(super) fn window_fields() -> Vec<Field> {
    ["window_start", "window_end", "window_time"].map(millis).to_vec()
}

pub(super) fn millis(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, None), true)
}

/// Aggregates that can be taken back when a window slides.
pub(super) const INVERTIBLE: &str = "count(*), sum(v), count(*) FILTER (WHERE b = 1)";
/// Others too.
pub(super) const ALL: &str =
    "count(*), sum(v), min(v), max(v), count(DISTINCT v), sum(DISTINCT v) FILTER (WHERE b = 1)";

/// All whose result is a whole number.
pub(super) const WIDE: &str = "count(*), sum(v), min(v), max(v), count(DISTINCT v), sum(DISTINCT v) FILTER (WHERE b = 1), \
    bool_and(b = 1), bool_or(b = 1), bit_and(v), bit_or(v), bit_xor(v), median(v), \
    first_value(v ORDER BY ts,v) FILTER (WHERE b = 1), last_value(v ORDER BY ts,v) FILTER (WHERE b = 1), \
    count(DISTINCT ts), regr_count(v:ts), approx_distinct(v)";

/// The calls that a list of aggregates as SQL stands for.
fn calls(sql: &str) -> Vec<AggregateCall> {
    let call = |text: &str| {
        let function = match text.split('(').next() {
            Some("count") => AggregateFunction::Count,
            Some("sum") => AggregateFunction::Sum,
            Some("min") => AggregateFunction::Min,
            Some("max") => AggregateFunction::Max,
            Some("bool_and") => AggregateFunction::BoolAnd,
            Some("bool_or") => AggregateFunction::BoolOr,
            Some("bit_and") => AggregateFunction::BitAnd,
            Some("bit_or") => AggregateFunction::BitOr,
            Some("bit_xor") => AggregateFunction::BitXor,
            Some("median") => AggregateFunction::Median,
            Some("first_value") => AggregateFunction::FirstValue,
            Some("last_value") => AggregateFunction::LastValue,
            Some("regr_count") => AggregateFunction::OfPairs(PairStatistic::RegrCount),
            Some("approx_distinct") => AggregateFunction::ApproxCountDistinct,
            other => panic!("aggregate {other:?}"),
        };
        let flag = text.starts_with("bool");
        let output = match function {
            AggregateFunction::Median => DataType::Float64,
            _ if flag => DataType::Boolean,
            _ => DataType::Int64,
        };
        let ascending = |column| SortKey { column, descending: false, nulls_first: false };
        AggregateCall {
            function,
            args: match text {
                _ if text.contains("(*)") => Vec::new(),
                _ if flag => vec![3],
                _ if text.contains("DISTINCT ts") => vec![1],
                _ if text.contains("(v:ts)") => vec![2, 1],
                _ => vec![2],
            },
            order_by: if text.contains("ORDER BY") { vec![ascending(1), ascending(2)] } else { Vec::new() },
            distinct: text.contains("DISTINCT"),
            filter: text.contains("FILTER").then_some(3),
            output: Arc::new(Field::new(text, output, true)),
        }
    };
    sql.split(", ").filter(|text| !text.is_empty()).map(call).collect()
}

/// Keys, results, and the columns of the window if there is one.
fn aggregated(keys: &[usize], calls: &[AggregateCall], window: bool) -> SchemaRef {
    let keys = keys.iter().map(|key| row_fields()[*key].clone());
    let calls = calls.iter().map(|call| call.output.as_ref().clone());
    let window = if window { window_fields() } else { Vec::new() };
    Arc::new(Schema::new(keys.chain(calls).chain(window).collect::<Vec<_>>()))
}

pub(super) fn window_of(text: &str) -> Window {
    let spans: Vec<i64> = text.split(' ').skip(1).map(|word| word.parse::<i64>().unwrap() * 1_000).collect();
    match (text.split(' ').next(), &spans[..]) {
        (Some("tumble"), &[size_us, offset_us]) => Window::Tumble { size_us, offset_us },
        (Some("hop"), &[slide_us, size_us, offset_us]) => Window::Hop { slide_us, size_us, offset_us },
        (Some("cumulate"), &[step_us, size_us, offset_us]) => Window::Cumulate { step_us, size_us, offset_us },
        (other, spans) => panic!("window {other:?} {spans:?}"),
    }
}

pub(super) fn window_aggregate(window: &str, keyed: bool, sql: &str, attached: bool, retracts: bool) -> Case {
    let keys = if keyed { vec![0] } else { Vec::new() };
    let calls = calls(sql);
    let output = aggregated(&keys, &calls, true);
    let source = match attached {
        true => WindowInput::Attached { start: 4, end: 5 },
        false => WindowInput::Assign { window: window_of(window), time: WindowTime::Event(1) },
    };
    let win = windows("t", window);
    let (column, by) = if keyed { ("k, ", "k, ws, we") } else { ("", "ws, we") };
    Case {
        name: format!("window aggregate {window} keyed {keyed} attached {attached} retracts {retracts}: {sql}"),
        times: Times::Closing(vec![output.fields().len() - 1]),
        spec: OperatorSpec::WindowAggregate(WindowAggregateSpec {
            window: source,
            keys,
            calls,
            retracts,
            emit: WindowEmit::default(),
        }),
        inputs: vec![if attached { windowed() } else { rows() }],
        output,
        result: format!("SELECT {column}{}, ws, we, we - 1 FROM ({win}) WHERE we - 1 > w GROUP BY {by}", said(sql)),
        late: (!retracts).then(|| {
            format!(
                "SELECT count(*) FROM (SELECT id, max(we) AS we, max(w) AS w FROM ({win}) GROUP BY id) WHERE we - 1 <= w"
            )
        }),
        retracts,
    }
}

fn session_aggregate(keyed: bool, sql: &str) -> Case {
    let keys = if keyed { vec![0] } else { Vec::new() };
    let calls = calls(sql);
    let output = aggregated(&keys, &calls, true);
    let sessions = if keyed { sessions(5) } else { sessions(5).replace("PARTITION BY k ", "") };
    let (column, by) = if keyed { ("k, ", "k, s") } else { ("", "s") };
    Case {
        name: format!("session aggregate keyed {keyed}: {sql}"),
        times: Times::Closing(vec![output.fields().len() - 1]),
        spec: OperatorSpec::SessionAggregate(SessionAggregateSpec {
            gap_us: 5_000,
            time: WindowTime::Event(1),
            keys,
            calls,
        }),
        inputs: vec![rows()],
        output,
        result: format!("SELECT {column}{sql}, min(ts), max(ts) + 5, max(ts) + 4 FROM ({sessions}) GROUP BY {by}"),
        late: None,
        retracts: false,
    }
}

pub(super) fn session_assign() -> Case {
    let whole = "OVER (PARTITION BY k, s)";
    let sessions = sessions(5);
    Case {
        name: "session assign".into(),
        times: Times::Closing(vec![6]),
        spec: OperatorSpec::SessionAssign(SessionAssignSpec {
            gap_us: 5_000,
            time: WindowTime::Event(1),
            keys: vec![0],
            retracts: false,
            emit: WindowEmit::default(),
        }),
        inputs: vec![rows()],
        output: windowed(),
        result: format!(
            "SELECT k, ts, v, b, min(ts) {whole}, max(ts) {whole} + 5, max(ts) {whole} + 4 FROM ({sessions})"
        ),
        late: None,
        retracts: false,
    }
}

/// The aggregates in the oracle's words.
fn said(sql: &str) -> String {
    sql.replace("(v:ts)", "(v, ts)")
}

fn group_aggregate(keyed: bool, sql: &str, retracts: bool) -> Case {
    let keys = if keyed { vec![0] } else { Vec::new() };
    let calls = calls(sql);
    let select = match (keyed, said(sql)) {
        (true, none) if none.is_empty() => "SELECT DISTINCT k FROM t".to_owned(),
        (true, sql) => format!("SELECT k, {sql} FROM t GROUP BY k"),
        (false, sql) => format!("SELECT {sql} FROM t"),
    };
    Case {
        name: format!("group aggregate keyed {keyed} retracts {retracts}: {sql}"),
        output: aggregated(&keys, &calls, false),
        spec: OperatorSpec::GroupAggregate(GroupAggregateSpec { keys, calls, retracts, ttl_us: None, upserts: false }),
        inputs: vec![rows()],
        times: Times::None,
        result: select,
        late: None,
        retracts,
    }
}

fn window_join(kind: JoinKind, keyed: bool, residual: bool) -> Case {
    let left_only = matches!(kind, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark);
    let named = |prefix: &str| -> Vec<Field> {
        windowed()
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_name(prefix.to_owned() + field.name()))
            .collect()
    };
    let pairs: SchemaRef = Arc::new(Schema::new([named("l_"), named("r_")].concat()));
    let join = match kind {
        JoinKind::Inner => "JOIN",
        JoinKind::Left => "LEFT JOIN",
        JoinKind::Right => "RIGHT JOIN",
        JoinKind::Full => "FULL JOIN",
        JoinKind::Semi | JoinKind::Mark => "LEFT SEMI JOIN",
        JoinKind::Anti => "LEFT ANTI JOIN",
    };
    let side = |table: &str| format!("(SELECT * FROM ({}) WHERE we - 1 > w)", windows(table, "tumble 10 0"));
    let columns = |side: &str| {
        ["k", "ts", "v", "b", "ws", "we"].map(|name| format!("{side}.{name}")).join(", ") + &format!(", {side}.we - 1")
    };
    let columns = if left_only { columns("l") } else { columns("l") + ", " + &columns("r") };
    let by_key = if keyed { "AND l.k = r.k" } else { "" };
    let and = if residual { "AND l.v < r.v" } else { "" };
    let (left, right) = (side("t"), side("u"));
    let query = |columns: &str, join: &str| {
        format!("SELECT {columns} FROM {left} AS l {join} {right} AS r ON l.ws = r.ws {by_key} {and}")
    };
    let (result, output) = if kind == JoinKind::Mark {
        let marked = |mark: bool, join: &str| query(&format!("{columns}, {mark} AS mark"), join);
        let mark = vec![Field::new("mark", DataType::Boolean, false)];
        let result = marked(true, join) + " UNION ALL " + &marked(false, "LEFT ANTI JOIN");
        (result, Arc::new(Schema::new([named("l_"), mark].concat())))
    } else {
        let output = if left_only { Arc::new(Schema::new(named("l_"))) } else { Arc::clone(&pairs) };
        (query(&columns, join), output)
    };
    let late = |table: &str| format!("SELECT * FROM ({}) WHERE we - 1 <= w", windows(table, "tumble 10 0"));
    Case {
        name: format!("window join {kind:?} keyed {keyed} residual {residual}"),
        spec: OperatorSpec::WindowJoin(WindowJoinSpec {
            kind,
            keys: if keyed { vec![(0, 0)] } else { Vec::new() },
            window_start: (4, 4),
            window_end: (5, 5),
            residual: residual.then(|| scalar("l_v < r_v", &pairs)),
        }),
        inputs: vec![windowed(), windowed()],
        times: Times::Closing(if left_only { vec![6] } else { vec![6, 13] }),
        output,
        result,
        late: Some(format!("SELECT count(*) FROM ({} UNION ALL {})", late("t"), late("u"))),
        retracts: false,
    }
}

fn union() -> Case {
    Case {
        name: "union".into(),
        spec: OperatorSpec::Union,
        inputs: vec![rows(), rows()],
        output: rows(),
        times: Times::None,
        result: "SELECT k, ts, v, b FROM t UNION ALL SELECT k, ts, v, b FROM u".into(),
        late: None,
        retracts: true,
    }
}

/// Every operator that can be built.
pub(super) fn all() -> Vec<Case> {
    let mut cases = vec![
        union(),
        expand(),
        unnest(),
        session_assign(),
        session_aggregate(true, ALL),
        session_aggregate(false, INVERTIBLE),
    ];
    cases.extend(["tumble 10 0", "hop 4 10 1", "hop 7 3 0", "cumulate 5 15 -2"].map(stateless));
    for window in ["tumble 10 0", "tumble 6 -4", "hop 5 10 0", "hop 4 10 3", "hop 7 3 0", "cumulate 5 15 2"] {
        cases.push(window_aggregate(window, true, ALL, false, false));
        cases.push(window_aggregate(window, true, INVERTIBLE, false, false));
        cases.push(window_aggregate(window, false, INVERTIBLE, false, false));
    }
    cases.push(window_aggregate("tumble 10 0", true, ALL, true, false));
    cases.push(window_aggregate("tumble 10 0", true, WIDE, true, true));
    cases.push(window_aggregate("hop 4 10 3", true, ALL, false, true));
    cases.push(window_aggregate("hop 5 10 0", true, "count(*), sum(v), min(v), max(v)", false, true));
    cases.extend([(true, ALL), (false, ALL), (true, "")].map(|(keyed, sql)| group_aggregate(keyed, sql, false)));
    let changing = [(true, ALL), (true, WIDE), (false, ALL), (true, "")];
    cases.extend(changing.map(|(keyed, sql)| group_aggregate(keyed, sql, true)));
    use JoinKind::{Anti, Full, Inner, Left, Mark, Right, Semi};
    for kind in [Inner, Left, Right, Full, Semi, Anti, Mark] {
        cases.push(window_join(kind, true, false));
        cases.push(window_join(kind, true, true));
    }
    cases.push(window_join(JoinKind::Full, false, true));
    cases
}
