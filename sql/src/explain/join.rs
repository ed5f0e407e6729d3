//! Joins as text, for `EXPLAIN`.

use millstream_engine::expr::Scalar;

use crate::query::nodes::span;
use millstream_engine::plan::{AsofMatch, IntervalJoinSpec, JoinKey, JoinKind, JoinSpec, TemporalJoinSpec};

/// Names columns of an input.
type Names<'a> = &'a dyn Fn(&[usize]) -> String;

/// What a join of whole inputs does. `left` and `right` name the columns of its inputs.
pub(super) fn headline(spec: &JoinSpec, left: Names<'_>, right: Names<'_>) -> String {
    let on = conditions(&spec.keys, None, spec.residual.as_ref(), (left, right));
    let null_aware = if spec.null_aware { " (not in)" } else { "" };
    format!("Join {}{null_aware} {on}", kind(spec.kind))
}

/// What a join within bounds of time does.
pub(super) fn interval(spec: &IntervalJoinSpec, left: Names<'_>, right: Names<'_>) -> String {
    let (left_time, right_time) = (left(&[spec.left_time]), right(&[spec.right_time]));
    let bound = |us: i64| match us {
        0 => right_time.clone(),
        ..0 => format!("{right_time} - {}", super::span(us.saturating_neg())),
        1.. => format!("{right_time} + {}", super::span(us)),
    };
    let within = format!("{left_time} between {} and {}", bound(spec.lower_us), bound(spec.upper_us));
    let on = conditions(&spec.keys, Some(within), spec.residual.as_ref(), (left, right));
    format!("IntervalJoin {} {on}", kind(spec.kind))
}

/// What a join with the versions of a table does.
pub(super) fn temporal(spec: &TemporalJoinSpec, left: Names<'_>, right: Names<'_>) -> String {
    let version = match (spec.right_time, spec.asof) {
        (None, _) => "as of processing time".to_owned(),
        (Some(time), AsofMatch::AtOrBefore) => format!("{} <= {}", right(&[time]), left(&[spec.left_time])),
        (Some(time), AsofMatch::Before) => format!("{} < {}", right(&[time]), left(&[spec.left_time])),
    };
    let on = conditions(&spec.keys, Some(version), spec.residual.as_ref(), (left, right));
    format!("TemporalJoin {} {on}", kind(spec.kind))
}

/// The condition of a join.
fn conditions(
    keys: &[JoinKey],
    times: Option<String>,
    residual: Option<&Scalar>,
    (left, right): (Names<'_>, Names<'_>),
) -> String {
    let key = |key: &JoinKey| {
        let equal = if key.null_equal { "is not distinct from" } else { "=" };
        format!("{} {equal} {}", left(&[key.left]), right(&[key.right]))
    };
    let mut on: Vec<String> = keys.iter().map(key).collect();
    on.extend(times);
    on.extend(residual.map(ToString::to_string));
    if on.is_empty() { "all pairs".to_owned() } else { format!("on {}", on.join(" and ")) }
}

/// What a join of whole inputs keeps.
pub(super) fn state(spec: &JoinSpec) -> String {
    let until = |ttl_us: Option<i64>| match ttl_us {
        Some(ttl_us) => format!("dropped when they were idle for {}", span(ttl_us)),
        None => "grows for ever: nothing bounds it (warning)".to_owned(),
    };
    match spec.ttl_us {
        (left, right) if left == right => format!("the rows of both sides, {}", until(left)),
        (left, right) => format!("the rows of the left side, {}; of the right side, {}", until(left), until(right)),
    }
}

/// What a join with the versions of a table keeps.
pub(super) fn temporal_state(spec: &TemporalJoinSpec) -> String {
    match spec.right_time {
        Some(_) => {
            "rows until the watermark passes them; of each key the versions from the watermark on, one before it".into()
        }
        None => "the last version of each key".into(),
    }
}

/// The kind of a join in lower case.
fn kind(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Full => "full",
        JoinKind::Semi => "semi",
        JoinKind::Anti => "anti",
        JoinKind::Mark => "mark",
    }
}
