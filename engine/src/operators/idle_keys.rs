//! [`IdleKeys`]: which keys no row has touched for a time, so that their state can be dropped.

use std::collections::VecDeque;

use crate::time::ProcessingTime;

/// When each slot was touched last, in processing time. Slots may be freed and used again meanwhile.
///
/// Time is counted in granules of a part of the time to live, so that a key which is touched in every epoch is noted a few
/// times, not in every one. A key goes up to a granule late.
pub(crate) struct IdleKeys {
    ttl_us: i64,
    granule_us: i64,
    /// By slot, the granule.
    touched: Vec<i64>,
    /// Slots by the granule in which they were touched, ascending. A slot that was touched again is in a later one too.
    queue: VecDeque<(i64, Vec<u32>)>,
}

/// Granules in a time to live.
const GRANULES: i64 = 64;
/// The granule of a slot that has not been touched.
const NEVER: i64 = i64::MIN;

impl IdleKeys {
    /// No key is known. Keys expire when they have not been touched for `ttl_us` microseconds.
    pub(crate) fn new(ttl_us: i64) -> Self {
        let granule_us = (ttl_us / GRANULES).max(1);
        Self { ttl_us, granule_us, touched: Vec::new(), queue: VecDeque::new() }
    }

    /// Notes that rows have touched these slots.
    pub(crate) fn touch(&mut self, slots: &[u32], now: ProcessingTime) {
        let most = slots.iter().max().map_or(0, |most| *most as usize + 1);
        if most > self.touched.len() {
            self.touched.resize(most, NEVER);
        }
        let granule = now.0.div_euclid(self.granule_us);
        let again = |slot: &u32| std::mem::replace(&mut self.touched[*slot as usize], granule) != granule;
        let fresh = slots.iter().copied().filter(again);
        match self.queue.back_mut() {
            Some((last, slots)) if *last == granule => slots.extend(fresh),
            Some(_) | None => self.queue.push_back((granule, fresh.collect())),
        }
    }

    /// When a slot was touched last, to the granule.
    pub(crate) fn touched(&self, slot: usize) -> i64 {
        self.touched.get(slot).map_or(NEVER, |granule| granule.saturating_mul(self.granule_us))
    }

    /// The live slots that have been idle for too long. They are no longer known.
    pub(crate) fn expire(&mut self, now: ProcessingTime, is_live: impl Fn(u32) -> bool) -> Vec<u32> {
        let (granule_us, ttl_us) = (self.granule_us, self.ttl_us);
        let last = |granule: i64| granule.saturating_add(1).saturating_mul(granule_us).saturating_sub(1);
        let mut gone = Vec::new();
        while let Some((granule, slots)) = self.queue.pop_front_if(|(of, _)| last(*of).saturating_add(ttl_us) <= now.0)
        {
            for slot in slots {
                let touched = &mut self.touched[slot as usize];
                if *touched == granule && is_live(slot) {
                    *touched = NEVER;
                    gone.push(slot);
                }
            }
        }
        gone
    }

    /// The same keys, after those of `kept` have become the slots 0, 1, ….
    pub(crate) fn renumbered(&self, kept: &[u32]) -> Self {
        let mut renumbered = Self::new(self.ttl_us);
        let touched: Vec<i64> = kept.iter().map(|&slot| self.touched(slot as usize)).collect();
        let slots: Vec<u32> = (0..).zip(kept).map(|(slot, _)| slot).collect();
        renumbered.restore(&slots, &touched);
        renumbered
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_when_they_have_been_idle() {
        let mut keys = IdleKeys::new(6_400);
        let at = ProcessingTime;
        keys.touch(&[0, 1, 2], at(50));
        keys.touch(&[1], at(60));
        keys.touch(&[2], at(6_000));
        assert!(keys.expire(at(6_498), |_| true).is_empty());
        // Slot 0 has been freed and used again.
        assert_eq!(keys.expire(at(6_499), |slot| slot != 0), [1]);
        assert!(keys.expire(at(12_000), |_| true).is_empty());
        let mut restored = IdleKeys::new(6_400);
        restored.restore(&[2, 5], &[keys.touched(2), 700]);
        assert_eq!(restored.expire(at(12_499), |_| true), [5, 2]);
    }

    #[test]
    fn a_busy_key_is_noted_once_a_granule() {
        let mut keys = IdleKeys::new(6_400);
        (0..1_000).for_each(|now| keys.touch(&[0], ProcessingTime(now)));
        assert_eq!(keys.queue.iter().map(|(_, slots)| slots.len()).sum::<usize>(), 10);
    }
}
