//! `millstream.state('job')` and `millstream.state('job', 'operator' [, 'table'])`: the state in the last checkpoint of a job.
//!
//! With a job alone: its operators and their tables. With an operator, by its id or its kind where there is one of it: the rows
//! of a table, by default of that with the keys. A state is read where it may take long, before the query is planned: what the
//! planner asks for and is not there yet is noted.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::plan_err;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use millstream_engine::checkpoint::readable::StateTable;
use millstream_sql::{SqlError, SqlState};
use parking_lot::Mutex;

use crate::errors::from_arrow;
use crate::session::{Database, blocking};

/// The name of the function.
pub(super) const NAME: &str = "state";

/// The tables that stand for an operator, the first that it has.
const MAIN: [&str; 6] = ["keys", "rows", "left", "sessions", "kept", "waiting"];

/// The arguments of a call.
type Call = Vec<String>;

/// See the module.
pub(super) struct StateFunction {
    database: Database,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    read: HashMap<Call, RecordBatch>,
    wanted: Vec<Call>,
}

impl StateFunction {
    pub(super) fn new(database: &Database) -> Self {
        Self { database: database.clone(), calls: Mutex::default() }
    }

    /// A query is about to be planned: what was read before is old.
    pub(super) fn start(&self) {
        *self.calls.lock() = Calls::default();
    }

    /// Reads what was asked for and is not there; whether there was any.
    ///
    /// # Errors
    /// Where there is no such job, operator or table, or no checkpoint of it that can be read.
    pub(super) async fn read(&self) -> Result<bool, SqlError> {
        let wanted = std::mem::take(&mut self.calls.lock().wanted);
        let any = !wanted.is_empty();
        for call in wanted {
            let (database, of) = (self.database.clone(), call.clone());
            let rows = blocking(move || rows_of(&database, &of)).await?;
            self.calls.lock().read.insert(call, rows);
        }
        Ok(any)
    }
}

impl fmt::Debug for StateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateFunction").finish_non_exhaustive()
    }
}

impl TableFunctionImpl for StateFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let text = |expr: &Expr| match expr {
            Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
            _ => None,
        };
        let call: Option<Call> = args.exprs().iter().map(text).collect();
        let Some(call) = call.filter(|call| (1..=3).contains(&call.len())) else {
            return plan_err!(
                "millstream.state takes the name of a job, and then of an operator and a table, as texts"
            );
        };
        let mut calls = self.calls.lock();
        if let Some(rows) = calls.read.get(&call) {
            return Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows.clone()]])?));
        }
        calls.wanted.push(call);
        plan_err!("a state that has not been read")
    }
}

fn rows_of(database: &Database, call: &[String]) -> Result<RecordBatch, SqlError> {
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
