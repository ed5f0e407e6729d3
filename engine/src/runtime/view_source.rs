//! [`Feed`] and [`ViewReader`]: how a job reads a view of another job, on the same shard.
//!
//! The reader first gets the view's rows as of a barrier (an immutable version, shared), then in order what passes the
//! view after it: deltas, watermarks, barriers and the end. One that goes on without having followed the view gets, instead of
//! the rows, what has changed among them.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::catch_up::Before;
use super::materialize::END;
use super::ring::Ring;
use super::shared::Progress;
use super::signal::Signal;
use super::watermark::SourceWatermarks;
use crate::error::Result;
use crate::message::{Delta, Message};
use crate::pieces::Piece;
use crate::plan::ViewSourceSpec;
use crate::time::{EventTime, ProcessingTime};
use crate::view::ViewVersion;

/// The way from a view's node to one reader.
#[derive(Debug)]
pub(super) struct Feed {
    /// The rows at the start, until the reader takes them. Set before anything is pushed.
    snapshot: Mutex<Option<Arc<ViewVersion>>>,
    pub(super) ring: Ring,
}

impl Feed {
    pub(super) fn new(consumer: Arc<Signal>) -> Self {
        Self { snapshot: Mutex::new(None), ring: Ring::new(consumer) }
    }

    /// Starts the feed with the view's rows, its watermark, and the barrier (or end) at which the rows were so.
    pub(super) fn start(&self, rows: Arc<ViewVersion>, progress: Progress, at: Message) {
        *self.snapshot.lock() = Some(rows);
        if progress.watermark > EventTime::MIN {
            self.ring.push(Message::Watermark(progress.watermark));
        }
        if progress.idle {
            self.ring.push(Message::Idle);
        }
        self.ring.push(at);
    }
}

/// The node that reads a feed.
pub(super) struct ViewReader {
    feed: Arc<Feed>,
    /// The rows that it had read, where it goes on and the view has gone on without it.
    before: Option<Before>,
    /// What has changed since, and is still to be read.
    changes: VecDeque<Delta>,
    /// The chunks of the start that are still to be read.
    chunks: VecDeque<Piece>,
    /// The table's own watermark. Where none is declared those of the view pass.
    own: SourceWatermarks,
    /// How far the view has come.
    progress: Progress,
    /// The barrier behind the rows of the start has passed.
    started: bool,
    ended: bool,
    /// It goes on after a restart; whether the view had ended.
    restored: Option<bool>,
}

impl ViewReader {
    pub(super) fn new(spec: &ViewSourceSpec, feed: Arc<Feed>) -> Self {
        Self {
            feed,
            before: None,
            changes: VecDeque::new(),
            chunks: VecDeque::new(),
            // A shard that has no rows of the table must not hold the others back.
            own: SourceWatermarks::idle(spec.watermark.clone()),
            progress: Progress { watermark: EventTime::MIN, idle: false },
            started: false,
            ended: false,
            restored: None,
        }
    }

    /// Where the view has gone on without the reader: the rows that it had read.
    pub(super) fn catch_up_from(&mut self, before: Before) {
        self.before = Some(before);
        // What had ended on this shard may have gone on there, and is told to have ended again where it has not.
        self.restored = Some(false);
    }

    /// Takes up to about `rows_max` rows, or up to a barrier; appends what it means to `out`.
    pub(super) fn poll(&mut self, rows_max: usize, now: ProcessingTime, out: &mut Vec<Message>) -> Result<()> {
        if let Some(ended) = self.restored.take() {
            self.started = true;
            self.own.advance(out);
            self.repeat(ended, out);
        }
        if self.ended {
            return Ok(());
        }
        if let Some(version) = self.feed.snapshot.lock().take() {
            match self.before.take() {
                None => self.chunks.extend(version.chunks.iter().cloned()),
                Some(before) => self.changes.extend(before.changes(&version)?),
            }
        }
        let mut rows = 0;
        while rows < rows_max {
            let message = match self.next_rows()? {
                Some(delta) => Message::Delta(delta),
                None => match self.feed.ring.pop() {
                    Some(message) => message,
                    None => break,
                },
            };
            rows += super::ring::rows_of(&message);
            let stop = matches!(message, Message::Barrier(_) | Message::End);
            self.accept(message, now, out)?;
            if stop {
                break;
            }
        }
        Ok(())
    }

    /// Whether rows of the start, or what has changed among them, are still to be read.
    fn is_starting(&self) -> bool {
        !self.chunks.is_empty() || !self.changes.is_empty()
    }

    /// The next rows of the start.
    fn next_rows(&mut self) -> Result<Option<Delta>> {
        if let Some(delta) = self.changes.pop_front() {
            return Ok(Some(delta));
        }
        while let Some(chunk) = self.chunks.pop_front() {
            let rows = chunk.live_batch()?;
            if rows.num_rows() > 0 {
                return Ok(Some(Delta::append(rows)));
            }
        }
        Ok(None)
    }

    fn accept(&mut self, message: Message, now: ProcessingTime, out: &mut Vec<Message>) -> Result<()> {
        match message {
            Message::Delta(delta) => {
                self.own.observe(0, &delta.batch, now)?;
                out.push(Message::Delta(delta));
                // The rows of the start have no order in time: none is late before all have passed.
                if !self.is_starting() {
                    self.own.advance(out);
                }
            }
            Message::Watermark(watermark) if !self.own.declared() => {
                self.progress = Progress { watermark, idle: false };
                out.push(Message::Watermark(watermark));
            }
            Message::Idle if !self.own.declared() => {
                self.progress.idle = true;
                out.push(Message::Idle);
            }
            Message::Watermark(_) | Message::Idle => {}
            Message::Barrier(epoch) => {
                // The rows of the start have passed. Had the reader been idle before, another input could have gone ahead of them.
                if !std::mem::replace(&mut self.started, true) {
                    self.own.advance(out);
                }
                out.push(Message::Barrier(epoch));
            }
            Message::End => {
                self.ended = true;
                out.push(Message::Watermark(EventTime::MAX));
                out.push(Message::End);
            }
        }
        Ok(())
    }

    /// Looks at the idle timeout; tells when to look again.
    pub(super) fn expire(&mut self, now: ProcessingTime, out: &mut Vec<Message>) -> Option<ProcessingTime> {
        if self.ended {
            return None;
        }
        self.own.quiet(0, now);
        let next = self.own.expire(now);
        if self.started && !self.is_starting() {
            self.own.advance(out);
        }
        next
    }

    /// How far event time has come, and whether the view has ended.
    pub(super) fn capture(&self) -> (Progress, bool) {
        let own = self.own.declared().then(|| self.own.progress());
        (own.unwrap_or(self.progress), self.ended)
    }

    /// Goes on where an earlier run was: it has read all rows up to there.
    pub(super) fn restore(&mut self, progress: Progress, ended: bool) {
        if self.own.declared() {
            self.own.restore(0, progress.watermark, progress.idle);
        } else {
            self.progress = progress;
        }
        self.restored = Some(ended);
    }

    /// Says again what was told before the restart.
    fn repeat(&mut self, ended: bool, out: &mut Vec<Message>) {
        if ended {
            self.ended = true;
            self.feed.ring.close();
            out.extend([Message::Watermark(EventTime::MAX), Message::End]);
        } else if !self.own.declared() && self.progress.watermark > EventTime::MIN {
            out.push(Message::Watermark(self.progress.watermark));
            if self.progress.idle {
                out.push(Message::Idle);
            }
        }
    }

    /// How far event time has come, as last told.
    pub(super) fn progress(&self) -> Progress {
        match (self.ended, self.own.declared()) {
            (true, _) => END,
            (false, true) => self.own.progress(),
            (false, false) => self.progress,
        }
    }

    /// Nobody reads any more.
    pub(super) fn close(&self) {
        self.feed.ring.close();
    }
}
