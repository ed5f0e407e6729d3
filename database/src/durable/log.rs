//! [`RecordLog`]: one log file, appended to and compacted. What a record means is its user's to know.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::DurableError;
use super::format_log::{FRAME_BYTES, HEADER_BYTES, LogKind, Next, check_header, header, read_record, write_record};

/// Behind the name of a file that is being written to take the place of another.
const NEW: &str = "new";

/// A log open for appending.
#[derive(Debug)]
pub(super) struct RecordLog {
    path: PathBuf,
    kind: LogKind,
    file: File,
    /// Bytes that are whole and synced.
    bytes: u64,
    /// The end of the file is not known any more.
    closed: bool,
    /// Appends since it was opened, for tests.
    #[cfg(test)]
    syncs: u64,
}

impl RecordLog {
    /// Opens a log, makes an empty one where there is none, and gives its records. A torn end is cut off and told.
    ///
    /// # Errors
    /// Where the file cannot be read or written, or is damaged.
    pub(super) fn open(path: &Path, kind: LogKind) -> Result<(Self, Vec<Vec<u8>>), DurableError> {
        let found = match std::fs::read(path) {
            Ok(found) => found,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(cause) => return Err(DurableError::io("read", path, cause)),
        };
        // A header that is cut was being written: nothing can have been added to it.
        if found.len() < HEADER_BYTES && header(kind).starts_with(&found) {
            let mut log = Self {
                path: path.to_owned(),
                kind,
                file: open(path)?,
                bytes: 0,
                closed: false,
                #[cfg(test)]
                syncs: 0,
            };
            log.rewrite(&[])?;
            return Ok((log, Vec::new()));
        }
        let damaged = |at: usize, what: String| DurableError::Damaged { path: path.to_owned(), at: at as u64, what };
        check_header(&found, kind).map_err(|what| damaged(0, what))?;
        let (mut at, mut records) = (HEADER_BYTES, Vec::new());
        loop {
            match read_record(&found, at) {
                Next::Record { payload, end } => {
                    records.push(payload.to_vec());
                    at = end;
                }
                Next::End => break,
                Next::Torn => {
                    let lost = found.len() - at;
                    tracing::warn!(file = %path.display(), bytes = lost, "cut off a record that was not written to its end");
                    break;
                }
                Next::Damaged(what) => return Err(damaged(at, what.to_owned())),
            }
        }
        let mut log = Self {
            path: path.to_owned(),
            kind,
            file: open(path)?,
            bytes: at as u64,
            closed: false,
            #[cfg(test)]
            syncs: 0,
        };
        if at < found.len() {
            log.cut()?;
        }
        Ok((log, records))
    }

    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends since the log was opened, each with one sync.
    #[cfg(test)]
    pub(super) fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Adds records. When this returns they are on the disk: all of them, or after an error none.
    ///
    /// # Errors
    /// Where they cannot be written; where the disk is full the log takes later ones again.
    pub(super) fn append(&mut self, payloads: &[Vec<u8>]) -> Result<(), DurableError> {
        if self.closed {
            return Err(DurableError::Closed(self.path.clone()));
        }
        let bytes = self.framed(payloads, Vec::new())?;
        if let Err(cause) = self.file.write_all(&bytes) {
            // What was written of it must not stand before what comes later.
            if self.cut().is_err() {
                self.closed = true;
            }
            return Err(DurableError::io("write", &self.path, cause));
        }
        if let Err(cause) = self.file.sync_data() {
            // After a failed sync nobody can tell what is on the disk.
            self.closed = true;
            return Err(DurableError::io("sync", &self.path, cause));
        }
        self.bytes += bytes.len() as u64;
        #[cfg(test)]
        {
            self.syncs += 1;
        }
        Ok(())
    }

    /// Replaces all records, in one step: after a crash either the old ones are there or the new ones.
    ///
    /// # Errors
    /// Where the new file cannot be written. The old one stays.
    pub(super) fn rewrite(&mut self, payloads: &[Vec<u8>]) -> Result<(), DurableError> {
        let bytes = self.framed(payloads, header(self.kind).to_vec())?;
        let new = self.path.with_added_extension(NEW);
        let mut file = File::create(&new).map_err(|cause| DurableError::io("create", &new, cause))?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_all());
        if let Err(cause) = written.and_then(|()| std::fs::rename(&new, &self.path)) {
            // It is in nobody's way; the next try overwrites it.
            let _ = std::fs::remove_file(&new);
            return Err(DurableError::io("write", &self.path, cause));
        }
        sync_parent(&self.path)?;
        self.file = open(&self.path)?;
        self.bytes = bytes.len() as u64;
        self.closed = false;
        Ok(())
    }

    fn framed(&self, payloads: &[Vec<u8>], mut out: Vec<u8>) -> Result<Vec<u8>, DurableError> {
        out.reserve(payloads.iter().map(|payload| payload.len() + FRAME_BYTES).sum());
        for payload in payloads {
            write_record(payload, &mut out).ok_or_else(|| {
                let cause = std::io::Error::new(std::io::ErrorKind::FileTooLarge, "a record is longer than 4 GB");
                DurableError::io("write", &self.path, cause)
            })?;
        }
        Ok(out)
    }

    /// Cuts off what comes after the last whole record.
    fn cut(&mut self) -> Result<(), DurableError> {
        let cut = self.file.set_len(self.bytes).and_then(|()| self.file.sync_all());
        cut.map_err(|cause| DurableError::io("truncate", &self.path, cause))
    }
}

fn open(path: &Path) -> Result<File, DurableError> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|cause| DurableError::io("open", path, cause))
}

/// Makes the name of a file durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), DurableError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    File::open(parent).and_then(|folder| folder.sync_all()).map_err(|cause| DurableError::io("sync", parent, cause))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use super::{DurableError, LogKind, RecordLog};

    const KIND: LogKind = LogKind(*b"xx");

    fn texts(records: &[Vec<u8>]) -> Vec<&str> {
        records.iter().map(|record| std::str::from_utf8(record).unwrap()).collect()
    }

    #[test]
    fn records_come_back_and_a_torn_end_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let (mut log, records) = RecordLog::open(&path, KIND).unwrap();
        assert!(records.is_empty());
        log.append(&[b"one".to_vec(), b"two".to_vec()]).unwrap();
        let whole = log.bytes();
        log.append(&[b"three".to_vec()]).unwrap();
        drop(log);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(whole + 18).unwrap();
        let (mut log, records) = RecordLog::open(&path, KIND).unwrap();
        assert_eq!(texts(&records), ["one", "two"]);
        assert_eq!(log.bytes(), whole);
        log.append(&[b"four".to_vec()]).unwrap();
        assert_eq!(texts(&RecordLog::open(&path, KIND).unwrap().1), ["one", "two", "four"]);
    }

    #[test]
    fn it_is_rewritten_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let (mut log, _) = RecordLog::open(&path, KIND).unwrap();
        log.append(&[b"one".to_vec(), b"two".to_vec()]).unwrap();
        log.rewrite(&[b"both".to_vec()]).unwrap();
        log.append(&[b"more".to_vec()]).unwrap();
        assert_eq!(texts(&RecordLog::open(&path, KIND).unwrap().1), ["both", "more"]);
    }

    #[test]
    fn a_full_disk_is_told_and_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let (mut log, _) = RecordLog::open(&path, KIND).unwrap();
        log.append(&[b"one".to_vec()]).unwrap();
        // Every write to this device fails as on a full disk.
        log.file = std::fs::OpenOptions::new().append(true).open("/dev/full").unwrap();
        let error = millstream_sql::SqlError::from(log.append(&[b"two".to_vec()]).unwrap_err());
        assert_eq!(error.parts().state.0, "53100", "{error}");
        assert_eq!(texts(&RecordLog::open(&path, KIND).unwrap().1), ["one"]);
    }

    #[test]
    fn damage_names_the_file_and_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let (mut log, _) = RecordLog::open(&path, KIND).unwrap();
        log.append(&[b"one".to_vec()]).unwrap();
        let at = log.bytes();
        log.append(&[b"two".to_vec()]).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 4;
        std::fs::write(&path, bytes).unwrap();
        let error = RecordLog::open(&path, KIND).unwrap_err();
        assert!(matches!(&error, DurableError::Damaged { at: found, .. } if *found == at));
        assert!(error.to_string().contains("a.log"), "{error}");
    }
}
