//! Staged messages as bytes: what a writer keeps of an epoch until its transaction is committed. Old versions load for ever.
//!
//! A chunk is `MSKS`, a version, messages, and a checksum of all before it. A message is a byte that says what it has, and
//! then of these what it has: partition, timestamp, key, value, headers; the last three with their lengths before them.
//! Numbers are little-endian.

use millstream_engine::error::{EngineError, Result};
use xxhash_rust::xxh3::xxh3_64;

use super::super::outgoing::{EncodedHeaders, Outgoing};

const MAGIC: &[u8; 4] = b"MSKS";
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 5;
const SUM_BYTES: usize = 8;

const PARTITION: u8 = 1;
const TIMESTAMP: u8 = 2;
const KEY: u8 = 4;
const VALUE: u8 = 8;
const HEADERS: u8 = 16;

/// A chunk under construction.
#[derive(Debug, Default)]
pub(super) struct Chunk(Vec<u8>);

impl Chunk {
    /// Appends a message.
    ///
    /// # Errors
    /// Where a part of it is too long.
    pub(super) fn push(&mut self, message: &Outgoing<'_>) -> Result<()> {
        let bytes = &mut self.0;
        if bytes.is_empty() {
            bytes.extend(MAGIC);
            bytes.push(VERSION);
        }
        let has = |has: bool, flag: u8| if has { flag } else { 0 };
        let headers = Some(message.headers.0).filter(|headers| !headers.is_empty());
        bytes.push(
            has(message.partition.is_some(), PARTITION)
                | has(message.timestamp.is_some(), TIMESTAMP)
                | has(message.key.is_some(), KEY)
                | has(message.value.is_some(), VALUE)
                | has(headers.is_some(), HEADERS),
        );
        bytes.extend(message.partition.iter().flat_map(|partition| partition.to_le_bytes()));
        bytes.extend(message.timestamp.iter().flat_map(|timestamp| timestamp.to_le_bytes()));
        for part in [message.key, message.value, headers].into_iter().flatten() {
            let length = u32::try_from(part.len())
                .map_err(|_| EngineError::BadRow { message: "a message of over 4 GB".to_owned(), hint: None })?;
            bytes.extend(length.to_le_bytes());
            bytes.extend(part);
        }
        Ok(())
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The chunk; what is left is empty.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.0);
        let sum = xxh3_64(&bytes);
        bytes.extend(sum.to_le_bytes());
        bytes
    }
}

/// Hands the messages of a chunk over, one after the other.
///
/// # Errors
/// Where the chunk is damaged, and what `take` reports.
pub(super) fn each(chunk: &[u8], mut take: impl FnMut(&Outgoing<'_>) -> Result<()>) -> Result<()> {
    let broken = || EngineError::Internal("staged messages are damaged".to_owned());
    let (body, sum) = chunk.split_last_chunk::<SUM_BYTES>().ok_or_else(broken)?;
    if xxh3_64(body) != u64::from_le_bytes(*sum) || body.get(..4) != Some(MAGIC) || body.get(4) != Some(&VERSION) {
        return Err(broken());
    }
    let mut rest = body.get(HEAD_BYTES..).ok_or_else(broken)?;
    while !rest.is_empty() {
        let message = message(&mut rest).ok_or_else(broken)?;
        take(&message)?;
    }
    Ok(())
}

fn message<'a>(rest: &mut &'a [u8]) -> Option<Outgoing<'a>> {
    let (flags, behind) = rest.split_first()?;
    *rest = behind;
    let has = |flag: u8| flags & flag != 0;
    let partition = if has(PARTITION) { Some(i32::from_le_bytes(fixed(rest)?)) } else { None };
    let timestamp = if has(TIMESTAMP) { Some(i64::from_le_bytes(fixed(rest)?)) } else { None };
    let key = if has(KEY) { Some(bytes(rest)?) } else { None };
    let value = if has(VALUE) { Some(bytes(rest)?) } else { None };
    let headers = EncodedHeaders(if has(HEADERS) { bytes(rest)? } else { &[] });
    Some(Outgoing { partition, timestamp, key, value, headers })
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (number, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*number)
}

fn bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(fixed(rest)?);
    let (part, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = behind;
    Some(part)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    const FULL: Outgoing<'_> = Outgoing {
        partition: Some(3),
        timestamp: Some(-1),
        key: Some(b"k"),
        value: Some(b"vv"),
        headers: EncodedHeaders(&[1, 0, 0, 0, b'h', 255, 255, 255, 255]),
    };
    const BARE: Outgoing<'_> =
        Outgoing { partition: None, timestamp: None, key: None, value: None, headers: EncodedHeaders(&[]) };

    fn count(chunk: &[u8]) -> Result<usize> {
        let mut count = 0;
        each(chunk, |_| {
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }

    #[test]
    fn chunks_of_version_1_load() {
        let mut chunk = Chunk::default();
        [FULL, BARE].iter().for_each(|message| chunk.push(message).unwrap());
        let bytes = chunk.finish();
        assert_eq!(chunk.len(), 0);
        let fixture = [
            77, 83, 75, 83, 1, 31, 3, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0, 107, 2, 0, 0, 0,
            118, 118, 9, 0, 0, 0, 1, 0, 0, 0, 104, 255, 255, 255, 255, 0,
        ];
        assert_eq!(bytes[..bytes.len() - SUM_BYTES], fixture);
        let mut want = [FULL, BARE].iter();
        each(&bytes, |message| {
            assert_eq!(Some(message), want.next());
            Ok(())
        })
        .unwrap();
        assert_eq!(count(&bytes).unwrap(), 2);
    }

    #[test]
    fn a_damaged_chunk_is_an_error() {
        let mut chunk = Chunk::default();
        chunk.push(&FULL).unwrap();
        let bytes = chunk.finish();
        for end in 0..bytes.len() {
            assert!(count(&bytes[..end]).is_err());
            let mut flipped = bytes.clone();
            flipped[end] ^= 1;
            assert!(count(&flipped).is_err());
        }
    }
}
