//! Files under construction: hidden by a leading dot until they are whole and their time has come.
//!
//! On this machine a file is written under its hidden name and renamed. For a bucket it is written to a temporary file without
//! a name, put there whole under the hidden name, and copied to its own: a bucket cannot rename.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_engine::error::{EngineError, Result};

use super::place::{Place, key};
use crate::state_store::sync_directory;

/// How the names of unfinished files end.
const UNFINISHED: &str = ".inprogress";

/// Tells the temporary files of one process apart, for as long as they have names.
static FILES: AtomicU64 = AtomicU64::new(0);

/// The name of the file that will be `name`, until it is. `tag` tells whose it is.
pub(super) fn hidden_name(name: &str, tag: &str) -> String {
    format!(".{name}.{tag}{UNFINISHED}")
}

impl Place {
    /// Begins the file of a hidden path; never overwrites.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(super) fn begin(&self, hidden: &Path) -> io::Result<File> {
        match self {
            Self::Local => {
                if let Some(directory) = hidden.parent() {
                    fs::create_dir_all(directory)?;
                }
                OpenOptions::new().write(true).create_new(true).open(hidden)
            }
            Self::Bucket(_) => {
                let number = FILES.fetch_add(1, Ordering::Relaxed);
                let path = std::env::temp_dir().join(format!("millstream-{}-{number}.part", std::process::id()));
                let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
                // Only we have it now, and it is gone when we are.
                fs::remove_file(&path)?;
                Ok(file)
            }
        }
    }

    /// Makes a file durable under its hidden path.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn finish(&self, mut file: File, hidden: &Path) -> io::Result<()> {
        match self {
            Self::Local => {
                file.sync_all()?;
                hidden.parent().map_or(Ok(()), sync_directory).map_err(io::Error::other)
            }
            Self::Bucket(bucket) => {
                let mut bytes = Vec::new();
                file.seek(SeekFrom::Start(0))?;
                file.read_to_end(&mut bytes)?;
                bucket.put(&key(bucket, hidden)?, &bytes).map_err(io::Error::other)
            }
        }
    }

    /// Gives a finished file its visible name, durably. Doing it twice is doing it once; false where it had been done.
    ///
    /// # Errors
    /// Where neither name exists, or the place refuses.
    pub(super) fn publish(&self, hidden: &Path, visible: &Path) -> Result<bool> {
        let refuse = |error: io::Error| {
            let names = format_args!("cannot rename \"{}\" to \"{}\"", hidden.display(), visible.display()).to_string();
            EngineError::io(names, error)
        };
        match self {
            Self::Local => match fs::rename(hidden, visible) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && visible.exists() => Ok(false),
                Err(error) => Err(refuse(error)),
                Ok(()) => visible.parent().map_or(Ok(()), sync_directory).map(|()| true),
            },
            Self::Bucket(bucket) => {
                let (from, to) = (key(bucket, hidden).map_err(refuse)?, key(bucket, visible).map_err(refuse)?);
                if bucket.copy(&from, &to)? {
                    bucket.delete(&from)?;
                    return Ok(true);
                }
                match bucket.head(&to)? {
                    Some(_) => Ok(false),
                    None => Err(refuse(io::ErrorKind::NotFound.into())),
                }
            }
        }
    }

    /// Writes an empty file, in place of one that is there.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn mark(&self, path: &Path) -> Result<()> {
        let done = match self {
            Self::Local => fs::write(path, b""),
            Self::Bucket(bucket) => return bucket.put(&key(bucket, path).map_err(|error| refuse(path, error))?, b""),
        };
        done.map_err(|error| refuse(path, error))
    }

    /// Deletes the unfinished files with this tag below a directory, but for those in `kept`.
    ///
    /// # Errors
    /// Where the directory cannot be read, or a file cannot be deleted.
    pub(super) fn remove_unfinished(&self, directory: &Path, tag: &str, kept: &BTreeSet<PathBuf>) -> Result<()> {
        let ending = format!(".{tag}{UNFINISHED}");
        match self {
            Self::Local => remove_below(directory, &ending, kept),
            Self::Bucket(bucket) => {
                let prefix = key(bucket, directory).map_err(|error| refuse(directory, error))?;
                for object in bucket.list(&prefix)? {
                    let path = PathBuf::from(format!("{}/{}", bucket.name(), object.key));
                    if path.starts_with(directory) && is_unfinished(&path, &ending) && !kept.contains(&path) {
                        bucket.delete(&object.key)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Ends what was to become visible as a whole below a directory, the files whose names begin so: where one of them is visible
    /// all were durable, and the others become visible too; else they are deleted.
    ///
    /// # Errors
    /// Where the directory cannot be read, or a file cannot be renamed or deleted.
    pub(super) fn settle(&self, directory: &Path, start: &str) -> Result<()> {
        let mut paths = Vec::new();
        match self {
            Self::Local => files_below(directory, &mut paths)?,
            Self::Bucket(bucket) => {
                let prefix = key(bucket, directory).map_err(|error| refuse(directory, error))?;
                let objects = bucket.list(&prefix)?;
                paths.extend(objects.iter().map(|object| PathBuf::from(format!("{}/{}", bucket.name(), object.key))));
            }
        }
        let is_of_run = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
        let has_begun = paths.iter().any(|path| is_of_run(path));
        for hidden in &paths {
            let Some(visible) = visible_path(hidden).filter(|visible| is_of_run(visible)) else { continue };
            match self {
                _ if has_begun => drop(self.publish(hidden, &visible)?),
                Self::Local => fs::remove_file(hidden).map_err(|error| refuse(hidden, error))?,
                Self::Bucket(bucket) => {
                    bucket.delete(&key(bucket, hidden).map_err(|error| refuse(hidden, error))?)?;
                }
            }
        }
        Ok(())
    }
}

/// What an unfinished file is to be; `None`: it is none.
fn visible_path(hidden: &Path) -> Option<PathBuf> {
    let name = hidden.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix(UNFINISHED)?;
    let (name, _tag) = name.rsplit_once('.')?;
    Some(hidden.with_file_name(name))
}

/// The files of a directory and those below it.
fn files_below(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let refuse = |error| EngineError::io(format_args!("cannot read directory \"{}\"", directory.display()), error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refuse(error)),
    };
    for entry in entries {
        let entry = entry.map_err(refuse)?;
        match entry.file_type().map_err(refuse)?.is_dir() {
            true => files_below(&entry.path(), files)?,
            false => files.push(entry.path()),
        }
    }
    Ok(())
}

fn remove_below(directory: &Path, ending: &str, kept: &BTreeSet<PathBuf>) -> Result<()> {
    let mut files = Vec::new();
    files_below(directory, &mut files)?;
    for file in files.iter().filter(|file| is_unfinished(file, ending) && !kept.contains(*file)) {
        fs::remove_file(file)
            .map_err(|error| EngineError::io(format_args!("cannot remove \"{}\"", file.display()), error))?;
    }
    Ok(())
}

fn is_unfinished(path: &Path, ending: &str) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('.') && name.ends_with(ending))
}

/// The error of a file that cannot be written.
pub(super) fn refuse(path: &Path, error: impl std::fmt::Display) -> EngineError {
    EngineError::io(format_args!("cannot write file \"{}\"", path.display()), error)
}
