//! [`SourceDriver`]: reads the splits of one source that belong to one shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::shared::JobCounters;
use super::waker::Waker;
use super::watermark::SourceWatermarks;
use crate::error::Result;
use crate::message::{Delta, Message};
use crate::operators::stateless::run_steps;
use crate::plan::SourceSpec;
use crate::ports::{Boundedness, ReadContext, ReadPoll, Split, SplitReader, WakeHandle};
use crate::time::ProcessingTime;

/// The splits of one source on one shard. A bounded source's splits are read one after another, so that few are open;
/// the splits of an unbounded one in turn.
pub(super) struct SourceDriver {
    spec: SourceSpec,
    splits: Vec<SplitDriver>,
    watermarks: SourceWatermarks,
    /// The split to poll next.
    cursor: usize,
    /// [`Message::End`] is out.
    ended: bool,
    /// A `FLUSH` waits for this source.
    flushing: bool,
    waker: Arc<Waker>,
}

struct SplitDriver {
    split: Split,
    reader: Option<Box<dyn SplitReader>>,
    ended: bool,
    /// The reader has nothing; asked again when woken or at the time.
    pending: Option<Pending>,
    /// Everything that was there at the `FLUSH` has been read.
    flushed: bool,
    woken: Arc<AtomicBool>,
}

struct Pending {
    retry_at: Option<ProcessingTime>,
}

/// What a poll of a source gave.
pub(super) struct Polled {
    /// Whether there may be more at once.
    pub(super) progressed: bool,
    /// When to ask again, where nothing wakes the shard before.
    pub(super) deadline: Option<ProcessingTime>,
}

impl SourceDriver {
    pub(super) fn new(spec: SourceSpec, splits: Vec<(Split, usize)>, now: ProcessingTime, waker: Arc<Waker>) -> Self {
        let progress = splits.iter().map(|(_, progress)| Some(*progress)).collect();
        let driver = |(split, _)| SplitDriver {
            split,
            reader: None,
            ended: false,
            pending: None,
            flushed: false,
            woken: Arc::new(AtomicBool::new(false)),
        };
        Self {
            watermarks: SourceWatermarks::new(spec.watermark.clone(), progress, now),
            spec,
            splits: splits.into_iter().map(driver).collect(),
            cursor: 0,
            ended: false,
            flushing: false,
            waker,
        }
    }

    /// Whether [`Message::End`] is out.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// A `FLUSH` begins.
    pub(super) fn begin_flush(&mut self) {
        self.flushing = true;
        for split in &mut self.splits {
            split.flushed = false;
        }
    }

    /// Whether everything that was there at the `FLUSH` has been read; forgets the `FLUSH` then.
    pub(super) fn take_flushed(&mut self) -> bool {
        let done = self.splits.iter().all(|split| split.ended || split.flushed);
        self.flushing &= !done;
        done
    }

    /// Reads one batch of one split; appends what it says to `out`.
    pub(super) fn poll(
        &mut self,
        rows_max: usize,
        now: ProcessingTime,
        counters: &JobCounters,
        out: &mut Vec<Message>,
    ) -> Result<Polled> {
        if self.ended {
            return Ok(Polled { progressed: false, deadline: None });
        }
        let mut progressed = false;
        for _ in 0..self.splits.len() {
            let Some(index) = self.next_split(now) else { break };
            progressed |= self.poll_split(index, rows_max, now, counters, out)?;
            if progressed {
                break;
            }
        }
        let mut deadline = self.watermarks.expire(now, counters);
        self.watermarks.advance(out);
        if self.splits.iter().all(|split| split.ended) {
            self.ended = true;
            out.push(Message::End);
            progressed = true;
        }
        for split in self.splits.iter().filter(|split| !split.ended) {
            if let Some(retry_at) = split.pending.as_ref().and_then(|pending| pending.retry_at) {
                deadline = Some(deadline.map_or(retry_at, |deadline| deadline.min(retry_at)));
            }
        }
        Ok(Polled { progressed, deadline })
    }

    /// The watermark as last emitted.
    pub(super) fn watermark(&self) -> crate::time::EventTime {
        if self.ended { crate::time::EventTime::MAX } else { self.watermarks.last() }
    }

    /// The split to poll now.
    fn next_split(&mut self, now: ProcessingTime) -> Option<usize> {
        let bounded = match self.spec.source.boundedness() {
            Boundedness::Bounded => true,
            Boundedness::Unbounded | Boundedness::Endless => false,
        };
        let count = self.splits.len();
        for step in 0..count {
            let index = if bounded { step } else { (self.cursor + step) % count };
            let split = self.splits.get_mut(index)?;
            if split.ended {
                continue;
            }
            if split.is_due(now, self.flushing) {
                self.cursor = index + 1;
                return Some(index);
            }
            if bounded {
                return None;
            }
        }
        None
    }

    fn poll_split(
        &mut self,
        index: usize,
        rows_max: usize,
        now: ProcessingTime,
        counters: &JobCounters,
        out: &mut Vec<Message>,
    ) -> Result<bool> {
        let Some(split) = self.splits.get_mut(index) else { return Ok(false) };
        let (flag, waker) = (Arc::clone(&split.woken), Arc::clone(&self.waker));
        let wake = WakeHandle::new(move || {
            flag.store(true, Ordering::Release);
            waker.wake();
        });
        let reader = match &mut split.reader {
            Some(reader) => reader,
            none => none.insert(self.spec.source.reader(&split.split)?),
        };
        let mut bad_rows = 0;
        let flushing = self.flushing;
        let mut context = ReadContext { rows_max, now, flushing, wake: &wake, bad_rows: &mut bad_rows };
        let polled = reader.poll(&mut context);
        counters.bad_rows.fetch_add(bad_rows, Ordering::Relaxed);
        split.pending = None;
        match polled? {
            ReadPoll::Batch(batch) => {
                counters.rows_in.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
                split.flushed |= flushing && self.spec.source.boundedness() == Boundedness::Endless;
                if let Some(delta) = run_steps(&self.spec.steps, Delta::append(batch), now)? {
                    self.watermarks.observe(index, &delta.batch, now, counters)?;
                    out.push(Message::Delta(delta));
                }
                Ok(true)
            }
            ReadPoll::Pending { retry_at } => {
                split.pending = Some(Pending { retry_at });
                split.flushed |= flushing;
                Ok(false)
            }
            ReadPoll::End => {
                split.ended = true;
                split.reader = None;
                self.watermarks.end(index, counters);
                Ok(true)
            }
        }
    }
}

impl SplitDriver {
    /// Whether the reader may have something.
    fn is_due(&self, now: ProcessingTime, flushing: bool) -> bool {
        match &self.pending {
            None => true,
            Some(pending) => {
                self.woken.swap(false, Ordering::AcqRel)
                    || pending.retry_at.is_some_and(|at| at <= now)
                    || (flushing && !self.flushed)
            }
        }
    }
}
