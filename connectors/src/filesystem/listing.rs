//! Which files a path stands for: a file, a directory with all below it, or a glob pattern; on this machine or in a bucket.
//!
//! Names that begin with a dot or an underscore are passed over: unfinished files and `_SUCCESS` marks have such names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use millstream_engine::error::{EngineError, Result};
use regex::Regex;

use super::place::{self, Place};
use crate::bucket::{Bucket, StoreUrl};

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
    /// Where.
    pub(super) place: Place,
    /// A file, a directory or a glob pattern; in a bucket its URL without settings. Of several, the directory that is above all.
    pub(super) path: PathBuf,
    /// The paths of a list, all in one place; empty where there is one.
    named: Vec<PathBuf>,
    /// Must match the whole path of a file.
    pattern: Option<Regex>,
}

/// What stands between the paths of a list: no path has it.
const LIST_SEPARATOR: char = '\0';

/// Several paths as one text, as the option `path` takes it.
pub fn list_of_paths(paths: &[String]) -> String {
    paths.join(&LIST_SEPARATOR.to_string())
}

impl Location {
    /// What a path or URL stands for, or a list of them. Nothing is looked at yet.
    ///
    /// # Errors
    /// Where the URL is of an unknown kind, settings of its object store are missing, or paths of a list are in several places.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let Some((first, rest)) = text.split_once(LIST_SEPARATOR) else { return Self::parse_one(text) };
        let mut location = Self::parse_one(first)?;
        let mut named = vec![location.path.clone()];
        for text in rest.split(LIST_SEPARATOR) {
            let other = Self::parse_one(text)?;
            if !location.place.is_same(&other.place) {
                return Err(EngineError::config("the paths of a list must lead to one place"));
            }
            location.path = common_directory(&location.path, &other.path);
            named.push(other.path);
        }
        Ok(Self { named, ..location })
    }

    /// Only files whose whole path matches.
    pub(super) fn with_pattern(self, pattern: Option<Regex>) -> Self {
        Self { pattern, ..self }
    }

    fn parse_one(text: &str) -> Result<Self> {
        let (named, pattern) = (Vec::new(), None);
        if !StoreUrl::is_one(text) {
            return Ok(Self { place: Place::Local, path: local_path(text)?, named, pattern });
        }
        let url = StoreUrl::parse(text)?;
        let path = PathBuf::from(format!("{}/{}", url.bucket_name(), url.path()));
        Ok(Self { place: Place::Bucket(Bucket::open(&url)?), path, named, pattern })
    }

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

    /// As [`Self::list`]; `None` where nothing is there, in a list where anything is not.
    ///
    /// # Errors
    /// Where something cannot be read.
    pub(super) fn find(&self) -> Result<Option<Vec<Listed>>> {
        let mut files = Vec::new();
        let paths = if self.named.is_empty() { std::slice::from_ref(&self.path) } else { self.named.as_slice() };
        for path in paths {
            match &self.place {
                Place::Bucket(bucket) => match in_bucket(bucket, path)? {
                    Some(found) => files.extend(found),
                    None => return Ok(None),
                },
                Place::Local => {
                    if !in_directories(path, &mut files)? {
                        return Ok(None);
                    }
                }
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

/// The directory that is above two files, directories or patterns.
fn common_directory(left: &Path, right: &Path) -> PathBuf {
    let pairs = left.components().zip(right.components());
    pairs.take_while(|(left, right)| left == right).map(|(same, _)| same).collect()
}

/// Takes in what a path of this machine stands for; false where nothing is there.
fn in_directories(path: &Path, files: &mut Vec<Listed>) -> Result<bool> {
    if path.exists() {
        walk(path, files)?;
        return Ok(true);
    }
    let text = path.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        return Ok(false);
    }
    let matches =
        glob::glob(&text).map_err(|error| EngineError::config(format!("\"{text}\" is no glob pattern: {error}")))?;
    let mut any = false;
    for path in matches {
        let path = path.map_err(|error| EngineError::io(format_args!("cannot list \"{text}\""), error))?;
        any = true;
        if !is_hidden(&path) {
            walk(&path, files)?;
        }
    }
    Ok(any)
}

/// The objects that a URL stands for; `None` where there are none.
fn in_bucket(bucket: &Bucket, path: &Path) -> Result<Option<Vec<Listed>>> {
    let refuse = |error| EngineError::io(format_args!("cannot read \"{}\"", path.display()), error);
    let key =
        if path == Path::new(bucket.name()) { String::new() } else { place::key(bucket, path).map_err(refuse)? };
    let listed = |object: crate::bucket::Object| Listed {
        modified_ms: object.modified_ms,
        path: PathBuf::from(format!("{}/{}", bucket.name(), object.key)),
        size: object.size,
    };
    let found: Vec<Listed> = match key.find(['*', '?', '[']) {
        None => {
            let directory = key.trim_end_matches('/');
            if !directory.is_empty()
                && directory == key
                && let Some(object) = bucket.head(&key)?
            {
                return Ok(Some(vec![listed(object)]));
            }
            let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
            let inside = bucket.list(&prefix)?.into_iter();
            inside.filter(|object| is_shown(&object.key, prefix.len())).map(listed).collect()
        }
        Some(literal) => {
            let pattern = glob::Pattern::new(&key)
                .map_err(|error| EngineError::config(format!("\"{key}\" is no glob pattern: {error}")))?;
            let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
            // A directory that matches stands for all below it.
            let ends = |key: &str| key.match_indices('/').map(|(at, _)| at).chain([key.len()]).collect::<Vec<_>>();
            let fits = |key: &str| {
                ends(key).into_iter().any(|end| key.get(..end).is_some_and(|key| pattern.matches_with(key, options)))
            };
            let prefix = key.get(..literal).unwrap_or_default();
            let base = prefix.rfind('/').map_or(0, |at| at + 1);
            let inside = bucket.list(prefix)?.into_iter();
            inside.filter(|object| is_shown(&object.key, base) && fits(&object.key)).map(listed).collect()
        }
    };
    Ok((!found.is_empty()).then_some(found))
}

/// Whether a name is that of a file, no part of it behind `base` hidden.
fn is_shown(key: &str, base: usize) -> bool {
    let below = key.get(base..).unwrap_or_default();
    !below.is_empty() && !below.ends_with('/') && !below.split('/').any(|part| part.starts_with(['.', '_']))
}

/// The path of a `file:` URL or of plain text.
fn local_path(text: &str) -> Result<PathBuf> {
    if text.trim().is_empty() {
        return Err(EngineError::config("option \"path\" is empty"));
    }
    let path = match text.split_once(':') {
        Some(("file", rest)) => match rest.strip_prefix("//") {
            // file://host/path: only this host.
            Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
            None => rest,
        },
        Some((scheme, rest)) if rest.starts_with("//") => {
            return Err(EngineError::Config {
                message: format!("path \"{text}\" has scheme \"{scheme}\", which is not supported"),
                hint: Some("give a local path, or a URL with file://, s3://, gs:// or az://".to_owned()),
            });
        }
        Some(_) | None => text,
    };
    Ok(PathBuf::from(path))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn paths_and_urls() {
        assert_eq!(local_path("/a/b").unwrap(), PathBuf::from("/a/b"));
        assert_eq!(local_path("a:b").unwrap(), PathBuf::from("a:b"));
        assert_eq!(local_path("file:///a/b").unwrap(), PathBuf::from("/a/b"));
        assert_eq!(local_path("file:/a/b").unwrap(), PathBuf::from("/a/b"));
        assert!(local_path("ftp://host/a").unwrap_err().to_string().contains("ftp"));
        assert!(local_path(" ").is_err());
        assert!(Location::parse("s3://").is_err());
    }

    #[test]
    fn lists_of_paths() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        for name in ["a.csv", "b.csv", "c.csv"] {
            fs::write(path(name), "").unwrap();
        }
        let location = Location::parse(&list_of_paths(&[path("b.csv"), path("[ab].csv")])).unwrap();
        assert_eq!(location.path, dir.path());
        let found: Vec<PathBuf> = location.list().unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(found, [dir.path().join("a.csv"), dir.path().join("b.csv")], "each once");
        let missing = Location::parse(&list_of_paths(&[path("a.csv"), path("d.csv")])).unwrap();
        assert!(missing.find().unwrap().is_none());
        assert!(Location::parse(&list_of_paths(&[path("a.csv"), "ftp://x/y".to_owned()])).is_err());
    }

    #[test]
    fn marks_and_unfinished_objects_are_hidden() {
        for (key, base, shown) in
            [("a/b", 2, true), ("a/.b", 2, false), ("a/_SUCCESS", 2, false), ("a/", 2, false), ("_a/b", 3, true)]
        {
            assert_eq!(is_shown(key, base), shown, "{key}");
        }
    }
}
