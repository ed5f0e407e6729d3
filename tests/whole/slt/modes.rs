//! The files once more, each query in every runtime mode: as a batch, and as a dataflow over what is there now. Where the
//! streaming runtime cannot do a query, the session says so and answers in batch; those are not counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use millstream_server::session::{Body, Session};
use sqllogictest::{AsyncDB, DefaultColumnType};

use super::in_process::{count, texts};
use super::{Output, SqlFailure, database, run_all, run_file};

/// Queries of the files that must have been compared at the least: else the comparison has lost them.
const COMPARED_MIN: usize = 300;

/// What gives other rows at another time.
const CHANGING: [&str; 12] = [
    "now()",
    "proctime()",
    "current_timestamp",
    "localtimestamp",
    "current_time",
    "current_date",
    "localtime",
    "rand",
    "uuid()",
    "unix_timestamp()",
    "millstream.",
    "pg_",
];

struct EveryMode {
    session: Session,
    compared: Arc<AtomicUsize>,
}

impl EveryMode {
    /// What a statement gives; of a query, whether it was computed as the mode says.
    async fn output(&mut self, sql: &str) -> Result<(Output, bool), SqlFailure> {
        let none = (Output::StatementComplete(0), false);
        let Some(outcome) = self.session.execute_script(sql).await? else { return Ok(none) };
        let in_batch = outcome.notices.iter().any(|notice| notice.message.starts_with("computed in batch"));
        match outcome.body {
            Body::Rows(rows) => Ok((texts(rows, &self.session).await?, !in_batch)),
            Body::Done(tag) => Ok((Output::StatementComplete(count(&tag)), false)),
            Body::CopyOut(_) | Body::CopyIn(_) | Body::Subscription(_) => Ok(none),
        }
    }
}

/// Whether a text is one query whose rows are the same at any time, in any order.
fn is_steady(sql: &str) -> bool {
    let lower = sql.trim().to_ascii_lowercase();
    let query = ["select", "with", "values", "table"].iter().any(|word| lower.starts_with(word));
    let ordered = !lower.contains("limit") || lower.contains("order by");
    query && ordered && !lower.contains(';') && !CHANGING.iter().any(|word| lower.contains(word))
}

fn sorted(output: &Output) -> Vec<Vec<String>> {
    match output {
        Output::Rows { rows, .. } => {
            let mut rows = rows.clone();
            rows.sort();
            rows
        }
        // A statement that gives no rows; the enum is not ours, and may grow.
        _ => Vec::new(),
    }
}

#[async_trait]
impl AsyncDB for EveryMode {
    type Error = SqlFailure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<Output, SqlFailure> {
        const MODE: &str = "execution.runtime-mode";
        let (first, _) = self.output(sql).await?;
        let before = self.session.settings().show(MODE)?.1;
        if before != "automatic" || !is_steady(sql) {
            return Ok(first);
        }
        for mode in ["batch", "streaming"] {
            self.session.execute_script(&format!("SET '{MODE}' = '{mode}'")).await?;
            let again = self.output(sql).await;
            self.session.execute_script(&format!("RESET '{MODE}'")).await?;
            let (rows, as_said) = again?;
            if sorted(&rows) != sorted(&first) {
                let message = format!("in mode {mode}: {:?}, not {:?}", sorted(&rows), sorted(&first));
                return Err(SqlFailure { state: "MODES".to_owned(), message });
            }
            self.compared.fetch_add(usize::from(as_said), Ordering::Relaxed);
        }
        Ok(first)
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "in-process"
    }

    fn error_sql_state(error: &SqlFailure) -> Option<String> {
        Some(error.state.clone())
    }
}

#[test]
fn in_every_mode() {
    let compared = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&compared);
    run_all(move |file| {
        let compared = Arc::clone(&counter);
        async move {
            let database = database(2);
            let make = || async { Ok(EveryMode { session: database.session(), compared: Arc::clone(&compared) }) };
            let failures = run_file(make, &file).await;
            database.shutdown();
            failures
        }
    });
    let compared = compared.load(Ordering::Relaxed);
    assert!(compared >= COMPARED_MIN, "only {compared} queries were compared");
}
