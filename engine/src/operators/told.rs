//! [`Told`]: which slots of a state have changed since checkpoints were told of it, so that the next one is told only those.
//!
//! A capture becomes the base of the next ones when its checkpoint is complete. Some fail: so the changes since the capture
//! before stay known too.

use arrow::array::RecordBatch;

use crate::checkpoint::edits::{Edit, add_fresh, copy};
use crate::checkpoint::table::{Changes, Rows, Table};
use crate::message::Epoch;
use crate::pieces::set_bits;

/// See the module. A state has a row for each live slot, in the order of the slots.
#[derive(Default)]
pub(crate) struct Told {
    /// The capture that counted last, as far as is known, and the one after it.
    base: Option<Capture>,
    last: Option<Capture>,
}

/// What was told once.
struct Capture {
    epoch: Epoch,
    /// The slots that were live: a bit each.
    live: Vec<u64>,
    /// Those that have changed since.
    changed: Vec<u64>,
}

/// What a capture tells.
pub(crate) struct Telling {
    /// How the rows came out of those of an earlier capture. `None`: all are told.
    pub(crate) since: Option<(Epoch, Vec<Edit>)>,
    /// The slots whose rows are told, ascending.
    pub(crate) slots: Vec<u32>,
    /// How many slots are live.
    pub(crate) rows: usize,
}

impl Telling {
    /// A table with a row for each slot, of which these are told.
    pub(crate) fn table(&self, name: impl Into<String>, told: RecordBatch) -> Table {
        let changes = Changes { since: self.since.clone(), rows: self.rows, told };
        Table { name: name.into(), schema: changes.told.schema(), rows: Rows::Changes(changes) }
    }
}

const WORD: usize = u64::BITS as usize;

impl Told {
    /// Notes that the rows of slots change, or go.
    pub(crate) fn touch(&mut self, slots: impl IntoIterator<Item = u32>) {
        let Some(last) = &mut self.last else { return };
        for slot in slots {
            let slot = slot as usize;
            let word = slot / WORD;
            if word >= last.changed.len() {
                last.changed.resize(word + 1, 0);
            }
            last.changed[word] |= 1 << (slot % WORD);
        }
    }

    /// The slots have other numbers now: nothing that was told is known any more.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// What a capture at `epoch` tells of the `live` slots to whoever has the capture of `base`.
    pub(crate) fn tell(&mut self, epoch: Epoch, base: Option<Epoch>, live: &[bool]) -> Telling {
        self.settle(base);
        let now: Vec<u64> = live.chunks(WORD).map(word_of).collect();
        let telling = match &self.base {
            Some(known) => known.changes(&now),
            None => Telling { since: None, slots: bits(&now).collect(), rows: 0 },
        };
        let rows = now.iter().map(|word| word.count_ones() as usize).sum();
        self.last = Some(Capture { epoch, live: now, changed: Vec::new() });
        Telling { rows, ..telling }
    }

    /// Makes the capture that is called the base the base, with all that has changed since.
    fn settle(&mut self, base: Option<Epoch>) {
        let last = self.last.take();
        let is_base = |capture: &Capture| Some(capture.epoch) == base;
        if last.as_ref().is_some_and(is_base) {
            self.base = last;
            return;
        }
        self.base = self.base.take().filter(is_base);
        if let (Some(base), Some(last)) = (&mut self.base, last) {
            base.changed.resize(base.changed.len().max(last.changed.len()), 0);
            base.changed.iter_mut().zip(&last.changed).for_each(|(all, more)| *all |= more);
        }
    }
}

impl Capture {
    fn changes(&self, now: &[u64]) -> Telling {
        let (mut edits, mut slots) = (Vec::new(), Vec::new());
        // The row of the earlier capture that comes next.
        let mut row = 0;
        for at in 0..now.len().max(self.live.len()) {
            let word = |of: &[u64]| of.get(at).copied().unwrap_or(0);
            let (then, now, changed) = (word(&self.live), word(now), word(&self.changed));
            let stays = then & now & !changed;
            if stays == then && stays == now {
                copy(&mut edits, row, then.count_ones());
                row += then.count_ones();
                continue;
            }
            for bit in set_bits(then | now) {
                let has = |word: u64| word >> bit & 1 == 1;
                if has(stays) {
                    copy(&mut edits, row, 1);
                } else if has(now) {
                    // Slots are 32 bits wide.
                    slots.push((at * WORD) as u32 + bit);
                    add_fresh(&mut edits, 1);
                }
                row += u32::from(has(then));
            }
        }
        Telling { since: Some((self.epoch, edits)), slots, rows: 0 }
    }
}

fn word_of(live: &[bool]) -> u64 {
    live.iter().enumerate().fold(0, |word, (bit, live)| word | u64::from(*live) << bit)
}

/// The numbers of the bits that are set.
fn bits(words: &[u64]) -> impl Iterator<Item = u32> {
    let slots = |(at, word): (usize, &u64)| set_bits(*word).map(move |bit| (at * WORD) as u32 + bit);
    words.iter().enumerate().flat_map(slots)
}

#[cfg(test)]
#[path = "told_tests.rs"]
mod tests;
