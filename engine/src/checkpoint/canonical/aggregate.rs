//! Aggregates and windows.

use std::fmt::Display;

use super::order::sort_keys;
use super::{Text, columns, list};
use crate::plan::{
    AggregateCall, AggregateFunction, EarlyEmit, PairStatistic, Percentile, SessionAggregateSpec, SessionAssignSpec,
    Window, WindowAggregateSpec, WindowEmit, WindowInput, WindowTime,
};

pub(super) fn window(spec: &WindowAggregateSpec) -> String {
    let WindowAggregateSpec { window, keys, calls: of, retracts, emit } = spec;
    let window = match window {
        WindowInput::Assign { window, time: of } => format!("{} {}", shape(*window), time(*of)),
        WindowInput::Attached { start, end } => format!("attached #{start} #{end}"),
    };
    let mut text = Text::of(&format!("{window} by {} {}", columns(keys), calls(of)));
    text.flag("retracts", *retracts);
    emission(&mut text, *emit);
    text.0
}

pub(super) fn session(spec: &SessionAggregateSpec) -> String {
    let SessionAggregateSpec { gap_us, time: of, keys, calls: all } = spec;
    format!("{} {} by {} {}", shape(Window::Session { gap_us: *gap_us }), time(*of), columns(keys), calls(all))
}

pub(super) fn assign(spec: &SessionAssignSpec) -> String {
    let SessionAssignSpec { gap_us, time: of, keys, retracts, emit } = spec;
    let session = shape(Window::Session { gap_us: *gap_us });
    let mut text = Text::of(&format!("{session} {} by {}", time(*of), columns(keys)));
    text.flag("retracts", *retracts);
    emission(&mut text, *emit);
    text.0
}

fn emission(text: &mut Text, emit: WindowEmit) {
    // What watermark comes out is not part of the state.
    let WindowEmit { early, lateness_us, holds_watermark: _ } = emit;
    match early {
        EarlyEmit::Never => {}
        EarlyEmit::EachEpoch | EarlyEmit::Every(_) => text.flag("early", true),
    }
    text.option("lateness", Some(&lateness_us as &dyn Display).filter(|_| lateness_us != 0));
}

pub(super) fn shape(window: Window) -> String {
    let shifted = |text: String, offset: i64| if offset == 0 { text } else { format!("{text} offset {offset}") };
    match window {
        Window::Tumble { size_us, offset_us } => shifted(format!("tumble {size_us}"), offset_us),
        Window::Hop { slide_us, size_us, offset_us } => shifted(format!("hop {slide_us} {size_us}"), offset_us),
        Window::Cumulate { step_us, size_us, offset_us } => shifted(format!("cumulate {step_us} {size_us}"), offset_us),
        Window::Session { gap_us } => format!("session {gap_us}"),
    }
}

pub(super) fn time(time: WindowTime) -> String {
    match time {
        WindowTime::Event(column) => format!("on #{column}"),
        WindowTime::Processing => "on clock".into(),
    }
}

pub(super) fn calls(calls: &[AggregateCall]) -> String {
    let call = |call: &AggregateCall| {
        let AggregateCall { function: of, args, order_by, distinct, filter, output } = call;
        let mut text = Text::of(&format!("{}{}", function(of), columns(args)));
        // Sums and means are kept in the type of their result.
        text.option("as", Some(output.data_type()));
        text.option("order", Some(&sort_keys(order_by) as &dyn Display).filter(|_| !order_by.is_empty()));
        text.flag("distinct", *distinct);
        text.option("filter", filter.map(|column| format!("#{column}")).as_ref().map(|text| text as &dyn Display));
        text.0
    };
    list(calls.iter().map(call))
}

pub(super) fn function(function: &AggregateFunction) -> String {
    let percentile = |name: &str, Percentile { fraction, descending }: &Percentile| {
        format!("{name} {fraction}{}", if *descending { " desc " } else { " " })
    };
    let name = match function {
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
        AggregateFunction::StringAgg { separator } => return format!("string_agg {separator:?} "),
        AggregateFunction::ArrayAgg => "array_agg",
        AggregateFunction::PercentileCont(at) => return percentile("percentile_cont", at),
        AggregateFunction::PercentileDisc(at) => return percentile("percentile_disc", at),
        AggregateFunction::Median => "median",
        AggregateFunction::OfPairs(of) => match of {
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
    };
    name.into()
}
