//! [`TableDescriptor`]: what `create_table` makes.

use std::fmt::Write;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_engine::ports::{Sink, Source};
use millstream_sql::types::flink_name;

use crate::expression::quoted;

/// A table to be made: of a connector, of this program, or of the engine itself.
///
/// ```
/// # use millstream_table::TableDescriptor;
/// let bids = TableDescriptor::for_connector("datagen")
///     .column("price", "BIGINT")
///     .column("ts", "TIMESTAMP(3)")
///     .watermark("ts", "ts - INTERVAL '5' SECOND")
///     .option("number-of-rows", "100");
/// ```
#[derive(Debug, Clone)]
pub struct TableDescriptor {
    pub(crate) kind: TableKind,
    parts: Vec<String>,
    primary_key: Vec<String>,
    partitioned_by: Vec<String>,
    comment: Option<String>,
    options: Vec<(String, String)>,
    schema: Option<SchemaRef>,
    columns: usize,
}

/// Who keeps the rows of a table.
#[derive(Debug, Clone)]
pub(crate) enum TableKind {
    /// The engine.
    Internal,
    /// What a connector names.
    Connector(String),
    /// A source of this program.
    Source(Arc<dyn Source>),
    /// A sink of this program.
    Sink(Arc<dyn Sink>),
}

impl TableDescriptor {
    fn new(kind: TableKind) -> Self {
        Self {
            kind,
            parts: Vec::new(),
            primary_key: Vec::new(),
            partitioned_by: Vec::new(),
            comment: None,
            options: Vec::new(),
            schema: None,
            columns: 0,
        }
    }

    /// A table of a connector: one of Millstream's, or one that the environment was built with.
    pub fn for_connector(connector: impl Into<String>) -> Self {
        Self::new(TableKind::Connector(connector.into()))
    }

    /// A table of the engine's own, filled by `INSERT`.
    pub fn for_internal() -> Self {
        Self::new(TableKind::Internal)
    }

    /// A table that reads from a source of this program. Its columns are the source's where none are given; it is temporary.
    pub fn for_source(source: Arc<dyn Source>) -> Self {
        let schema = Some(source.schema());
        Self { schema, ..Self::new(TableKind::Source(source)) }
    }

    /// A table that writes to a sink of this program. Its columns are those of the schema where none are given; it is
    /// temporary.
    pub fn for_sink(schema: SchemaRef, sink: Arc<dyn Sink>) -> Self {
        Self { schema: Some(schema), ..Self::new(TableKind::Sink(sink)) }
    }

    /// With a stored column; the type is SQL: `BIGINT NOT NULL`, `ROW<a INT>`.
    #[must_use]
    pub fn column(mut self, name: impl AsRef<str>, data_type: impl AsRef<str>) -> Self {
        self.parts.push(format!("{} {}", quoted(name.as_ref()), data_type.as_ref()));
        self.columns += 1;
        self
    }

    /// With a column that is computed; the expression is SQL.
    #[must_use]
    pub fn column_by_expression(mut self, name: impl AsRef<str>, expression: impl AsRef<str>) -> Self {
        self.parts.push(format!("{} AS {}", quoted(name.as_ref()), expression.as_ref()));
        self
    }

    /// With a column of what the connector tells besides the row.
    #[must_use]
    pub fn column_by_metadata(
        mut self,
        name: impl AsRef<str>,
        data_type: impl AsRef<str>,
        key: impl AsRef<str>,
    ) -> Self {
        let key = key.as_ref().replace('\'', "''");
        self.parts.push(format!("{} {} METADATA FROM '{key}' VIRTUAL", quoted(name.as_ref()), data_type.as_ref()));
        self
    }

    /// With event time: the column, and the watermark as SQL.
    #[must_use]
    pub fn watermark(mut self, column: impl AsRef<str>, expression: impl AsRef<str>) -> Self {
        self.parts.push(format!("WATERMARK FOR {} AS {}", quoted(column.as_ref()), expression.as_ref()));
        self
    }

    /// With a primary key; not enforced, but for tables of the engine.
    #[must_use]
    pub fn primary_key<N: AsRef<str>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.primary_key = columns.into_iter().map(|column| quoted(column.as_ref())).collect();
        self
    }

    /// Cut into partitions by these columns.
    #[must_use]
    pub fn partitioned_by<N: AsRef<str>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.partitioned_by = columns.into_iter().map(|column| quoted(column.as_ref())).collect();
        self
    }

    /// With a comment.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// With an option of the connector.
    #[must_use]
    pub fn option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((key.into(), value.into()));
        self
    }

    /// `CREATE TABLE` as SQL. `handle`: by which the program's own connector finds source or sink.
    pub(crate) fn to_sql(&self, name: &str, temporary: bool, handle: Option<&str>) -> String {
        let mut parts = Vec::new();
        if let Some(schema) = self.schema.as_ref().filter(|_| self.columns == 0) {
            parts.extend(schema.fields().iter().map(|field| {
                let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
                format!("{} {}{not_null}", quoted(field.name()), flink_name(field.data_type()))
            }));
        }
        parts.extend(self.parts.iter().cloned());
        let enforced = if matches!(self.kind, TableKind::Internal) { "" } else { " NOT ENFORCED" };
        if !self.primary_key.is_empty() {
            parts.push(format!("PRIMARY KEY ({}){enforced}", self.primary_key.join(", ")));
        }
        let temporary = if temporary { "TEMPORARY " } else { "" };
        let mut text = format!("CREATE {temporary}TABLE {} (\n  {}\n)", quoted(name), parts.join(",\n  "));
        if let Some(comment) = &self.comment {
            let _ = write!(text, " COMMENT '{}'", comment.replace('\'', "''"));
        }
        if !self.partitioned_by.is_empty() {
            let _ = write!(text, " PARTITIONED BY ({})", self.partitioned_by.join(", "));
        }
        let connector = match &self.kind {
            TableKind::Internal => None,
            TableKind::Connector(name) => Some(name.as_str()),
            TableKind::Source(_) | TableKind::Sink(_) => Some(crate::embedded::NAME),
        };
        let own = connector.map(|name| ("connector", name)).into_iter();
        let own = own.chain(handle.map(|handle| (crate::embedded::HANDLE, handle)));
        let given = self.options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let option =
            |(key, value): (&str, &str)| format!("'{}' = '{}'", key.replace('\'', "''"), value.replace('\'', "''"));
        let options: Vec<String> = own.chain(given).map(option).collect();
        if !options.is_empty() {
            let _ = write!(text, " WITH ({})", options.join(", "));
        }
        text
    }
}
