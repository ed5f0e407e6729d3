//! The values of a Bind message: text or binary, in the types that the client or the statement says.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::scalar::ScalarValue;
use millstream_sql::error::{from_arrow, from_datafusion};
use millstream_sql::{SqlError, SqlState, value_of_text};
use pgwire::api::Type;

use super::errors::protocol_violation;
use super::rows::Formats;

/// Days and microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL's counting starts.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// The values of a Bind message. `oids` are the types that the client declared (0: none), `kinds` those of the statement.
///
/// # Errors
/// Where a value does not parse as its type, or its binary form is not known.
pub(super) fn decode(
    values: &[Option<bytes::Bytes>],
    codes: &[i16],
    oids: &[u32],
    kinds: &[DataType],
) -> Result<Vec<ScalarValue>, SqlError> {
    let formats = Formats::new(codes.to_vec());
    let values = values.iter().enumerate().map(|(index, value)| {
        let kind = kinds.get(index).cloned().unwrap_or(DataType::Utf8);
        let declared = oids.get(index).copied().filter(|oid| *oid != 0).and_then(Type::from_oid);
        let Some(bytes) = value else {
            return ScalarValue::try_from(&kind).map_err(|error| protocol_violation(error.to_string()));
        };
        if formats.is_binary(index) {
            let kind = declared.as_ref().and_then(arrow_type).unwrap_or(kind);
            return binary(bytes, &kind, declared.as_ref());
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| SqlError::new(SqlState("22021"), format!("parameter ${} is not valid UTF-8", index + 1)))?;
        text_value(text, &kind)
    });
    values.collect()
}

/// The value of a text.
///
/// # Errors
/// Where it is none of its type.
fn text_value(text: &str, kind: &DataType) -> Result<ScalarValue, SqlError> {
    Ok(match kind {
        DataType::Boolean => match text.to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => ScalarValue::Boolean(Some(true)),
            "f" | "false" | "n" | "no" | "off" | "0" => ScalarValue::Boolean(Some(false)),
            _ => ScalarValue::Utf8(Some(text.to_owned())),
        },
        DataType::Binary => match text.strip_prefix("\\x").and_then(unhex) {
            Some(bytes) => ScalarValue::Binary(Some(bytes)),
            None => ScalarValue::Binary(Some(text.as_bytes().to_vec())),
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ScalarValue::Utf8(Some(text.to_owned())),
        DataType::Decimal128(..) | DataType::Decimal256(..) => decimal(text),
        kind => {
            let value = value_of_text(text, kind).map_err(from_arrow)?;
            ScalarValue::try_from_array(&value, 0).map_err(from_datafusion)?
        }
    })
}

/// A number with the digits behind the point that it is written with. What is no number is seen when it is cast.
fn decimal(text: &str) -> ScalarValue {
    let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let scale = i8::try_from(digits).unwrap_or(38).min(38);
    let read = value_of_text(text, &DataType::Decimal128(38, scale)).ok();
    let value = read.and_then(|value| ScalarValue::try_from_array(&value, 0).ok());
    value.unwrap_or_else(|| ScalarValue::Utf8(Some(text.to_owned())))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    pairs
        .remainder()
        .is_empty()
        .then(|| pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

/// The Arrow type of the values of a PostgreSQL type, where we read its binary form.
pub(super) fn arrow_type(kind: &Type) -> Option<DataType> {
    Some(match *kind {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 | Type::OID => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON => DataType::Utf8,
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date32,
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::NUMERIC => DataType::Decimal128(38, 18),
        Type::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => DataType::List(Arc::new(Field::new_list_field(arrow_type(&item_type(kind)?)?, true))),
    })
}

fn binary(bytes: &[u8], kind: &DataType, declared: Option<&Type>) -> Result<ScalarValue, SqlError> {
    let value = match kind {
        DataType::Boolean => bytes.first().map(|byte| ScalarValue::Boolean(Some(*byte != 0))),
        DataType::Int8 | DataType::Int16 => {
            fixed(bytes).map(|bytes| ScalarValue::Int16(Some(i16::from_be_bytes(bytes))))
        }
        DataType::Int32 => fixed(bytes).map(|bytes| ScalarValue::Int32(Some(i32::from_be_bytes(bytes)))),
        DataType::Int64 => fixed(bytes).map(|bytes| ScalarValue::Int64(Some(i64::from_be_bytes(bytes)))),
        DataType::Float32 => fixed(bytes).map(|bytes| ScalarValue::Float32(Some(f32::from_be_bytes(bytes)))),
        DataType::Float64 => fixed(bytes).map(|bytes| ScalarValue::Float64(Some(f64::from_be_bytes(bytes)))),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            std::str::from_utf8(bytes).ok().map(|text| ScalarValue::Utf8(Some(text.to_owned())))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            Some(ScalarValue::Binary(Some(bytes.to_vec())))
        }
        DataType::Date32 => {
            fixed(bytes).map(|bytes| ScalarValue::Date32(Some(i32::from_be_bytes(bytes).saturating_add(EPOCH_DAYS))))
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            fixed(bytes).map(|bytes| ScalarValue::Time64Microsecond(Some(i64::from_be_bytes(bytes))))
        }
        DataType::Timestamp(_, zone) => fixed(bytes).map(|bytes| {
            let micros = i64::from_be_bytes(bytes).saturating_add(EPOCH_MICROS);
            ScalarValue::TimestampMicrosecond(Some(micros), zone.clone())
        }),
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) | DataType::UInt64 => {
            numeric(bytes).map(|text| decimal(&text))
        }
        DataType::Interval(_) => interval(bytes),
        DataType::List(item) => array(bytes, item.data_type()),
        _ => None,
    };
    value.ok_or_else(|| {
        let name = declared.map_or_else(|| kind.to_string(), |declared| declared.name().to_owned());
        SqlError::new(SqlState("22P03"), format!("incorrect binary data format for a parameter of type {name}"))
            .with_hint("Send the parameter as text.")
    })
}

/// The type of the items of an array type.
fn item_type(array: &Type) -> Option<Type> {
    let name = array.name().strip_prefix('_')?;
    let all = [
        Type::BOOL,
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::FLOAT4,
        Type::FLOAT8,
        Type::TEXT,
        Type::VARCHAR,
        Type::BPCHAR,
        Type::NAME,
        Type::JSON,
        Type::OID,
        Type::BYTEA,
        Type::DATE,
        Type::TIME,
        Type::TIMESTAMP,
        Type::TIMESTAMPTZ,
        Type::NUMERIC,
        Type::INTERVAL,
    ];
    all.into_iter().find(|item| item.name() == name)
}

/// PostgreSQL's binary `interval`: microseconds, days and months.
fn interval(bytes: &[u8]) -> Option<ScalarValue> {
    let (micros, rest) = bytes.split_first_chunk::<8>()?;
    let (days, months) = rest.split_first_chunk::<4>()?;
    let nanos = i64::from_be_bytes(*micros).checked_mul(1_000)?;
    let value = IntervalMonthDayNano::new(i32::from_be_bytes(fixed(months)?), i32::from_be_bytes(*days), nanos);
    Some(ScalarValue::IntervalMonthDayNano(Some(value)))
}

/// PostgreSQL's binary arrays: dimensions, a flag, the type of the items, the lengths, and the items behind their lengths.
/// Those of several dimensions are not read.
fn array(bytes: &[u8], wanted: &DataType) -> Option<ScalarValue> {
    let mut rest = bytes;
    let dimensions = word(&mut rest)?;
    let _has_nulls = word(&mut rest)?;
    let declared = Type::from_oid(u32::try_from(word(&mut rest)?).ok()?)?;
    let kind = arrow_type(&declared).unwrap_or_else(|| wanted.clone());
    let count = match dimensions {
        0 => 0,
        1 => word(&mut rest)?,
        _ => return None,
    };
    if dimensions == 1 {
        let _first_index = word(&mut rest)?;
    }
    let mut items = Vec::new();
    for _ in 0..count {
        let length = word(&mut rest)?;
        // Its length is −1 where an item is null.
        let Ok(length) = usize::try_from(length) else {
            items.push(None);
            continue;
        };
        let (item, behind) = rest.split_at_checked(length)?;
        items.push(Some(binary(item, &kind, Some(&declared)).ok()?));
        rest = behind;
    }
    // What a binary value is read as: a `numeric` is a text.
    let kind = items.iter().flatten().next().map_or(kind, ScalarValue::data_type);
    let null = ScalarValue::try_from(&kind).ok()?;
    let items: Vec<ScalarValue> = items.into_iter().map(|item| item.unwrap_or_else(|| null.clone())).collect();
    Some(ScalarValue::List(ScalarValue::new_list_nullable(&items, &kind)))
}

/// Takes four bytes as a number.
fn word(bytes: &mut &[u8]) -> Option<i32> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(i32::from_be_bytes(*word))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// PostgreSQL's binary `numeric` as decimal text.
fn numeric(bytes: &[u8]) -> Option<String> {
    let words: Vec<i16> = bytes.chunks_exact(2).filter_map(|pair| fixed(pair).map(i16::from_be_bytes)).collect();
    let [count, weight, sign, scale, groups @ ..] = words.as_slice() else {
        return None;
    };
    let negative = match *sign {
        0 => false,
        0x4000 => true,
        _ => return None,
    };
    if groups.len() != usize::try_from(*count).ok()? {
        return None;
    }
    let group = |place: i32| usize::try_from(place).ok().and_then(|place| groups.get(place)).copied().unwrap_or(0);
    let weight = i32::from(*weight);
    let mut text = String::from(if negative { "-" } else { "" });
    if weight < 0 {
        text.push('0');
    }
    for place in 0..=weight {
        let digits = group(place);
        text.push_str(&if place == 0 { digits.to_string() } else { format!("{digits:04}") });
    }
    let scale = usize::try_from(*scale).ok()?;
    if scale > 0 {
        let mut fraction = String::new();
        let mut place = weight + 1;
        while fraction.len() < scale {
            // Places before the first group are zeros.
            fraction.push_str(&format!("{:04}", if place < 0 { 0 } else { group(place) }));
            place += 1;
        }
        fraction.truncate(scale);
        text.push('.');
        text.push_str(&fraction);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, IntervalMonthDayNano};
    use bytes::Bytes;
    use datafusion::scalar::ScalarValue;

    use super::{decode, numeric};

    fn bytes_of(words: &[i16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numerics() {
        assert_eq!(numeric(&bytes_of(&[3, 1, 0, 3, 1, 2345, 6780])).as_deref(), Some("12345.678"));
        assert_eq!(numeric(&bytes_of(&[1, -1, 0x4000, 2, 500])).as_deref(), Some("-0.05"));
        assert_eq!(numeric(&bytes_of(&[0, 0, 0, 2])).as_deref(), Some("0.00"));
        assert_eq!(numeric(&bytes_of(&[1, -2, 0, 8, 1])).as_deref(), Some("0.00000001"));
    }

    #[test]
    fn arrays_and_intervals() {
        let words: Vec<u8> =
            [1, 1, 23, 3, 1, 4, 7, -1, 4, 9].iter().flat_map(|word: &i32| word.to_be_bytes()).collect();
        let read = decode(&[Some(Bytes::from(words.clone()))], &[1], &[1007], &[DataType::Utf8]);
        assert_eq!(
            read.map(|values| values.iter().map(ToString::to_string).collect()),
            Ok(vec!["[7, , 9]".to_owned()])
        );
        // Cut off anywhere it is an error, and no more.
        for end in 0..words.len() {
            let cut = Bytes::copy_from_slice(words.get(..end).unwrap_or_default());
            assert!(decode(&[Some(cut)], &[1], &[1007], &[DataType::Utf8]).is_err());
        }
        let span = [0_i32, 5_000_000, 1, 2].iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let read = decode(&[Some(Bytes::from(span))], &[1], &[1186], &[DataType::Utf8]);
        let wanted = IntervalMonthDayNano::new(2, 1, 5_000_000_000);
        assert_eq!(read.ok(), Some(vec![ScalarValue::IntervalMonthDayNano(Some(wanted))]));
    }

    #[test]
    fn a_declared_type_counts_in_binary() {
        let value = [Some(Bytes::from_static(&[0, 0, 0, 5]))];
        let decoded = decode(&value, &[1], &[23], &[DataType::Int64]);
        assert_eq!(decoded.ok(), Some(vec![ScalarValue::Int32(Some(5))]));
    }
}
