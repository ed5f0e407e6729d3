//! Window functions under law: aggregates and values over frames, ranks and shifts.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::cases::{Case, rows};
use super::harness::Times;
use crate::plan::{
    AggregateFunction, Frame, FrameBound, FrameUnits, OperatorSpec, OverCall, OverEmit, OverFunction, OverSpec, SortKey,
};

/// An order, as text and as sort key. Its ties in the text are broken as the operator breaks them.
#[derive(Clone, Copy)]
struct Order {
    text: &'static str,
    ties: &'static str,
    key: SortKey,
}

const BY_VALUE: Order = Order {
    text: "v DESC NULLS LAST",
    ties: ", ts, b NULLS FIRST",
    key: SortKey { column: 2, descending: true, nulls_first: false },
};
const BY_VALUE_UP: Order = Order {
    text: "v NULLS FIRST",
    ties: ", ts, b NULLS FIRST",
    key: SortKey { column: 2, descending: false, nulls_first: true },
};
const BY_TIME: Order = Order {
    text: "ts",
    ties: ", v NULLS FIRST, b NULLS FIRST",
    key: SortKey { column: 1, descending: false, nulls_first: false },
};

/// Arrival, which is the order of the rows' numbers.
const BY_ARRIVAL: Order =
    Order { text: "id", ties: "", key: SortKey { column: 1, descending: false, nulls_first: false } };

const WHOLE: Frame =
    Frame { units: FrameUnits::Range, start: FrameBound::UnboundedPreceding, end: FrameBound::CurrentRow };

/// Functions of a frame. Those with `ts` depend on the order of peers.
const FRAMED: &str = "count(*), sum(v), min(v), max(v), count(v) FILTER (WHERE b = 1), first_value(v), last_value(v), \
    first_value(v) IGNORE NULLS, last_value(v) IGNORE NULLS, nth_value(v, 2) IGNORE NULLS";
const OF_ROWS: &str = "first_value(ts), last_value(ts), nth_value(ts, 2)";
/// Those whose earlier rows need not be kept, however long the frame.
const RUNNING: &str = "count(*), sum(v), min(v), max(v), count(v) FILTER (WHERE b = 1), avg(v), count(DISTINCT v)";
/// Functions of the partition.
const RANKS: &str = "rank(), dense_rank()";
const LATER: &str = "percent_rank(), cume_dist()";
const NUMBERS: &str = "row_number(), lag(ts), lag(v, 2)";
const SHIFTS: &str = "ntile(3), lead(ts), lead(v, 3), lag(v, 1) IGNORE NULLS, lead(v, 2) IGNORE NULLS";

/// The call that a text stands for.
fn call(text: &str, frame: Frame) -> OverCall {
    let (name, rest) = text.split_once('(').unwrap();
    let (args, tail) = rest.split_once(')').unwrap();
    let distinct = args.contains("DISTINCT");
    let args: Vec<&str> = args.trim_start_matches("DISTINCT ").split(", ").collect();
    let number = |at: usize| args.get(at).map(|text| text.parse::<i64>().unwrap());
    let function = match name {
        "count" => OverFunction::Aggregate(AggregateFunction::Count),
        "sum" => OverFunction::Aggregate(AggregateFunction::Sum),
        "min" => OverFunction::Aggregate(AggregateFunction::Min),
        "max" => OverFunction::Aggregate(AggregateFunction::Max),
        "avg" => OverFunction::Aggregate(AggregateFunction::Avg),
        "row_number" => OverFunction::RowNumber,
        "rank" => OverFunction::Rank,
        "dense_rank" => OverFunction::DenseRank,
        "percent_rank" => OverFunction::PercentRank,
        "cume_dist" => OverFunction::CumeDist,
        "ntile" => OverFunction::Ntile(3),
        "lag" => OverFunction::Lag { offset: number(1).unwrap_or(1), default: None },
        "lead" => OverFunction::Lead { offset: number(1).unwrap_or(1), default: None },
        "first_value" => OverFunction::FirstValue,
        "last_value" => OverFunction::LastValue,
        "nth_value" => OverFunction::NthValue(2),
        other => panic!("window function {other}"),
    };
    let column = match args.first() {
        Some(&"v") => vec![2],
        Some(&"ts") => vec![1],
        _ => Vec::new(),
    };
    let data_type = match (name, args.first()) {
        ("percent_rank" | "cume_dist" | "avg", _) => DataType::Float64,
        ("first_value" | "last_value" | "nth_value" | "lag" | "lead" | "min", Some(&"ts")) => {
            DataType::Timestamp(TimeUnit::Millisecond, None)
        }
        _ => DataType::Int64,
    };
    OverCall {
        function,
        args: column,
        distinct,
        frame,
        filter: tail.contains("FILTER").then_some(3),
        ignore_nulls: tail.contains("IGNORE NULLS"),
        output: Arc::new(Field::new(text, data_type, true)),
    }
}

/// The text of a frame: offsets of time are milliseconds there.
fn text_of(frame: Frame, by_time: bool) -> String {
    let scale = if by_time && frame.units == FrameUnits::Range { 1_000 } else { 1 };
    let bound = |bound: FrameBound| match bound {
        FrameBound::UnboundedPreceding => "UNBOUNDED PRECEDING".to_owned(),
        FrameBound::Preceding(by) => format!("{} PRECEDING", by / scale),
        FrameBound::CurrentRow => "CURRENT ROW".to_owned(),
        FrameBound::Following(by) => format!("{} FOLLOWING", by / scale),
        FrameBound::UnboundedFollowing => "UNBOUNDED FOLLOWING".to_owned(),
    };
    let units = match frame.units {
        FrameUnits::Rows => "ROWS",
        FrameUnits::Range => "RANGE",
        FrameUnits::Groups => "GROUPS",
    };
    format!("{units} BETWEEN {} AND {}", bound(frame.start), bound(frame.end))
}

/// `total`: the text orders rows to the last, for functions that see the order of peers; else it has a frame.
struct Group<'a> {
    texts: &'a str,
    frame: Option<Frame>,
    total: bool,
}

fn over(order: Order, groups: &[Group<'_>], emit: OverEmit, retracts: bool) -> Case {
    let (mut calls, mut columns) = (Vec::new(), Vec::new());
    for group in groups {
        let ties = if group.total { order.ties } else { "" };
        let frame = group.frame.map_or_else(String::new, |frame| format!(" {}", text_of(frame, order.key.column == 1)));
        // Commas between calls are those after a parenthesis or a word in capitals.
        for text in split(group.texts) {
            calls.push(call(text, group.frame.unwrap_or(WHOLE)));
            columns.push(format!("{text} OVER (PARTITION BY k ORDER BY {}{ties}{frame})", order.text));
        }
    }
    let input = rows();
    let fields = input.fields().iter().cloned().chain(calls.iter().map(|call| Arc::clone(&call.output)));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let names: Vec<&str> = groups.iter().map(|group| group.texts).collect();
    let frames: Vec<String> =
        groups.iter().filter_map(|group| group.frame).map(|frame| text_of(frame, false)).collect();
    let on_watermark = matches!(emit, OverEmit::OnWatermark { .. });
    let from = if on_watermark { "(SELECT * FROM t WHERE ts >= w) AS t" } else { "t" };
    Case {
        name: format!(
            "over {} {emit:?} retracts {retracts}: {}",
            order.text,
            names.into_iter().map(str::to_owned).chain(frames).collect::<Vec<_>>().join(" ")
        ),
        output: schema,
        spec: OperatorSpec::Over(OverSpec { partition: vec![0], order: vec![order.key], calls, emit, retracts }),
        inputs: vec![input],
        times: if on_watermark { Times::NotBefore(1) } else { Times::None },
        result: format!("SELECT k, ts, v, b, {} FROM {from}", columns.join(", ")),
        late: on_watermark.then(|| "SELECT count(*) FROM t WHERE ts < w".into()),
        retracts,
    }
}

fn split(texts: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    texts
        .split(move |sign: char| {
            depth += i32::from(sign == '(') - i32::from(sign == ')');
            sign == ',' && depth == 0
        })
        .map(str::trim)
}

fn frame(units: FrameUnits, start: FrameBound, end: FrameBound) -> Frame {
    Frame { units, start, end }
}

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    [net_change(), on_watermark(), on_arrival()].into_iter().flatten().collect()
}

/// Window functions whose net change comes at the barrier.
pub(super) fn net_change() -> Vec<Case> {
    use FrameBound::{CurrentRow, Following, Preceding, UnboundedFollowing, UnboundedPreceding};
    let mut cases = Vec::new();
    for (retracts, order) in [(true, BY_VALUE), (false, BY_VALUE_UP)] {
        let numbers =
            [Group { texts: RANKS, frame: None, total: false }, Group { texts: NUMBERS, frame: None, total: true }];
        cases.push(over(order, &numbers, OverEmit::NetChange, retracts));
        let later =
            [Group { texts: LATER, frame: None, total: false }, Group { texts: SHIFTS, frame: None, total: true }];
        cases.push(over(order, &later, OverEmit::NetChange, retracts));
        let bounds = [
            (UnboundedPreceding, CurrentRow),
            (Preceding(2), CurrentRow),
            (Preceding(3), Preceding(1)),
            (Preceding(1), Following(2)),
            (CurrentRow, UnboundedFollowing),
            (Following(1), Following(3)),
            (UnboundedPreceding, UnboundedFollowing),
        ];
        for (start, end) in bounds {
            let rows = frame(FrameUnits::Rows, start, end);
            let groups = [
                Group { texts: FRAMED, frame: Some(rows), total: true },
                Group { texts: OF_ROWS, frame: Some(rows), total: true },
            ];
            cases.push(over(order, &groups, OverEmit::NetChange, retracts));
            for units in [FrameUnits::Range, FrameUnits::Groups] {
                let framed = [Group { texts: FRAMED, frame: Some(frame(units, start, end)), total: false }];
                cases.push(over(order, &framed, OverEmit::NetChange, retracts));
            }
        }
    }
    cases
}

/// Window functions whose rows come out once, on watermark.
pub(super) fn on_watermark() -> Vec<Case> {
    use FrameBound::{CurrentRow, Preceding, UnboundedPreceding};
    let emit = OverEmit::OnWatermark { column: 1 };
    let rows = |start, end| Some(frame(FrameUnits::Rows, start, end));
    let range = |start, end| Some(frame(FrameUnits::Range, start, end));
    let all_rows = rows(UnboundedPreceding, CurrentRow);
    let groups = [
        vec![Group { texts: RUNNING, frame: range(UnboundedPreceding, CurrentRow), total: false }],
        vec![Group { texts: RUNNING, frame: all_rows, total: true }],
        vec![Group { texts: OF_ROWS, frame: all_rows, total: true }],
        // No column is read.
        vec![Group { texts: "count(*)", frame: all_rows, total: true }],
        vec![
            Group { texts: RANKS, frame: None, total: false },
            Group { texts: NUMBERS, frame: None, total: true },
            Group { texts: RUNNING, frame: all_rows, total: true },
        ],
        vec![Group { texts: FRAMED, frame: rows(Preceding(2), CurrentRow), total: true }],
        vec![
            Group { texts: OF_ROWS, frame: rows(Preceding(3), Preceding(1)), total: true },
            Group { texts: RUNNING, frame: range(Preceding(7_000), CurrentRow), total: false },
        ],
        vec![Group { texts: RUNNING, frame: range(Preceding(4_000), CurrentRow), total: false }],
        vec![Group {
            texts: "count(*), sum(v), min(ts)",
            frame: range(Preceding(9_000), Preceding(2_000)),
            total: false,
        }],
        vec![Group { texts: "count(*), sum(v)", frame: range(CurrentRow, CurrentRow), total: false }],
        // All rows are kept for these.
        vec![
            Group { texts: "sum(v), count(*)", frame: rows(UnboundedPreceding, Preceding(2)), total: true },
            Group { texts: "count(*)", frame: Some(frame(FrameUnits::Groups, Preceding(1), CurrentRow)), total: false },
            Group { texts: FRAMED, frame: all_rows, total: true },
            Group { texts: "lag(v, 2) IGNORE NULLS", frame: None, total: true },
        ],
    ];
    groups.iter().map(|groups| over(BY_TIME, groups, emit, false)).collect()
}

/// Window functions in order of arrival.
pub(super) fn on_arrival() -> Vec<Case> {
    use FrameBound::{CurrentRow, Preceding, UnboundedPreceding};
    let rows = |start, end| Some(frame(FrameUnits::Rows, start, end));
    let groups = [
        vec![
            Group { texts: RANKS, frame: None, total: true },
            Group { texts: NUMBERS, frame: None, total: true },
            Group { texts: RUNNING, frame: rows(UnboundedPreceding, CurrentRow), total: true },
        ],
        vec![
            Group { texts: OF_ROWS, frame: rows(UnboundedPreceding, CurrentRow), total: true },
            Group { texts: FRAMED, frame: rows(Preceding(4), Preceding(1)), total: true },
        ],
    ];
    groups.iter().map(|groups| over(BY_ARRIVAL, groups, OverEmit::OnArrival, false)).collect()
}
