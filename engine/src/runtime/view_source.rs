//! [`ViewReader`]: the node through which a job reads a view of another job on the same shard.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::queue::Queue;
use super::shared::JobCounters;
use super::watermark::SourceWatermarks;
use crate::error::Result;
use crate::message::Message;
use crate::plan::ViewSourceSpec;
use crate::time::{EventTime, ProcessingTime};

/// Reads the queue that the view's node fills.
pub(super) struct ViewReader {
    queue: Arc<Queue>,
    /// The table's own watermark; where none is declared those of the view pass.
    own: SourceWatermarks,
    watermark: EventTime,
    /// The first poll tells that there is nothing yet, so that a shard without rows holds nobody back.
    started: bool,
}

impl ViewReader {
    pub(super) fn new(spec: &ViewSourceSpec, queue: Arc<Queue>, now: ProcessingTime) -> Self {
        let mut own = SourceWatermarks::new(spec.watermark.clone(), vec![None], now);
        own.set_idle(0);
        Self { queue, own, watermark: EventTime::MIN, started: false }
    }

    /// Takes one message; appends what it means to `out`. False where there is none.
    pub(super) fn poll(&mut self, now: ProcessingTime, counters: &JobCounters, out: &mut Vec<Message>) -> Result<bool> {
        if !self.started && self.own.declared() {
            self.started = true;
            out.push(Message::Idle);
        }
        let Some(message) = self.queue.pop() else { return Ok(!out.is_empty()) };
        match message {
            Message::Delta(delta) => {
                counters.rows_in.fetch_add(delta.rows() as u64, Ordering::Relaxed);
                self.own.observe(0, &delta.batch, now, counters)?;
                out.push(Message::Delta(delta));
                let before = out.len();
                self.own.advance(out);
                if out.len() > before {
                    self.watermark = self.own.last();
                }
            }
            Message::Watermark(watermark) if !self.own.declared() => {
                self.watermark = watermark;
                out.push(Message::Watermark(watermark));
            }
            Message::Idle if !self.own.declared() => out.push(Message::Idle),
            Message::Watermark(_) | Message::Idle => {}
            Message::Barrier(epoch) => out.push(Message::Barrier(epoch)),
            Message::End => {
                self.watermark = EventTime::MAX;
                out.push(Message::End);
            }
        }
        Ok(true)
    }

    /// The watermark as last emitted.
    pub(super) fn watermark(&self) -> EventTime {
        self.watermark
    }

    /// Nobody reads it any more.
    pub(super) fn close(&self) {
        self.queue.close();
    }
}
