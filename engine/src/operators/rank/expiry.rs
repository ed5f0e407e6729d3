//! [`Expiry`]: which partitions have not changed for the time to live.

use crate::time::ProcessingTime;

/// How much of the time to live may pass between two looks at all partitions: an eighth.
const LOOKS: i64 = 8;

/// See the module. Partitions that are restored count as changed when they are first looked at.
pub(super) struct Expiry {
    ttl_us: i64,
    changed: Vec<Option<ProcessingTime>>,
    next_look: ProcessingTime,
}

impl Expiry {
    pub(super) fn new(ttl_us: i64) -> Self {
        Self { ttl_us, changed: Vec::new(), next_look: ProcessingTime(i64::MIN) }
    }

    /// Notes that partitions changed.
    pub(super) fn touch(&mut self, slots: impl Iterator<Item = u32>, now: ProcessingTime) {
        for slot in slots {
            if self.changed.len() <= slot as usize {
                self.changed.resize(slot as usize + 1, None);
            }
            self.changed[slot as usize] = Some(now);
        }
    }

    /// Whether it is time to look at all partitions.
    pub(super) fn is_due(&self, now: ProcessingTime) -> bool {
        now >= self.next_look
    }

    /// The partitions among these whose time is over.
    pub(super) fn expired(&mut self, live: &[u32], now: ProcessingTime) -> Vec<u32> {
        self.next_look = now.plus_us(self.ttl_us / LOOKS);
        let slots = live.iter().max().map_or(0, |last| *last as usize + 1);
        self.changed.resize(slots.max(self.changed.len()), None);
        let mut expired = Vec::new();
        for &slot in live {
            let changed = self.changed[slot as usize].get_or_insert(now);
            if changed.plus_us(self.ttl_us) <= now {
                expired.push(slot);
                self.changed[slot as usize] = None;
            }
        }
        expired
    }
}
