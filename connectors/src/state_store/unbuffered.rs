//! [`Unbuffered`]: a file that is written once and that nobody reads soon, past the page cache where the system can do that.
//!
//! Copying into the page cache costs more than all else that a large file of rows needs, and puts out what others would read.
//! Past it, whole blocks go to the device from memory that is aligned to them; the last bytes, and files that are smaller than a
//! block, are written as usual.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What is written at once.
const BLOCK_BYTES: usize = 1 << 20;
/// What addresses and lengths are multiples of, past the page cache, on all usual devices.
const ALIGNMENT: usize = 1 << 12;

/// See the module.
pub(super) struct Unbuffered {
    path: PathBuf,
    file: File,
    past_cache: PastCache,
    /// Room for a block behind the first aligned address.
    buffer: Vec<u8>,
    start: usize,
    /// Bytes of the file that are written.
    offset: u64,
    /// Why it could not be written.
    pub(super) error: Option<io::Error>,
}

/// The same file, written past the page cache.
enum PastCache {
    Untried,
    Open(File),
    Refused,
}

impl Unbuffered {
    /// A new file, or an old one emptied.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        let buffer = Vec::<u8>::with_capacity(BLOCK_BYTES + ALIGNMENT);
        let start = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let past_cache = PastCache::Untried;
        let mut file = Self { path: path.to_owned(), file, past_cache, buffer, start, offset: 0, error: None };
        file.buffer.resize(start, 0);
        Ok(file)
    }

    /// Writes what is left, and makes all durable.
    ///
    /// # Errors
    /// Where the device does not take it.
    pub(super) fn finish(self) -> io::Result<()> {
        write_at(&self.file, self.buffer.get(self.start..).unwrap_or_default(), self.offset)?;
        self.file.sync_all()
    }

    fn write_block(&mut self) -> io::Result<()> {
        if matches!(self.past_cache, PastCache::Untried) {
            self.past_cache = open_past_cache(&self.path).map_or(PastCache::Refused, PastCache::Open);
        }
        let block = self.buffer.get(self.start..).unwrap_or_default();
        let written = match &self.past_cache {
            PastCache::Open(file) => write_at(file, block, self.offset),
            PastCache::Untried | PastCache::Refused => write_at(&self.file, block, self.offset),
        };
        match written {
            // Some file systems open such files and then do not write them.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.past_cache = PastCache::Refused;
                write_at(&self.file, block, self.offset)?;
            }
            written => written?,
        }
        self.offset += block.len() as u64;
        self.buffer.truncate(self.start);
        Ok(())
    }
}

impl Write for Unbuffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.start + BLOCK_BYTES - self.buffer.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() == self.start + BLOCK_BYTES {
            self.write_block().map_err(|error| {
                let again = io::Error::new(error.kind(), error.to_string());
                self.error = Some(error);
                again
            })?;
        }
        Ok(taken.len())
    }

    /// Nothing: what is left is written at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

#[cfg(target_os = "linux")]
fn open_past_cache(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).custom_flags(libc::O_DIRECT).open(path)
}

#[cfg(not(target_os = "linux"))]
fn open_past_cache(_path: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_file_has_what_was_written_whatever_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let all: Vec<u8> = (0..3 * BLOCK_BYTES).map(|at| (at / 7) as u8).collect();
        for length in [0, 1, ALIGNMENT, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, all.len() - 5, all.len()] {
            for piece in [97, 4_096, 700_001] {
                let mut file = Unbuffered::create(&path).unwrap();
                all[..length].chunks(piece).for_each(|piece| file.write_all(piece).unwrap());
                file.finish().unwrap();
                assert!(std::fs::read(&path).unwrap() == all[..length], "{length} bytes in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_device_that_takes_nothing_is_told_of() {
        let mut full = Unbuffered::create(Path::new("/dev/full")).unwrap();
        assert!(full.write_all(&vec![1; BLOCK_BYTES]).is_err());
        assert_eq!(full.error.map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
        let mut full = Unbuffered::create(Path::new("/dev/full")).unwrap();
        full.write_all(b"x").unwrap();
        assert!(full.finish().is_err());
    }
}
