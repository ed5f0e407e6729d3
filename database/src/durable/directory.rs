//! [`DataDirectory`]: the server's own directory, held by one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::DurableError;

const LOCK: &str = "lock";
const SPILL: &str = "spill";

/// How long a database that was dropped may take to go.
const LEAVING_MAX: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A directory that is this process's until the value is dropped.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    /// The operating system gives the lock back when the process dies, however it dies.
    _lock: File,
}

impl DataDirectory {
    /// Takes a directory, which is made where it is missing.
    ///
    /// # Errors
    /// Where another process holds it, or it cannot be made or written.
    pub(crate) fn take(path: &Path) -> Result<Self, DurableError> {
        let io = |what| move |cause| DurableError::io(what, path, cause);
        std::fs::create_dir_all(path).map_err(io("create"))?;
        let file = path.join(LOCK);
        let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&file);
        let mut lock = opened.map_err(|cause| DurableError::io("open", &file, cause))?;
        match lock.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who holds it is only told where it can be read.
                let _ = lock.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => String::new(),
                    process => format_holder(process),
                };
                return Err(DurableError::InUse { path: path.to_owned(), holder });
            }
            Err(TryLockError::Error(cause)) => return Err(DurableError::io("lock", &file, cause)),
        }
        let written =
            lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()));
        written.map_err(|cause| DurableError::io("write", &file, cause))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// As [`Self::take`]. A database of this process that was dropped a moment ago is waited for: a task that was at work in it
    /// may be the last to let go of it.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(crate) async fn take_when_left(path: &Path) -> Result<Self, DurableError> {
        let until = Instant::now() + LEAVING_MAX;
        let own = format_holder(std::process::id());
        loop {
            match Self::take(path) {
                Err(DurableError::InUse { holder, .. }) if holder == own && Instant::now() < until => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                taken => return taken,
            }
        }
    }

    /// An empty folder for what queries spill: what a server left that was killed is removed.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn spill_folder(&self) -> Result<PathBuf, DurableError> {
        let folder = self.path.join(SPILL);
        match std::fs::remove_dir_all(&folder) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(DurableError::io("empty", &folder, cause))
            }
            Ok(()) | Err(_) => self.folder(SPILL),
        }
    }

    /// Whether there are files in a folder of it.
    pub(super) fn has_files(&self, name: &str) -> bool {
        std::fs::read_dir(self.path.join(name)).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// A folder in it, which is made where it is missing.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, DurableError> {
        let folder = self.path.join(name);
        std::fs::create_dir_all(&folder).map_err(|cause| DurableError::io("create", &folder, cause))?;
        super::log::sync_parent(&folder)?;
        Ok(folder)
    }
}

fn format_holder(process: impl std::fmt::Display) -> String {
    format!(" (process {process})")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use super::{DataDirectory, DurableError};

    #[test]
    fn one_holds_it_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/data");
        let first = DataDirectory::take(&path).unwrap();
        let error = DataDirectory::take(&path).unwrap_err();
        assert!(matches!(error, DurableError::InUse { .. }));
        assert!(error.to_string().ends_with(&format!("(process {})", std::process::id())), "{error}");
        drop(first);
        DataDirectory::take(&path).unwrap();
    }

    #[tokio::test]
    async fn one_that_is_just_being_left_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDirectory::take(folder.path()).unwrap();
        let taking = tokio::spawn({
            let path = folder.path().to_owned();
            async move { DataDirectory::take_when_left(&path).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(!taking.is_finished());
        drop(first);
        taking.await.unwrap().unwrap();
    }
}
