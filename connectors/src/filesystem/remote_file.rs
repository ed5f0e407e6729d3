//! A file in a bucket: read from front to back in long pieces ([`RemoteRead`]), or anywhere through a cache of its blocks
//! ([`RemoteFile`]), as Parquet wants it, whose columns are read side by side in small pieces.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;

use crate::bucket::Bucket;

/// Bytes asked for at a time by who reads from front to back: at first, as it may be only the beginning that is wanted, and
/// at the most, when each piece has been twice the one before.
const PIECE_BYTES_MIN: u64 = 256 << 10;
const PIECE_BYTES_MAX: u64 = 8 << 20;
/// Bytes of a block.
const BLOCK_BYTES: u64 = 1 << 20;
/// Blocks kept of one file: 64 MB.
const BLOCKS_MAX: usize = 64;

/// Reads a range of a file from front to back.
pub(super) struct RemoteRead {
    bucket: Arc<Bucket>,
    key: String,
    left: Range<u64>,
    piece: Bytes,
    /// Of the next request.
    piece_bytes: u64,
}

impl RemoteRead {
    /// Reads these bytes of an object.
    pub(super) fn new(bucket: Arc<Bucket>, key: String, range: Range<u64>) -> Self {
        Self { bucket, key, left: range, piece: Bytes::new(), piece_bytes: PIECE_BYTES_MIN }
    }
}

impl Read for RemoteRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.left.is_empty() {
            let end = self.left.end.min(self.left.start.saturating_add(self.piece_bytes));
            self.piece_bytes = PIECE_BYTES_MAX.min(self.piece_bytes * 2);
            self.piece = self.bucket.get_range(&self.key, self.left.start..end).map_err(io::Error::other)?;
            if self.piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.left.start += self.piece.len() as u64;
        }
        let count = self.piece.len().min(into.len());
        self.piece.copy_to_slice(into.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Reads a file anywhere. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub(crate) struct RemoteFile {
    bucket: Arc<Bucket>,
    key: Arc<str>,
    size: u64,
    /// By number; those used last at the end.
    blocks: Arc<Mutex<VecDeque<(u64, Bytes)>>>,
}

impl RemoteFile {
    /// An object of this size.
    pub(super) fn new(bucket: Arc<Bucket>, key: String, size: u64) -> Self {
        Self { bucket, key: key.into(), size, blocks: Arc::default() }
    }

    /// Bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Reads from a place on.
    pub(super) fn read_from(&self, start: u64) -> RemoteCursor {
        RemoteCursor { file: self.clone(), at: start }
    }

    /// The bytes of a range that lies in the file.
    ///
    /// # Errors
    /// Where it does not, or the object cannot be read.
    pub(super) fn bytes(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.size);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if length as u64 > BLOCK_BYTES {
            // A long piece comes with one request and is not read again.
            return self.bucket.get_range(&self.key, start..end).map_err(io::Error::other);
        }
        let mut bytes = BytesMut::with_capacity(length);
        let mut at = start;
        while at < end {
            let block = self.block(at / BLOCK_BYTES)?;
            let from = usize::try_from(at % BLOCK_BYTES).unwrap_or(usize::MAX);
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX);
            let piece = block.get(from..block.len().min(from.saturating_add(wanted))).unwrap_or_default();
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(piece);
            at += piece.len() as u64;
        }
        Ok(bytes.freeze())
    }

    fn block(&self, number: u64) -> io::Result<Bytes> {
        let mut blocks = self.blocks.lock();
        let found = blocks.iter().position(|(known, _)| *known == number).and_then(|at| blocks.remove(at));
        let block = match found {
            Some((_, block)) => block,
            None => {
                let start = number * BLOCK_BYTES;
                let range = start..self.size.min(start + BLOCK_BYTES);
                self.bucket.get_range(&self.key, range).map_err(io::Error::other)?
            }
        };
        blocks.push_back((number, block.clone()));
        if blocks.len() > BLOCKS_MAX {
            blocks.pop_front();
        }
        Ok(block)
    }
}

/// Reads a [`RemoteFile`] from a place on.
pub(super) struct RemoteCursor {
    file: RemoteFile,
    at: u64,
}

impl Read for RemoteCursor {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.file.size.saturating_sub(self.at).min(BLOCK_BYTES);
        let count = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut bytes = self.file.bytes(self.at, count)?;
        bytes.copy_to_slice(into.get_mut(..count).unwrap_or_default());
        self.at += count as u64;
        Ok(count)
    }
}
