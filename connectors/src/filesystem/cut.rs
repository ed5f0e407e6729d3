//! Big files in parts, so that several shards read them: Parquet by row groups, lines by bytes.
//!
//! A part is a split; its id says which it is, `PATH#rows=0-1000` or `PATH#bytes=0-1000`, and `PATH` alone is a whole file, as
//! it is where a file is small. The bounds are those of records, found when the table is listed. Compressed files, CSV with
//! quotes, in which a line end need not end a record, and Avro are read whole.

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use millstream_engine::error::{EngineError, Result};

use super::compressed::Compression;
use super::listing::Listed;
use super::place::Place;
use crate::formats::{Format, parquet};

/// Bytes looked at for the end of a line, at a time.
const LOOK_BYTES: usize = 64 << 10;

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The file.
    pub(super) path: PathBuf,
    /// Which rows (Parquet) or bytes (lines) of it; `None`: all.
    pub(super) range: Option<Range<u64>>,
}

impl Part {
    /// The whole of a file.
    pub(super) fn whole(path: &Path) -> Self {
        Self { path: path.to_owned(), range: None }
    }

    /// The text of the part; `None` where the name of the file is not UTF-8.
    pub(super) fn id(&self, format: &Format) -> Option<String> {
        let path = self.path.to_str()?;
        let unit = unit(format);
        Some(match &self.range {
            Some(range) => format!("{path}#{unit}={}-{}", range.start, range.end),
            None => path.to_owned(),
        })
    }

    /// The part of a text.
    pub(super) fn of_id(id: &str, format: &Format) -> Self {
        let parts = id.rsplit_once('#').and_then(|(path, range)| {
            let (start, end) = range.strip_prefix(unit(format))?.strip_prefix('=')?.split_once('-')?;
            Some(Self { path: PathBuf::from(path), range: Some(start.parse().ok()?..end.parse().ok()?) })
        });
        parts.unwrap_or_else(|| Self { path: PathBuf::from(id), range: None })
    }
}

/// What ranges are counted in.
fn unit(format: &Format) -> &'static str {
    match format {
        Format::Parquet(_) => "rows",
        Format::Avro | Format::Json(_) | Format::Csv(_) | Format::Raw | Format::Change(_) => "bytes",
    }
}

/// The parts of a file, none much longer than `bytes_max`.
///
/// # Errors
/// Where the file cannot be read.
pub(super) fn cut(place: &Place, format: &Format, file: &Listed, bytes_max: u64) -> Result<Vec<Part>> {
    let whole = || Ok(vec![Part::whole(&file.path)]);
    if file.size <= bytes_max {
        return whole();
    }
    let name = file.path.display().to_string();
    let refuse = |error| EngineError::io(format_args!("cannot read file \"{name}\""), error);
    let ranges = match format {
        Format::Parquet(_) => parquet::cut(place.pieces(&file.path).map_err(refuse)?, &name, bytes_max)?,
        Format::Json(_) if format.is_any_layout() => return whole(),
        Format::Json(_) | Format::Raw => lines(place, file, bytes_max).map_err(refuse)?,
        Format::Csv(format) if format.lines_are_records() => lines(place, file, bytes_max).map_err(refuse)?,
        // The order of changes is that of their lines.
        Format::Csv(_) | Format::Avro | Format::Change(_) => return whole(),
    };
    match ranges.as_slice() {
        [] | [_] => whole(),
        _ => Ok(ranges.into_iter().map(|range| Part { path: file.path.clone(), range: Some(range) }).collect()),
    }
}

/// The bytes of a file of lines in ranges that begin where a line does.
fn lines(place: &Place, file: &Listed, bytes_max: u64) -> std::io::Result<Vec<Range<u64>>> {
    if Compression::of(&file.path) != Compression::None {
        return Ok(Vec::new());
    }
    let pieces = file.size.div_ceil(bytes_max.max(1));
    let (mut ranges, mut start) = (Vec::new(), 0);
    for piece in 1..pieces {
        let wanted = u64::try_from(u128::from(file.size) * u128::from(piece) / u128::from(pieces)).unwrap_or(file.size);
        if wanted <= start {
            continue;
        }
        let end = line_start(place, &file.path, wanted)?.unwrap_or(file.size);
        if end >= file.size {
            break;
        }
        ranges.push(start..end);
        start = end;
    }
    ranges.push(start..file.size);
    Ok(ranges)
}

/// Where the first line begins that does so at `wanted` or behind it.
fn line_start(place: &Place, path: &Path, wanted: u64) -> std::io::Result<Option<u64>> {
    let mut at = wanted.saturating_sub(1);
    let mut file = place.open(path, at)?;
    let mut buffer = vec![0; LOOK_BYTES];
    loop {
        let count = file.read(&mut buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        match memchr::memchr(b'\n', bytes) {
            _ if bytes.is_empty() => return Ok(None),
            Some(end) => return Ok(Some(at + end as u64 + 1)),
            None => at += count as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn ids_lead_back_to_parts() {
        let format = Format::Raw;
        for part in [
            Part { path: "/a#b".into(), range: None },
            Part { path: "/a#bytes=1".into(), range: Some(0..17) },
            Part { path: "s3://b/c".into(), range: Some(17..u64::MAX) },
        ] {
            assert_eq!(Part::of_id(&part.id(&format).unwrap(), &format), part);
        }
    }

    #[test]
    fn lines_are_cut_where_they_begin() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let text = "a\nbbbbbbbbbbbbbbbbbbbbbb\n\nccc\nd";
        std::fs::write(&path, text).unwrap();
        let size = text.len() as u64;
        for bytes_max in 1..=size {
            let file = Listed { modified_ms: 0, path: path.clone(), size };
            let ranges = lines(&Place::Local, &file, bytes_max).unwrap();
            let mut next = 0;
            for range in &ranges {
                assert_eq!(range.start, next);
                assert!(range.end == size || text.as_bytes()[range.end as usize - 1] == b'\n', "{ranges:?}");
                next = range.end;
            }
            assert_eq!(next, size);
        }
    }
}
