//! `ENCODE` and `DECODE`: Flink's by character set, PostgreSQL's by format (`hex`, `base64`, `escape` is left out).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryBuilder};
use arrow::datatypes::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::common::{DataFusionError, Result};

use super::coding::{bytes, push_hex, read_hex};
use super::support::{Args, is_text};

/// How text is written as bytes.
#[derive(Debug, Clone, Copy)]
enum Charset {
    Ascii,
    Latin1,
    Utf8,
    /// With a mark in front where the order is not given.
    Utf16 {
        little: bool,
        mark: bool,
    },
    Hex,
    Base64,
}

fn charset(name: &str) -> Result<Charset> {
    Ok(match name.to_ascii_uppercase().as_str() {
        "US-ASCII" => Charset::Ascii,
        "ISO-8859-1" => Charset::Latin1,
        "UTF-8" | "UTF8" => Charset::Utf8,
        "UTF-16BE" => Charset::Utf16 { little: false, mark: false },
        "UTF-16LE" => Charset::Utf16 { little: true, mark: false },
        "UTF-16" => Charset::Utf16 { little: false, mark: true },
        "HEX" => Charset::Hex,
        "BASE64" => Charset::Base64,
        _ => return Err(DataFusionError::Execution(format!("the character set '{name}' is not known"))),
    })
}

/// Types of both: text gives bytes, bytes give text.
pub(super) fn types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [value, name] if value.is_binary() && is_text(name) => {
            Some((DataType::Utf8, vec![DataType::Binary, DataType::Utf8]))
        }
        [value, name] if is_text(value) && is_text(name) => Some((DataType::Binary, vec![DataType::Utf8; 2])),
        _ => None,
    }
}

/// Text to bytes in a character set, or bytes to text in a format.
pub(super) fn encode(args: &Args) -> Result<ArrayRef> {
    if args.returns == DataType::Binary { to_bytes(args) } else { to_text(args) }
}

/// Bytes in a character set to text, or text in a format to bytes.
pub(super) fn decode(args: &Args) -> Result<ArrayRef> {
    encode(args)
}

fn to_bytes(args: &Args) -> Result<ArrayRef> {
    let (texts, names) = (args.text(0)?, args.text(1)?);
    let mut out = BinaryBuilder::with_capacity(args.rows, args.rows * 8);
    let mut buffer = Vec::new();
    for row in 0..args.rows {
        let (Some(text), Some(name)) = (texts.get(row), names.get(row)) else {
            out.append_null();
            continue;
        };
        buffer.clear();
        let done = write(text, charset(name)?, &mut buffer);
        done.ok_or_else(|| DataFusionError::Execution(format!("the text is no {name}")))?;
        out.append_value(&buffer);
    }
    Ok(Arc::new(out.finish()))
}

/// Appends the bytes of a text. Letters that the set does not have become question marks.
fn write(text: &str, charset: Charset, out: &mut Vec<u8>) -> Option<()> {
    match charset {
        Charset::Ascii => {
            out.extend(text.chars().map(|letter| u8::try_from(letter).ok().filter(u8::is_ascii).unwrap_or(b'?')));
        }
        Charset::Latin1 => out.extend(text.chars().map(|letter| u8::try_from(letter).unwrap_or(b'?'))),
        Charset::Utf8 => out.extend_from_slice(text.as_bytes()),
        Charset::Utf16 { little, mark } => {
            let units = mark.then_some(0xFEFF).into_iter().chain(text.encode_utf16());
            out.extend(units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }));
        }
        Charset::Hex => return read_hex(text, out),
        Charset::Base64 => return STANDARD.decode_vec(text, out).ok(),
    }
    Some(())
}

fn to_text(args: &Args) -> Result<ArrayRef> {
    let (column, names) = (args.column(0)?, args.text(1)?);
    let values = column.as_binary::<i32>();
    args.try_write(|row, out| {
        let (Some(value), Some(name)) = (bytes(values, row), names.get(row)) else { return Ok(None) };
        read(value, charset(name)?, out);
        Ok(Some(()))
    })
}

/// Appends the text of bytes. What is no text becomes the replacement character.
fn read(bytes: &[u8], charset: Charset, out: &mut String) {
    const BAD: char = char::REPLACEMENT_CHARACTER;
    match charset {
        Charset::Ascii => out.extend(bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { BAD })),
        Charset::Latin1 => out.extend(bytes.iter().map(|byte| char::from(*byte))),
        Charset::Utf8 => out.push_str(&String::from_utf8_lossy(bytes)),
        Charset::Utf16 { little, mark } => {
            let (little, bytes) = match bytes {
                [0xFF, 0xFE, rest @ ..] if mark => (true, rest),
                [0xFE, 0xFF, rest @ ..] if mark => (false, rest),
                rest => (little, rest),
            };
            let units = bytes.chunks(2).map(|unit| match unit {
                [first, second] if little => u16::from_le_bytes([*first, *second]),
                [first, second] => u16::from_be_bytes([*first, *second]),
                _ => 0xFFFD,
            });
            out.extend(char::decode_utf16(units).map(|letter| letter.unwrap_or(BAD)));
        }
        Charset::Hex => push_hex(out, bytes, true),
        Charset::Base64 => STANDARD.encode_string(bytes, out),
    }
}
