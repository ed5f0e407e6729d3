//! Aggregates that depend on the order of rows: `ARRAY_AGG`, `STRING_AGG`, and `FIRST_VALUE` and `LAST_VALUE` where they
//! have an `ORDER BY` or rows may be taken back.
//!
//! A slot holds its rows by (order, place of arrival). A retracted row takes the oldest of the equal rows with it; one
//! that comes before its insertion is noted as a debt, which the insertion pays.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StringBuilder, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, FieldRef, Int64Type};

use super::accumulator::{Accumulator, Arrival, Rows, Signature};
use super::codec::{Codec, as_lists, form, lists, ranges};
use crate::error::{EngineError, Result};

/// What is read from the rows in order.
pub(super) enum Reading {
    /// `FIRST_VALUE`
    First,
    /// `LAST_VALUE`
    Last,
    /// `ARRAY_AGG`: lists of this item.
    List(FieldRef),
    /// `STRING_AGG`
    Text { separator: String, output: DataType },
}

impl Reading {
    /// Lists of values of type `arg`, as a column of type `output`.
    pub(super) fn list(arg: &DataType, output: &DataType) -> Result<Self> {
        match output {
            DataType::List(item) if item.data_type() == arg => Ok(Self::List(Arc::clone(item))),
            other => Err(EngineError::Unsupported(format!("array_agg of {arg} as {other}"))),
        }
    }

    /// Rows whose argument is null count.
    fn keeps_nulls(&self) -> bool {
        matches!(self, Self::List(_))
    }
}

/// Rows in order, by slot.
pub(super) struct Sequence {
    values: Codec,
    order: Codec,
    slots: Vec<Ordered>,
    reading: Reading,
    retracts: bool,
    /// The place after the last row so far.
    next: i64,
}

/// The rows of one slot.
#[derive(Default)]
struct Ordered {
    /// Order and place to value, as bytes.
    rows: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// Where equal rows are, by order and value. Only where rows may be taken back.
    places: HashMap<Box<[u8]>, Places>,
}

/// Equal rows of a slot.
#[derive(Default)]
struct Places {
    /// The places of those that are there, ascending but for those that were merged.
    held: VecDeque<i64>,
    /// How many were taken back before they came.
    owed: u32,
}

/// A row as bytes.
struct Encoded<'a> {
    order: &'a [u8],
    value: &'a [u8],
    place: i64,
}

impl Encoded<'_> {
    /// Order, then place.
    fn key_at(&self, place: i64) -> Box<[u8]> {
        // The highest bit is turned so that negative places come first.
        let place = ((place as u64) ^ (1 << 63)).to_be_bytes();
        [self.order, &place].concat().into()
    }
}

impl Ordered {
    /// Adds a row; where its place is taken, as by a row of another set, it comes at `next`.
    fn insert(&mut self, row: &Encoded<'_>, retracts: bool, next: &mut i64) {
        if retracts {
            let places = self.places.entry([row.order, row.value].concat().into()).or_default();
            if places.owed > 0 {
                places.owed -= 1;
                if places.owed == 0 && places.held.is_empty() {
                    self.places.remove([row.order, row.value].concat().as_slice());
                }
                return;
            }
        }
        let (mut place, mut key) = (row.place, row.key_at(row.place));
        if self.rows.contains_key(&key) {
            (place, key) = (*next, row.key_at(*next));
            *next += 1;
        }
        if retracts && let Some(places) = self.places.get_mut([row.order, row.value].concat().as_slice()) {
            places.held.push_back(place);
        }
        self.rows.insert(key, row.value.into());
    }

    fn retract(&mut self, row: &Encoded<'_>) {
        let known: Box<[u8]> = [row.order, row.value].concat().into();
        let places = self.places.entry(known).or_default();
        match places.held.pop_front() {
            None => places.owed += 1,
            Some(place) => {
                self.rows.remove(&row.key_at(place));
                if places.held.is_empty() {
                    self.places.remove([row.order, row.value].concat().as_slice());
                }
            }
        }
    }
}

impl Sequence {
    /// The accumulator of a signature with one argument.
    pub(super) fn new(signature: &Signature<'_>, reading: Reading) -> Result<Self> {
        let [arg, ..] = signature.args else {
            return Err(EngineError::Internal("an aggregate without its argument".into()));
        };
        Ok(Self {
            values: Codec::of(arg)?,
            order: Codec::new(signature.order)?,
            slots: Vec::new(),
            reading,
            retracts: signature.retracts,
            next: 0,
        })
    }

    /// Over insertions the first or last row is all that is needed.
    fn trim(&mut self, slot: usize) {
        let rows = &mut self.slots[slot].rows;
        if self.retracts || rows.len() < 2 {
            return;
        }
        match self.reading {
            Reading::First => drop(rows.pop_last()),
            Reading::Last => drop(rows.pop_first()),
            Reading::List(_) | Reading::Text { .. } => {}
        }
    }

    /// The values of slots one after another, and how many each has.
    fn all(&self, slots: &[u32]) -> Result<(ArrayRef, Vec<usize>)> {
        let rows = |slot: &u32| self.slots[*slot as usize].rows.values().map(AsRef::as_ref);
        let values = self.values.decode_one(slots.iter().flat_map(rows))?;
        Ok((values, slots.iter().map(|&slot| self.slots[slot as usize].rows.len()).collect()))
    }

    fn read_one<'a>(&'a self, slots: &[u32], of: impl Fn(&'a Ordered) -> Option<&'a [u8]>) -> Result<ArrayRef> {
        let found: Vec<Option<&[u8]>> = slots.iter().map(|&slot| of(&self.slots[slot as usize])).collect();
        let mut next = 0_u32..;
        let places: UInt32Array = found.iter().map(|found| found.and_then(|_| next.next())).collect();
        Ok(take(&self.values.decode_one(found.into_iter().flatten())?, &places, None)?)
    }
}

impl Accumulator for Sequence {
    fn resize(&mut self, slots: usize) {
        self.slots.resize_with(slots, Ordered::default);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        if !self.retracts {
            rows.insertions_only()?;
        }
        let argument = rows.argument()?;
        // An aggregate without ORDER BY has no order columns: rows of no bytes.
        let order = rows.columns.get(rows.columns.len().saturating_sub(self.order.width())..).unwrap_or_default();
        let ordered = self.order.encode_or_none(order)?;
        let encoded = self.values.encode(std::slice::from_ref(argument))?;
        let nulls = argument.logical_nulls().filter(|_| !self.reading.keeps_nulls());
        let keep = rows.kept(nulls.as_ref());
        let arrival = rows.arrival.unwrap_or(Arrival { first: self.next, rows: None });
        if let Some(last) = rows.slots.len().checked_sub(1) {
            self.next = self.next.max(arrival.of(last) + 1);
        }
        rows.each(keep.as_ref(), |row, slot, retract| {
            let order = ordered.as_ref().map_or(&[][..], |rows| rows.row(row).data());
            let row = Encoded { order, value: encoded.row(row).data(), place: arrival.of(row) };
            if retract {
                self.slots[slot].retract(&row);
            } else {
                self.slots[slot].insert(&row, self.retracts, &mut self.next);
                self.trim(slot);
            }
        });
        Ok(())
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let (values, lengths) = self.all(slots)?;
        let keys = || slots.iter().flat_map(|&slot| self.slots[slot as usize].rows.keys()).map(AsRef::as_ref);
        let cut = |key: &[u8]| key.len().saturating_sub(8);
        let place = |key: &[u8]| {
            let bytes = key.last_chunk::<8>().copied().unwrap_or_default();
            (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
        };
        let mut state = vec![lists(values, lengths.iter().copied())?];
        let places: ArrayRef = Arc::new(Int64Array::from_iter_values(keys().map(place)));
        state.push(lists(places, lengths.iter().copied())?);
        if self.order.width() > 0 {
            for column in self.order.decode(keys().map(|key| &key[..cut(key)]))? {
                state.push(lists(column, lengths.iter().copied())?);
            }
        }
        Ok(state)
    }

    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        let [values, places, order @ ..] = state else { return Err(form()) };
        let (values, places) = (as_lists(values)?, as_lists(places)?);
        let encoded = self.values.encode(std::slice::from_ref(values.values()))?;
        let places = places.values().as_primitive_opt::<Int64Type>().ok_or_else(form)?;
        let order =
            order.iter().map(|column| Ok(Arc::clone(as_lists(column)?.values()))).collect::<Result<Vec<_>>>()?;
        let ordered = self.order.encode_or_none(&order)?;
        if places.len() != encoded.num_rows() || ordered.as_ref().is_some_and(|rows| rows.num_rows() != places.len()) {
            return Err(form());
        }
        let last = places.values().iter().max().map_or(self.next, |last| last.saturating_add(1));
        self.next = self.next.max(last);
        for (range, &slot) in ranges(values).zip(slots) {
            for at in range {
                let order = ordered.as_ref().map_or(&[][..], |rows| rows.row(at).data());
                let row = Encoded { order, value: encoded.row(at).data(), place: places.value(at) };
                self.slots[slot as usize].insert(&row, self.retracts, &mut self.next);
                self.trim(slot as usize);
            }
        }
        Ok(())
    }

    fn read(&self, slots: &[u32]) -> Result<ArrayRef> {
        match &self.reading {
            Reading::First => self.read_one(slots, |of| of.rows.first_key_value().map(|(_, value)| value.as_ref())),
            Reading::Last => self.read_one(slots, |of| of.rows.last_key_value().map(|(_, value)| value.as_ref())),
            Reading::List(item) => {
                let (values, lengths) = self.all(slots)?;
                let nulls: NullBuffer = lengths.iter().map(|length| *length > 0).collect::<Vec<bool>>().into();
                let offsets = OffsetBuffer::from_lengths(lengths);
                Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, Some(nulls))?))
            }
            Reading::Text { separator, output } => {
                let (values, lengths) = self.all(slots)?;
                let values = cast(&values, &DataType::Utf8)?;
                let mut strings = values.as_string::<i32>().iter().flatten();
                let (mut texts, mut text) = (StringBuilder::new(), String::new());
                for length in lengths {
                    text.clear();
                    for (at, string) in strings.by_ref().take(length).enumerate() {
                        text.push_str(if at == 0 { "" } else { separator });
                        text.push_str(string);
                    }
                    texts.append_option((length > 0).then_some(&text));
                }
                Ok(cast(&texts.finish(), output)?)
            }
        }
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.slots[slot as usize] = Ordered::default());
    }
}
