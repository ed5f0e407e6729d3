//! Makes a case that fails small: a part of its query instead of the whole, and no statement that it does not need.

use super::case::{Case, Failure, Report, View};

/// The smallest case found, as text for an `.slt` file with what came instead.
pub(super) async fn smallest(case: Case, failure: Failure) -> String {
    let (mut case, mut failure) = (only(&case, failure.view, None), failure);
    let last = case.views.len() - 1;
    let mut parts = case.views[last].parts.clone();
    parts.sort_by_key(String::len);
    for part in parts {
        let tried = only(&case, last, Some(&part));
        if let Some(found) = fails(&tried).await {
            (case, failure) = (tried, found);
            break;
        }
    }
    case.steps.truncate(failure.step + 1);
    for step in (0..case.steps.len()).rev() {
        for at in (0..case.steps[step].len()).rev() {
            let mut tried = case.clone();
            tried.steps[step].remove(at);
            if let Some(found) = fails(&tried).await {
                (case, failure) = (tried, found);
            }
        }
    }
    text(&case, &failure)
}

/// The case with one view and those that it stands on. `query` replaces its own.
fn only(case: &Case, index: usize, query: Option<&str>) -> Case {
    let mut last = case.views[index].clone();
    if let Some(query) = query {
        last.sql = query.to_owned();
    }
    let mut views = vec![last];
    for view in case.views[..index].iter().rev() {
        let reads = |other: &View| other.sql.contains(&format!(" {} AS ", view.name));
        if views.iter().any(reads) {
            views.insert(0, view.clone());
        }
    }
    let early = if index < case.early { views.len() } else { 0 };
    Case { views, early, ..case.clone() }
}

/// How the last view of a case fails; a case may end by an error of a statement that a removed one prepared.
async fn fails(case: &Case) -> Option<Failure> {
    let tried = case.clone();
    let report: Report = tokio::spawn(async move { tried.run().await }).await.ok()?;
    let last = case.views.len() - 1;
    report.failures.into_iter().find(|failure| failure.view == last)
}

fn text(case: &Case, failure: &Failure) -> String {
    let mut lines = vec![format!("# {} shards", case.shards)];
    lines.extend(case.tables.iter().map(|sql| format!("statement ok\n{sql}\n")));
    for (step, statements) in case.steps.iter().enumerate() {
        let (from, to) = match step {
            0 => (0, case.early),
            1 => (case.early, case.views.len()),
            _ => (0, 0),
        };
        for view in &case.views[from..to] {
            let kind = if view.plain { "VIEW" } else { "MATERIALIZED VIEW" };
            lines.push(format!("statement ok\nCREATE {kind} {} AS {}\n", view.name, view.sql));
        }
        lines.extend(statements.iter().map(|sql| format!("statement ok\n{sql}\n")));
    }
    let last = &case.views[case.views.len() - 1];
    let want = failure.want.join("\n").replace('|', " ");
    lines.push(format!("query T rowsort\nSELECT * FROM {}\n----\n{want}\n", last.name));
    lines.push(format!("# Instead (step {}, view {}):\n{}\n", failure.step, failure.view, failure.told));
    lines.join("\n")
}
