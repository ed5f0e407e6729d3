//! [`DirectoryStore`]: a state store in a local directory.
//!
//! An object is a file. It is written under a hidden name, made durable, and given its name by a rename, or by a link where
//! it must not replace another; then its directory is made durable. So a crash leaves an object whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{StateStore, WriteObject};

use super::unbuffered::Unbuffered;

/// See the module.
#[derive(Debug)]
pub struct DirectoryStore {
    root: PathBuf,
    /// Makes hidden names different.
    writes: AtomicU64,
}

impl DirectoryStore {
    /// The store in a directory, which is made where it is not there. What unfinished writes have left is deleted.
    ///
    /// # Errors
    /// Where the directory cannot be made or listed.
    pub fn open(root: PathBuf) -> Result<Self> {
        fs::create_dir_all(&root).map_err(|error| refuse("cannot make directory", &root, &error))?;
        let store = Self { root, writes: AtomicU64::new(0) };
        let mut left = Vec::new();
        walk(&store.root, &mut |path, hidden| {
            if hidden {
                left.push(path);
            }
        })
        .map_err(|error| refuse("cannot list directory", &store.root, &error))?;
        for path in left {
            fs::remove_file(&path).map_err(|error| refuse("cannot delete", &path, &error))?;
        }
        Ok(store)
    }

    fn path(&self, path: &str) -> Result<PathBuf> {
        let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if path.is_empty() || !inside {
            return Err(EngineError::Internal(format!("\"{path}\" is no path of a state store")));
        }
        Ok(self.root.join(path))
    }

    /// Writes an object durably under a hidden name beside `target`.
    fn write_hidden(&self, target: &Path, write: WriteObject<'_>) -> Result<PathBuf> {
        let parent = target.parent().unwrap_or(&self.root);
        if !parent.is_dir() {
            fs::create_dir_all(parent).map_err(|error| refuse("cannot make directory", parent, &error))?;
            sync_directory(parent.parent().unwrap_or(&self.root))?;
        }
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let hidden = parent.join(format!(".{}-{number}.tmp", std::process::id()));
        let written = write_file(&hidden, target, write);
        if written.is_err() {
            // What is left of it is deleted when the store is opened again.
            let _ = fs::remove_file(&hidden);
        }
        written.map(|()| hidden)
    }
}

/// Writes a file durably. Its errors are about `target`.
fn write_file(path: &Path, target: &Path, write: WriteObject<'_>) -> Result<()> {
    let refuse = |error: io::Error| refuse("cannot write", target, &error);
    let mut out = Unbuffered::create(path).map_err(refuse)?;
    let written = write(&mut out);
    if let Some(error) = out.error.take() {
        return Err(refuse(error));
    }
    written?;
    out.finish().map_err(refuse)
}

impl StateStore for DirectoryStore {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.put_with(path, &mut |out| out.write_all(bytes).map_err(|error| EngineError::io("an object", error)))
    }

    fn put_with(&self, path: &str, write: WriteObject<'_>) -> Result<()> {
        let target = self.path(path)?;
        let hidden = self.write_hidden(&target, write)?;
        if let Err(error) = fs::rename(&hidden, &target) {
            // What is left of it is deleted when the store is opened again.
            let _ = fs::remove_file(&hidden);
            return Err(refuse("cannot write", &target, &error));
        }
        sync_directory(target.parent().unwrap_or(&self.root))
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        let target = self.path(path)?;
        let mut write = |out: &mut dyn Write| out.write_all(bytes).map_err(|error| EngineError::io("an object", error));
        let hidden = self.write_hidden(&target, &mut write)?;
        let linked = fs::hard_link(&hidden, &target);
        fs::remove_file(&hidden).map_err(|error| refuse("cannot delete", &hidden, &error))?;
        match linked {
            Ok(()) => {
                sync_directory(target.parent().unwrap_or(&self.root))?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(refuse("cannot write", &target, &error)),
        }
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let target = self.path(path)?;
        match fs::read(&target) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(refuse("cannot read", &target, &error)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let start = self.path(prefix.trim_end_matches('/'))?;
        let mut found = Vec::new();
        walk(&start, &mut |path, hidden| {
            let relative = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
            found.extend(relative.filter(|_| !hidden).map(str::to_owned));
        })
        .map_err(|error| refuse("cannot list directory", &start, &error))?;
        found.sort_unstable();
        Ok(found)
    }

    fn delete(&self, path: &str) -> Result<()> {
        let target = self.path(path)?;
        match fs::remove_file(&target) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(refuse("cannot delete", &target, &error)),
        }
    }

    fn describe(&self) -> String {
        format!("directory \"{}\"", self.root.display())
    }
}

/// Calls `see` with every file below a directory, and whether its name is hidden. A directory that is not there is empty.
fn walk(directory: &Path, see: &mut impl FnMut(PathBuf, bool)) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), see)?;
        } else {
            let hidden = entry.file_name().to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".tmp"));
            see(entry.path(), hidden);
        }
    }
    Ok(())
}

/// Makes the names in a directory durable.
///
/// # Errors
/// Where the file system refuses.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| refuse("cannot sync directory", directory, &error))
}

/// An error that names the file.
pub(super) fn refuse(what: &str, path: &Path, error: &io::Error) -> EngineError {
    EngineError::io(format_args!("{what} \"{}\"", path.display()), error)
}
