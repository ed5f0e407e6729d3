//! The driver that calls sessions directly.

use async_trait::async_trait;
use millstream_server::encode::text_value;
use millstream_server::session::{Body, Rows, Session};
use millstream_sql::SqlError;
use sqllogictest::{AsyncDB, DefaultColumnType};

use super::{Output, SqlFailure, cell, database, run_all, run_file};

struct InProcess(Session);

impl From<SqlError> for SqlFailure {
    fn from(error: SqlError) -> Self {
        Self { state: error.parts().state.0.to_owned(), message: error.to_string() }
    }
}

#[async_trait]
impl AsyncDB for InProcess {
    type Error = SqlFailure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<Output, SqlFailure> {
        let Some(outcome) = self.0.execute_script(sql).await? else { return Ok(Output::StatementComplete(0)) };
        let rows = match outcome.body {
            Body::Done(tag) => return Ok(Output::StatementComplete(count(&tag))),
            Body::CopyOut(_) | Body::CopyIn(_) => return Ok(Output::StatementComplete(0)),
            Body::Rows(rows) | Body::Subscription(rows) => rows,
        };
        Ok(texts(rows, &self.0).await?)
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "in-process"
    }

    fn error_sql_state(error: &SqlFailure) -> Option<String> {
        Some(error.state.clone())
    }
}

/// The rows that a command tag tells of.
pub(super) fn count(tag: &str) -> u64 {
    tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// All rows as texts.
pub(super) async fn texts(rows: Rows, session: &Session) -> Result<Output, SqlError> {
    let types = vec![DefaultColumnType::Any; rows.schema.fields().len()];
    let style = session.settings().style();
    let mut made = Vec::new();
    for batch in rows.collect().await? {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| cell(text_value(column, row, style).as_deref()));
            made.push(values.collect());
        }
    }
    Ok(Output::Rows { types, rows: made })
}

fn run_on_shards(shards: usize) {
    run_all(|file| async move {
        let database = database(shards);
        let failures = run_file(|| async { Ok(InProcess(database.session())) }, &file).await;
        database.shutdown();
        failures
    });
}

#[test]
fn on_one_shard() {
    run_on_shards(1);
}

#[test]
fn on_two_shards() {
    run_on_shards(2);
}

#[test]
fn on_four_shards() {
    run_on_shards(4);
}
