//! Persisted form 1 of a run: the state of one shard at one checkpoint.
//!
//! A run is a mark, then one Arrow IPC stream for each table of each operator, then an index as JSON, the length of the index
//! (8 bytes, little endian), the XXH3 checksum of all that stands before it (8 bytes, little endian), and the mark again. A
//! torn or changed file is refused by its checksum. The index gives for every stream the job, the operator and the table,
//! and where in the file it is: what is cut out is a stream that any reader of Arrow understands.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{EngineError, Result};

const MARK: &[u8; 8] = b"MSRUN001";
/// Length, checksum and mark.
const TAIL_BYTES: usize = 24;

/// What a section of a run holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// The whole table.
    Whole,
    /// The changes since the run before: rows in the order in which they apply, the last column telling which are
    /// retracted.
    Changes,
}

/// A table of one operator on one shard.
#[derive(Debug, Clone)]
pub struct Section {
    /// The job's uid.
    pub job: String,
    /// The operator's id.
    pub operator: String,
    /// The table's name.
    pub table: String,
    /// Whether it is whole.
    pub extent: Extent,
    /// The columns.
    pub schema: SchemaRef,
    /// The rows, in order.
    pub batches: Vec<RecordBatch>,
}

#[derive(Serialize, Deserialize)]
struct Index {
    version: u32,
    sections: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    job: String,
    operator: String,
    table: String,
    extent: Extent,
    rows: usize,
    offset: usize,
    bytes: usize,
}

/// The bytes of a run.
///
/// # Errors
/// Where Arrow cannot write a column.
pub fn encode(sections: &[Section]) -> Result<Vec<u8>> {
    let mut bytes = MARK.to_vec();
    let mut entries = Vec::with_capacity(sections.len());
    for section in sections {
        let offset = bytes.len();
        let mut writer = StreamWriter::try_new(&mut bytes, &section.schema)?;
        for batch in &section.batches {
            writer.write(batch)?;
        }
        writer.finish()?;
        drop(writer);
        entries.push(Entry {
            job: section.job.clone(),
            operator: section.operator.clone(),
            table: section.table.clone(),
            extent: section.extent,
            rows: section.batches.iter().map(RecordBatch::num_rows).sum(),
            offset,
            bytes: bytes.len() - offset,
        });
    }
    let index = serde_json::to_vec(&Index { version: 1, sections: entries })
        .map_err(|error| EngineError::Internal(format!("the index of a run: {error}")))?;
    bytes.extend_from_slice(&index);
    bytes.extend_from_slice(&(index.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
    bytes.extend_from_slice(MARK);
    Ok(bytes)
}

/// The sections of a run.
///
/// # Errors
/// Where the bytes are not a whole, unchanged run. The error names `path`.
pub fn decode(path: &str, bytes: &[u8]) -> Result<Vec<Section>> {
    let damaged = |why: &str| EngineError::io(format_args!("the run \"{path}\" is damaged"), why);
    let body_bytes = bytes.len().checked_sub(TAIL_BYTES).ok_or_else(|| damaged("it is too short"))?;
    let (body, tail) = bytes.split_at(body_bytes);
    let number = |at: usize| {
        let number = tail.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        number.ok_or_else(|| damaged("it is too short"))
    };
    if !bytes.starts_with(MARK) || !bytes.ends_with(MARK) {
        return Err(damaged("it does not begin and end as a run does"));
    }
    let summed = bytes.get(..body_bytes + 8).unwrap_or_default();
    if xxh3_64(summed) != number(8)? {
        return Err(damaged("its checksum is another one"));
    }
    let index_bytes = usize::try_from(number(0)?).ok().and_then(|length| body.len().checked_sub(length));
    let index = index_bytes.and_then(|start| body.get(start..)).ok_or_else(|| damaged("its index is too long"))?;
    let index: Index = serde_json::from_slice(index).map_err(|error| damaged(&error.to_string()))?;
    if index.version != 1 {
        return Err(damaged(&format!("it is of version {}, which this release does not know", index.version)));
    }
    let section = |entry: Entry| -> Result<Section> {
        let end = entry.offset.checked_add(entry.bytes).ok_or_else(|| damaged("a section is too long"))?;
        let stream = body.get(entry.offset..end).ok_or_else(|| damaged("a section is not there"))?;
        let reader = StreamReader::try_new(Cursor::new(stream), None)?;
        let schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        let Entry { job, operator, table, extent, .. } = entry;
        Ok(Section { job, operator, table, extent, schema, batches })
    };
    index.sections.into_iter().map(section).collect()
}

impl Section {
    /// A section of a whole table.
    pub fn whole(job: &str, operator: &str, table: &str, rows: RecordBatch) -> Self {
        Self {
            job: job.to_owned(),
            operator: operator.to_owned(),
            table: table.to_owned(),
            extent: Extent::Whole,
            schema: rows.schema(),
            batches: vec![rows],
        }
    }

    /// The rows as one batch.
    ///
    /// # Errors
    /// Where Arrow cannot join them.
    pub fn rows(&self) -> Result<RecordBatch> {
        match self.batches.as_slice() {
            [only] => Ok(only.clone()),
            several => Ok(arrow::compute::concat_batches(&Arc::clone(&self.schema), several)?),
        }
    }
}
