//! Key groups: which shard owns a key.
//!
//! The key space has [`KEY_GROUPS`] parts. A key's part is a hash of its values by the rules below, which are frozen:
//! state on disk is sorted by them. A shard owns a contiguous range of parts.
//!
//! The hash of a row folds the hashes of its columns from left to right: `h = mix(h ^ value)`. A value is: an integer,
//! date, time or timestamp as its 64-bit number in the column's unit; a boolean as 0 or 1; a float as the bits of its
//! 64-bit form, with one zero and one NaN; everything else as xxh3 of its bytes (decimals: 16 bytes, little endian;
//! nested values: their arrow-row form). Null is [`NULL`].

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use arrow::row::{RowConverter, SortField};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::Result;
use crate::message::{Delta, Sign};

/// Parts of the key space. A multiple of every sensible number of shards.
pub const KEY_GROUPS: u32 = 4_096;

/// What stands for null.
const NULL: u64 = 0x6e75_6c6c_6e75_6c6c;
/// The hash before the first column.
const SEED: u64 = 0x6d69_6c6c_7374_7265;

/// The key group of each row.
///
/// # Errors
/// Where a column's type cannot be a key.
pub fn key_groups(columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
    // The high bits of a multiplicative hash are the good ones; 4,096 parts are 12 of them.
    Ok(row_hashes(columns, rows)?.into_iter().map(|hash| (hash >> 52) as u32).collect())
}

/// The hash of each row.
///
/// # Errors
/// As [`key_groups`].
pub(crate) fn row_hashes(columns: &[ArrayRef], rows: usize) -> Result<Vec<u64>> {
    let mut hashes = vec![SEED; rows];
    for column in columns {
        fold(column, &mut hashes)?;
    }
    Ok(hashes)
}

/// The shard that owns a key group.
pub fn shard_of(group: u32, shards: usize) -> usize {
    (group as usize * shards) / KEY_GROUPS as usize
}

/// The key groups of a shard.
pub fn groups_of(shard: usize, shards: usize) -> Range<u32> {
    let bound = |shard: usize| u32::try_from((shard * KEY_GROUPS as usize).div_ceil(shards)).unwrap_or(KEY_GROUPS);
    bound(shard)..bound(shard + 1)
}

/// Sends each row to the shard of its key: one part a shard, `None` where it gets no row. Order and signs are kept.
/// Without keys all rows go to shard 0.
///
/// # Errors
/// As [`key_groups`].
pub fn split_by_shard(delta: &Delta, keys: &[usize], shards: usize) -> Result<Vec<Option<Delta>>> {
    let mut parts = vec![None; shards.max(1)];
    if shards <= 1 || keys.is_empty() {
        parts[0] = Some(delta.clone());
        return Ok(parts);
    }
    let columns: Vec<ArrayRef> = keys.iter().map(|&key| Arc::clone(delta.batch.column(key))).collect();
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); shards];
    for (row, group) in (0_u32..).zip(key_groups(&columns, delta.rows())?) {
        rows[shard_of(group, shards)].push(row);
    }
    for (part, rows) in parts.iter_mut().zip(rows) {
        if rows.len() == delta.rows() {
            *part = Some(delta.clone());
        } else if !rows.is_empty() {
            *part = Some(take_rows(delta, rows)?);
        }
    }
    Ok(parts)
}

/// These rows of a delta with their signs.
pub(crate) fn take_rows(delta: &Delta, rows: Vec<u32>) -> Result<Delta> {
    let sign = match &delta.sign {
        Sign::AppendOnly => None,
        Sign::Retracts(bits) => Some(rows.iter().map(|&row| bits.value(row as usize)).collect()),
    };
    let batch = take_record_batch(&delta.batch, &UInt32Array::from(rows))?;
    Ok(match sign {
        None => Delta::append(batch),
        Some(bits) => Delta::signed(batch, bits),
    })
}

/// Folds the values of a column into the hashes of its rows.
fn fold(column: &ArrayRef, hashes: &mut [u64]) -> Result<()> {
    match column.data_type() {
        DataType::Utf8 => {
            let strings = column.as_string::<i32>();
            each(column, hashes, |row| xxh3_64(strings.value(row).as_bytes()));
        }
        DataType::Binary => {
            let bytes = column.as_binary::<i32>();
            each(column, hashes, |row| xxh3_64(bytes.value(row)));
        }
        DataType::LargeUtf8 | DataType::Utf8View => return fold(&cast(column, &DataType::Utf8)?, hashes),
        DataType::LargeBinary | DataType::BinaryView => return fold(&cast(column, &DataType::Binary)?, hashes),
        DataType::Boolean => {
            let flags = column.as_boolean();
            each(column, hashes, |row| u64::from(flags.value(row)));
        }
        DataType::Decimal128(_, _) => {
            let decimals = column.as_primitive::<arrow::datatypes::Decimal128Type>();
            each(column, hashes, |row| xxh3_64(&decimals.value(row).to_le_bytes()));
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let floats = cast(column, &DataType::Float64)?;
            let floats = floats.as_primitive::<Float64Type>();
            each(column, hashes, |row| float_bits(floats.value(row)));
        }
        other if is_number(other) => {
            let numbers = numbers(column)?;
            let numbers = numbers.as_primitive::<Int64Type>();
            each(column, hashes, |row| numbers.value(row) as u64);
        }
        other => {
            let converter = RowConverter::new(vec![SortField::new(other.clone())])?;
            let rows = converter.convert_columns(std::slice::from_ref(column))?;
            each(column, hashes, |row| xxh3_64(rows.row(row).as_ref()));
        }
    }
    Ok(())
}

fn each(column: &ArrayRef, hashes: &mut [u64], value: impl Fn(usize) -> u64) {
    match column.nulls() {
        None => hashes.iter_mut().enumerate().for_each(|(row, hash)| *hash = mix(*hash ^ value(row))),
        Some(nulls) => {
            for (row, hash) in hashes.iter_mut().enumerate() {
                *hash = mix(*hash ^ if nulls.is_valid(row) { value(row) } else { NULL });
            }
        }
    }
}

/// Types whose value is one number.
fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(_, _)
        )
}

/// The column as 64-bit numbers in its own unit.
fn numbers(column: &ArrayRef) -> Result<ArrayRef> {
    let narrow = match column.data_type() {
        DataType::Date32 | DataType::Time32(TimeUnit::Second | TimeUnit::Millisecond) => {
            cast(column, &DataType::Int32)?
        }
        _ => Arc::clone(column),
    };
    Ok(cast(&narrow, &DataType::Int64)?)
}

fn float_bits(value: f64) -> u64 {
    if value == 0.0 {
        0
    } else if value.is_nan() {
        f64::NAN.to_bits()
    } else {
        value.to_bits()
    }
}

/// The finaliser of MurmurHash3. Frozen.
pub(super) fn mix(mut value: u64) -> u64 {
    value ^= value >> 33;
    value = value.wrapping_mul(0xff51_afd7_ed55_8ccd);
    value ^= value >> 33;
    value = value.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ (value >> 33)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use arrow::array::{Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
    use arrow::buffer::BooleanBuffer;

    use super::*;

    #[test]
    fn the_hash_is_frozen() {
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(1), Some(-1), Some(1_000), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["", "a", "auction", "Ü", "x"]));
        let both = [Arc::clone(&ints), Arc::clone(&texts)];
        let of = |columns: &[ArrayRef]| key_groups(columns, 5).unwrap();
        let found = format!("{:?} {:?} {:?}", of(&[ints]), of(&[texts]), of(&both));
        expect_test::expect!["[1322, 2946, 15, 4058, 3384] [30, 2192, 3894, 3476, 3006] [311, 2018, 2853, 739, 2631]"]
            .assert_eq(&found);
    }

    #[test]
    fn equal_numbers_of_any_width_are_one_key() {
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![7, -7]));
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![7, -7]));
        let time: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![7, -7]));
        assert_eq!(key_groups(&[Arc::clone(&wide)], 2).unwrap(), key_groups(&[narrow], 2).unwrap());
        assert_eq!(key_groups(&[wide], 2).unwrap(), key_groups(&[time], 2).unwrap());
    }

    #[test]
    fn shards_own_ranges() {
        for shards in [1, 2, 3, 4, 7] {
            for shard in 0..shards {
                for group in groups_of(shard, shards) {
                    assert_eq!(shard_of(group, shards), shard);
                }
            }
            assert_eq!(groups_of(shards - 1, shards).end, KEY_GROUPS);
        }
    }

    #[test]
    fn a_split_keeps_rows_order_and_signs() {
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
        let batch = RecordBatch::try_from_iter([("k", keys)]).unwrap();
        let signs: BooleanBuffer = (0..1_000).map(|row| row % 3 == 0).collect();
        let parts = split_by_shard(&Delta::signed(batch, signs), &[0], 4).unwrap();
        let mut seen = 0;
        for part in parts.into_iter().flatten() {
            let keys = part.batch.column(0).as_primitive::<Int64Type>().clone();
            assert!(keys.values().is_sorted());
            assert!((0..part.rows()).all(|row| part.is_retract(row) == (keys.value(row) % 3 == 0)));
            assert!((150..350).contains(&part.rows()), "{} rows", part.rows());
            seen += part.rows();
        }
        assert_eq!(seen, 1_000);
    }
}
