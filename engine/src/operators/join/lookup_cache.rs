//! [`Cache`]: answers of lookups by key.

use std::collections::{HashMap, VecDeque};

use arrow::array::RecordBatch;

use crate::ports::LookupCache;
use crate::time::ProcessingTime;

/// Answers by encoded key, the oldest dropped first.
pub(super) struct Cache {
    limits: LookupCache,
    known: HashMap<Box<[u8]>, Known>,
    /// Keys in the order of their answers. Some have a newer answer.
    order: VecDeque<(ProcessingTime, Box<[u8]>)>,
    /// Rows that are kept; a key without rows counts as one.
    rows: usize,
}

struct Known {
    at: ProcessingTime,
    rows: RecordBatch,
}

impl Cache {
    pub(super) fn new(limits: LookupCache) -> Self {
        Self { limits, known: HashMap::new(), order: VecDeque::new(), rows: 0 }
    }

    /// The rows of a key, where they are known.
    pub(super) fn get(&self, key: &[u8], now: ProcessingTime) -> Option<&RecordBatch> {
        let known = self.known.get(key)?;
        let fresh = self.limits.expire_us.is_none_or(|expire_us| known.at.plus_us(expire_us) > now);
        fresh.then_some(&known.rows)
    }

    /// Keeps the rows of a key.
    pub(super) fn put(&mut self, key: &[u8], rows: RecordBatch, now: ProcessingTime) {
        self.rows += weight(&rows);
        if let Some(old) = self.known.insert(key.into(), Known { at: now, rows }) {
            self.rows -= weight(&old.rows);
        }
        self.order.push_back((now, key.into()));
        while let Some((at, key)) = self.order.front() {
            let is_latest = self.known.get(key).is_some_and(|known| known.at == *at);
            let too_many = self.limits.rows_max.is_some_and(|most| self.rows > most);
            let too_old = self.limits.expire_us.is_some_and(|expire_us| at.plus_us(expire_us) <= now);
            if is_latest && !too_many && !too_old {
                break;
            }
            if is_latest && let Some(old) = self.known.remove(key) {
                self.rows -= weight(&old.rows);
            }
            self.order.pop_front();
        }
    }
}

fn weight(rows: &RecordBatch) -> usize {
    rows.num_rows().max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array};

    use super::*;

    fn rows(count: i32) -> RecordBatch {
        let column: ArrayRef = Arc::new((0..count).collect::<Int32Array>());
        RecordBatch::try_from_iter([("a", column)]).unwrap()
    }

    #[test]
    fn the_oldest_answers_go_first() {
        let mut cache = Cache::new(LookupCache { rows_max: Some(3), expire_us: None });
        let now = ProcessingTime(0);
        cache.put(b"a", rows(2), now);
        cache.put(b"b", rows(0), now);
        assert_eq!(cache.get(b"a", now).map(RecordBatch::num_rows), Some(2));
        cache.put(b"c", rows(1), now);
        assert!(cache.get(b"a", now).is_none());
        assert_eq!(cache.get(b"b", now).map(RecordBatch::num_rows), Some(0));
        assert!(cache.get(b"c", now).is_some());
    }

    #[test]
    fn answers_expire() {
        let mut cache = Cache::new(LookupCache { rows_max: None, expire_us: Some(10) });
        cache.put(b"a", rows(1), ProcessingTime(0));
        assert!(cache.get(b"a", ProcessingTime(9)).is_some());
        assert!(cache.get(b"a", ProcessingTime(10)).is_none());
        cache.put(b"b", rows(1), ProcessingTime(10));
        assert_eq!(cache.known.len(), 1);
    }
}
