//! Compressed files of text formats: gzip, zstd, deflate, snappy, bzip2 and xz, told by the ending of their names. Parquet and Avro
//! compress inside.

use std::io::{self, Read, Write};
use std::path::Path;

use super::place::Place;

/// How a whole file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `.gz`, `.gzip`
    Gzip,
    /// `.zst`, `.zstd`
    Zstd,
    /// `.deflate`, `.zz`: zlib's form.
    Deflate,
    /// `.snappy`, `.sz`: Snappy's framing format.
    Snappy,
    /// `.bz2`
    Bzip2,
    /// `.xz`
    Xz,
}

/// How hard `xz` tries, of 0 to 9: its own default takes 90 MB of memory for a writer.
const XZ_LEVEL: u32 = 4;

/// What the names of compressed files end in.
const ENDINGS: [(&str, Compression); 10] = [
    ("gz", Compression::Gzip),
    ("gzip", Compression::Gzip),
    ("zst", Compression::Zstd),
    ("zstd", Compression::Zstd),
    ("deflate", Compression::Deflate),
    ("zz", Compression::Deflate),
    ("snappy", Compression::Snappy),
    ("sz", Compression::Snappy),
    ("bz2", Compression::Bzip2),
    ("xz", Compression::Xz),
];

impl Compression {
    /// The compression that the name of a file tells.
    pub fn of(path: &Path) -> Self {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        ENDINGS.iter().find(|(known, _)| *known == ending).map_or(Self::None, |(_, compression)| *compression)
    }
}

/// Opens a file behind its first `position` bytes, which are counted as they are when it is unpacked.
///
/// # Errors
/// Where it cannot be opened or does not hold what its name tells.
pub(super) fn open(place: &Place, path: &Path, position: u64) -> io::Result<Box<dyn Read + Send>> {
    let compression = Compression::of(path);
    if compression == Compression::None {
        return place.open(path, position);
    }
    let file = place.open(path, 0)?;
    let mut unpacked: Box<dyn Read + Send> = match compression {
        Compression::None => file,
        // Files that were appended to one another unpack to their contents in order.
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(file))),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(file)?),
        Compression::Deflate => Box::new(flate2::read::ZlibDecoder::new(file)),
        Compression::Snappy => Box::new(snap::read::FrameDecoder::new(file)),
        Compression::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(file)),
        Compression::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(file)),
    };
    io::copy(&mut unpacked.by_ref().take(position), &mut io::sink())?;
    Ok(unpacked)
}

/// Packs what is written, and ends the file when it is told to.
pub enum PackedWriter<W: Write> {
    /// As it is.
    Plain(W),
    /// gzip.
    Gzip(flate2::write::GzEncoder<W>),
    /// zstd.
    Zstd(zstd::stream::write::Encoder<'static, W>),
    /// zlib.
    Deflate(flate2::write::ZlibEncoder<W>),
    /// Snappy's frames.
    Snappy(Box<snap::write::FrameEncoder<W>>),
    /// bzip2.
    Bzip2(bzip2::write::BzEncoder<W>),
    /// xz.
    Xz(liblzma::write::XzEncoder<W>),
}

impl<W: Write> PackedWriter<W> {
    /// Packs into `into` as `compression` says.
    ///
    /// # Errors
    /// Where the compressor cannot be made.
    pub fn new(into: W, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(into),
            Compression::Gzip => Self::Gzip(flate2::write::GzEncoder::new(into, flate2::Compression::default())),
            Compression::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(into, zstd::DEFAULT_COMPRESSION_LEVEL)?),
            Compression::Deflate => {
                Self::Deflate(flate2::write::ZlibEncoder::new(into, flate2::Compression::default()))
            }
            Compression::Snappy => Self::Snappy(Box::new(snap::write::FrameEncoder::new(into))),
            Compression::Bzip2 => Self::Bzip2(bzip2::write::BzEncoder::new(into, bzip2::Compression::default())),
            Compression::Xz => Self::Xz(liblzma::write::XzEncoder::new(into, XZ_LEVEL)),
        })
    }

    /// Writes the end, once, and gives what was written to.
    ///
    /// # Errors
    /// Where that cannot be written.
    pub fn finish(&mut self) -> io::Result<&mut W> {
        match self {
            Self::Plain(into) => Ok(into),
            Self::Gzip(encoder) => {
                encoder.try_finish()?;
                Ok(encoder.get_mut())
            }
            Self::Zstd(encoder) => {
                encoder.do_finish()?;
                Ok(encoder.get_mut())
            }
            Self::Deflate(encoder) => {
                encoder.try_finish()?;
                Ok(encoder.get_mut())
            }
            Self::Snappy(encoder) => {
                encoder.flush()?;
                Ok(encoder.get_mut())
            }
            Self::Bzip2(encoder) => {
                encoder.try_finish()?;
                Ok(encoder.get_mut())
            }
            Self::Xz(encoder) => {
                encoder.try_finish()?;
                Ok(encoder.get_mut())
            }
        }
    }
}

impl<W: Write> Write for PackedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(into) => into.write(bytes),
            Self::Gzip(into) => into.write(bytes),
            Self::Zstd(into) => into.write(bytes),
            Self::Deflate(into) => into.write(bytes),
            Self::Snappy(into) => into.write(bytes),
            Self::Bzip2(into) => into.write(bytes),
            Self::Xz(into) => into.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(into) => into.flush(),
            Self::Gzip(into) => into.flush(),
            Self::Zstd(into) => into.flush(),
            Self::Deflate(into) => into.flush(),
            Self::Snappy(into) => into.flush(),
            Self::Bzip2(into) => into.flush(),
            Self::Xz(into) => into.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::fs::File;

    use super::*;

    #[test]
    fn files_are_unpacked_from_any_position() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.csv", "a.csv.gz", "a.csv.zst", "a.csv.deflate", "a.csv.snappy", "a.csv.bz2", "a.csv.xz"] {
            let path = dir.path().join(name);
            let mut writer = PackedWriter::new(File::create(&path).unwrap(), Compression::of(&path)).unwrap();
            writer.write_all(b"0123456789").unwrap();
            writer.finish().unwrap();
            for position in [0, 4, 10, 11] {
                let mut read = String::new();
                open(&Place::Local, &path, position).unwrap().read_to_string(&mut read).unwrap();
                assert_eq!(read, "0123456789".get(position as usize..).unwrap_or_default(), "{name}");
            }
        }
        let broken = dir.path().join("b.csv.gz");
        std::fs::write(&broken, "no gzip").unwrap();
        assert!(open(&Place::Local, &broken, 0).unwrap().read_to_string(&mut String::new()).is_err());
    }
}
