//! [`Touched`]: the partitions that changed in an epoch, and what they showed before.

use super::partitions::{Partitions, Ranks, Shown};

/// See the module.
#[derive(Default)]
pub(crate) struct Touched {
    flags: Vec<bool>,
    /// Slots, and where their rows end in `before`.
    slots: Vec<(u32, usize)>,
    before: Vec<Shown>,
}

impl Touched {
    /// Notes what a partition shows, the first time in an epoch.
    pub(crate) fn touch(&mut self, partitions: &Partitions, slot: u32, ranks: Ranks, each_copy: bool) {
        if self.is_first(slot) {
            partitions.show(slot, ranks, each_copy, &mut self.before);
            self.slots.push((slot, self.before.len()));
        }
    }

    /// Notes that a partition has shown nothing.
    pub(crate) fn touch_unseen(&mut self, slot: u32) {
        if self.is_first(slot) {
            self.slots.push((slot, self.before.len()));
        }
    }

    /// Whether a partition has not been touched; it is now.
    fn is_first(&mut self, slot: u32) -> bool {
        if self.flags.len() <= slot as usize {
            self.flags.resize(slot as usize + 1, false);
        }
        !std::mem::replace(&mut self.flags[slot as usize], true)
    }

    /// The partitions with what they showed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[Shown])> {
        let starts = std::iter::once(0).chain(self.slots.iter().map(|(_, end)| *end));
        self.slots.iter().zip(starts).map(|((slot, end), start)| (*slot, &self.before[start..*end]))
    }

    /// No partitions, in the same memory.
    pub(crate) fn cleared(mut self) -> Self {
        self.slots.drain(..).for_each(|(slot, _)| self.flags[slot as usize] = false);
        self.before.clear();
        self
    }
}
