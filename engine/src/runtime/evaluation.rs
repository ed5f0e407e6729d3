//! [`Evaluation`]: what a part of a job may take in one go. Shards run their jobs in turn, so a job that computes without end would
//! hold all others up: between chunks of rows it asks here whether to go on, and fails where it took too long, made more rows than
//! there is memory for, or is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::shared::JobShared;
use crate::error::{EngineError, Result};
use crate::operators::Budget;
use crate::time::ProcessingTime;

/// Chunks of rows that every evaluation may make, however much memory is held: others may hold it.
const CHUNKS_MIN: u64 = 64;

/// The part of the memory limit, one in so many, that an evaluation must have added to be the one to end.
const SHARE: u64 = 16;

/// See the module. One of each part of a job; asked by the thread of its shard only.
#[derive(Debug)]
pub(super) struct Evaluation {
    shared: Arc<JobShared>,
    began: AtomicI64,
    /// How often it was asked since then, and the bytes that the process held then.
    chunks: AtomicU64,
    held_bytes: AtomicU64,
}

impl Evaluation {
    pub(super) fn new(shared: Arc<JobShared>) -> Self {
        Self { shared, began: AtomicI64::new(0), chunks: AtomicU64::new(0), held_bytes: AtomicU64::new(0) }
    }

    /// The part is given its turn.
    pub(super) fn begin(&self, now: ProcessingTime) {
        self.began.store(now.0, Ordering::Relaxed);
        self.chunks.store(0, Ordering::Relaxed);
        // Looks, where that was long ago.
        self.shared.memory.is_over(now);
        self.held_bytes.store(self.shared.memory.used_bytes(), Ordering::Relaxed);
    }

    fn too_long(&self, limit_us: i64) -> EngineError {
        EngineError::Exhausted {
            message: format!(
                "an evaluation took longer than execution.evaluation-timeout allows, which is {} ms",
                limit_us / 1_000
            ),
            hint: "A join or a window function may make far more rows than it is meant to: see EXPLAIN. \
                   Otherwise set execution.evaluation-timeout to a longer time."
                .into(),
            hopeless: true,
        }
    }

    fn too_much(&self) -> EngineError {
        let mega = |bytes: u64| bytes.div_ceil(1 << 20);
        let memory = &self.shared.memory;
        EngineError::Exhausted {
            message: format!(
                "an evaluation makes more rows than there is memory for: the server holds {} MB, its limit is {} MB",
                mega(memory.used_bytes()),
                mega(memory.limit_bytes().unwrap_or(u64::MAX))
            ),
            hint: "A join may make far more rows than it is meant to: see EXPLAIN. Otherwise start the server with a larger \
                   memory-limit."
                .into(),
            hopeless: false,
        }
    }
}

impl Budget for Evaluation {
    fn check(&self) -> Result<()> {
        if self.shared.is_over() {
            return Err(EngineError::Gone(format!("job {} is over", self.shared.id)));
        }
        let now = self.shared.clock.now();
        let limit_us = self.shared.evaluation_limit_us.unwrap_or(i64::MAX);
        if now.0.saturating_sub(self.began.load(Ordering::Relaxed)) > limit_us {
            return Err(self.too_long(limit_us));
        }
        let chunks = self.chunks.load(Ordering::Relaxed) + 1;
        self.chunks.store(chunks, Ordering::Relaxed);
        let memory = &self.shared.memory;
        if chunks >= CHUNKS_MIN && memory.is_over(now) {
            let added = memory.used_bytes().saturating_sub(self.held_bytes.load(Ordering::Relaxed));
            if memory.limit_bytes().is_some_and(|limit| added > limit / SHARE) {
                return Err(self.too_much());
            }
        }
        Ok(())
    }
}
