//! [`CatalogLog`]: what happened to the catalog, on the disk before the statement answers.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::DurableError;
use super::directory::DataDirectory;
use super::format_catalog::{CatalogRecord, CatalogState, decode, encode};
use super::format_log::LogKind;
use super::log::RecordLog;

const KIND: LogKind = LogKind(*b"ca");

/// Records more than twice the number of objects by so many make the log worth compacting.
const SLACK_RECORDS: usize = 256;

/// The log of the catalog and what it amounts to.
#[derive(Debug)]
pub(crate) struct CatalogLog {
    log: RecordLog,
    state: CatalogState,
    records: usize,
}

impl CatalogLog {
    /// Reads the catalog of a directory; an empty one where there is none yet.
    ///
    /// # Errors
    /// Where the file cannot be read, is damaged, was written by a later version, or is missing or empty beside rows of tables.
    pub(crate) fn open(directory: &DataDirectory) -> Result<Self, DurableError> {
        let path = directory.folder("catalog")?.join("catalog.log");
        let (log, payloads) = RecordLog::open(&path, KIND)?;
        if payloads.is_empty() && directory.has_files("tables") {
            return Err(DurableError::Missing(path));
        }
        let mut state = CatalogState::default();
        for (index, payload) in payloads.iter().enumerate() {
            let record = decode(payload).map_err(|error| {
                let what = format!("record {} is not of this version: {error}", index + 1);
                DurableError::Damaged { path: path.clone(), at: log.bytes(), what }
            })?;
            state.apply(record);
        }
        let mut catalog = Self { log, state, records: payloads.len() };
        if catalog.state.identity.is_none() {
            catalog.write(CatalogRecord::Identity { id: random() })?;
        }
        catalog.compact();
        Ok(catalog)
    }

    /// What exists.
    pub(crate) fn state(&self) -> &CatalogState {
        &self.state
    }

    /// Writes a record. When this returns it is on the disk.
    ///
    /// # Errors
    /// Where it cannot be written: then it did not happen.
    pub(crate) fn write(&mut self, record: CatalogRecord) -> Result<(), DurableError> {
        self.log.append(&[payload(&record)?])?;
        self.state.apply(record);
        self.records += 1;
        self.compact();
        Ok(())
    }

    /// Writes the state in place of its history, where that is much longer.
    fn compact(&mut self) {
        if self.records <= 2 * self.state.len() + SLACK_RECORDS {
            return;
        }
        let records = self.state.records();
        let payloads: Result<Vec<_>, _> = records.iter().map(payload).collect();
        // The history stays where this fails, and is as good.
        match payloads.and_then(|payloads| self.log.rewrite(&payloads)) {
            Ok(()) => self.records = records.len(),
            Err(error) => tracing::warn!(%error, "could not compact the catalog"),
        }
    }
}

/// A text that nobody else gets.
fn random() -> String {
    // Each state has keys of its own, which the operating system gives.
    let part = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", part(), part())
}

fn payload(record: &CatalogRecord) -> Result<Vec<u8>, DurableError> {
    encode(record).map_err(|error| DurableError::io("encode a record for", "catalog.log".as_ref(), error.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use super::{CatalogLog, CatalogRecord, DataDirectory};
    use crate::durable::format_catalog::RelationEntry;

    #[test]
    fn it_comes_back_and_stays_short() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::take(folder.path()).unwrap();
        let mut log = CatalogLog::open(&directory).unwrap();
        for id in 1..=2_000 {
            let statement = format!("CREATE TABLE t{id} (a INT)");
            let entry = RelationEntry { id, statement, settings: [].into(), job: None, stopped: false, failed: None };
            log.write(CatalogRecord::Relation(entry)).unwrap();
            if id > 1 {
                log.write(CatalogRecord::Dropped { relations: vec![id], functions: vec![] }).unwrap();
            }
        }
        assert!(log.log.bytes() < 60_000, "{} bytes", log.log.bytes());
        let state = log.state().clone();
        drop(log);
        let again = CatalogLog::open(&directory).unwrap();
        assert_eq!(again.state(), &state);
        assert_eq!((state.relations.len(), state.last_relation), (1, 2_000));
    }
}
