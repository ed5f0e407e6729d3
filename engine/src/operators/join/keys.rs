//! [`Keys`]: one slot for each key, the same on all inputs of a join.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::filter;
use arrow::datatypes::{DataType, SchemaRef};

use super::NONE;
use crate::error::{EngineError, Result};
use crate::message::Delta;
use crate::operators::group_table::GroupTable;
use crate::plan::JoinKey;

/// Maps the keys of all inputs to slots.
pub(super) struct Keys {
    table: GroupTable,
    /// The key columns of each input.
    columns: Vec<Vec<usize>>,
    /// Whether a null in each column equals another null.
    null_equal: Vec<bool>,
    /// Of a null-aware join: the slot of the null key, while it has rows.
    null_aware: bool,
    null_slot: Option<u32>,
}

impl Keys {
    /// No key is known. `null_aware`: there is one key column, and its nulls have a slot, [`Self::null_slot`].
    ///
    /// # Errors
    /// Where the columns do not exist or are not of the same types; where a null-aware join has not one key.
    pub(super) fn new(keys: &[JoinKey], schemas: [&SchemaRef; 2], null_aware: bool) -> Result<Self> {
        if null_aware && keys.len() != 1 {
            return Err(EngineError::Unsupported("NOT IN of several columns".into()));
        }
        let mut types = Vec::with_capacity(keys.len());
        for key in keys {
            let fields = [(schemas[0], key.left), (schemas[1], key.right)].map(|(schema, at)| schema.fields().get(at));
            let [Some(left), Some(right)] = fields else {
                return Err(EngineError::Internal("a join key that is no column".into()));
            };
            if left.data_type() != right.data_type() {
                let (left, right) = (left.data_type(), right.data_type());
                return Err(EngineError::Internal(format!("a join of {left} with {right}")));
            }
            types.push(left.data_type().clone());
        }
        Ok(Self {
            table: GroupTable::new(&types)?,
            columns: vec![keys.iter().map(|key| key.left).collect(), keys.iter().map(|key| key.right).collect()],
            null_equal: keys.iter().map(|key| key.null_equal || null_aware).collect(),
            null_aware,
            null_slot: None,
        })
    }

    /// No key is known; nulls equal none. `columns`: the key of each input.
    ///
    /// # Errors
    /// Where the columns do not exist or are not of the same types.
    pub(super) fn of_inputs(columns: &[Vec<usize>], schemas: &[SchemaRef]) -> Result<Self> {
        let of_input = |(columns, schema): (&Vec<usize>, &SchemaRef)| -> Option<Vec<DataType>> {
            columns.iter().map(|&column| Some(schema.fields().get(column)?.data_type().clone())).collect()
        };
        let types: Option<Vec<Vec<DataType>>> = columns.iter().zip(schemas).map(of_input).collect();
        let equal = types.filter(|types| types.len() == schemas.len() && types.windows(2).all(|two| two[0] == two[1]));
        let Some(types) = equal.and_then(|types| types.into_iter().next()) else {
            return Err(EngineError::Internal("a join whose keys are not of one kind".into()));
        };
        Ok(Self {
            table: GroupTable::new(&types)?,
            columns: columns.to_vec(),
            null_equal: vec![false; types.len()],
            null_aware: false,
            null_slot: None,
        })
    }

    /// The slot of each row of an input; [`NONE`] for a key that equals none, because it has a null.
    ///
    /// # Errors
    /// Where there are over 2^32 keys.
    pub(super) fn slots(&mut self, port: usize, batch: &RecordBatch) -> Result<Vec<u32>> {
        let columns: Vec<ArrayRef> = self.columns[port].iter().map(|&key| Arc::clone(batch.column(key))).collect();
        let mut nulls = None;
        for (column, _) in columns.iter().zip(&self.null_equal).filter(|(_, null_equal)| !**null_equal) {
            nulls = NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref());
        }
        let mut slots = Vec::new();
        match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => self.table.intern(&columns, batch.num_rows(), &mut slots)?,
            Some(nulls) => {
                let valid = BooleanArray::new(nulls.inner().clone(), None);
                let columns = columns.iter().map(|column| filter(column, &valid)).collect::<Result<Vec<_>, _>>()?;
                let mut found = Vec::new();
                self.table.intern(&columns, valid.true_count(), &mut found)?;
                let mut found = found.into_iter();
                slots.extend(nulls.iter().map(|valid| if valid { found.next().unwrap_or(NONE) } else { NONE }));
            }
        }
        if let ([column], true) = (&columns[..], self.null_aware)
            && let Some(nulls) = column.logical_nulls()
            && let Some(row) = nulls.iter().position(|valid| !valid)
        {
            self.null_slot = slots.get(row).copied();
        }
        Ok(slots)
    }

    /// Rows of an input and their slots. Those whose key equals none are dropped unless `keep_keyless`.
    ///
    /// # Errors
    /// As [`Self::slots`].
    pub(super) fn keyed(&mut self, port: usize, delta: Delta, keep_keyless: bool) -> Result<(Delta, Vec<u32>)> {
        let mut slots = self.slots(port, &delta.batch)?;
        if keep_keyless || !slots.contains(&NONE) {
            return Ok((delta, slots));
        }
        let delta = delta.filter(&slots.iter().map(|slot| Some(*slot != NONE)).collect())?;
        slots.retain(|slot| *slot != NONE);
        Ok((delta, slots))
    }

    /// Of a null-aware join: the slot of the rows whose key is null.
    pub(super) fn null_slot(&self) -> Option<u32> {
        self.null_slot
    }

    /// Forgets keys.
    pub(super) fn remove(&mut self, slots: &[u32]) {
        self.table.remove(slots);
        self.null_slot = self.null_slot.filter(|slot| !slots.contains(slot));
    }
}
