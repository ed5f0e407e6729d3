//! [`SourceDriver`]: reads the splits of one source that belong to one shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::materialize::END;
use super::shared::{JobShared, Progress, RejectedAt, SplitProgress};
use super::signal::Signal;
use super::watermark::SourceWatermarks;
use crate::checkpoint::format_manifest::SplitRecord;
use crate::error::Result;
use crate::message::{Delta, Message};
use crate::operators::stateless::run_steps;
use crate::plan::SourceSpec;
use crate::ports::{Boundedness, ReadContext, ReadPoll, Split, SplitReader, WakeHandle};
use crate::rejects::{OnError, RejectKind, Rejects, narrow};
use crate::time::{EventTime, ProcessingTime};

/// The splits of one source on one shard. A bounded source's splits are read one after another, so that few are open;
/// the splits of an unbounded one in turn.
pub(super) struct SourceDriver {
    spec: SourceSpec,
    boundedness: Boundedness,
    splits: Vec<SplitDriver>,
    watermarks: SourceWatermarks,
    /// The split to look at first.
    cursor: usize,
    /// [`Message::End`] is out.
    ended: bool,
    /// A `FLUSH` waits for this source.
    flushing: bool,
    /// What is done with rows that fail, and those that have.
    rejects: Rejects,
    /// Wakes the shard, for splits that come later.
    signal: Arc<Signal>,
    /// Splits that are further than this are not read until the time.
    limit: Option<(EventTime, ProcessingTime)>,
}

/// One split.
struct SplitDriver {
    split: Split,
    /// What the job tells of it.
    progress: Arc<SplitProgress>,
    state: SplitState,
    /// Where reading continues, until the split is opened.
    offset: Option<String>,
    /// Everything that was there at the `FLUSH` has been read.
    flushed: bool,
    /// Set when somebody says that there is more to read.
    woken: Arc<AtomicBool>,
    wake: WakeHandle,
}

enum SplitState {
    Unopened,
    Open(Box<dyn SplitReader>),
    /// The reader has nothing; it is asked again when woken or at the time.
    Pending(Box<dyn SplitReader>, Option<ProcessingTime>),
    /// As pending, and a flush waits for what is on its way.
    Fetching(Box<dyn SplitReader>, Option<ProcessingTime>),
    Ended,
}

/// What a poll of a source came to.
#[derive(Default)]
pub(super) struct Polled {
    /// There may be more at once.
    pub(super) progressed: bool,
    /// When to ask again, where nothing wakes the shard before.
    pub(super) deadline: Option<ProcessingTime>,
}

/// What a poll is told.
pub(super) struct PollContext<'a> {
    /// Rows wanted at the most.
    pub(super) rows_max: usize,
    /// Where and when, for what is rejected.
    pub(super) place: RejectedAt<'a>,
    pub(super) shared: &'a JobShared,
}

impl SourceDriver {
    /// A driver of these splits, each with what the job tells of it.
    pub(super) fn new(spec: SourceSpec, splits: Vec<(Split, Arc<SplitProgress>)>, signal: &Arc<Signal>) -> Self {
        let boundedness = spec.source.boundedness();
        let told = splits.iter().map(|(_, progress)| Arc::clone(progress));
        let watermarks = SourceWatermarks::new(spec.watermark.clone(), told);
        let splits = splits.into_iter().map(|(split, progress)| SplitDriver::new(split, progress, signal)).collect();
        let rejects = Rejects::new(spec.source.on_error());
        let signal = Arc::clone(signal);
        let (ended, flushing, limit) = (false, false, None);
        Self { spec, boundedness, splits, watermarks, cursor: 0, ended, flushing, rejects, signal, limit }
    }

    /// Whether [`Message::End`] is out.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// How far event time has come, as last told.
    pub(super) fn progress(&self) -> Progress {
        if self.ended { END } else { self.watermarks.progress() }
    }

    /// Where every split stands between two batches.
    pub(super) fn capture(&self) -> Vec<SplitRecord> {
        let record = |(index, split): (usize, &SplitDriver)| {
            let (watermark, idle) = self.watermarks.capture(index);
            let offset = match &split.state {
                SplitState::Unopened => split.offset.clone(),
                SplitState::Open(reader) | SplitState::Pending(reader, _) | SplitState::Fetching(reader, _) => {
                    Some(reader.offset())
                }
                SplitState::Ended => None,
            };
            let ended = matches!(split.state, SplitState::Ended);
            SplitRecord { id: split.split.id.clone(), offset, ended, watermark_us: watermark.0, idle }
        };
        self.splits.iter().enumerate().map(record).collect()
    }

    /// Goes on where an earlier run was. Nothing has been read yet.
    pub(super) fn restore(&mut self, records: &[SplitRecord]) {
        for (index, split) in self.splits.iter_mut().enumerate() {
            let Some(record) = records.iter().find(|record| record.id == split.split.id) else { continue };
            self.watermarks.restore(index, EventTime(record.watermark_us), record.idle);
            if record.ended {
                split.state = SplitState::Ended;
                self.watermarks.end(index);
            } else {
                split.offset.clone_from(&record.offset);
            }
        }
    }

    /// A `FLUSH` begins.
    pub(super) fn begin_flush(&mut self) {
        self.flushing = true;
        for split in &mut self.splits {
            split.flushed = false;
        }
    }

    /// Whether everything that was there at the `FLUSH` has been read.
    pub(super) fn flushed(&self) -> bool {
        self.ended || (!self.splits.is_empty() && self.splits.iter().all(SplitDriver::is_flushed))
    }

    /// Reads one batch of one split; appends what it says to `out`.
    ///
    /// # Errors
    /// What the reader or a step reports.
    pub(super) fn poll(&mut self, context: &PollContext<'_>, out: &mut Vec<Message>) -> Result<Polled> {
        let mut polled = Polled::default();
        if self.ended {
            return Ok(polled);
        }
        self.align(context);
        // Splits that turn out to have nothing pass their turn on.
        for _ in 0..self.splits.len() {
            let Some(index) = self.due_split(context.place.now) else { break };
            if self.read(index, context, out)? {
                polled.progressed = true;
                break;
            }
        }
        polled.deadline = self.watermarks.expire(context.place.now);
        self.watermarks.advance(out);
        if self.splits.iter().all(|split| matches!(split.state, SplitState::Ended)) {
            self.ended = true;
            polled.progressed = true;
            out.push(Message::Watermark(EventTime::MAX));
            out.push(Message::End);
        }
        if self.flushing && self.flushed() {
            self.flushing = false;
        }
        let retries = self.splits.iter().filter_map(|split| match &split.state {
            SplitState::Pending(_, retry_at) | SplitState::Fetching(_, retry_at) => *retry_at,
            SplitState::Unopened | SplitState::Open(_) | SplitState::Ended => None,
        });
        let looks = self.limit.map(|(_, until)| until);
        polled.deadline = retries.chain(polled.deadline).chain(looks).min();
        Ok(polled)
    }

    /// Looks at times how far ahead splits may be.
    fn align(&mut self, context: &PollContext<'_>) {
        let alignment = self.spec.watermark.as_ref().and_then(|watermark| watermark.alignment.as_ref());
        let Some(alignment) = alignment else { return };
        if self.limit.is_some_and(|(_, until)| context.place.now < until) {
            return;
        }
        let least = context.shared.least_of_group(&alignment.group);
        let limit = least.map_or(EventTime::MAX, |least| EventTime(least.0.saturating_add(alignment.max_drift_us)));
        self.limit = Some((limit, context.place.now.plus_us(alignment.interval_us)));
    }

    /// The split to read now.
    fn due_split(&mut self, now: ProcessingTime) -> Option<usize> {
        let flushing = self.flushing;
        let count = self.splits.len();
        match self.boundedness {
            Boundedness::Bounded => {
                let index = self.splits.iter().position(|split| !matches!(split.state, SplitState::Ended))?;
                self.splits.get(index)?.is_due(now, flushing).then_some(index)
            }
            Boundedness::Unbounded | Boundedness::Endless => {
                let turns = (0..count).map(|step| (self.cursor + step) % count);
                let limit = self.limit.filter(|_| !flushing).map_or(EventTime::MAX, |(limit, _)| limit);
                let index = turns
                    .into_iter()
                    .filter(|&index| self.watermarks.capture(index).0 <= limit)
                    .find(|&index| self.splits.get(index).is_some_and(|split| split.is_due(now, flushing)))?;
                self.cursor = index + 1;
                Some(index)
            }
        }
    }

    /// Reads a batch of a split. False where it has nothing now.
    fn read(&mut self, index: usize, context: &PollContext<'_>, out: &mut Vec<Message>) -> Result<bool> {
        let Some(split) = self.splits.get_mut(index) else { return Ok(false) };
        let mut reader = match std::mem::replace(&mut split.state, SplitState::Ended) {
            SplitState::Unopened => {
                let mut reader = self.spec.source.reader(&split.split)?;
                if let Some(offset) = split.offset.take() {
                    reader.seek(&offset)?;
                }
                reader
            }
            SplitState::Open(reader) | SplitState::Pending(reader, _) | SplitState::Fetching(reader, _) => reader,
            SplitState::Ended => return Ok(false),
        };
        let flushing = self.flushing;
        let polled = reader.poll(&mut ReadContext {
            rows_max: context.rows_max,
            now: context.place.now,
            flushing,
            wake: &split.wake,
            rejects: &mut self.rejects,
        });
        let shared = context.shared;
        shared.reject(context.place, &mut self.rejects);
        let counters = shared.counters.get(context.place.shard);
        let delta = match polled? {
            ReadPoll::Batch(batch) => Delta::append(batch),
            ReadPoll::Changes(delta) => delta,
            ReadPoll::Fetching { retry_at } => {
                split.state = SplitState::Fetching(reader, retry_at);
                return Ok(false);
            }
            ReadPoll::Pending { retry_at } => {
                split.state = SplitState::Pending(reader, retry_at);
                split.flushed |= flushing && self.boundedness != Boundedness::Bounded;
                self.watermarks.quiet(index, context.place.now);
                return Ok(false);
            }
            ReadPoll::Splits(splits) => {
                split.state = SplitState::Open(reader);
                self.add(splits, shared);
                return Ok(true);
            }
            ReadPoll::End => {
                self.watermarks.end(index);
                return Ok(true);
            }
        };
        if let Some(counters) = counters {
            counters.count_in(delta.rows());
        }
        split.progress.rows.fetch_add(delta.rows() as u64, Ordering::Relaxed);
        split.state = SplitState::Open(reader);
        split.flushed |= flushing && self.boundedness == Boundedness::Endless;
        self.emit(index, delta, context, out)?;
        Ok(true)
    }

    /// Takes on splits that are new.
    fn add(&mut self, splits: Vec<Split>, shared: &JobShared) {
        for split in splits {
            if self.splits.iter().any(|known| known.split == split) {
                continue;
            }
            let progress = Arc::new(SplitProgress::new(&self.spec, &split.id));
            shared.add_split(&progress);
            self.watermarks.add(Arc::clone(&progress));
            self.splits.push(SplitDriver::new(split, progress, &self.signal));
        }
    }

    fn emit(&mut self, split: usize, delta: Delta, context: &PollContext<'_>, out: &mut Vec<Message>) -> Result<()> {
        self.watermarks.active(split);
        let (watermarks, steps, now) = (&mut self.watermarks, &self.spec.steps, context.place.now);
        let mut pass = |watermarks: &mut SourceWatermarks, delta: Delta| {
            watermarks.observe(split, &delta.batch, now)?;
            out.push(Message::Delta(delta));
            Ok(())
        };
        if self.rejects.on_error == OnError::Fail {
            return run_steps(steps, delta, now, &mut |delta| pass(watermarks, delta));
        }
        let done = narrow(RejectKind::Bad, &delta, &mut self.rejects, &mut |part| {
            let mut done = Vec::new();
            run_steps(steps, part.clone(), now, &mut |delta| {
                // Only looked at: rows of a try that fails must not move the watermark.
                watermarks.check(&delta.batch, now)?;
                done.push(delta);
                Ok(())
            })?;
            Ok(done)
        });
        context.shared.reject(context.place, &mut self.rejects);
        done?.into_iter().flatten().try_for_each(|delta| pass(watermarks, delta))
    }
}

impl SplitDriver {
    fn new(split: Split, progress: Arc<SplitProgress>, signal: &Arc<Signal>) -> Self {
        let woken = Arc::new(AtomicBool::new(false));
        let (flag, signal) = (Arc::clone(&woken), Arc::clone(signal));
        let wake = WakeHandle::new(move || {
            flag.store(true, Ordering::Release);
            signal.raise();
        });
        Self { split, progress, state: SplitState::Unopened, offset: None, flushed: false, woken, wake }
    }

    /// Whether the reader may have something.
    fn is_due(&self, now: ProcessingTime, flushing: bool) -> bool {
        match &self.state {
            SplitState::Unopened | SplitState::Open(_) => true,
            SplitState::Pending(_, retry_at) => {
                self.woken.swap(false, Ordering::AcqRel)
                    || retry_at.is_some_and(|at| at <= now)
                    || (flushing && !self.flushed)
            }
            SplitState::Fetching(_, retry_at) => {
                self.woken.swap(false, Ordering::AcqRel) || retry_at.is_some_and(|at| at <= now)
            }
            SplitState::Ended => false,
        }
    }

    fn is_flushed(&self) -> bool {
        self.flushed || matches!(self.state, SplitState::Ended)
    }
}
