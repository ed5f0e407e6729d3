//! [`encode`]: a run, written as it is encoded. [`format_run`](super::format_run) tells what it looks like.
//!
//! Rows of which only some count are copied when it is their turn. A batch that has been written for another table of the run,
//! with the same columns in the same memory and the same rows of it, is not written again: the stream points to it. So do tables
//! that have changed in the same places to the edits that tell these.

use std::collections::HashMap;
use std::io::{self, Write};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use xxhash_rust::xxh3::Xxh3;

use super::edits::Edit;
use super::format_run::{
    Batch, Entry, Extent, Index, Kind, MARK, Section, VERSION, VERSION_WHOLE, edit_rows, edit_schema,
};
use crate::error::{EngineError, Result};
use crate::pieces::live_batch;
use crate::ports::StateStore;

/// How long a run is.
#[derive(Debug)]
pub struct Encoded {
    /// All its bytes.
    pub bytes: u64,
    /// The bytes of each section.
    pub sections: Vec<u64>,
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

/// Writes a run. It is never in memory as a whole.
///
/// # Errors
/// Where Arrow cannot write a column, or `out` takes no more.
pub fn encode(sections: &[Section], out: &mut dyn Write) -> Result<Encoded> {
    let mut run = Run { out: Summed { out, sum: Xxh3::new(), bytes: 0 }, written: HashMap::new(), edits: None };
    run.out.write_all(MARK).map_err(not_written)?;
    let mut entries = Vec::with_capacity(sections.len());
    let mut sizes = Vec::with_capacity(sections.len());
    for section in sections {
        let start = run.out.bytes;
        entries.push(run.section(section)?);
        sizes.push((run.out.bytes - start) as u64);
    }
    run.tail(entries)?;
    Ok(Encoded { bytes: run.out.bytes as u64, sections: sizes })
}

/// A run that is being written.
struct Run<'a> {
    out: Summed<'a>,
    /// Where batches are that were written: by their rows and where these are in memory, and by which of them count.
    written: HashMap<Vec<usize>, Vec<(Option<BooleanBuffer>, Part)>>,
    /// The edits that were written last, and where they are: tables that stand beside one another have the same.
    edits: Option<(Vec<Edit>, Part)>,
}

/// Offset and bytes of a part of the file.
type Part = (usize, usize);

impl Run<'_> {
    fn section(&mut self, section: &Section) -> Result<Entry> {
        let (kind, of, edits) = match &section.extent {
            Extent::Whole => (Kind::Whole, None, None),
            Extent::Same { of } => (Kind::Same, Some(of.clone()), None),
            Extent::Changes { of, edits } => (Kind::Changes, Some(of.clone()), self.edits(edits)?),
        };
        let mut parts = match kind {
            Kind::Same => Vec::new(),
            Kind::Whole | Kind::Changes => self.stream(&section.schema, &section.batches)?,
        };
        let (offset, bytes) = match parts[..] {
            [only] => {
                parts.clear();
                only
            }
            _ => (self.out.bytes, 0),
        };
        Ok(Entry {
            job: section.job.clone(),
            operator: section.operator.clone(),
            table: section.table.clone(),
            extent: kind,
            rows: section.batches.iter().map(Batch::count).sum(),
            offset,
            bytes,
            parts,
            of,
            edits,
        })
    }

    /// Writes edits, unless they are those that were written last; gives where they are.
    fn edits(&mut self, edits: &[Edit]) -> Result<Option<Part>> {
        if let Some((_, part)) = self.edits.as_ref().filter(|(last, _)| last == edits) {
            return Ok(Some(*part));
        }
        let part = self.stream(&edit_schema(), &[edit_rows(edits)?.into()])?.first().copied();
        self.edits = part.map(|part| (edits.to_vec(), part));
        Ok(part)
    }

    /// Writes a stream but for what is there already; gives where its parts are.
    fn stream(&mut self, schema: &SchemaRef, batches: &[Batch]) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        let mut start = self.out.bytes;
        let mut writer = StreamWriter::try_new(&mut self.out, schema)?;
        add_part(&mut parts, (start, writer.get_ref().bytes - start));
        for batch in batches {
            let key = key_of(batch);
            let places = key.map(|key| self.written.entry(key).or_default());
            let known = places.as_ref().and_then(|places| places.iter().find(|(live, _)| *live == batch.live));
            if let Some((_, part)) = known {
                add_part(&mut parts, *part);
                continue;
            }
            start = writer.get_ref().bytes;
            write_live(&mut writer, batch)?;
            let part = (start, writer.get_ref().bytes - start);
            places.into_iter().for_each(|places| places.push((batch.live.clone(), part)));
            add_part(&mut parts, part);
        }
        start = writer.get_ref().bytes;
        writer.finish()?;
        add_part(&mut parts, (start, writer.get_ref().bytes - start));
        Ok(parts)
    }

    /// Writes the index and what follows it.
    fn tail(&mut self, entries: Vec<Entry>) -> Result<()> {
        let version = if entries.iter().all(|entry| entry.parts.is_empty()) { VERSION_WHOLE } else { VERSION };
        let index = serde_json::to_vec(&Index { version, sections: entries })
            .map_err(|error| EngineError::Internal(format!("the index of a run: {error}")))?;
        self.out.write_all(&index).map_err(not_written)?;
        self.out.write_all(&(index.len() as u64).to_le_bytes()).map_err(not_written)?;
        let sum = self.out.sum.digest();
        self.out.write_all(&sum.to_le_bytes()).map_err(not_written)?;
        self.out.write_all(MARK).map_err(not_written)
    }
}

/// What is written, counted and summed.
struct Summed<'a> {
    out: &'a mut dyn Write,
    sum: Xxh3,
    bytes: usize,
}

impl Write for Summed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = bytes.get(..SUMMED_BYTES).unwrap_or(bytes);
        let written = self.out.write(piece)?;
        self.sum.update(piece.get(..written).unwrap_or(piece));
        self.bytes += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What is copied and summed at once: it comes out of memory once for both.
const SUMMED_BYTES: usize = 32 << 10;

/// Writes the rows of a batch that count, so few at once that what is copied of them stays in the cache of the core.
fn write_live(writer: &mut StreamWriter<&mut Summed<'_>>, batch: &Batch) -> Result<()> {
    let (all, step) = (batch.rows.num_rows(), rows_at_once(&batch.rows));
    for start in (0..all).step_by(step) {
        let length = step.min(all - start);
        let rows = batch.rows.slice(start, length);
        let rows = match &batch.live {
            None => rows,
            Some(live) => live_batch(&rows, Some(&live.slice(start, length)))?,
        };
        if rows.num_rows() > 0 {
            writer.write(&rows)?;
        }
    }
    Ok(())
}

/// How many rows of a batch are about [`COPIED_BYTES`]. All, where a part of them would be written with the bytes of the others.
fn rows_at_once(rows: &RecordBatch) -> usize {
    let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().ok().filter(|_| is_plain(column));
    let bytes: Option<usize> = rows.columns().iter().map(bytes).sum();
    let all = rows.num_rows().max(1);
    bytes.map_or(all, |bytes| {
        (all.saturating_mul(COPIED_BYTES) / bytes.max(1)).clamp(COPIED_ROWS_MIN, all.max(COPIED_ROWS_MIN))
    })
}

/// What is copied of a batch at once.
const COPIED_BYTES: usize = 128 << 10;
/// Rows that are copied at once whatever their size, so that what a stream says of each part does not count.
const COPIED_ROWS_MIN: usize = 256;

fn add_part(parts: &mut Vec<Part>, (offset, bytes): Part) {
    match parts.last_mut() {
        Some(last) if last.0 + last.1 == offset => last.1 += bytes,
        _ => parts.push((offset, bytes)),
    }
}

/// How many rows there are, and where the buffers of their columns are in memory, which arrays share that are otherwise not the
/// same. `None`: it is not looked for, because it is small, or what its bytes mean depends on the stream.
fn key_of(batch: &Batch) -> Option<Vec<usize>> {
    let (rows, columns) = (batch.rows.num_rows(), batch.rows.columns());
    let shared = rows >= SHARED_ROWS_MIN && !columns.is_empty() && columns.iter().all(is_plain);
    shared.then(|| std::iter::once(rows).chain(columns.iter().flat_map(places)).collect())
}

/// Whether a part of a column is written without the rest of it, and means the same in every stream.
fn is_plain(column: &ArrayRef) -> bool {
    match column.data_type() {
        DataType::Dictionary(_, _) | DataType::Utf8View | DataType::BinaryView => false,
        data_type => !data_type.is_nested(),
    }
}

/// Where the buffers of a column are, and where in them it begins.
fn places(column: &ArrayRef) -> Vec<usize> {
    let data = column.to_data();
    let nulls = data.nulls().map_or((0, 0), |nulls| (nulls.buffer().as_ptr() as usize, nulls.offset()));
    let buffers = data.buffers().iter().map(|buffer| buffer.as_ptr() as usize);
    buffers.chain([data.offset(), nulls.0, nulls.1]).collect()
}

/// Rows of a batch from which it is looked for.
const SHARED_ROWS_MIN: usize = 256;

fn not_written(error: io::Error) -> EngineError {
    EngineError::io("a run cannot be written", error)
}
