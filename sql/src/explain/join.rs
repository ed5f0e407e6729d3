//! Joins as text, for `EXPLAIN`.

use millstream_engine::expr::Scalar;
use millstream_engine::plan::{
    AsofMatch, CurrentJoinSpec, IntervalJoinSpec, JoinKey, JoinKind, JoinSpec, LookupJoinSpec, MultiJoinSpec,
    TemporalJoinSpec,
};

use crate::query::nodes::span;

/// Names columns of an input.
type Names<'a> = &'a dyn Fn(&[usize]) -> String;

/// What a join of whole inputs does. `left` and `right` name the columns of its inputs.
pub(super) fn headline(spec: &JoinSpec, left: Names<'_>, right: Names<'_>) -> String {
    let on = conditions(&spec.keys, None, spec.residual.as_ref(), (left, right));
    let null_aware = if spec.null_aware { " (not in)" } else { "" };
    format!("Join {}{null_aware} {on}", kind(spec.kind))
}

/// What a join of several inputs does. `names` names columns of the input at a port.
pub(super) fn multi(spec: &MultiJoinSpec, names: &dyn Fn(usize, &[usize]) -> String) -> String {
    let keys = spec.keys.first().map_or(0, Vec::len);
    let key = |at: usize| {
        let of_input = |(port, keys): (usize, &Vec<usize>)| keys.get(at).map(|key| names(port, &[*key]));
        spec.keys.iter().enumerate().filter_map(of_input).collect::<Vec<_>>().join(" = ")
    };
    format!("MultiJoin inner on {}", (0..keys).map(key).collect::<Vec<_>>().join(" and "))
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
    let (which, compared) = match spec.asof {
        AsofMatch::AtOrBefore => ("last", "<="),
        AsofMatch::Before => ("last", "<"),
        AsofMatch::AtOrAfter => ("first", ">="),
        AsofMatch::After => ("first", ">"),
    };
    let version = format!("the {which} {} {compared} {}", right(&[spec.right_time]), left(&[spec.left_time]));
    let on = conditions(&spec.keys, Some(version), spec.residual.as_ref(), (left, right));
    format!("TemporalJoin {} {on}", kind(spec.kind))
}

/// What a join with what a table holds does.
pub(super) fn current(spec: &CurrentJoinSpec, left: Names<'_>, right: Names<'_>) -> String {
    let when = if spec.right_ends { "when the table is read to its end" } else { "as of processing time" };
    let on = conditions(&spec.keys, None, spec.residual.as_ref(), (left, right));
    format!("CurrentJoin {} {on}, {when}", kind(spec.kind))
}

/// What a join with a table outside does.
pub(super) fn lookup(spec: &LookupJoinSpec, left: Names<'_>) -> String {
    let schema = spec.lookup.schema();
    let right = |columns: &[usize]| {
        let names = columns.iter().filter_map(|column| schema.fields().get(*column));
        names.map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
    };
    let on = conditions(&spec.keys, None, spec.residual.as_ref(), (left, &right));
    format!("LookupJoin {} {}, {} {on}", kind(spec.kind), spec.table, spec.lookup.describe())
}

/// What a join with a table outside keeps.
pub(super) fn lookup_state(spec: &LookupJoinSpec) -> String {
    let waiting = "rows that wait for an answer and come out in their order, none at the end of an epoch";
    let Some(cache) = spec.lookup.cache() else { return waiting.to_owned() };
    let most = cache.rows_max.map(|rows| format!(", at most {rows} rows")).unwrap_or_default();
    let age = cache.expire_us.map(|us| format!(", for {}", super::span(us))).unwrap_or_default();
    let bound = if cache.rows_max.is_none() && age.is_empty() { ", grows for ever (warning)" } else { "" };
    format!("{waiting}; cached answers{most}{age}{bound}")
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
    match spec.asof {
        AsofMatch::AtOrBefore | AsofMatch::Before => {
            "rows until the watermark passes them; of each key the versions from the watermark on, one before it".into()
        }
        AsofMatch::AtOrAfter | AsofMatch::After => {
            "rows until the watermark passes the next row of their key, a key without one for ever; right rows until the \
             watermark passes them"
                .into()
        }
    }
}

/// What a join with what a table holds keeps.
pub(super) fn current_state(spec: &CurrentJoinSpec) -> String {
    match spec.right_ends {
        true => "the table; rows until the table is read to its end".into(),
        false => "the table; rows until the end of their epoch".into(),
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
