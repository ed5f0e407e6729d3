//! Persisted form 1 of rejected rows: a table of state of their job, one row an entry; or, of those that no checkpoint has, an Arrow IPC
//! stream of such a table, which besides has the name of who rejected them.
//!
//! Rows that have columns, which differ from operator to operator, are an Arrow IPC stream in a field of their own. Columns
//! that are not known are left out, so that later releases may add some.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use arrow::ipc::writer::StreamWriter;

use super::{RejectEntry, RejectKind, RejectOrigin, Rejected, RejectedContent};
use crate::checkpoint::format_run::read_stream;
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::runtime::JobId;
use crate::time::ProcessingTime;

/// What checkpoints call the table's operator, which is none of any plan.
pub(crate) const REJECTED: &str = "rejected";

/// Entries as a table.
///
/// # Errors
/// Where Arrow cannot write rows.
pub(crate) fn encode(entries: &[Arc<RejectEntry>]) -> Result<RecordBatch> {
    let text = |of: fn(&RejectEntry) -> Option<&str>| -> ArrayRef {
        Arc::new(entries.iter().map(|entry| of(entry)).collect::<StringArray>())
    };
    let rows = entries.iter().map(|entry| match &entry.rejected.content {
        RejectedContent::Rows(batch) => stream_of(batch).map(Some),
        RejectedContent::Record(_) => Ok(None),
    });
    let rows = rows.collect::<Result<Vec<Option<Vec<u8>>>>>()?;
    let columns: [(&str, ArrayRef); 9] = [
        ("kind", text(|entry| Some(word(entry.rejected.kind)))),
        ("at_us", Arc::new(Int64Array::from_iter_values(entries.iter().map(|entry| entry.at.0)))),
        ("node", text(|entry| Some(&entry.origin.node))),
        ("operator", text(|entry| Some(&entry.operator))),
        ("relation", text(|entry| entry.relation.as_deref())),
        ("place", text(|entry| entry.rejected.place.as_deref())),
        ("reason", text(|entry| Some(&entry.rejected.reason))),
        (
            "record",
            text(|entry| match &entry.rejected.content {
                RejectedContent::Record(record) => Some(record),
                RejectedContent::Rows(_) => None,
            }),
        ),
        ("rows", Arc::new(BinaryArray::from_iter(rows))),
    ];
    table_of(columns)
}

/// Entries as bytes, with the names of those who rejected them.
///
/// # Errors
/// Where Arrow cannot write rows.
pub fn to_bytes(entries: &[Arc<RejectEntry>]) -> Result<Vec<u8>> {
    let names: StringArray = entries.iter().map(|entry| Some(&*entry.name)).collect();
    let table = encode(entries)?;
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| field.name().as_str()).zip(table.columns().iter().cloned());
    stream_of(&table_of(columns.chain([("name", Arc::new(names) as ArrayRef)]))?)
}

/// The entries of [`to_bytes`]. They are of no job any more.
///
/// # Errors
/// Where the bytes are none, or of a later release.
pub fn from_bytes(bytes: &[u8]) -> Result<Vec<RejectEntry>> {
    let table = batch_of(bytes)?;
    let names = table.column_by_name("name").and_then(|names| names.as_string_opt::<i32>());
    let names = names.ok_or_else(|| damaged("no column \"name\""))?;
    let mut entries = decode(None, &"".into(), &table)?;
    entries.iter_mut().zip(names).for_each(|(entry, name)| entry.name = name.unwrap_or_default().into());
    Ok(entries)
}

fn table_of<'a>(columns: impl IntoIterator<Item = (&'a str, ArrayRef)>) -> Result<RecordBatch> {
    // Which fields may be null must not depend on the entries: checkpoints tell changes of tables of one schema.
    let nullable = columns.into_iter().map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(nullable)?)
}

/// The entries of a table, of this job.
///
/// # Errors
/// Where it is none, or of a later release.
pub(crate) fn decode(job: Option<JobId>, name: &Arc<str>, table: &RecordBatch) -> Result<Vec<RejectEntry>> {
    let column = |name: &str, of: DataType| {
        let found = table.column_by_name(name).filter(|column| *column.data_type() == of);
        found.ok_or_else(|| damaged(&format!("no column \"{name}\"")))
    };
    let texts = |name: &str| column(name, DataType::Utf8).map(|column| column.as_string::<i32>());
    let (kind, node, operator) = (texts("kind")?, texts("node")?, texts("operator")?);
    let (relation, place, reason, record) = (texts("relation")?, texts("place")?, texts("reason")?, texts("record")?);
    let at = column("at_us", DataType::Int64)?.as_primitive::<Int64Type>();
    let rows = column("rows", DataType::Binary)?.as_binary::<i32>();
    let mut entries = Vec::with_capacity(table.num_rows());
    for row in 0..table.num_rows() {
        let text = |of: &StringArray| of.is_valid(row).then(|| of.value(row).to_owned());
        let kind = RejectKind::ALL.into_iter().find(|of| word(*of) == kind.value(row));
        let content = match text(record) {
            Some(record) => RejectedContent::Record(record),
            None => RejectedContent::Rows(batch_of(rows.value(row))?),
        };
        let rejected = Rejected {
            kind: kind.ok_or_else(|| damaged("a kind that this release does not know"))?,
            content,
            reason: text(reason).unwrap_or_default(),
            place: text(place),
        };
        entries.push(RejectEntry {
            number: 0,
            job,
            name: Arc::clone(name),
            relation: text(relation).map(Into::into),
            operator: operator.value(row).into(),
            at: ProcessingTime(at.value(row)),
            rejected,
            origin: RejectOrigin { node: node.value(row).into(), passed: Epoch(0), restored: true },
        });
    }
    Ok(entries)
}

fn word(kind: RejectKind) -> &'static str {
    match kind {
        RejectKind::Late => "late",
        RejectKind::Bad => "bad",
        RejectKind::Sink => "sink",
    }
}

fn stream_of(batch: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    Ok(writer.into_inner()?)
}

fn batch_of(stream: &[u8]) -> Result<RecordBatch> {
    // Arrow's reader panics where a buffer does not lie within its message.
    let read = catch_unwind(AssertUnwindSafe(|| read_stream(VecDeque::from([stream]))));
    let (_, batches) = read.unwrap_or_else(|_| Err(damaged("its rows")))?;
    batches.into_iter().next().ok_or_else(|| damaged("no rows"))
}

fn damaged(why: &str) -> EngineError {
    EngineError::Internal(format!("a table of rejected rows is damaged: {why}"))
}
