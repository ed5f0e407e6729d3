//! [`fingerprints`]: 128 bits for each row of a table, by which the next checkpoint knows the rows that it has already.
//!
//! They stay in memory, so that the hash may change from release to release. Rows with equal ones are taken for equal bit
//! by bit: two different rows of a table of 2^32 rows have the same one once in 2^64 tables.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use xxhash_rust::xxh3::xxh3_128;

/// Of one row.
pub type Fingerprint = u128;

/// Before the first column.
const SEED: Fingerprint = 0x6d69_6c6c_7374_7265_616d_2072_6f77_7300;
/// What stands for null.
const NULL: Fingerprint = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834;

/// The fingerprint of each row of some batches, one after another. `None`: of a type that has none.
pub fn fingerprints(batches: &[RecordBatch]) -> Option<Vec<Fingerprint>> {
    let mut all = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in batches {
        let mut prints = vec![SEED; batch.num_rows()];
        for column in batch.columns() {
            fold(column, &mut prints)?;
        }
        all.append(&mut prints);
    }
    Some(all)
}

/// Folds the values of a column into the fingerprints of its rows.
fn fold(column: &ArrayRef, prints: &mut [Fingerprint]) -> Option<()> {
    let data_type = column.data_type();
    if let Some(width) = data_type.primitive_width() {
        return fold_fixed(column, width, prints);
    }
    match data_type {
        DataType::Null => prints.iter_mut().for_each(|print| *print = mix(*print, NULL)),
        DataType::Boolean => {
            let flags = column.as_boolean();
            each(column, prints, |row| u128::from(flags.value(row)));
        }
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            each(column, prints, |row| xxh3_128(texts.value(row).as_bytes()));
        }
        DataType::LargeUtf8 => {
            let texts = column.as_string::<i64>();
            each(column, prints, |row| xxh3_128(texts.value(row).as_bytes()));
        }
        DataType::Binary => {
            let bytes = column.as_binary::<i32>();
            each(column, prints, |row| xxh3_128(bytes.value(row)));
        }
        DataType::LargeBinary => {
            let bytes = column.as_binary::<i64>();
            each(column, prints, |row| xxh3_128(bytes.value(row)));
        }
        DataType::FixedSizeBinary(_) => {
            let bytes = column.as_fixed_size_binary();
            each(column, prints, |row| xxh3_128(bytes.value(row)));
        }
        DataType::Utf8View => return fold(&cast(column, &DataType::LargeUtf8).ok()?, prints),
        DataType::BinaryView => return fold(&cast(column, &DataType::LargeBinary).ok()?, prints),
        DataType::Dictionary(_, values) => return fold(&cast(column, values).ok()?, prints),
        DataType::Struct(_) => {
            let mut inner = vec![SEED; column.len()];
            for field in column.as_struct().columns() {
                fold(field, &mut inner)?;
            }
            each(column, prints, |row| inner.get(row).copied().unwrap_or(SEED));
        }
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            let ends = lists.value_offsets().iter().map(|end| usize::try_from(*end).unwrap_or(0));
            fold_lists(column, lists.values(), &ends.collect::<Vec<_>>(), prints)?;
        }
        DataType::LargeList(_) => {
            let lists = column.as_list::<i64>();
            let ends = lists.value_offsets().iter().map(|end| usize::try_from(*end).unwrap_or(0));
            fold_lists(column, lists.values(), &ends.collect::<Vec<_>>(), prints)?;
        }
        DataType::FixedSizeList(_, width) => {
            let lists = column.as_fixed_size_list();
            let width = usize::try_from(*width).ok()?;
            let ends: Vec<usize> = (0..=lists.len()).map(|row| row * width).collect();
            fold_lists(column, lists.values(), &ends, prints)?;
        }
        DataType::Map(_, _) => {
            let maps = column.as_map();
            let entries: ArrayRef = std::sync::Arc::new(maps.entries().clone());
            let ends = maps.value_offsets().iter().map(|end| usize::try_from(*end).unwrap_or(0));
            fold_lists(column, &entries, &ends.collect::<Vec<_>>(), prints)?;
        }
        // Numbers of fixed width have been folded; the others occur in no state.
        _ => return None,
    }
    Some(())
}

/// Values of `width` bytes, by their bits.
fn fold_fixed(column: &ArrayRef, width: usize, prints: &mut [Fingerprint]) -> Option<()> {
    let data = column.to_data();
    let bytes = data.buffers().first()?.as_slice();
    let start = data.offset().checked_mul(width)?;
    let values = bytes.get(start..start.checked_add(column.len().checked_mul(width)?)?)?;
    if width > 16 {
        let wide: Vec<&[u8]> = values.chunks_exact(width).collect();
        each(column, prints, |row| wide.get(row).map_or(0, |value| xxh3_128(value)));
        return Some(());
    }
    let nulls = column.nulls();
    for ((row, print), value) in prints.iter_mut().enumerate().zip(values.chunks_exact(width)) {
        let value = match nulls {
            Some(nulls) if nulls.is_null(row) => NULL,
            Some(_) | None => {
                let mut whole = [0; 16];
                whole.get_mut(..width)?.copy_from_slice(value);
                u128::from_le_bytes(whole)
            }
        };
        *print = mix(*print, value);
    }
    Some(())
}

/// Lists whose values lie between neighbouring ends.
fn fold_lists(column: &ArrayRef, values: &ArrayRef, ends: &[usize], prints: &mut [Fingerprint]) -> Option<()> {
    let mut inner = vec![SEED; values.len()];
    fold(values, &mut inner)?;
    let of = |row: usize| {
        let items = match (ends.get(row), ends.get(row + 1)) {
            (Some(start), Some(end)) => inner.get(*start..*end).unwrap_or_default(),
            _ => &[],
        };
        items.iter().fold(items.len() as u128, |print, item| mix(print, *item))
    };
    each(column, prints, of);
    Some(())
}

fn each(column: &ArrayRef, prints: &mut [Fingerprint], value: impl Fn(usize) -> u128) {
    let nulls = column.nulls();
    for (row, print) in prints.iter_mut().enumerate() {
        let is_null = nulls.is_some_and(|nulls| nulls.is_null(row));
        *print = mix(*print, if is_null { NULL } else { value(row) });
    }
}

/// Two products of the halves, each spread over the whole.
fn mix(print: Fingerprint, value: u128) -> Fingerprint {
    let mixed = print.rotate_left(29) ^ value;
    let (low, high) = (mixed as u64, (mixed >> 64) as u64);
    let first = u128::from(low ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xff51_afd7_ed55_8ccd_c4ce_b9fe_1a85_ec53);
    let second = u128::from(high ^ 0xd6e8_feb8_6659_fd93).wrapping_mul(0xa24b_aed4_963e_e407_9fb2_1c65_1e98_df25);
    first ^ second.rotate_left(64) ^ (mixed >> 61)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray, StructArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Field, Fields};

    use super::*;

    fn of(column: ArrayRef) -> Vec<Fingerprint> {
        fingerprints(&[RecordBatch::try_from_iter_with_nullable([("c", column, true)]).unwrap()]).unwrap()
    }

    #[test]
    fn other_bits_give_other_fingerprints() {
        let ints = of(Arc::new(Int64Array::from_iter((0..100_000).map(|n| (n > 0).then_some(n - 5)))));
        assert_eq!(ints.iter().collect::<BTreeSet<_>>().len(), 100_000);
        let halves: BTreeSet<u64> = ints.iter().map(|print| *print as u64).collect();
        assert_eq!(halves.len(), 100_000, "each half alone");
        let floats = of(Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN])));
        assert_eq!(floats.into_iter().collect::<BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn a_slice_has_those_of_its_rows() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some(""), Some("a")]));
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(0), Some(1)]));
        let field = Arc::new(Field::new_list_field(DataType::Int64, true));
        let (values, offsets) =
            (Arc::new(Int64Array::from(vec![1, 2, 1, 2])), OffsetBuffer::from_lengths([2, 0, 0, 2]));
        let lists: ArrayRef = Arc::new(arrow::array::ListArray::new(field, offsets, values, None));
        let fields = Fields::from(vec![Field::new("t", DataType::Utf8, true), Field::new("i", DataType::Int64, true)]);
        let structs: ArrayRef = Arc::new(StructArray::new(fields, vec![Arc::clone(&texts), Arc::clone(&ints)], None));
        for column in [texts, ints, lists, structs] {
            let prints = of(Arc::clone(&column));
            assert_eq!(prints[0], prints[3]);
            assert_eq!(of(column.slice(2, 2)), prints[2..]);
            assert_ne!(prints[0], prints[2]);
        }
    }
}
