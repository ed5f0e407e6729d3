//! The thread that writes [`TableLogs`](super::table_log::TableLogs), and the files as it has them open.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::mpsc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use millstream_engine::message::Delta;
use millstream_engine::plan::RelationId;
use millstream_sql::SqlError;
use millstream_sql::error::from_arrow;
use tokio::sync::oneshot;

use super::DurableError;
use super::format_log::LogKind;
use super::format_table::{TableRecord, decode, encode};
use super::log::RecordLog;
use super::table_log::{Apply, Kept, Request, Visible, stopped};
use crate::batch::fold_deltas;

const KIND: LogKind = LogKind(*b"tb");

/// Changes that are written together at most.
const GROUP_MAX: usize = 1_024;
/// Rows of one record of a snapshot.
const SNAPSHOT_ROWS: usize = 1 << 16;
/// A log is compacted when it has grown by so many bytes, and by more than twice what was left the last time.
const COMPACT_BYTES: u64 = 16 << 20;

/// The log of one table.
pub(super) struct TableLog {
    log: RecordLog,
    /// Of the last change.
    position: u64,
    /// Bytes after the last compaction.
    compacted_bytes: u64,
}

pub(super) struct Writer {
    folder: PathBuf,
    apply: Apply,
    open: HashMap<RelationId, TableLog>,
}

/// A change on its way, and who waits for it.
type Change = (RelationId, Delta, oneshot::Sender<Result<Visible, SqlError>>);

impl Writer {
    pub(super) fn new(folder: PathBuf, apply: Apply) -> Self {
        Self { folder, apply, open: HashMap::new() }
    }

    /// Does what is asked for until nobody can ask any more.
    pub(super) fn run(&mut self, requests: &mpsc::Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let mut changes: Vec<Change> = Vec::new();
            let mut next = Some(first);
            while let Some(request) = next.take() {
                match request {
                    Request::Change { table, delta, done } => changes.push((table, delta, done)),
                    Request::Load { table, after, kept } => {
                        self.write(std::mem::take(&mut changes));
                        // Who does not wait any more need not know.
                        let _ = kept.send(self.load(table, after));
                    }
                    Request::Replace { table, position, rows, done } => {
                        self.write(std::mem::take(&mut changes));
                        // Who does not wait any more need not know.
                        let _ = done.send(self.replace(table, position, &rows));
                    }
                    Request::Hold { held, requests } => {
                        self.write(std::mem::take(&mut changes));
                        // Where nobody waits any more, nobody sends.
                        let _ = held.send(());
                        self.run(&requests);
                    }
                    Request::Retain(tables) => self.retain(&tables),
                    Request::Drop(table) => {
                        self.write(std::mem::take(&mut changes));
                        self.remove(table);
                    }
                }
                if changes.len() < GROUP_MAX {
                    next = requests.try_recv().ok();
                }
            }
            self.write(changes);
        }
    }

    /// Writes changes with one sync for each table, then hands them on in their order.
    fn write(&mut self, changes: Vec<Change>) {
        let mut by_table: BTreeMap<RelationId, Vec<&Delta>> = BTreeMap::new();
        for (table, delta, _) in &changes {
            by_table.entry(*table).or_default().push(delta);
        }
        let mut written: HashMap<RelationId, Result<u64, SqlError>> =
            by_table.into_iter().map(|(table, deltas)| (table, self.append(table, &deltas))).collect();
        for (table, delta, done) in changes {
            let result = match written.get_mut(&table) {
                Some(Err(error)) => Err(error.clone()),
                Some(Ok(position)) => {
                    *position += 1;
                    (self.apply)(table, delta, *position).map_err(SqlError::from)
                }
                None => Err(stopped()),
            };
            // A statement that was cancelled meanwhile has happened all the same.
            let _ = done.send(result);
        }
        for table in written.into_keys() {
            self.compact_grown(table);
        }
    }

    /// Writes changes; gives the position of the one before them.
    fn append(&mut self, table: RelationId, deltas: &[&Delta]) -> Result<u64, SqlError> {
        let log = self.log(table)?;
        let records = deltas
            .iter()
            .zip(log.position + 1..)
            .map(|(delta, position)| encode(&TableRecord { position, snapshot: false, delta: (*delta).clone() }));
        let payloads = records.collect::<Result<Vec<_>, _>>().map_err(from_arrow)?;
        log.log.append(&payloads)?;
        let before = log.position;
        log.position += deltas.len() as u64;
        Ok(before)
    }

    /// The log of a table, open.
    fn log(&mut self, table: RelationId) -> Result<&mut TableLog, SqlError> {
        if !self.open.contains_key(&table) {
            let (log, _) = self.records(table)?;
            self.open.insert(table, log);
        }
        self.open.get_mut(&table).ok_or_else(stopped)
    }

    /// Opens the log of a table and gives what it has.
    fn records(&self, table: RelationId) -> Result<(TableLog, Vec<TableRecord>), SqlError> {
        let path = self.path(table);
        let (log, payloads) = RecordLog::open(&path, KIND)?;
        let damaged = |error: ArrowError| DurableError::Damaged {
            path: path.clone(),
            at: log.bytes(),
            what: format!("a record is no change of a table: {error}"),
        };
        let records = payloads.iter().map(|payload| decode(payload)).collect::<Result<Vec<_>, _>>().map_err(damaged)?;
        let position = records.last().map_or(0, |record| record.position);
        Ok((TableLog { log, position, compacted_bytes: 0 }, records))
    }

    /// Opens the log of a table and gives what it has beyond a position.
    fn read(&self, table: RelationId, after: Option<u64>) -> Result<(TableLog, Kept), SqlError> {
        let (log, records) = self.records(table)?;
        let position = log.position;
        if after.is_some_and(|after| position < after) {
            return Ok((log, Kept::Behind { position }));
        }
        let told_apart = |after: &u64| records.iter().all(|record| !record.snapshot || record.position <= *after);
        if let Some(after) = after.filter(told_apart) {
            let later = records.into_iter().filter(|record| record.position > after);
            return Ok((log, Kept::Changes(later.map(|record| (record.position, record.delta)).collect())));
        }
        let deltas: Vec<Delta> = records.into_iter().map(|record| record.delta).collect();
        let rows = match deltas.first() {
            None => Vec::new(),
            Some(first) => {
                let schema = first.batch.schema();
                let deltas =
                    deltas.iter().map(|delta| Ok(delta.with_batch(delta.batch.clone().with_schema(schema.clone())?)));
                let deltas = deltas.collect::<Result<Vec<_>, ArrowError>>().map_err(from_arrow)?;
                let left = fold_deltas(&schema, &deltas)?;
                vec![concat_batches(&schema, &left).map_err(from_arrow)?]
            }
        };
        Ok((log, Kept::Rows { position, rows }))
    }

    fn load(&mut self, table: RelationId, after: Option<u64>) -> Result<Kept, SqlError> {
        let (log, kept) = self.read(table, after)?;
        self.open.insert(table, log);
        Ok(kept)
    }

    fn replace(&mut self, table: RelationId, position: u64, rows: &[RecordBatch]) -> Result<(), SqlError> {
        let log = self.log(table)?;
        log.position = position;
        rewrite(log, rows)
    }

    /// Compacts a log that has grown.
    fn compact_grown(&mut self, table: RelationId) {
        let grown =
            |log: &TableLog| log.log.bytes() > (3 * log.compacted_bytes).max(log.compacted_bytes + COMPACT_BYTES);
        if !self.open.get(&table).is_some_and(grown) {
            return;
        }
        match self.read(table, None) {
            Ok((mut log, Kept::Rows { rows, .. })) => {
                if let Err(error) = rewrite(&mut log, &rows) {
                    // The changes stay, and are as good.
                    tracing::warn!(%error, "could not compact the log of a table");
                }
                // Where that failed, the next try comes when it has grown again.
                log.compacted_bytes = log.log.bytes();
                self.open.insert(table, log);
            }
            // There are no changes since nothing, and nothing is behind it.
            Ok((_, Kept::Changes(_) | Kept::Behind { .. })) => {}
            Err(error) => tracing::warn!(table = table.0, %error, "could not read a table's log to compact it"),
        }
    }

    fn remove(&mut self, table: RelationId) {
        self.open.remove(&table);
        let path = self.path(table);
        let removed = std::fs::remove_file(&path);
        if let Err(error) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(file = %path.display(), %error, "could not remove the log of a dropped table");
        }
    }

    /// Removes what a crash left of dropped tables.
    fn retain(&mut self, tables: &[RelationId]) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|id| id.parse().ok());
            if let Some(id) = id.map(RelationId).filter(|id| !tables.contains(id)) {
                self.remove(id);
            }
        }
    }

    fn path(&self, table: RelationId) -> PathBuf {
        self.folder.join(format!("{}.log", table.0))
    }
}

/// Writes the rows of a table in place of the changes that led to them.
fn rewrite(log: &mut TableLog, rows: &[RecordBatch]) -> Result<(), SqlError> {
    let position = log.position;
    let slices = rows.iter().flat_map(|rows| {
        // A table that was emptied keeps its position.
        let starts = (0..rows.num_rows().max(1)).step_by(SNAPSHOT_ROWS);
        starts.map(move |from| rows.slice(from, SNAPSHOT_ROWS.min(rows.num_rows() - from)))
    });
    let records = slices.map(|rows| encode(&TableRecord { position, snapshot: true, delta: Delta::append(rows) }));
    let payloads = records.collect::<Result<Vec<_>, _>>().map_err(from_arrow)?;
    log.log.rewrite(&payloads)?;
    log.compacted_bytes = log.log.bytes();
    Ok(())
}

#[cfg(test)]
#[path = "table_log_tests.rs"]
mod tests;
