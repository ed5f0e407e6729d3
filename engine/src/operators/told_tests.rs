//! Tests of what is told: whatever changed and whichever checkpoints failed, the table comes back; and little is told where
//! little has changed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::checkpoint::gathered::Gathered;

/// A state: a number in each live slot.
#[derive(Default)]
struct State {
    slots: Vec<Option<i64>>,
    told: Told,
    epoch: u64,
    /// The last complete checkpoint, and what it has.
    base: Option<Epoch>,
    saved: Vec<i64>,
}

fn table(values: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter([("v", column)]).unwrap()
}

impl State {
    fn set(&mut self, slot: usize, value: Option<i64>) {
        self.slots.resize(self.slots.len().max(slot + 1), None);
        self.slots[slot] = value;
        self.told.touch([u32::try_from(slot).unwrap()]);
    }

    fn rows(&self) -> Vec<i64> {
        self.slots.iter().copied().flatten().collect()
    }

    /// A capture; gives how many rows were told. `completes`: its checkpoint does.
    fn capture(&mut self, completes: bool) -> usize {
        self.epoch += 1;
        let live: Vec<bool> = self.slots.iter().map(Option::is_some).collect();
        let telling = self.told.tell(Epoch(self.epoch), self.base, &live);
        let told: Vec<i64> = telling.slots.iter().map(|&slot| self.slots[slot as usize].unwrap()).collect();
        let rows = match &telling.since {
            None => told,
            Some((since, edits)) => {
                assert_eq!(Some(*since), self.base);
                let before = table(&self.saved);
                let gathered = Gathered::whole(&before.schema(), &[before]).unwrap();
                let rows = gathered.changed(edits, &[table(&told)]).unwrap().batches().unwrap().remove(0);
                rows.column(0).as_primitive::<Int64Type>().values().to_vec()
            }
        };
        assert_eq!((&rows, telling.rows), (&self.rows(), rows.len()));
        if completes {
            (self.base, self.saved) = (Some(Epoch(self.epoch)), rows);
        }
        telling.slots.len()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_table_comes_back(
        steps in prop::collection::vec((0..9_u8, 0..200_usize, 0..1_000_i64), 0..300),
    ) {
        let mut state = State::default();
        for (kind, slot, value) in steps {
            match kind {
                0..=4 => state.set(slot, Some(value)),
                5 | 6 => state.set(slot, None),
                7 => drop(state.capture(true)),
                _ => drop(state.capture(value % 3 == 0)),
            }
            if value == 0 {
                // The writer begins a new chain.
                state.base = None;
            }
        }
        state.capture(true);
    }
}

#[test]
fn only_what_has_changed_is_told_also_after_checkpoints_that_failed() {
    let mut state = State::default();
    (0..1_000).for_each(|slot| state.set(slot, Some(7)));
    assert_eq!(state.capture(true), 1_000);
    assert_eq!(state.capture(true), 0);
    state.set(5, Some(8));
    assert_eq!(state.capture(false), 1);
    state.set(700, None);
    state.set(1_300, Some(1));
    assert_eq!(state.capture(false), 2);
    assert_eq!(state.capture(true), 2);
    assert_eq!(state.capture(true), 0);
    state.told.forget();
    assert_eq!(state.capture(true), 1_000);
}
