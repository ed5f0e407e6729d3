//! Ranks as text, for `EXPLAIN`.

use millstream_engine::plan::{RankEmit, RankFunction, RankSpec, SortKey};

use crate::query::nodes::span;

/// What a rank does.
pub(super) fn headline(spec: &RankSpec, names: &dyn Fn(&[usize]) -> String) -> String {
    let function = match spec.function {
        RankFunction::RowNumber => "row_number",
        RankFunction::Rank => "rank",
        RankFunction::DenseRank => "dense_rank",
    };
    let ranks = match (spec.from, spec.to) {
        (1, u64::MAX) => String::new(),
        (from, u64::MAX) => format!(" from {from}"),
        (from, to) if from == to => format!(" = {to}"),
        (1, to) => format!(" <= {to}"),
        (from, to) => format!(" in {from} to {to}"),
    };
    let column = spec.rank_column.as_ref().map_or_else(String::new, |column| format!(" as {}", column.name()));
    let emit = match (spec.window_end, spec.emit) {
        (Some(_), _) => ", final rows of each window",
        (None, RankEmit::OnWatermark { .. }) => ", final rows on watermark",
        (None, RankEmit::FirstArrival) => ", first row that arrives",
        (None, RankEmit::LastArrival) => ", last row that arrived",
        (None, RankEmit::NetChange) => "",
    };
    let partition = if spec.partition.is_empty() { String::new() } else { format!(" by ({})", names(&spec.partition)) };
    format!("Rank {function}{ranks}{column}{partition}{}{emit}", order(&spec.order, names))
}

/// An order, with a leading blank; nulls are named where they are not where PostgreSQL has them.
pub(super) fn order(keys: &[SortKey], names: &dyn Fn(&[usize]) -> String) -> String {
    let key = |key: &SortKey| {
        let direction = if key.descending { " desc" } else { "" };
        let nulls = match (key.nulls_first, key.descending) {
            (true, false) => " nulls first",
            (false, true) => " nulls last",
            (true, true) | (false, false) => "",
        };
        format!("{}{direction}{nulls}", names(&[key.column]))
    };
    if keys.is_empty() {
        return String::new();
    }
    format!(" order by ({})", keys.iter().map(key).collect::<Vec<_>>().join(", "))
}

/// What a rank keeps, and until when.
pub(super) fn state(spec: &RankSpec) -> String {
    let rows = match (spec.retracts, spec.to) {
        _ if spec.emit == RankEmit::FirstArrival => "the key of each partition".to_owned(),
        (true, _) | (false, u64::MAX) => "all rows of each partition in order".to_owned(),
        (false, to) => format!("the first {to} of each partition"),
    };
    let until = match (spec.window_end, spec.ttl_us) {
        (Some(_), _) => "dropped when the watermark closes the window".to_owned(),
        (None, Some(ttl)) => format!("forgotten {} after the last change", span(ttl)),
        (None, None) if spec.partition.is_empty() && !spec.retracts && spec.to < u64::MAX => return rows,
        (None, None) => "grows for ever: nothing bounds it (warning)".to_owned(),
    };
    format!("{rows}, {until}")
}
