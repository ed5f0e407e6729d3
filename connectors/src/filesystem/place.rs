//! Where the files of a table are: in directories of this machine, or in a bucket of an object store. All that differs
//! between the two stands here, in [`super::listing`] for finding them and in [`super::staging`] for writing them.
//!
//! A file in a bucket is named by its URL without settings, as a path: `s3://bucket/directory/file`.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::listing::modified_ms;
use super::remote_file::{RemoteFile, RemoteRead};
use crate::bucket::Bucket;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Directories of this machine.
    Local,
    /// A bucket. Calls wait for a network, so they are not for shards.
    Bucket(Arc<Bucket>),
}

/// An open file from which any piece can be read.
pub(crate) enum Pieces {
    /// Of this machine.
    Local(File),
    /// In a bucket.
    Remote(RemoteFile),
}

impl Place {
    /// Whether reading may take long: the files are on another machine.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Self::Bucket(_))
    }

    /// Whether files of both are reached in the same way.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local, Self::Local) => true,
            (Self::Bucket(left), Self::Bucket(right)) => left.identity() == right.identity(),
            (Self::Local, Self::Bucket(_)) | (Self::Bucket(_), Self::Local) => false,
        }
    }

    /// Opens a file behind its first `position` bytes.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn open(&self, path: &Path, position: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Local => {
                let mut file = File::open(path)?;
                if position > 0 {
                    file.seek(SeekFrom::Start(position))?;
                }
                Box::new(file)
            }
            Self::Bucket(bucket) => {
                let (size, _) = self.stat(path)?;
                Box::new(RemoteRead::new(Arc::clone(bucket), key(bucket, path)?, position..size.max(position)))
            }
        })
    }

    /// Opens a file from which pieces are read in any order.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn pieces(&self, path: &Path) -> io::Result<Pieces> {
        Ok(match self {
            Self::Local => Pieces::Local(File::open(path)?),
            Self::Bucket(bucket) => {
                let (size, _) = self.stat(path)?;
                Pieces::Remote(RemoteFile::new(Arc::clone(bucket), key(bucket, path)?, size))
            }
        })
    }

    /// The bytes of a file, and when it was last changed: milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// Where it is not there or cannot be looked at.
    pub(super) fn stat(&self, path: &Path) -> io::Result<(u64, i64)> {
        match self {
            Self::Local => fs::metadata(path).map(|meta| (meta.len(), modified_ms(&meta))),
            Self::Bucket(bucket) => match bucket.head(&key(bucket, path)?).map_err(io::Error::other)? {
                Some(object) => Ok((object.size, object.modified_ms)),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }

    /// Whether a file that was listed is still there, as far as can be told at once.
    pub(super) fn exists(&self, path: &Path) -> bool {
        match self {
            Self::Local => path.exists(),
            // What is not there any more is told when it is opened.
            Self::Bucket(_) => true,
        }
    }
}

/// The name in a bucket of a file that is named by its URL.
pub(super) fn key(bucket: &Bucket, path: &Path) -> io::Result<String> {
    let inside = path.to_str().and_then(|path| path.strip_prefix(bucket.name())).and_then(|key| key.strip_prefix('/'));
    let outside = || io::Error::other(format!("\"{}\" is not in {}", path.display(), bucket.name()));
    inside.map(str::to_owned).ok_or_else(outside)
}

impl parquet::file::reader::Length for Pieces {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => parquet::file::reader::Length::len(file),
            Self::Remote(file) => file.size(),
        }
    }
}

impl parquet::file::reader::ChunkReader for Pieces {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(match self {
            Self::Local(file) => Box::new(file.get_read(start)?),
            Self::Remote(file) => Box::new(BufReader::new(file.read_from(start))),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Remote(file) => Ok(file.bytes(start, length)?),
        }
    }
}
