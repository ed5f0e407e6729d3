//! Ranks under law: every function over insertions and over retractions, with and without the rank, over several bounds.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::cases::{Case, rows, windowed};
use super::harness::Times;
use super::oracle::windows;
use crate::plan::{OperatorSpec, RankEmit, RankFunction, RankSpec, SortKey};

/// `ORDER BY v DESC NULLS LAST`, and what breaks its ties.
const BY_VALUE: &str = "v DESC NULLS LAST";
const THE_REST: &str = "k ASC NULLS FIRST, ts ASC NULLS FIRST, b ASC NULLS FIRST";

fn by_value() -> Vec<SortKey> {
    vec![SortKey { column: 2, descending: true, nulls_first: false }]
}

/// The input columns and the rank, if asked for.
fn output(input: &SchemaRef, rank: &Option<Arc<Field>>) -> SchemaRef {
    let fields = input.fields().iter().cloned().chain(rank.iter().cloned()).collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}

fn rank(function: RankFunction, (from, to): (u64, u64), keyed: bool, ranked: bool, retracts: bool) -> Case {
    let (name, ties) = match function {
        RankFunction::RowNumber => ("row_number", format!(", {THE_REST}")),
        RankFunction::Rank => ("rank", String::new()),
        RankFunction::DenseRank => ("dense_rank", String::new()),
    };
    let partition = if keyed { "PARTITION BY k " } else { "" };
    let column = if ranked { ", r" } else { "" };
    let upper = if to == u64::MAX { i64::MAX } else { i64::try_from(to).unwrap() };
    let rank_column = ranked.then(|| Arc::new(Field::new("r", DataType::Int64, false)));
    Case {
        name: format!("rank {name} {from} to {upper} keyed {keyed} ranked {ranked} retracts {retracts}"),
        output: output(&rows(), &rank_column),
        spec: OperatorSpec::Rank(RankSpec {
            function,
            partition: if keyed { vec![0] } else { Vec::new() },
            order: by_value(),
            from,
            to,
            rank_column,
            retracts,
            ttl_us: None,
            emit: RankEmit::NetChange,
            window_end: None,
        }),
        inputs: vec![rows()],
        times: Times::None,
        result: format!(
            "SELECT k, ts, v, b{column} FROM (SELECT *, {name}() OVER ({partition}ORDER BY {BY_VALUE}{ties}) AS r FROM t) \
             WHERE r BETWEEN {from} AND {upper}"
        ),
        late: None,
        retracts,
    }
}

/// The first rows of windows, final.
fn window_rank(function: RankFunction, to: u64, ranked: bool) -> Case {
    let (name, ties) = match function {
        RankFunction::RowNumber => ("row_number", format!(", {THE_REST}")),
        RankFunction::Rank => ("rank", String::new()),
        RankFunction::DenseRank => ("dense_rank", String::new()),
    };
    let column = if ranked { ", r" } else { "" };
    let rank_column = ranked.then(|| Arc::new(Field::new("r", DataType::UInt64, false)));
    let window = windows("t", "tumble 10 0");
    let over = format!("OVER (PARTITION BY k, ws, we ORDER BY {BY_VALUE}{ties})");
    Case {
        name: format!("window rank {name} {to} ranked {ranked}"),
        output: output(&windowed(), &rank_column),
        spec: OperatorSpec::Rank(RankSpec {
            function,
            partition: vec![0, 4, 5],
            order: by_value(),
            from: 1,
            to,
            rank_column,
            retracts: false,
            ttl_us: None,
            emit: RankEmit::NetChange,
            window_end: Some(5),
        }),
        inputs: vec![windowed()],
        times: Times::Closing(vec![6]),
        result: format!(
            "SELECT k, ts, v, b, ws, we, we - 1{column} FROM \
             (SELECT *, {name}() {over} AS r FROM ({window}) WHERE we - 1 > w) WHERE r <= {to}"
        ),
        late: Some(format!("SELECT count(*) FROM ({window}) WHERE we - 1 <= w")),
        retracts: false,
    }
}

/// The first row of each key in event time, once.
fn first_in_time() -> Case {
    let over = "OVER (PARTITION BY k ORDER BY ts, v ASC NULLS FIRST, b ASC NULLS FIRST)";
    Case {
        name: "rank first in time".into(),
        output: rows(),
        spec: OperatorSpec::Rank(RankSpec {
            function: RankFunction::RowNumber,
            partition: vec![0],
            order: vec![SortKey { column: 1, descending: false, nulls_first: false }],
            from: 1,
            to: 1,
            rank_column: None,
            retracts: false,
            ttl_us: None,
            emit: RankEmit::OnWatermark { time_column: 1 },
            window_end: None,
        }),
        inputs: vec![rows()],
        times: Times::NotBefore(1),
        result: format!(
            "SELECT k, ts, v, b FROM (SELECT *, row_number() {over} AS r FROM t WHERE ts >= w) WHERE r = 1"
        ),
        late: Some("SELECT count(*) FROM t WHERE ts < w".into()),
        retracts: false,
    }
}

/// The first or last row of each key that arrives.
fn by_arrival(emit: RankEmit, order: &str) -> Case {
    let rank_column = Some(Arc::new(Field::new("r", DataType::Int64, false)));
    Case {
        name: format!("rank {emit:?}"),
        output: output(&rows(), &rank_column),
        spec: OperatorSpec::Rank(RankSpec {
            function: RankFunction::RowNumber,
            partition: vec![0],
            order: Vec::new(),
            from: 1,
            to: 1,
            rank_column,
            retracts: false,
            ttl_us: None,
            emit,
            window_end: None,
        }),
        inputs: vec![rows()],
        times: Times::None,
        result: format!(
            "SELECT k, ts, v, b, r FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY {order}) AS r FROM t) WHERE r = 1"
        ),
        late: None,
        retracts: false,
    }
}

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    let mut cases =
        vec![first_in_time(), by_arrival(RankEmit::FirstArrival, "id"), by_arrival(RankEmit::LastArrival, "id DESC")];
    for function in [RankFunction::RowNumber, RankFunction::Rank, RankFunction::DenseRank] {
        for bounds in [(1, 1), (1, 3), (2, 4)] {
            for flags in 0..4 {
                cases.push(rank(function, bounds, true, flags & 1 == 0, flags & 2 == 0));
            }
        }
        cases.push(rank(function, (1, u64::MAX), true, true, true));
        cases.push(rank(function, (1, u64::MAX), true, true, false));
        cases.push(rank(function, (3, 5), false, false, true));
        cases.push(rank(function, (3, 5), false, true, false));
        cases.push(window_rank(function, 1, false));
        cases.push(window_rank(function, 2, true));
    }
    cases
}
