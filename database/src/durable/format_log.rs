//! The form of a log on disk, version 1: a header, then records one after the other.
//!
//! ```text
//! header  "MSLOG" kind version      8 bytes: kind is two letters, version one byte
//! record  length: u32               bytes of the payload
//!         check of length: u32      the low half of XXH3-64 of the four bytes of length
//!         check of payload: u64     XXH3-64 of the payload
//!         payload
//! ```
//! Numbers are little endian. The length has a check of its own, so that a changed bit in it is not taken for a torn end.

use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 5] = b"MSLOG";
const VERSION: u8 = 1;

/// Bytes before the first record.
pub(super) const HEADER_BYTES: usize = 8;
/// Bytes of a record before its payload.
pub(super) const FRAME_BYTES: usize = 16;

/// What a log holds: two letters of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogKind(pub(super) [u8; 2]);

/// The next thing in a log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A whole record; the bytes after it begin at this offset.
    Record { payload: &'a [u8], end: usize },
    /// Nothing comes.
    End,
    /// A record that was being written when the process or the machine died.
    Torn,
    /// What stands here was never written.
    Damaged(&'static str),
}

/// The first bytes of a log.
pub(super) fn header(kind: LogKind) -> [u8; HEADER_BYTES] {
    let [m, s, l, o, g] = *MAGIC;
    let LogKind([first, second]) = kind;
    [m, s, l, o, g, first, second, VERSION]
}

/// Why these bytes do not begin a log of that kind that can be read.
pub(super) fn check_header(bytes: &[u8], kind: LogKind) -> Result<(), String> {
    let Some((found, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err("it is too short".to_owned());
    };
    let expected = header(kind);
    if *found == expected {
        return Ok(());
    }
    let [.., found_version] = *found;
    if found.starts_with(MAGIC) && found.get(5..7) == expected.get(5..7) && found_version > VERSION {
        return Err(format!("it has format version {found_version}, and this server reads up to version {VERSION}"));
    }
    Err("it does not begin as a log of this kind".to_owned())
}

/// Appends a record to `out`. `None` where the payload is longer than 4 GB.
pub(super) fn write_record(payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let length = u32::try_from(payload.len()).ok()?.to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&length_check(length));
    out.extend_from_slice(&xxh3_64(payload).to_le_bytes());
    out.extend_from_slice(payload);
    Some(())
}

/// What stands at `at`.
pub(super) fn read_record(bytes: &[u8], at: usize) -> Next<'_> {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.is_empty() {
        return Next::End;
    }
    // A file system may have made the file longer before it wrote the bytes: zeros to the end are a torn record as well.
    let torn = |otherwise| if rest.iter().all(|byte| *byte == 0) { Next::Torn } else { otherwise };
    let Some((length, after)) = rest.split_first_chunk::<4>() else { return Next::Torn };
    let Some((check, after)) = after.split_first_chunk::<4>() else { return Next::Torn };
    let Some((sum, after)) = after.split_first_chunk::<8>() else { return Next::Torn };
    if length_check(*length) != *check {
        return torn(Next::Damaged("the length of a record does not match its checksum"));
    }
    let bytes_of = u32::from_le_bytes(*length) as usize;
    let Some(payload) = after.get(..bytes_of) else { return Next::Torn };
    if xxh3_64(payload) != u64::from_le_bytes(*sum) {
        return Next::Damaged("a record does not match its checksum");
    }
    Next::Record { payload, end: at + FRAME_BYTES + bytes_of }
}

fn length_check(length: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d, ..] = xxh3_64(&length).to_le_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::{FRAME_BYTES, HEADER_BYTES, LogKind, Next, check_header, header, read_record, write_record};

    const KIND: LogKind = LogKind(*b"xx");

    fn log() -> Vec<u8> {
        let mut bytes = header(KIND).to_vec();
        for payload in [b"first".as_slice(), b"", b"third one"] {
            assert!(write_record(payload, &mut bytes).is_some());
        }
        bytes
    }

    /// The payloads up to where something else stands, and what stands there.
    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Next<'_>) {
        let (mut at, mut found) = (HEADER_BYTES, Vec::new());
        loop {
            match read_record(bytes, at) {
                Next::Record { payload, end } => {
                    found.push(payload.to_vec());
                    at = end;
                }
                other => return (found, other),
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = log();
        assert_eq!(check_header(&bytes, KIND), Ok(()));
        let (found, next) = read(&bytes);
        assert_eq!(found, [b"first".to_vec(), Vec::new(), b"third one".to_vec()]);
        assert_eq!(next, Next::End);
        assert!(check_header(&bytes, LogKind(*b"yy")).is_err());
        assert!(check_header(b"MSLOGxx\x02", KIND).is_err_and(|why| why.contains("version 2")));
    }

    #[test]
    fn every_cut_is_a_torn_end_and_never_damage() {
        let bytes = log();
        for length in HEADER_BYTES..bytes.len() {
            let cut = &bytes[..length];
            assert!(matches!(read(cut).1, Next::Torn | Next::End), "cut at {length}");
            let mut zeros = bytes.clone();
            zeros.truncate(HEADER_BYTES + 2 * FRAME_BYTES + 5);
            zeros.resize(length.max(zeros.len()) + 64, 0);
            assert_eq!(read(&zeros).1, Next::Torn);
        }
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let bytes = log();
        for bit in HEADER_BYTES * 8..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(read(&changed).1, Next::Damaged(_)), "bit {bit}");
        }
    }
}
