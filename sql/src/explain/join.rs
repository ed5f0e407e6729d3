//! Joins as text, for `EXPLAIN`.

use millstream_engine::plan::{JoinKind, JoinSpec};

/// What a join of whole inputs does. `left` and `right` name the columns of its inputs.
pub(super) fn headline(
    spec: &JoinSpec,
    left: &dyn Fn(&[usize]) -> String,
    right: &dyn Fn(&[usize]) -> String,
) -> String {
    let key = |key: &millstream_engine::plan::JoinKey| {
        let equal = if key.null_equal { "is not distinct from" } else { "=" };
        format!("{} {equal} {}", left(&[key.left]), right(&[key.right]))
    };
    let mut on: Vec<String> = spec.keys.iter().map(key).collect();
    on.extend(spec.residual.as_ref().map(ToString::to_string));
    let on = if on.is_empty() { "all pairs".to_owned() } else { format!("on {}", on.join(" and ")) };
    let null_aware = if spec.null_aware { " (not in)" } else { "" };
    format!("Join {}{null_aware} {on}", kind(spec.kind))
}

/// What a join of whole inputs keeps.
pub(super) fn state(spec: &JoinSpec) -> String {
    match spec.ttl_us {
        (Some(_), Some(_)) => "the rows of both sides, dropped when they were idle for the state's time-to-live".into(),
        _ => "the rows of both sides, grows for ever: nothing bounds it (warning)".into(),
    }
}

/// The kind of a join in lower case.
pub(super) fn kind(kind: JoinKind) -> &'static str {
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
