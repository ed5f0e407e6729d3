//! Operators that order rows: ranks and window functions.

use std::fmt::Display;

use super::aggregate::function as aggregate;
use super::{Text, columns, list};
use crate::plan::{
    Frame, FrameBound, FrameUnits, OverCall, OverEmit, OverFunction, OverSpec, RankEmit, RankFunction, RankSpec,
    SortKey,
};

pub(super) fn rank(spec: &RankSpec) -> String {
    let RankSpec { function, partition, order, from, to, rank_column, retracts, ttl_us, emit, window_end } = spec;
    let function = match function {
        RankFunction::RowNumber => "row_number",
        RankFunction::Rank => "rank",
        RankFunction::DenseRank => "dense_rank",
    };
    let start = format!("{function} {from} to {to} by {} order {}", columns(partition), sort_keys(order));
    let mut text = Text::of(&start);
    text.flag("numbered", rank_column.is_some());
    text.flag("retracts", *retracts);
    text.option("ttl", ttl_us.as_ref().map(|ttl| ttl as &dyn Display));
    match emit {
        RankEmit::NetChange => {}
        RankEmit::OnWatermark { time_column } => text.option("on-watermark", Some(&format!("#{time_column}"))),
        RankEmit::FirstArrival => text.flag("first-arrival", true),
        RankEmit::LastArrival => text.flag("last-arrival", true),
    }
    let end = window_end.map(|column| format!("#{column}"));
    text.option("window-end", end.as_ref().map(|end| end as &dyn Display));
    text.0
}

pub(super) fn over(spec: &OverSpec) -> String {
    let OverSpec { partition, order, calls, emit, retracts } = spec;
    let calls = list(calls.iter().map(call));
    let mut text = Text::of(&format!("by {} order {} {calls}", columns(partition), sort_keys(order)));
    match emit {
        OverEmit::OnWatermark { column } => text.option("on-watermark", Some(&format!("#{column}"))),
        OverEmit::NetChange => {}
        OverEmit::OnArrival => text.flag("on-arrival", true),
    }
    text.flag("retracts", *retracts);
    text.0
}

fn call(call: &OverCall) -> String {
    let OverCall { function: of, args, distinct, frame: over, filter, ignore_nulls, output } = call;
    let mut text = Text::of(&format!("{}{}", function(of), columns(args)));
    text.option("as", Some(output.data_type()));
    text.flag("distinct", *distinct);
    text.option("over", Some(&frame(*over)));
    let filter = filter.map(|column| format!("#{column}"));
    text.option("filter", filter.as_ref().map(|filter| filter as &dyn Display));
    text.flag("ignore-nulls", *ignore_nulls);
    text.0
}

fn function(function: &OverFunction) -> String {
    let shifted = |name: &str, offset: &i64, default: &Option<usize>| match default {
        None => format!("{name} {offset} "),
        Some(column) => format!("{name} {offset} or #{column} "),
    };
    match function {
        OverFunction::Aggregate(function) => aggregate(function),
        OverFunction::RowNumber => "row_number".into(),
        OverFunction::Rank => "rank".into(),
        OverFunction::DenseRank => "dense_rank".into(),
        OverFunction::PercentRank => "percent_rank".into(),
        OverFunction::CumeDist => "cume_dist".into(),
        OverFunction::Ntile(buckets) => format!("ntile {buckets} "),
        OverFunction::Lag { offset, default } => shifted("lag", offset, default),
        OverFunction::Lead { offset, default } => shifted("lead", offset, default),
        OverFunction::FirstValue => "frame_first".into(),
        OverFunction::LastValue => "frame_last".into(),
        OverFunction::NthValue(number) => format!("nth_value {number} "),
    }
}

fn frame(frame: Frame) -> String {
    let Frame { units, start, end } = frame;
    let units = match units {
        FrameUnits::Rows => "rows",
        FrameUnits::Range => "range",
        FrameUnits::Groups => "groups",
    };
    format!("{units} {} to {}", bound(start), bound(end))
}

fn bound(bound: FrameBound) -> String {
    match bound {
        FrameBound::UnboundedPreceding => "start".into(),
        FrameBound::Preceding(offset) => format!("-{offset}"),
        FrameBound::CurrentRow => "0".into(),
        FrameBound::Following(offset) => format!("+{offset}"),
        FrameBound::UnboundedFollowing => "end".into(),
    }
}

pub(super) fn sort_keys(keys: &[SortKey]) -> String {
    let key = |SortKey { column, descending, nulls_first }: &SortKey| {
        let direction = if *descending { " desc" } else { "" };
        format!("#{column}{direction}{}", if *nulls_first { " nulls first" } else { "" })
    };
    list(keys.iter().map(key))
}
