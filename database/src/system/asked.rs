//! [`AskedFunction`]: a table function whose rows come from where it may take long.
//!
//! They are read before the query is planned: what the planner asks for and is not there yet is noted, read, and the query
//! planned again.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::plan_err;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use millstream_sql::SqlError;
use parking_lot::Mutex;

use crate::session::blocking;

/// The arguments of a call, all texts.
type Call = Vec<String>;

/// The rows of a call. It may wait.
type Answer = dyn Fn(&[String]) -> Result<RecordBatch, SqlError> + Send + Sync;

/// See the module.
pub(super) struct AskedFunction {
    answer: Arc<Answer>,
    arguments: RangeInclusive<usize>,
    /// What is said where the arguments are others.
    takes: &'static str,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    read: HashMap<Call, RecordBatch>,
    wanted: Vec<Call>,
}

impl AskedFunction {
    /// A function of so many texts; `takes` says so in words.
    pub(super) fn new(
        arguments: RangeInclusive<usize>,
        takes: &'static str,
        answer: impl Fn(&[String]) -> Result<RecordBatch, SqlError> + Send + Sync + 'static,
    ) -> Self {
        Self { answer: Arc::new(answer), arguments, takes, calls: Mutex::default() }
    }

    /// A query is about to be planned: what was read before is old.
    pub(super) fn start(&self) {
        *self.calls.lock() = Calls::default();
    }

    /// Reads what was asked for and is not there; whether there was any.
    ///
    /// # Errors
    /// What the function reports.
    pub(super) async fn read(&self) -> Result<bool, SqlError> {
        let wanted = std::mem::take(&mut self.calls.lock().wanted);
        let any = !wanted.is_empty();
        for call in wanted {
            let (answer, of) = (Arc::clone(&self.answer), call.clone());
            let rows = blocking(move || answer(&of)).await?;
            self.calls.lock().read.insert(call, rows);
        }
        Ok(any)
    }
}

impl fmt::Debug for AskedFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskedFunction").finish_non_exhaustive()
    }
}

impl TableFunctionImpl for AskedFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let text = |expr: &Expr| match expr {
            Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
            _ => None,
        };
        let call: Option<Call> = args.exprs().iter().map(text).collect();
        let Some(call) = call.filter(|call| self.arguments.contains(&call.len())) else {
            return plan_err!("{}", self.takes);
        };
        let mut calls = self.calls.lock();
        if let Some(rows) = calls.read.get(&call) {
            return Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows.clone()]])?));
        }
        calls.wanted.push(call);
        plan_err!("rows that have not been read")
    }
}
