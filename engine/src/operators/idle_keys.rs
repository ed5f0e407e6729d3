//! [`IdleKeys`]: which keys no row has touched for a time, so that their state can be dropped.

use std::collections::VecDeque;

use crate::time::ProcessingTime;

/// When each slot was touched last, in processing time. Slots may be freed and used again meanwhile.
pub(crate) struct IdleKeys {
    ttl_us: i64,
    /// By slot, microseconds.
    touched: Vec<i64>,
    /// Touches in the order of time. A slot that was touched again is in a later one too.
    queue: VecDeque<(i64, Vec<u32>)>,
}

impl IdleKeys {
    /// No key is known. Keys expire when they have not been touched for `ttl_us` microseconds.
    pub(crate) fn new(ttl_us: i64) -> Self {
        Self { ttl_us, touched: Vec::new(), queue: VecDeque::new() }
    }

    /// Notes that rows have touched these slots.
    pub(crate) fn touch(&mut self, slots: &[u32], now: ProcessingTime) {
        let most = slots.iter().max().map_or(0, |most| *most as usize + 1);
        if most > self.touched.len() {
            self.touched.resize(most, i64::MIN);
        }
        slots.iter().for_each(|&slot| self.touched[slot as usize] = now.0);
        if !slots.is_empty() {
            self.queue.push_back((now.0, slots.to_vec()));
        }
    }

    /// When a slot was touched last.
    pub(crate) fn touched(&self, slot: usize) -> i64 {
        self.touched.get(slot).copied().unwrap_or(i64::MIN)
    }

    /// The live slots that have been idle for too long. They are no longer known.
    pub(crate) fn expire(&mut self, now: ProcessingTime, is_live: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut gone = Vec::new();
        while let Some((at, slots)) = self.queue.pop_front_if(|(at, _)| at.saturating_add(self.ttl_us) <= now.0) {
            for slot in slots {
                if self.touched[slot as usize] == at && is_live(slot) {
                    self.touched[slot as usize] = i64::MIN;
                    gone.push(slot);
                }
            }
        }
        gone
    }

    /// Takes over when slots were touched last.
    pub(crate) fn restore(&mut self, slots: &[u32], touched: &[i64]) {
        let mut all: Vec<(i64, u32)> = touched.iter().copied().zip(slots.iter().copied()).collect();
        all.sort_unstable();
        for part in all.chunk_by(|left, right| left.0 == right.0) {
            let slots: Vec<u32> = part.iter().map(|(_, slot)| *slot).collect();
            self.touch(&slots, ProcessingTime(part[0].0));
        }
    }
}
