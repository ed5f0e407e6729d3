//! Which files a path stands for: a file, a directory with all below it, or a glob pattern.
//!
//! Names that begin with a dot or an underscore are passed over: unfinished files and `_SUCCESS` marks have such names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use millstream_engine::error::{EngineError, Result};
use regex::Regex;

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    /// When it was last changed, in milliseconds since 1970-01-01 UTC.
    pub(super) modified_ms: i64,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Bytes.
    pub(super) size: u64,
}

/// What to look for.
#[derive(Debug, Clone)]
pub(super) struct Location {
    /// A file, a directory or a glob pattern.
    pub(super) path: PathBuf,
    /// Must match the whole path of a file.
    pub(super) pattern: Option<Regex>,
}

impl Location {
    /// All files, by path. Empty where a directory is empty.
    ///
    /// # Errors
    /// Where the path, or anything a pattern could match, is not there or cannot be read.
    pub(super) fn list(&self) -> Result<Vec<Listed>> {
        let found = self.find()?;
        match found {
            Some(files) => Ok(files),
            None => Err(EngineError::io(
                format_args!("cannot read \"{}\"", self.path.display()),
                "no such file or directory",
            )),
        }
    }

    /// As [`Self::list`], but what is not there (yet) is empty.
    ///
    /// # Errors
    /// Where something cannot be read.
    pub(super) fn list_present(&self) -> Result<Vec<Listed>> {
        Ok(self.find()?.unwrap_or_default())
    }

    /// As [`Self::list`]; `None` where nothing is there.
    ///
    /// # Errors
    /// Where something cannot be read.
    pub(super) fn find(&self) -> Result<Option<Vec<Listed>>> {
        let mut files = Vec::new();
        if self.path.exists() {
            walk(&self.path, &mut files)?;
        } else {
            let text = self.path.to_string_lossy();
            if !text.contains(['*', '?', '[']) {
                return Ok(None);
            }
            let matches = glob::glob(&text)
                .map_err(|error| EngineError::config(format!("\"{text}\" is no glob pattern: {error}")))?;
            let mut any = false;
            for path in matches {
                let path = path.map_err(|error| EngineError::io(format_args!("cannot list \"{text}\""), error))?;
                any = true;
                if !is_hidden(&path) {
                    walk(&path, &mut files)?;
                }
            }
            if !any {
                return Ok(None);
            }
        }
        if let Some(pattern) = &self.pattern {
            files.retain(|file| pattern.is_match(&file.path.to_string_lossy()));
        }
        files.sort_by(|left, right| left.path.cmp(&right.path));
        files.dedup_by(|left, right| left.path == right.path);
        Ok(Some(files))
    }
}

/// The file at `path`, or all below it.
fn walk(path: &Path, into: &mut Vec<Listed>) -> Result<()> {
    let refuse = |error| EngineError::io(format_args!("cannot read \"{}\"", path.display()), error);
    // What vanishes between two looks is simply not there.
    let Some(meta) = present(fs::metadata(path)).map_err(refuse)? else { return Ok(()) };
    if meta.is_dir() {
        let Some(entries) = present(fs::read_dir(path)).map_err(refuse)? else { return Ok(()) };
        for entry in entries {
            let below = entry.map_err(refuse)?.path();
            if !is_hidden(&below) {
                walk(&below, into)?;
            }
        }
    } else {
        into.push(Listed { modified_ms: modified_ms(&meta), path: path.to_owned(), size: meta.len() });
    }
    Ok(())
}

fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// When a file was last changed, in milliseconds since 1970-01-01 UTC.
pub(super) fn modified_ms(meta: &fs::Metadata) -> i64 {
    let since = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(['.', '_']))
}
