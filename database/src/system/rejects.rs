//! `millstream.late_rows`, `millstream.bad_rows` and `millstream.sink_errors`: what jobs rejected, as tables that any query can
//! read, so that rows can be put right and inserted again.
//!
//! They are tables of a connector that `WITH` cannot name: batch queries and dataflows read them as they read any other.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use millstream_engine::plan::RelationId;
use millstream_engine::ports::{
    Boundedness, Capabilities, Connector, ConnectorDescriptor, MemorySource, OptionValues, ScanRequest, Sink, Source,
    TableSpec,
};
use millstream_engine::rejects::{RejectEntry, RejectKind, RejectLog, RejectedContent};
use millstream_engine::{EngineError, Result};
use millstream_sql::catalog::{ConnectorTable, Relation};
use millstream_sql::error::from_evaluation;

use crate::encode::{TextStyle, write_json_row};
use crate::session::{moments, some_numbers, texts};

/// The connector's name, which no option can have: it is in no list.
const CONNECTOR: &str = "rejected rows";

/// The tables.
const TABLES: [(&str, RejectKind); 3] =
    [("late_rows", RejectKind::Late), ("bad_rows", RejectKind::Bad), ("sink_errors", RejectKind::Sink)];

/// SQLSTATE of a record that breaks its format: `invalid_text_representation`.
const BROKEN_RECORD: &str = "22P02";

/// The connector behind the tables.
pub(crate) struct RejectsConnector {
    descriptor: ConnectorDescriptor,
    log: Arc<RejectLog>,
}

impl RejectsConnector {
    /// Tables over this log.
    pub(crate) fn new(log: Arc<RejectLog>) -> Self {
        let descriptor = ConnectorDescriptor {
            name: CONNECTOR,
            doc: "The rows that jobs rejected.",
            options: Vec::new(),
            capabilities: Capabilities { source: true, ..Capabilities::default() },
            metadata: Vec::new(),
        };
        Self { descriptor, log }
    }
}

impl fmt::Debug for RejectsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectsConnector").finish_non_exhaustive()
    }
}

impl Connector for RejectsConnector {
    fn descriptor(&self) -> &ConnectorDescriptor {
        &self.descriptor
    }

    fn validate(&self, _table: &TableSpec) -> Result<()> {
        Ok(())
    }

    fn source(&self, table: &TableSpec, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let kind = kind_of(&table.name)
            .ok_or_else(|| EngineError::Internal(format!("no rejected rows \"{}\"", table.name)))?;
        let columns: Vec<usize> = request.columns.iter().map(|column| column.index).collect();
        let batch = rejected(&self.log, kind)?.project(&columns)?;
        Ok(Arc::new(MemorySource::new(batch.schema(), vec![vec![batch]])))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Err(EngineError::Config { message: format!("table \"{}\" cannot be written", table.name), hint: None })
    }

    fn boundedness(&self, _table: &TableSpec) -> Boundedness {
        Boundedness::Bounded
    }
}

/// The tables for the binder, by their qualified names.
pub(crate) fn relations() -> BTreeMap<String, Arc<Relation>> {
    // Numbers that no relation is given.
    let ids = (0..).map(|index| RelationId(u64::MAX - index));
    TABLES.iter().zip(ids).map(|((name, _), id)| relation(name, id)).collect()
}

/// What a table holds now; `None` where there is no such table.
pub(super) fn table(log: &RejectLog, name: &str) -> Option<Result<RecordBatch>> {
    TABLES.iter().find(|(known, _)| *known == name).map(|(_, kind)| rejected(log, *kind))
}

/// Whether there is such a table.
pub(super) fn is_table(name: &str) -> bool {
    TABLES.iter().any(|(known, _)| *known == name)
}

fn kind_of(qualified: &str) -> Option<RejectKind> {
    let name = qualified.strip_prefix(super::running::NAME)?.strip_prefix('.')?;
    TABLES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

fn relation(name: &str, id: RelationId) -> (String, Arc<Relation>) {
    let name = format!("{}.{name}", super::running::NAME);
    let spec = TableSpec {
        name: name.clone(),
        schema: schema(),
        options: OptionValues::default(),
        partitioned_by: Vec::new(),
        primary_key: Vec::new(),
    };
    let table =
        ConnectorTable { connector: CONNECTOR.to_owned(), spec, watermark: None, boundedness: Boundedness::Bounded };
    (name, Arc::new(Relation::undeclared(id, table)))
}

fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("job_id", DataType::Int64, true),
        text("job"),
        text("relation"),
        text("operator"),
        text("place"),
        text("reason"),
        text("sqlstate"),
        text("row"),
    ]))
}

/// One line of a table.
struct Line<'a> {
    entry: &'a RejectEntry,
    reason: String,
    state: Option<&'static str>,
    row: String,
}

fn rejected(log: &RejectLog, kind: RejectKind) -> Result<RecordBatch> {
    let entries = log.entries(kind);
    let lines: Vec<Line<'_>> = entries.iter().flat_map(lines).collect();
    let optional = |of: fn(&RejectEntry) -> Option<&str>| -> ArrayRef {
        Arc::new(lines.iter().map(|line| of(line.entry)).collect::<StringArray>())
    };
    let columns = vec![
        moments(lines.iter().map(|line| Some(line.entry.at.0))),
        some_numbers(lines.iter().map(|line| line.entry.job.map(|job| job.0))),
        optional(|entry| Some(&entry.name)),
        optional(|entry| entry.relation.as_deref()),
        optional(|entry| Some(&entry.operator)),
        optional(|entry| entry.rejected.place.as_deref()),
        texts(lines.iter().map(|line| line.reason.clone())),
        Arc::new(lines.iter().map(|line| line.state).collect::<StringArray>()),
        texts(lines.iter().map(|line| line.row.clone())),
    ];
    let options = RecordBatchOptions::new().with_row_count(Some(lines.len()));
    Ok(RecordBatch::try_new_with_options(schema(), columns, &options)?)
}

fn lines(entry: &RejectEntry) -> Vec<Line<'_>> {
    let rejected = &entry.rejected;
    match &rejected.content {
        RejectedContent::Record(record) => {
            let reason = rejected.reason.clone();
            vec![Line { entry, reason, state: Some(BROKEN_RECORD), row: record.clone() }]
        }
        RejectedContent::Rows(batch) => {
            let (reason, state) = match rejected.kind {
                RejectKind::Late => ("the watermark had passed it".to_owned(), None),
                RejectKind::Bad | RejectKind::Sink => {
                    let error = from_evaluation(&rejected.reason);
                    (error.to_string(), Some(error.parts().state.0))
                }
            };
            let line = |row: usize| {
                let mut text = String::new();
                write_json_row(batch, row, TextStyle::default(), &mut text);
                Line { entry, reason: reason.clone(), state, row: text }
            };
            (0..batch.num_rows()).map(line).collect()
        }
    }
}
