//! [`GroupTable`]: keys to dense slots.
//!
//! A key is one row of the grouping columns. Each distinct key gets a `u32` slot that accumulators are indexed by;
//! removed slots are used again. Keys of one or two 64-bit-sized columns are kept as integers; all others as
//! arrow-row bytes in one arena. Nulls equal nulls.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::row::{RowConverter, RowParser, SortField};
use xxhash_rust::xxh3::xxh3_64;

use super::key_group::mix;
use crate::error::{EngineError, Result};
use crate::spread_table::SpreadTable;

/// Maps keys to slots.
pub struct GroupTable {
    types: Vec<DataType>,
    index: SpreadTable<Entry>,
    keys: Keys,
    free: Vec<u32>,
    live: Vec<bool>,
    hashes: Vec<u64>,
}

/// A slot with the hash of its key.
#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    slot: u32,
}

/// The keys by slot.
enum Keys {
    /// No columns: one slot at most.
    None,
    /// One column that fits 64 bits.
    One { values: Vec<i64>, nulls: Vec<bool> },
    /// Two such columns.
    Two { values: Vec<(i64, i64)>, nulls: Vec<u8> },
    /// Any columns, as arrow-row bytes: where each slot's key lies in the arena.
    Rows { converter: RowConverter, parser: RowParser, arena: Vec<u8>, places: Vec<(u32, u32)>, dead: usize },
}

impl GroupTable {
    /// An empty table for keys of these types.
    ///
    /// # Errors
    /// Where a type cannot be compared.
    pub fn new(types: &[DataType]) -> Result<Self> {
        let keys = match types {
            [] => Keys::None,
            [one] if is_small(one) => Keys::One { values: Vec::new(), nulls: Vec::new() },
            [first, second] if is_small(first) && is_small(second) => {
                Keys::Two { values: Vec::new(), nulls: Vec::new() }
            }
            _ => {
                let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
                let parser = converter.parser();
                Keys::Rows { converter, parser, arena: Vec::new(), places: Vec::new(), dead: 0 }
            }
        };
        Ok(Self {
            types: types.to_vec(),
            index: SpreadTable::default(),
            keys,
            free: Vec::new(),
            live: Vec::new(),
            hashes: Vec::new(),
        })
    }

    /// Slots ever handed out: accumulators must have this many.
    pub fn capacity_slots(&self) -> usize {
        self.live.len()
    }

    /// Live keys.
    pub fn len(&self) -> usize {
        self.live.len() - self.free.len()
    }

    /// Whether there is no live key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, roughly.
    pub fn size(&self) -> usize {
        let keys = match &self.keys {
            Keys::None => 0,
            Keys::One { values, .. } => values.capacity() * 9,
            Keys::Two { values, .. } => values.capacity() * 17,
            Keys::Rows { arena, places, .. } => arena.capacity() + places.capacity() * 8,
        };
        keys + self.index.capacity() * size_of::<Entry>() + self.hashes.capacity() * 9
    }

    /// Appends the slot of each of `rows` rows to `slots`; new keys get new slots.
    ///
    /// # Errors
    /// Where a column is not of its declared type, or there are over 2^32 keys.
    pub fn intern(&mut self, columns: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<()> {
        slots.reserve(rows);
        match self.keys {
            Keys::None => {
                if rows > 0 && self.is_empty() {
                    claim(&mut self.free, &mut self.live, &mut self.hashes, 0)?;
                }
                slots.extend(std::iter::repeat_n(0, rows));
                Ok(())
            }
            Keys::One { .. } => self.intern_one(columns, slots),
            Keys::Two { .. } => self.intern_two(columns, slots),
            Keys::Rows { .. } => self.intern_rows(columns, slots),
        }
    }

    fn intern_one(&mut self, columns: &[ArrayRef], slots: &mut Vec<u32>) -> Result<()> {
        let [column] = columns else { return Err(arity()) };
        let column = as_i64(column)?;
        let Keys::One { values, nulls } = &mut self.keys else { return Err(arity()) };
        let (index, free, live, hashes) = (&mut self.index, &mut self.free, &mut self.live, &mut self.hashes);
        for (row, &value) in column.values().iter().enumerate() {
            let null = column.is_null(row);
            let value = if null { 0 } else { value };
            let hash = mix(value as u64 ^ u64::from(null));
            let same = |entry: &Entry| {
                let slot = entry.slot as usize;
                values[slot] == value && nulls[slot] == null
            };
            if let Some(found) = index.find(hash, same) {
                slots.push(found.slot);
                continue;
            }
            let slot = claim(free, live, hashes, hash)?;
            place(values, slot, value);
            place(nulls, slot, null);
            index.insert_unique(hash, Entry { hash, slot }, |entry| entry.hash);
            slots.push(slot);
        }
        Ok(())
    }

    fn intern_two(&mut self, columns: &[ArrayRef], slots: &mut Vec<u32>) -> Result<()> {
        let [first, second] = columns else { return Err(arity()) };
        let (first, second) = (as_i64(first)?, as_i64(second)?);
        let Keys::Two { values, nulls } = &mut self.keys else { return Err(arity()) };
        let (index, free, live, hashes) = (&mut self.index, &mut self.free, &mut self.live, &mut self.hashes);
        for (row, (&left, &right)) in first.values().iter().zip(second.values()).enumerate() {
            let null = u8::from(first.is_null(row)) | u8::from(second.is_null(row)) << 1;
            let left = if null & 1 == 0 { left } else { 0 };
            let right = if null & 2 == 0 { right } else { 0 };
            let hash = mix(mix(left as u64) ^ (right as u64).rotate_left(17) ^ u64::from(null));
            let same = |entry: &Entry| {
                let slot = entry.slot as usize;
                values[slot] == (left, right) && nulls[slot] == null
            };
            if let Some(found) = index.find(hash, same) {
                slots.push(found.slot);
                continue;
            }
            let slot = claim(free, live, hashes, hash)?;
            place(values, slot, (left, right));
            place(nulls, slot, null);
            index.insert_unique(hash, Entry { hash, slot }, |entry| entry.hash);
            slots.push(slot);
        }
        Ok(())
    }

    fn intern_rows(&mut self, columns: &[ArrayRef], slots: &mut Vec<u32>) -> Result<()> {
        let Keys::Rows { converter, arena, places, .. } = &mut self.keys else { return Err(arity()) };
        let rows = converter.convert_columns(columns)?;
        let (index, free, live, hashes) = (&mut self.index, &mut self.free, &mut self.live, &mut self.hashes);
        for row in rows.iter() {
            let key = row.as_ref();
            let hash = xxh3_64(key);
            let same = |entry: &Entry| {
                let (start, len) = places[entry.slot as usize];
                entry.hash == hash && &arena[start as usize..start as usize + len as usize] == key
            };
            if let Some(found) = index.find(hash, same) {
                slots.push(found.slot);
                continue;
            }
            let slot = claim(free, live, hashes, hash)?;
            let too_large = |_| EngineError::Unsupported("grouping keys of over 4 GiB on one shard".into());
            let start = u32::try_from(arena.len()).map_err(too_large)?;
            let len = u32::try_from(key.len()).map_err(too_large)?;
            arena.extend_from_slice(key);
            place(places, slot, (start, len));
            index.insert_unique(hash, Entry { hash, slot }, |entry| entry.hash);
            slots.push(slot);
        }
        Ok(())
    }

    /// The key columns of these slots.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub fn keys(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        match &self.keys {
            Keys::None => Ok(Vec::new()),
            Keys::One { values, nulls } => {
                let column = slots.iter().map(|&slot| (!nulls[slot as usize]).then(|| values[slot as usize]));
                Ok(vec![from_i64(column.collect(), &self.types[0])?])
            }
            Keys::Two { values, nulls } => {
                let of = |slot: &u32| (values[*slot as usize], nulls[*slot as usize]);
                let first = slots.iter().map(of).map(|((left, _), null)| (null & 1 == 0).then_some(left)).collect();
                let second = slots.iter().map(of).map(|((_, right), null)| (null & 2 == 0).then_some(right)).collect();
                Ok(vec![from_i64(first, &self.types[0])?, from_i64(second, &self.types[1])?])
            }
            Keys::Rows { converter, parser, arena, places, .. } => {
                let row = |slot: &u32| {
                    let (start, len) = places[*slot as usize];
                    parser.parse(&arena[start as usize..start as usize + len as usize])
                };
                Ok(converter.convert_rows(slots.iter().map(row))?)
            }
        }
    }

    /// Whether a slot belongs to a key.
    pub fn is_live(&self, slot: u32) -> bool {
        self.live.get(slot as usize).copied().unwrap_or(false)
    }

    /// Which slots belong to a key, by slot.
    pub fn live(&self) -> &[bool] {
        &self.live
    }

    /// The slots of all live keys, ascending.
    pub fn live_slots(&self) -> Vec<u32> {
        (0..).zip(&self.live).filter(|(_, live)| **live).map(|(slot, _)| slot).collect()
    }

    /// Forgets keys; their slots are handed out again.
    pub fn remove(&mut self, slots: &[u32]) {
        for &slot in slots {
            let at = slot as usize;
            if !self.live.get(at).copied().unwrap_or(false) {
                continue;
            }
            self.live[at] = false;
            self.free.push(slot);
            if let Ok(found) = self.index.find_entry(self.hashes[at], |entry| entry.slot == slot) {
                found.remove();
            }
            if let Keys::Rows { places, dead, .. } = &mut self.keys {
                *dead += places[at].1 as usize;
            }
        }
        self.shrink_arena();
    }

    /// Rewrites the arena when most of it belongs to forgotten keys.
    fn shrink_arena(&mut self) {
        let Keys::Rows { arena, places, dead, .. } = &mut self.keys else { return };
        if *dead < 1 << 16 || *dead * 2 < arena.len() {
            return;
        }
        let mut kept = Vec::with_capacity(arena.len() - *dead);
        for (place, live) in places.iter_mut().zip(&self.live) {
            if *live {
                let (start, len) = (place.0 as usize, place.1 as usize);
                // The arena only shrinks here, so that the new place fits where the old one did.
                place.0 = kept.len() as u32;
                kept.extend_from_slice(&arena[start..start + len]);
            } else {
                *place = (0, 0);
            }
        }
        *arena = kept;
        *dead = 0;
    }
}

/// A slot for a new key.
fn claim(free: &mut Vec<u32>, live: &mut Vec<bool>, hashes: &mut Vec<u64>, hash: u64) -> Result<u32> {
    if let Some(slot) = free.pop() {
        live[slot as usize] = true;
        hashes[slot as usize] = hash;
        return Ok(slot);
    }
    let slot = u32::try_from(live.len()).map_err(|_| EngineError::Unsupported("over 2^32 keys on one shard".into()))?;
    live.push(true);
    hashes.push(hash);
    Ok(slot)
}

/// Sets the value of a slot that is new or used again.
fn place<T>(values: &mut Vec<T>, slot: u32, value: T) {
    match values.get_mut(slot as usize) {
        Some(old) => *old = value,
        None => values.push(value),
    }
}

fn is_small(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Timestamp(_, _)
    )
}

/// A small column as 64-bit integers, without a copy where it is one already.
fn as_i64(column: &ArrayRef) -> Result<Int64Array> {
    let wide = |values: arrow::buffer::ScalarBuffer<i64>| Int64Array::new(values, column.nulls().cloned());
    Ok(match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().clone(),
        DataType::Timestamp(TimeUnit::Second, _) => wide(column.as_primitive::<TimestampSecondType>().values().clone()),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            wide(column.as_primitive::<TimestampMillisecondType>().values().clone())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            wide(column.as_primitive::<TimestampMicrosecondType>().values().clone())
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            wide(column.as_primitive::<TimestampNanosecondType>().values().clone())
        }
        DataType::Int8 => widen(column.as_primitive::<Int8Type>()),
        DataType::Int16 => widen(column.as_primitive::<Int16Type>()),
        DataType::Int32 => widen(column.as_primitive::<Int32Type>()),
        DataType::Date32 => widen(column.as_primitive::<Date32Type>()),
        other => return Err(EngineError::Internal(format!("a key of type {other} taken for an integer"))),
    })
}

fn widen<T>(column: &PrimitiveArray<T>) -> Int64Array
where
    T: arrow::datatypes::ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    column.unary(Into::into)
}

fn from_i64(column: Int64Array, data_type: &DataType) -> Result<ArrayRef> {
    if column.data_type() == data_type {
        return Ok(Arc::new(column));
    }
    let column: ArrayRef = Arc::new(column);
    let column = if *data_type == DataType::Date32 { cast(&column, &DataType::Int32)? } else { column };
    Ok(cast(&column, data_type)?)
}

fn arity() -> EngineError {
    EngineError::Internal("grouping columns do not fit the table".into())
}

#[cfg(test)]
#[path = "group_table_tests.rs"]
mod tests;
