//! [`RejectedLog`]: what statements that ended have rejected, on the disk. What jobs reject that go on is in their checkpoints.
//!
//! A record is some entries in the order in which they came, in the form of [`format_rejected`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_engine::rejects::{RejectEntry, RejectLog, format_rejected};
use millstream_engine::runtime::JobId;

use super::format_log::LogKind;
use super::log::RecordLog;
use super::{DataDirectory, DurableError};

const KIND: LogKind = LogKind(*b"rj");

/// Entries more than twice those that are still in memory by so many make the file worth writing anew.
const SLACK_ENTRIES: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct RejectedLog {
    log: RecordLog,
    path: PathBuf,
    /// Entries in the file.
    entries: usize,
    /// The number of the last entry in the file.
    last: u64,
    /// Jobs that were statements and have ended, whose entries are in the file beside those of no job.
    jobs: BTreeSet<Option<JobId>>,
}

impl RejectedLog {
    /// Adds to a log what is kept in a directory. A file that is damaged is put aside with a warning: nothing else depends on it.
    ///
    /// # Errors
    /// Where the file cannot be read or written.
    pub(crate) fn open(directory: &DataDirectory, rejects: &RejectLog) -> Result<Self, DurableError> {
        let path = directory.folder("rejected")?.join("rejected.log");
        let (log, entries) = match opened(&path) {
            Err(DurableError::Damaged { .. }) => {
                let aside = path.with_extension("damaged");
                tracing::warn!(file = %aside.display(), "rejected rows of earlier statements cannot be read and are put aside");
                std::fs::rename(&path, &aside).map_err(|cause| DurableError::io("rename", &path, cause))?;
                opened(&path)?
            }
            opened => opened?,
        };
        let count = entries.len();
        entries.into_iter().for_each(|entry| rejects.add(entry));
        let last = rejects.last(None).unwrap_or(0);
        Ok(Self { log, path, entries: count, last, jobs: BTreeSet::from([None]) })
    }

    /// Writes what was rejected since the last call by statements that were no jobs, or by this job, which has ended.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn keep(&mut self, job: Option<JobId>, rejects: &RejectLog) -> Result<(), DurableError> {
        let mut new: Vec<Arc<RejectEntry>> = rejects.of([None]);
        new.retain(|entry| entry.number > self.last);
        if job.is_some() {
            // Others may have come and been written while it ran.
            new.extend(rejects.of([job]));
            new.sort_by_key(|entry| entry.number);
        }
        let Some(last) = new.last().map(|entry| entry.number) else { return Ok(()) };
        self.jobs.insert(job);
        self.log.append(&[self.payload(&new)?])?;
        (self.last, self.entries) = (self.last.max(last), self.entries + new.len());
        let live = rejects.of(self.jobs.iter().copied());
        if self.entries > 2 * live.len() + SLACK_ENTRIES {
            self.log.rewrite(&[self.payload(&live)?])?;
            self.entries = live.len();
        }
        Ok(())
    }

    fn payload(&self, entries: &[Arc<RejectEntry>]) -> Result<Vec<u8>, DurableError> {
        let bytes = format_rejected::to_bytes(entries);
        bytes.map_err(|error| DurableError::io("encode a record for", &self.path, std::io::Error::other(error)))
    }
}

fn opened(path: &Path) -> Result<(RecordLog, Vec<RejectEntry>), DurableError> {
    let (log, payloads) = RecordLog::open(path, KIND)?;
    let mut entries = Vec::new();
    for payload in &payloads {
        let read = format_rejected::from_bytes(payload).map_err(|error| DurableError::Damaged {
            path: path.to_owned(),
            at: log.bytes(),
            what: error.to_string(),
        })?;
        entries.extend(read);
    }
    Ok((log, entries))
}
