//! Other writings of bytes and numbers: base 64, hexadecimal, binary, character sets, URLs; and hashes.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder};
use arrow::datatypes::{DataType, Int64Type};
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::support::Kind::{Any, Bytes, Raw, Text, Whole};
use super::support::{Args, all, function, shaped};
use super::{charset, url};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        shaped("to_base64", "TO_BASE64(text or bytes)", all(&[Raw], Text), to_base64),
        shaped("from_base64", "FROM_BASE64(text)", all(&[Text], Text), from_base64),
        shaped("hex", "HEX(number, text or bytes)", all(&[Any], Text), hex),
        shaped("unhex", "UNHEX(text)", all(&[Text], Bytes), unhex),
        shaped("bin", "BIN(number)", all(&[Whole], Text), bin),
        shaped("conv", "CONV(text, from base, to base)", all(&[Text, Whole, Whole], Text), conv),
        function(
            "encode",
            &[],
            "ENCODE(text, character set) or ENCODE(bytes, format)",
            charset::types,
            charset::encode,
        ),
        function(
            "decode",
            &[],
            "DECODE(bytes, character set) or DECODE(text, format)",
            charset::types,
            charset::decode,
        ),
        shaped("md5", "MD5(text)", all(&[Raw], Text), hash::<Md5>),
        shaped("sha1", "SHA1(text)", all(&[Raw], Text), hash::<Sha1>),
        shaped("sha224", "SHA224(text)", all(&[Raw], Text), hash::<Sha224>),
        shaped("sha256", "SHA256(text)", all(&[Raw], Text), hash::<Sha256>),
        shaped("sha384", "SHA384(text)", all(&[Raw], Text), hash::<Sha384>),
        shaped("sha512", "SHA512(text)", all(&[Raw], Text), hash::<Sha512>),
        shaped("sha2", "SHA2(text, bits)", all(&[Raw, Whole], Text), sha2),
        shaped("url_encode", "URL_ENCODE(text)", all(&[Text], Text), url::encode),
        shaped("url_decode", "URL_DECODE(text)", all(&[Text], Text), url::decode),
    ]
}

/// The bytes of a row.
pub(super) fn bytes(column: &BinaryArray, row: usize) -> Option<&[u8]> {
    column.is_valid(row).then(|| column.value(row))
}

fn to_base64(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let values = column.as_binary::<i32>();
    Ok(args.write(|row, out| {
        STANDARD.encode_string(bytes(values, row)?, out);
        Some(())
    }))
}

/// Base 64 whose padding may be missing.
const UNPADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Null where it is not base 64, or no text.
fn from_base64(args: &Args) -> Result<ArrayRef> {
    let texts = args.text(0)?;
    let mut buffer = Vec::new();
    Ok(args.write(|row, out| {
        buffer.clear();
        UNPADDED.decode_vec(texts.get(row)?, &mut buffer).ok()?;
        out.push_str(std::str::from_utf8(&buffer).ok()?);
        Some(())
    }))
}

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// Appends two digits for each byte.
pub(super) fn push_hex(out: &mut String, bytes: &[u8], small: bool) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            let digit = char::from(DIGITS.get(usize::from(digit)).copied().unwrap_or_default());
            out.push(if small { digit.to_ascii_lowercase() } else { digit });
        }
    }
}

fn hex(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    if column.data_type().is_integer() {
        let numbers = arrow::compute::cast(&column, &DataType::Int64)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        return Ok(args.write(|row, out| {
            let number = numbers.is_valid(row).then(|| numbers.value(row))?;
            write!(out, "{number:X}").ok()
        }));
    }
    let values = arrow::compute::cast(&column, &DataType::Binary)?;
    let values = values.as_binary::<i32>();
    Ok(args.write(|row, out| {
        push_hex(out, bytes(values, row)?, false);
        Some(())
    }))
}

/// Reads two digits a byte, a lone first one as a byte of its own.
pub(super) fn read_hex(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (first, pairs) = text.as_bytes().split_at_checked(text.len() % 2)?;
    if let [single] = first {
        out.push(digit(*single)?);
    }
    for pair in pairs.chunks_exact(2) {
        let [high, low] = pair else { return None };
        out.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(())
}

fn unhex(args: &Args) -> Result<ArrayRef> {
    let texts = args.text(0)?;
    let mut out = BinaryBuilder::with_capacity(args.rows, args.rows * 8);
    let mut buffer = Vec::new();
    for row in 0..args.rows {
        buffer.clear();
        let read = texts.get(row).and_then(|text| read_hex(text, &mut buffer));
        out.append_option(read.map(|()| buffer.as_slice()));
    }
    Ok(Arc::new(out.finish()))
}

fn bin(args: &Args) -> Result<ArrayRef> {
    let numbers = args.wholes(0)?;
    Ok(args.write(|row, out| write!(out, "{:b}", numbers.get(row)?).ok()))
}

/// A number written to one base, written to another.
fn conv(args: &Args) -> Result<ArrayRef> {
    let (texts, from, to) = (args.text(0)?, args.wholes(1)?, args.wholes(2)?);
    Ok(args.write(|row, out| {
        let base = |number: i64| u32::try_from(number.unsigned_abs()).ok().filter(|base| (2..=36).contains(base));
        let (text, from, to) = (texts.get(row)?.trim(), base(from.get(row)?)?, base(to.get(row)?)?);
        let mut number = i64::from_str_radix(text, from).ok()?;
        let start = usize::from(number < 0);
        if number < 0 {
            out.push('-');
        }
        loop {
            let digit = u32::try_from((number % i64::from(to)).unsigned_abs()).ok()?;
            out.insert(start, char::from_digit(digit, to)?.to_ascii_uppercase());
            number /= i64::from(to);
            if number == 0 {
                return Some(());
            }
        }
    }))
}

fn hash<D: Digest>(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let values = column.as_binary::<i32>();
    Ok(args.write(|row, out| {
        push_hex(out, &D::digest(bytes(values, row)?), true);
        Some(())
    }))
}

fn sha2(args: &Args) -> Result<ArrayRef> {
    let (column, bits) = (args.column(0)?, args.wholes(1)?);
    let values = column.as_binary::<i32>();
    args.try_write(|row, out| {
        let (Some(value), Some(bits)) = (bytes(values, row), bits.get(row)) else { return Ok(None) };
        match bits {
            224 => push_hex(out, &Sha224::digest(value), true),
            256 => push_hex(out, &Sha256::digest(value), true),
            384 => push_hex(out, &Sha384::digest(value), true),
            512 => push_hex(out, &Sha512::digest(value), true),
            other => {
                let message = format!("SHA2 makes 224, 256, 384 or 512 bits, not {other}");
                return Err(DataFusionError::Execution(message));
            }
        }
        Ok(Some(()))
    })
}
