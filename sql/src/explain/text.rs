//! Expressions and steps as people read them.

use std::sync::LazyLock;

use millstream_engine::expr::Scalar;
use millstream_engine::plan::Step;
use regex::{Captures, Regex};

use crate::query::nodes::{describe_window, span};

/// An interval as DataFusion prints it.
static INTERVAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let text =
        r#"IntervalMonthDayNano\("IntervalMonthDayNano \{ months: (-?\d+), days: (-?\d+), nanoseconds: (-?\d+) \}"\)"#;
    Regex::new(text).ok()
});

/// The text of a plan with its intervals as SQL has them: `INTERVAL '1 mon 2 d'`.
pub(crate) fn readable(text: &str) -> String {
    let interval = |found: &Captures<'_>| {
        let number = |group: usize| found.get(group).and_then(|part| part.as_str().parse::<i64>().ok()).unwrap_or(0);
        let (months, days, nanos) = (number(1), number(2), number(3));
        let mut parts = Vec::new();
        if months != 0 {
            parts.push(format!("{months} mon"));
        }
        if days != 0 {
            parts.push(format!("{days} d"));
        }
        if nanos != 0 || parts.is_empty() {
            parts.push(if nanos % 1_000 == 0 { span(nanos / 1_000) } else { format!("{nanos} ns") });
        }
        format!("INTERVAL '{}'", parts.join(" "))
    };
    match INTERVAL.as_ref() {
        Some(interval_text) => interval_text.replace_all(text, interval).into_owned(),
        None => text.to_owned(),
    }
}

/// The steps of a node; a projection that only picks columns of the one before it is told with that one.
pub(super) fn steps(steps: &[Step]) -> String {
    let mut told: Vec<String> = Vec::with_capacity(steps.len());
    let mut columns: Option<Vec<String>> = None;
    for step in steps {
        let text = match step {
            Step::Filter(condition) => format!("filter {condition}"),
            Step::Project { exprs, .. } => {
                let picked = columns.take().and_then(|before| picks(exprs, &before));
                let now = picked.clone().unwrap_or_else(|| exprs.iter().map(ToString::to_string).collect());
                if picked.is_some() {
                    told.pop();
                }
                let text = format!("project [{}]", now.join(", "));
                columns = Some(now);
                told.push(text);
                continue;
            }
            Step::AssignWindows { window, .. } => format!("assign {}", describe_window(*window)),
            Step::Expand { sets, .. } => format!("expand to {} grouping sets", sets.len()),
            Step::Unnest { list, .. } => format!("unnest {list}"),
        };
        columns = None;
        told.push(text);
    }
    readable(&told.join(", "))
}

/// The columns that expressions pick; `None` where one of them computes something.
fn picks(exprs: &[Scalar], before: &[String]) -> Option<Vec<String>> {
    exprs.iter().map(|expr| before.get(expr.as_column()?).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn intervals_are_those_of_sql() {
        let raw = |months, days, nanos: i64| {
            let inner = format!("IntervalMonthDayNano {{ months: {months}, days: {days}, nanoseconds: {nanos} }}");
            readable(&format!("ts - IntervalMonthDayNano(\"{inner}\") > x"))
        };
        assert_eq!(raw(0, 0, 5_000_000_000), "ts - INTERVAL '5 s' > x");
        assert_eq!(raw(1, -2, 0), "ts - INTERVAL '1 mon -2 d' > x");
        assert_eq!(raw(0, 0, 0), "ts - INTERVAL '0 us' > x");
    }
}
