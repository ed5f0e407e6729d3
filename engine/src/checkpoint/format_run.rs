//! Persisted forms 1, 2 and 3 of a run: the state of one shard at one checkpoint, or what has changed in it.
//!
//! A run is a mark, then Arrow IPC streams, then an index as JSON, the length of the index (8 bytes, little endian), the
//! XXH3 checksum of all that stands before it (8 bytes, little endian), and the mark again. A torn or changed file is
//! refused by its checksum. The index gives for every table the job, the operator and the name, and where in the file its
//! stream is: what is cut out is a stream that any reader of Arrow understands. `docs/state-format.md` is for those who do.
//!
//! In form 1 all tables are whole. Form 2 has changes too: see [`Extent`]. In form 3 a stream may lie in several parts of the
//! file: rows that two tables share, as a rank and a view of what it emits do, are written once.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Field, Schema, SchemaRef, UInt32Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::root_as_message;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::edits::Edit;
use crate::error::{EngineError, Result};

pub(super) const MARK: &[u8; 8] = b"MSRUN001";
/// Length, checksum and mark.
const TAIL_BYTES: usize = 24;
/// The version that is written, where a stream lies in parts and where none does.
pub(super) const VERSION: u32 = 3;
pub(super) const VERSION_WHOLE: u32 = 2;

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
    pub batches: Vec<Batch>,
}

/// Rows of a section.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The rows, and others perhaps.
    pub rows: RecordBatch,
    /// Which of them count; `None`: all.
    pub live: Option<BooleanBuffer>,
}

impl From<RecordBatch> for Batch {
    fn from(rows: RecordBatch) -> Self {
        Self { rows, live: None }
    }
}

impl Batch {
    /// How many rows count.
    pub fn count(&self) -> usize {
        self.live.as_ref().map_or(self.rows.num_rows(), BooleanBuffer::count_set_bits)
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) version: u32,
    pub(super) sections: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) job: String,
    pub(super) operator: String,
    pub(super) table: String,
    pub(super) extent: Kind,
    pub(super) rows: usize,
    pub(super) offset: usize,
    pub(super) bytes: usize,
    /// Where the parts of the stream are, in order, where it is not at `offset` alone: offset and bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<(usize, usize)>,
    /// The table before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<String>,
    /// Where the edits are: offset and bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) edits: Option<(usize, usize)>,
}

/// An [`Extent`] in the index.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Whole,
    Same,
    Changes,
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
    // Arrow's reader panics where a buffer does not lie within its message.
    let read = |entry| {
        let section = catch_unwind(AssertUnwindSafe(|| section(entry, body)));
        section.unwrap_or_else(|_| Err(EngineError::Internal("rows of a section are damaged".into())))
    };
    index.sections.into_iter().map(|entry| read(entry).map_err(of_section)).collect()
}

fn section(entry: Entry, body: &[u8]) -> Result<Section> {
    let lost = || EngineError::Internal("a section is not there".into());
    let part = |(offset, bytes): &(usize, usize)| body.get(*offset..offset.checked_add(*bytes)?);
    let stream = |parts: &[(usize, usize)]| -> Result<(SchemaRef, Vec<RecordBatch>)> {
        read_stream(parts.iter().map(part).collect::<Option<VecDeque<_>>>().ok_or_else(lost)?)
    };
    let parts = if entry.parts.is_empty() { vec![(entry.offset, entry.bytes)] } else { entry.parts };
    let of = entry.of.ok_or_else(lost);
    let (extent, (schema, batches)) = match entry.extent {
        Kind::Whole => (Extent::Whole, stream(&parts)?),
        Kind::Same => (Extent::Same { of: of? }, (Arc::new(Schema::empty()), Vec::new())),
        Kind::Changes => {
            let edits =
                stream(&[entry.edits.ok_or_else(lost)?])?.1.iter().map(edits_of).collect::<Result<Vec<_>>>()?.concat();
            (Extent::Changes { of: of?, edits }, stream(&parts)?)
        }
    };
    let batches = batches.into_iter().map(Batch::from).collect();
    Ok(Section { job: entry.job, operator: entry.operator, table: entry.table, extent, schema, batches })
}

/// The batches of a stream that lies in these parts, one after another.
///
/// # Errors
/// Where it is no whole stream.
pub(crate) fn read_stream(parts: VecDeque<&[u8]>) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    check_lengths(Parts(parts.clone()))?;
    let reader = StreamReader::try_new(Parts(parts), None)?;
    Ok((reader.schema(), reader.collect::<Result<Vec<_>, _>>()?))
}

/// That no message of a stream is longer than what there is of it: Arrow's reader takes the memory for a message before it reads
/// it, and a process that cannot have so much ends.
fn check_lengths(mut stream: Parts<'_>) -> Result<()> {
    let damaged = || EngineError::Internal("a message that is longer than its stream".into());
    loop {
        let mut length = [0; size_of::<u32>()];
        stream.read_exact(&mut length).map_err(|_| damaged())?;
        if length == CONTINUATION {
            stream.read_exact(&mut length).map_err(|_| damaged())?;
        }
        let length = u64::from(u32::from_le_bytes(length));
        if length == 0 {
            return Ok(());
        }
        // As far as it goes: where there is less than the length says, that is no message.
        let mut head = Vec::new();
        stream.by_ref().take(length).read_to_end(&mut head).map_err(|_| damaged())?;
        let message = root_as_message(&head).map_err(|error| EngineError::io("a message is damaged", error))?;
        usize::try_from(message.bodyLength()).ok().and_then(|length| stream.pass(length)).ok_or_else(damaged)?;
    }
}

/// What stands before the length of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Parts of a file, one after another.
struct Parts<'a>(VecDeque<&'a [u8]>);

impl Parts<'_> {
    /// Leaves out the next bytes; `None` where there are fewer.
    fn pass(&mut self, mut bytes: usize) -> Option<()> {
        while bytes > 0 {
            let part = self.0.front_mut()?;
            let passed = bytes.min(part.len());
            *part = part.get(passed..)?;
            bytes -= passed;
            if part.is_empty() {
                self.0.pop_front();
            }
        }
        Some(())
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(part) = self.0.front_mut() {
            let read = part.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            self.0.pop_front();
        }
        Ok(0)
    }
}

pub(super) fn edit_schema() -> SchemaRef {
    let number = |name| Field::new(name, arrow::datatypes::DataType::UInt32, false);
    Arc::new(Schema::new(vec![number("from"), number("rows"), number("fresh")]))
}

pub(super) fn edit_rows(edits: &[Edit]) -> Result<RecordBatch> {
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
            batches: vec![rows.into()],
        }
    }
}
