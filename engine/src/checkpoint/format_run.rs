//! Persisted forms 1 and 2 of a run: the state of one shard at one checkpoint, or what has changed in it.
//!
//! A run is a mark, then Arrow IPC streams, then an index as JSON, the length of the index (8 bytes, little endian), the
//! XXH3 checksum of all that stands before it (8 bytes, little endian), and the mark again. A torn or changed file is
//! refused by its checksum. The index gives for every table the job, the operator and the name, and where in the file its
//! stream is: what is cut out is a stream that any reader of Arrow understands. `docs/state-format.md` is for those who do.
//!
//! In form 1 all tables are whole. Form 2 has changes too: see [`Extent`].

use std::io::{self, Cursor, Write};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::{Field, Schema, SchemaRef, UInt32Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::edits::Edit;
use crate::error::{EngineError, Result};
use crate::ports::StateStore;

const MARK: &[u8; 8] = b"MSRUN001";
/// Length, checksum and mark.
const TAIL_BYTES: usize = 24;
/// The version that is written.
const VERSION: u32 = 2;

/// What a section of a run tells of its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// All its rows.
    Whole,
    /// It is a table of the run before, with another name perhaps.
    Same {
        /// Which table.
        of: String,
    },
    /// Its new rows, and how they and those of a table of the run before make it.
    Changes {
        /// Which table.
        of: String,
        /// In the order of the rows.
        edits: Vec<Edit>,
    },
}

/// A table of one operator on one shard.
///
/// A run that has one table of an operator has all of them; an operator that a run leaves out is as it was before.
#[derive(Debug, Clone)]
pub struct Section {
    /// The job's uid.
    pub job: String,
    /// The operator's id.
    pub operator: String,
    /// The table's name.
    pub table: String,
    /// What is told of it.
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
    extent: Kind,
    rows: usize,
    offset: usize,
    bytes: usize,
    /// The table before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    /// Where the edits are: offset and bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edits: Option<(usize, usize)>,
}

/// An [`Extent`] in the index.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Whole,
    Same,
    Changes,
}

/// How long a run is.
#[derive(Debug)]
pub struct Encoded {
    /// All its bytes.
    pub bytes: u64,
    /// The bytes of each section.
    pub sections: Vec<u64>,
}

/// What is written, counted and summed.
struct Summed<'a> {
    out: &'a mut dyn Write,
    sum: Xxh3,
    bytes: usize,
}

impl Write for Summed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or(bytes));
        self.bytes += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a run. It is never in memory as a whole.
///
/// # Errors
/// Where Arrow cannot write a column, or `out` takes no more.
pub fn encode(sections: &[Section], out: &mut dyn Write) -> Result<Encoded> {
    let mut out = Summed { out, sum: Xxh3::new(), bytes: 0 };
    out.write_all(MARK).map_err(not_written)?;
    let mut entries = Vec::with_capacity(sections.len());
    let mut sizes = Vec::with_capacity(sections.len());
    for section in sections {
        let start = out.bytes;
        let (kind, of, edits) = match &section.extent {
            Extent::Whole => (Kind::Whole, None, None),
            Extent::Same { of } => (Kind::Same, Some(of.clone()), None),
            Extent::Changes { of, edits } => {
                let edits = write_stream(&mut out, &edit_schema(), &[edit_rows(edits)?])?;
                (Kind::Changes, Some(of.clone()), Some((edits.start, edits.len())))
            }
        };
        let rows = match kind {
            Kind::Same => out.bytes..out.bytes,
            Kind::Whole | Kind::Changes => write_stream(&mut out, &section.schema, &section.batches)?,
        };
        sizes.push((out.bytes - start) as u64);
        entries.push(Entry {
            job: section.job.clone(),
            operator: section.operator.clone(),
            table: section.table.clone(),
            extent: kind,
            rows: section.batches.iter().map(RecordBatch::num_rows).sum(),
            offset: rows.start,
            bytes: rows.len(),
            of,
            edits,
        });
    }
    write_tail(entries, &mut out)?;
    Ok(Encoded { bytes: out.bytes as u64, sections: sizes })
}

/// Writes a run into a store.
///
/// # Errors
/// As [`encode`]; where the store does not take it.
pub fn put(store: &dyn StateStore, path: &str, sections: &[Section]) -> Result<Encoded> {
    let mut encoded = Err(EngineError::Internal("a run that was not written".into()));
    store.put_with(path, &mut |out| {
        encoded = Ok(encode(sections, out)?);
        Ok(())
    })?;
    encoded
}

/// Writes the index and what follows it.
fn write_tail(entries: Vec<Entry>, out: &mut Summed<'_>) -> Result<()> {
    let index = serde_json::to_vec(&Index { version: VERSION, sections: entries })
        .map_err(|error| EngineError::Internal(format!("the index of a run: {error}")))?;
    out.write_all(&index).map_err(not_written)?;
    out.write_all(&(index.len() as u64).to_le_bytes()).map_err(not_written)?;
    let sum = out.sum.digest();
    out.write_all(&sum.to_le_bytes()).map_err(not_written)?;
    out.write_all(MARK).map_err(not_written)
}

fn not_written(error: io::Error) -> EngineError {
    EngineError::io("a run cannot be written", error)
}

/// Writes a stream; gives where it is.
fn write_stream(out: &mut Summed<'_>, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Range<usize>> {
    let start = out.bytes;
    let mut writer = StreamWriter::try_new(&mut *out, schema)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    drop(writer);
    Ok(start..out.bytes)
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
    if !(1..=VERSION).contains(&index.version) {
        return Err(damaged(&format!("it is of version {}, which this release does not know", index.version)));
    }
    let of_section = |error| EngineError::io(format_args!("the run \"{path}\" is damaged"), error);
    index.sections.into_iter().map(|entry| section(entry, body).map_err(of_section)).collect()
}

fn section(entry: Entry, body: &[u8]) -> Result<Section> {
    let lost = || EngineError::Internal("a section is not there".into());
    let stream = |offset: usize, bytes: usize| -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let end = offset.checked_add(bytes).ok_or_else(lost)?;
        let reader = StreamReader::try_new(Cursor::new(body.get(offset..end).ok_or_else(lost)?), None)?;
        Ok((reader.schema(), reader.collect::<Result<Vec<_>, _>>()?))
    };
    let of = entry.of.ok_or_else(lost);
    let (extent, (schema, batches)) = match entry.extent {
        Kind::Whole => (Extent::Whole, stream(entry.offset, entry.bytes)?),
        Kind::Same => (Extent::Same { of: of? }, (Arc::new(Schema::empty()), Vec::new())),
        Kind::Changes => {
            let (offset, bytes) = entry.edits.ok_or_else(lost)?;
            let edits = stream(offset, bytes)?.1.iter().map(edits_of).collect::<Result<Vec<_>>>()?.concat();
            (Extent::Changes { of: of?, edits }, stream(entry.offset, entry.bytes)?)
        }
    };
    Ok(Section { job: entry.job, operator: entry.operator, table: entry.table, extent, schema, batches })
}

fn edit_schema() -> SchemaRef {
    let number = |name| Field::new(name, arrow::datatypes::DataType::UInt32, false);
    Arc::new(Schema::new(vec![number("from"), number("rows"), number("fresh")]))
}

fn edit_rows(edits: &[Edit]) -> Result<RecordBatch> {
    let column = |of: fn(&Edit) -> u32| Arc::new(UInt32Array::from_iter_values(edits.iter().map(of))) as ArrayRef;
    let columns = vec![column(|edit| edit.from), column(|edit| edit.rows), column(|edit| edit.fresh)];
    Ok(RecordBatch::try_new(edit_schema(), columns)?)
}

fn edits_of(rows: &RecordBatch) -> Result<Vec<Edit>> {
    let columns: Option<Vec<_>> = rows.columns().iter().map(|column| column.as_primitive_opt::<UInt32Type>()).collect();
    let columns = columns.unwrap_or_default();
    let [from, count, fresh] = columns[..] else {
        return Err(EngineError::Internal("edits of another form".into()));
    };
    let all = from.values().iter().zip(count.values()).zip(fresh.values());
    Ok(all.map(|((&from, &rows), &fresh)| Edit { from, rows, fresh }).collect())
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
}
