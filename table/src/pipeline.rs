//! Tables that are written into tables: one, or several as one job.

use crate::Result;
use crate::environment::TableEnvironment;
use crate::expression::quoted;
use crate::result::TableResult;
use crate::table::Table;

/// A table and where its rows go.
#[derive(Debug, Clone)]
pub struct TablePipeline {
    table: Table,
    target: String,
}

impl TablePipeline {
    pub(crate) fn new(table: Table, target: String) -> Self {
        Self { table, target }
    }

    async fn to_sql(&self) -> Result<String> {
        Ok(format!("INSERT INTO {} {}", quoted(&self.target), self.table.to_sql().await?))
    }

    /// Writes the rows: to their end where they have one, else in a job that goes on, which `SHOW JOBS` lists.
    ///
    /// # Errors
    /// Where the query cannot be bound, does not fit the table, or fails.
    pub async fn execute(&self) -> Result<TableResult> {
        self.table.environment().execute_sql(&self.to_sql().await?).await
    }

    /// Logical plan and dataflow of the `INSERT`.
    ///
    /// # Errors
    /// As binding it.
    pub async fn explain(&self) -> Result<String> {
        self.table.environment().explain_sql(&self.to_sql().await?).await
    }
}

/// Several inserts that run as one job, which reads each source once.
#[derive(Debug, Clone)]
pub struct StatementSet {
    environment: TableEnvironment,
    pipelines: Vec<TablePipeline>,
}

impl StatementSet {
    pub(crate) fn new(environment: TableEnvironment) -> Self {
        Self { environment, pipelines: Vec::new() }
    }

    /// With one insert more.
    #[must_use]
    pub fn add_insert(mut self, target: impl Into<String>, table: &Table) -> Self {
        self.pipelines.push(table.insert_into(target));
        self
    }

    /// Runs them.
    ///
    /// # Errors
    /// As [`TablePipeline::execute`].
    pub async fn execute(&self) -> Result<TableResult> {
        let mut text = String::from("EXECUTE STATEMENT SET BEGIN ");
        for pipeline in &self.pipelines {
            text.push_str(&pipeline.to_sql().await?);
            text.push_str("; ");
        }
        text.push_str("END");
        self.environment.execute_sql(&text).await
    }
}
