//! [`Outgoing`]: a message on its way to a topic, before a client of Kafka sees it.

use millstream_engine::error::{EngineError, Result};
use rdkafka::message::{Header, OwnedHeaders};

/// Bytes that a message takes beside its key, value and headers, at most.
const OVERHEAD: usize = 128;

/// See the module. No value: the key is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outgoing<'a> {
    /// Where to; `None`: by the key.
    pub(super) partition: Option<i32>,
    /// Milliseconds since 1970; `None`: when it is sent.
    pub(super) timestamp: Option<i64>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: EncodedHeaders<'a>,
}

impl Outgoing<'_> {
    /// Bytes that it takes in a request, or somewhat more.
    pub(super) fn bytes(&self) -> usize {
        OVERHEAD + self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + self.headers.0.len()
    }
}

/// Headers as bytes: of each its name and its value, with their lengths before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct EncodedHeaders<'a>(pub(super) &'a [u8]);

/// The length that stands for a header without a value.
const NO_VALUE: u32 = u32::MAX;

/// Appends a header to others.
pub(super) fn push_header(name: &str, value: Option<&[u8]>, into: &mut Vec<u8>) -> Result<()> {
    let length = |bytes: usize| {
        let length = u32::try_from(bytes).ok().filter(|length| *length != NO_VALUE);
        length.ok_or_else(|| EngineError::BadRow { message: format!("a header of {bytes} bytes"), hint: None })
    };
    into.extend(length(name.len())?.to_le_bytes());
    into.extend(name.as_bytes());
    into.extend(value.map_or(Ok(NO_VALUE), |value| length(value.len()))?.to_le_bytes());
    into.extend(value.unwrap_or_default());
    Ok(())
}

impl EncodedHeaders<'_> {
    /// As the client takes them; `None` where there are none.
    ///
    /// # Errors
    /// Where the bytes are no headers.
    pub(super) fn decoded(self) -> Result<Option<OwnedHeaders>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let broken = || EngineError::Internal("headers of a message are damaged".to_owned());
        let mut headers = OwnedHeaders::new();
        let mut rest = self.0;
        while !rest.is_empty() {
            let name = take(&mut rest).flatten().and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(broken)?;
            let value = take(&mut rest).ok_or_else(broken)?;
            headers = headers.insert(Header { key: name, value });
        }
        Ok(Some(headers))
    }
}

/// Takes some bytes with their length before them; `Some(None)`: no value.
fn take<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    if length == NO_VALUE {
        *rest = behind;
        return Some(None);
    }
    let (bytes, behind) = behind.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = behind;
    Some(Some(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use rdkafka::message::Headers;

    use super::*;

    #[test]
    fn headers_come_back() {
        let mut bytes = Vec::new();
        push_header("a", Some(b"1"), &mut bytes).unwrap();
        push_header("b", None, &mut bytes).unwrap();
        push_header("", Some(b""), &mut bytes).unwrap();
        let headers = EncodedHeaders(&bytes).decoded().unwrap().unwrap();
        let read: Vec<_> = headers.iter().map(|header| (header.key, header.value)).collect();
        assert_eq!(read, [("a", Some(&b"1"[..])), ("b", None), ("", Some(&b""[..]))]);
        assert!(EncodedHeaders(&[]).decoded().unwrap().is_none());
        for end in 1..bytes.len() {
            // A part of them is refused, or is whole headers.
            let _ = EncodedHeaders(&bytes[..end]).decoded();
        }
        assert!(EncodedHeaders(&bytes[..3]).decoded().is_err());
    }
}
