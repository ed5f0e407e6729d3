//! The descriptions are frozen: what changes here loses state. A new ability may add words where it is used.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use expect_test::expect;

use super::describe;
use crate::expr::Scalar;
use crate::plan::*;

fn call(function: AggregateFunction, args: &[usize]) -> AggregateCall {
    AggregateCall {
        function,
        args: args.to_vec(),
        order_by: Vec::new(),
        distinct: false,
        filter: None,
        output: Arc::new(Field::new("any name", DataType::Int64, true)),
    }
}

fn all() -> Vec<OperatorSpec> {
    let order = vec![SortKey { column: 2, descending: true, nulls_first: true }];
    let key = |left, right, null_equal| JoinKey { left, right, null_equal };
    let residual = Scalar::column(&Schema::new(vec![Field::new("flag", DataType::Boolean, true)]), 0);
    let calls = vec![
        call(AggregateFunction::Count, &[]),
        AggregateCall {
            order_by: order.clone(),
            distinct: true,
            filter: Some(3),
            ..call(AggregateFunction::StringAgg { separator: ", ".into() }, &[1])
        },
        call(AggregateFunction::PercentileCont(Percentile { fraction: 0.5, descending: false }), &[1]),
    ];
    let group =
        GroupAggregateSpec { keys: vec![0], calls: calls.clone(), retracts: false, ttl_us: None, upserts: true };
    let hop = Window::Hop { slide_us: 1, size_us: 2, offset_us: 0 };
    let frame = Frame { units: FrameUnits::Rows, start: FrameBound::Preceding(3), end: FrameBound::CurrentRow };
    let lag = OverCall {
        function: OverFunction::Lag { offset: 1, default: Some(4) },
        args: vec![2],
        distinct: false,
        frame,
        filter: None,
        ignore_nulls: true,
        output: Arc::new(Field::new("any name", DataType::Int64, true)),
    };
    vec![
        OperatorSpec::GroupAggregate(GroupAggregateSpec { retracts: true, ttl_us: Some(5), ..group.clone() }),
        OperatorSpec::GroupAggregate(group),
        OperatorSpec::WindowAggregate(WindowAggregateSpec {
            window: WindowInput::Assign { window: hop, time: WindowTime::Event(1) },
            keys: vec![0],
            calls: calls[..1].to_vec(),
            retracts: false,
            emit: WindowEmit { early: EarlyEmit::Every(9), lateness_us: 7, holds_watermark: true },
        }),
        OperatorSpec::SessionAggregate(SessionAggregateSpec {
            gap_us: 4,
            time: WindowTime::Processing,
            keys: Vec::new(),
            calls: Vec::new(),
        }),
        OperatorSpec::Join(JoinSpec {
            kind: JoinKind::Left,
            keys: vec![key(0, 1, false), key(2, 0, true)],
            residual: Some(residual),
            retracts: (false, true),
            null_aware: false,
            ttl_us: (None, Some(6)),
        }),
        OperatorSpec::Rank(RankSpec {
            function: RankFunction::RowNumber,
            partition: vec![0],
            order: order.clone(),
            from: 1,
            to: 10,
            rank_column: None,
            retracts: false,
            ttl_us: None,
            emit: RankEmit::OnWatermark { time_column: 2 },
            window_end: None,
        }),
        OperatorSpec::Over(OverSpec {
            partition: vec![0],
            order,
            calls: vec![lag],
            emit: OverEmit::NetChange,
            retracts: false,
        }),
    ]
}

#[test]
fn descriptions_are_frozen() {
    let text: String = all().iter().map(describe).map(|(kind, text)| format!("{kind}: {text}\n")).collect();
    expect![[r#"
        group-aggregate: by (#0) (count() as Int64, string_agg ", " (#1) as Int64 order (#2 desc nulls first) distinct filter #3, percentile_cont 0.5 (#1) as Int64) retracts ttl 5
        group-aggregate: by (#0) (count() as Int64, string_agg ", " (#1) as Int64 order (#2 desc nulls first) distinct filter #3, percentile_cont 0.5 (#1) as Int64)
        window-aggregate: hop 1 2 on #1 by (#0) (count() as Int64) early lateness 7
        session-aggregate: session 4 on clock by () ()
        join: left on (#0 = #1, #2 is #0) where flag right-retracts right-ttl 6
        rank: row_number 1 to 10 by (#0) order (#2 desc nulls first) on-watermark #2
        over: by (#0) order (#2 desc nulls first) (lag 1 or #4 (#2) as Int64 over rows -3 to 0 ignore-nulls)
    "#]].assert_eq(&text);
}
