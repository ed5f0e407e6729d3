//! Window functions as text, for `EXPLAIN`.

use millstream_engine::plan::{Frame, FrameBound, FrameUnits, OverCall, OverEmit, OverFunction, OverSpec};

use super::rank::order;
use super::{aggregate_name, keys};

/// What the window functions are.
pub(super) fn headline(spec: &OverSpec, names: &dyn Fn(&[usize]) -> String) -> String {
    let calls: Vec<String> = spec.calls.iter().map(|call| describe(call, names)).collect();
    let emit = match spec.emit {
        OverEmit::OnWatermark { .. } => ", rows on watermark",
        OverEmit::NetChange => "",
        OverEmit::OnArrival => ", rows on arrival",
    };
    format!("Over{}{}: {}{emit}", keys(&names(&spec.partition)), order(&spec.order, names), calls.join(", "))
}

fn describe(call: &OverCall, names: &dyn Fn(&[usize]) -> String) -> String {
    let distinct = if call.distinct { "distinct " } else { "" };
    let of = |args: &[usize]| if args.is_empty() { "*".to_owned() } else { names(args) };
    let shift = |name: &str, offset: i64, default: Option<usize>| {
        let default = default.map_or_else(String::new, |column| format!(", {}", names(&[column])));
        format!("{name}({}, {offset}{default})", names(&call.args))
    };
    let text = match &call.function {
        OverFunction::Aggregate(function) => format!("{}({distinct}{})", aggregate_name(function), of(&call.args)),
        OverFunction::RowNumber => "row_number()".into(),
        OverFunction::Rank => "rank()".into(),
        OverFunction::DenseRank => "dense_rank()".into(),
        OverFunction::PercentRank => "percent_rank()".into(),
        OverFunction::CumeDist => "cume_dist()".into(),
        OverFunction::Ntile(buckets) => format!("ntile({buckets})"),
        OverFunction::Lag { offset, default } => shift("lag", *offset, *default),
        OverFunction::Lead { offset, default } => shift("lead", *offset, *default),
        OverFunction::FirstValue => format!("first_value({})", names(&call.args)),
        OverFunction::LastValue => format!("last_value({})", names(&call.args)),
        OverFunction::NthValue(n) => format!("nth_value({}, {n})", names(&call.args)),
    };
    let nulls = if call.ignore_nulls { " ignore nulls" } else { "" };
    let filter = call.filter.map_or_else(String::new, |filter| format!(" filter ({})", names(&[filter])));
    let framed = match call.function {
        OverFunction::Aggregate(_) | OverFunction::FirstValue | OverFunction::LastValue | OverFunction::NthValue(_) => {
            format!(" {}", frame(&call.frame))
        }
        OverFunction::RowNumber
        | OverFunction::Rank
        | OverFunction::DenseRank
        | OverFunction::PercentRank
        | OverFunction::CumeDist
        | OverFunction::Ntile(_)
        | OverFunction::Lag { .. }
        | OverFunction::Lead { .. } => String::new(),
    };
    format!("{text}{nulls}{filter}{framed}")
}

fn frame(frame: &Frame) -> String {
    let units = match frame.units {
        FrameUnits::Rows => "rows",
        FrameUnits::Range => "range",
        FrameUnits::Groups => "groups",
    };
    let bound = |bound: FrameBound| match bound {
        FrameBound::UnboundedPreceding => "unbounded preceding".to_owned(),
        FrameBound::Preceding(by) => format!("{by} preceding"),
        FrameBound::CurrentRow => "current row".into(),
        FrameBound::Following(by) => format!("{by} following"),
        FrameBound::UnboundedFollowing => "unbounded following".into(),
    };
    format!("{units} between {} and {}", bound(frame.start), bound(frame.end))
}

/// What window functions keep, and until when.
pub(super) fn state(spec: &OverSpec) -> String {
    match spec.emit {
        OverEmit::NetChange => {
            "all rows of each partition in order, grows for ever: nothing bounds it (warning)".into()
        }
        OverEmit::OnWatermark { .. } => {
            "rows that the watermark has not passed; of each partition the rows that frames \
            still reach, and accumulators of frames without a start"
                .into()
        }
        OverEmit::OnArrival => {
            "of each partition the rows that frames still reach, and accumulators of frames without a start".into()
        }
    }
}
