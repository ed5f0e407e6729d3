//! When a partition is complete, and its `_SUCCESS` mark: common to all shards of a sink.
//!
//! A partition is marked when its trigger has come on every shard and none of its files is hidden any more. Rows that come
//! later open it again, and it is marked again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::datatypes::TimeUnit;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::time::{EventTime, ProcessingTime};
use parking_lot::Mutex;

use super::place::Place;
use crate::formats::parse_timestamp;

/// What makes a partition complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trigger {
    /// The watermark passes the time in its values plus the delay. The pattern names columns as `$dt`; without one the
    /// time is the first column.
    PartitionTime(Option<String>),
    /// The clock passes the time of its first row plus the delay.
    ProcessTime,
}

/// How partitions are completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Completion {
    /// When.
    pub(super) trigger: Trigger,
    /// Microseconds behind the trigger.
    pub(super) delay_us: i64,
    /// Name of the mark.
    pub(super) success_file: String,
}

impl Completion {
    /// The event or processing time at which a partition is complete, in microseconds.
    ///
    /// # Errors
    /// Where the values make no time.
    pub(super) fn due_us(&self, values: &[(String, Option<String>)], now: ProcessingTime) -> Result<i64> {
        let Trigger::PartitionTime(pattern) = &self.trigger else {
            return Ok(now.0.saturating_add(self.delay_us));
        };
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let time = match pattern {
            None => values.first().map(|(_, value)| text(value)).unwrap_or_default(),
            Some(pattern) => {
                // Longer names first, so that `$dt2` is not taken for `$dt`.
                let mut names: Vec<_> = values.iter().collect();
                names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
                names
                    .iter()
                    .fold(pattern.clone(), |time, (name, value)| time.replace(&format!("${name}"), &text(value)))
            }
        };
        let full = if time.trim().len() == 10 { format!("{} 00:00:00", time.trim()) } else { time.clone() };
        match parse_timestamp(full.trim().as_bytes(), TimeUnit::Microsecond, false) {
            Some(at) => Ok(at.saturating_add(self.delay_us)),
            None => Err(EngineError::BadRow {
                message: format!("\"{time}\" is no partition time, expected a text such as 2015-07-15 00:00:00"),
                hint: Some(
                    "'partition.time-extractor.timestamp-pattern' makes a time of the partition columns".to_owned(),
                ),
            }),
        }
    }
}

/// The partitions that are not marked yet, and how far each shard is.
#[derive(Debug)]
pub(super) struct Partitions {
    completion: Completion,
    place: Place,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    watermarks: Vec<EventTime>,
    open: BTreeMap<PathBuf, OpenPartition>,
}

#[derive(Debug)]
struct OpenPartition {
    due_us: i64,
    /// Files that are not visible yet.
    hidden: usize,
}

impl Partitions {
    /// No partitions. Shards make themselves known by [`Self::join`].
    pub(super) fn new(completion: Completion, place: Place) -> Self {
        Self { completion, place, state: Mutex::new(State { watermarks: vec![], open: BTreeMap::new() }) }
    }

    /// How partitions are completed.
    pub(super) fn completion(&self) -> &Completion {
        &self.completion
    }

    /// All `shards` shards count from now on.
    pub(super) fn join(&self, shards: usize) {
        let mut state = self.state.lock();
        if state.watermarks.len() < shards {
            state.watermarks.resize(shards, EventTime::MIN);
        }
    }

    /// A file of the partition was begun.
    pub(super) fn begin_file(&self, directory: &Path, due_us: i64) {
        let mut state = self.state.lock();
        let open = state.open.entry(directory.to_owned()).or_insert(OpenPartition { due_us, hidden: 0 });
        open.hidden += 1;
    }

    /// A file of the partition became visible.
    pub(super) fn end_file(&self, directory: &Path) {
        if let Some(open) = self.state.lock().open.get_mut(directory) {
            open.hidden = open.hidden.saturating_sub(1);
        }
    }

    /// The watermark of a shard; [`EventTime::MAX`] at its end.
    pub(super) fn advance(&self, shard: usize, watermark: EventTime) {
        if let Some(own) = self.state.lock().watermarks.get_mut(shard) {
            *own = watermark.max(*own);
        }
    }

    /// Whether the trigger of a partition has come, as far as a shard with this watermark can tell.
    pub(super) fn is_due(&self, due_us: i64, watermark: EventTime, now: ProcessingTime) -> bool {
        watermark == EventTime::MAX
            || match self.completion.trigger {
                Trigger::PartitionTime(_) => due_us <= watermark.0,
                Trigger::ProcessTime => due_us <= now.0,
            }
    }

    /// Marks the partitions that are complete.
    ///
    /// # Errors
    /// Where a mark cannot be written.
    pub(super) fn mark(&self, now: ProcessingTime) -> Result<()> {
        let mut state = self.state.lock();
        let watermark = state.watermarks.iter().min().copied().unwrap_or(EventTime::MIN);
        let complete: Vec<PathBuf> = state
            .open
            .iter()
            .filter(|(_, open)| open.hidden == 0 && self.is_due(open.due_us, watermark, now))
            .map(|(directory, _)| directory.clone())
            .collect();
        for directory in complete {
            self.place.mark(&directory.join(&self.completion.success_file))?;
            state.open.remove(&directory);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn times_come_from_values() {
        let due = |pattern: Option<&str>, dt: &str, hm: &str| {
            let completion = Completion {
                trigger: Trigger::PartitionTime(pattern.map(str::to_owned)),
                delay_us: 60_000_000,
                success_file: "_SUCCESS".to_owned(),
            };
            let values = [("dt".to_owned(), Some(dt.to_owned())), ("hm".to_owned(), Some(hm.to_owned()))];
            completion.due_us(&values, ProcessingTime(0))
        };
        assert_eq!(due(Some("$dt $hm:00"), "2015-07-15", "00:01").unwrap(), 1_436_918_520_000_000);
        assert_eq!(due(None, "2015-07-15", "x").unwrap(), 1_436_918_460_000_000);
        assert!(due(Some("$hm"), "2015-07-15", "x").unwrap_err().to_string().contains("partition time"));
    }
}
