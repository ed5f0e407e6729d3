//! `millstream.state('job')` and `millstream.state('job', 'operator' [, 'table'])`: the state in the last checkpoint of a job.
//!
//! With a job alone: its operators and their tables. With an operator, by its id or its kind where there is one of it: the rows
//! of a table, by default of that with the keys.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use millstream_engine::checkpoint::readable::StateTable;
use millstream_sql::error::from_arrow;
use millstream_sql::{SqlError, SqlState};

use crate::session::Database;

/// The name of the function.
pub(super) const NAME: &str = "state";

/// The tables that stand for an operator, the first that it has.
const MAIN: [&str; 6] = ["keys", "rows", "left", "sessions", "kept", "waiting"];

/// What is wrong with other arguments.
pub(super) const TAKES: &str =
    "millstream.state takes the name of a job, and then of an operator and a table, as texts";

/// The rows of a call.
///
/// # Errors
/// Where there is no such job, operator or table, or no checkpoint of it that can be read.
pub(super) fn rows_of(database: &Database, call: &[String]) -> Result<RecordBatch, SqlError> {
    let (name, operator, table) = (call.first(), call.get(1), call.get(2));
    let name = name.map(String::as_str).unwrap_or_default();
    let missing = |what: String| SqlError::new(SqlState::UNDEFINED_OBJECT, what);
    let job = database.durable_job(name).ok_or_else(|| {
        missing(format!("no checkpoints are made of a job \"{name}\"")).with_hint("SHOW CHECKPOINTS lists the jobs.")
    })?;
    let tables = database.engine().state(job)?;
    let Some(operator) = operator else { return list(&tables).map_err(from_arrow) };
    let is_kind = |id: &str| id.strip_prefix(operator.as_str()).is_some_and(|rest| rest.starts_with('-'));
    let hint = format!("SELECT * FROM millstream.state('{name}') lists the operators.");
    let found: Vec<&StateTable> = tables.iter().filter(|table| table.operator == *operator).collect();
    let found = if found.is_empty() { tables.iter().filter(|table| is_kind(&table.operator)).collect() } else { found };
    let Some(first) = found.first() else {
        return Err(missing(format!("job \"{name}\" has no state of an operator \"{operator}\"")).with_hint(hint));
    };
    if found.iter().any(|table| table.operator != first.operator) {
        return Err(missing(format!("job \"{name}\" has several operators \"{operator}\"")).with_hint(hint));
    }
    let of_name = |name: &str| found.iter().find(|table| table.table == name).copied();
    let chosen = match table {
        Some(table) => of_name(table),
        None => MAIN.iter().find_map(|name| of_name(name)).or(Some(*first)),
    };
    let chosen = chosen.ok_or_else(|| {
        let names: Vec<&str> = found.iter().map(|table| table.table.as_str()).collect();
        missing(format!("the state of \"{operator}\" has no such table"))
            .with_hint(format!("It has {}.", names.join(", ")))
    })?;
    Ok(chosen.rows.clone())
}

fn list(tables: &[StateTable]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let text = |of: fn(&StateTable) -> &str| Arc::new(StringArray::from_iter_values(tables.iter().map(of))) as ArrayRef;
    let rows = tables.iter().map(|table| i64::try_from(table.rows.num_rows()).unwrap_or(i64::MAX));
    let columns = tables.iter().map(|table| {
        let schema = table.rows.schema();
        schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(", ")
    });
    RecordBatch::try_from_iter([
        ("operator", text(|table| &table.operator)),
        ("table_name", text(|table| &table.table)),
        ("rows", Arc::new(Int64Array::from_iter_values(rows)) as ArrayRef),
        ("columns", Arc::new(StringArray::from_iter_values(columns)) as ArrayRef),
    ])
}
