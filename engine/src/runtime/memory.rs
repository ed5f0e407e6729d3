//! [`MemoryGuard`]: whether the process holds more memory than it may. While it does, no source is read.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::time::ProcessingTime;

/// Microseconds between two looks, which cost a system call.
const LOOK_US: i64 = 50_000;

/// See the module. Shared by all shards and by whoever else needs memory.
pub struct MemoryGuard {
    /// Bytes that the process may hold.
    limit_bytes: u64,
    /// Tells how many bytes it holds; `None` where that cannot be told.
    look: Box<dyn Fn() -> Option<u64> + Send + Sync>,
    used_bytes: AtomicU64,
    over: AtomicBool,
    looked_at: AtomicI64,
}

impl fmt::Debug for MemoryGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryGuard").field("limit_bytes", &self.limit_bytes).finish_non_exhaustive()
    }
}

impl MemoryGuard {
    /// A guard of a limit in bytes. `look` tells what the process holds.
    pub fn new(limit_bytes: u64, look: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        Self {
            limit_bytes,
            look: Box::new(look),
            used_bytes: AtomicU64::new(0),
            over: AtomicBool::new(false),
            looked_at: AtomicI64::new(i64::MIN),
        }
    }

    /// A guard that lets everything pass.
    pub fn unlimited() -> Self {
        Self::new(u64::MAX, || None)
    }

    /// Whether there is too much, as of the last look, or of a new one where that is long ago.
    pub fn is_over(&self, now: ProcessingTime) -> bool {
        if self.limit_bytes == u64::MAX {
            return false;
        }
        let last = self.looked_at.load(Ordering::Relaxed);
        let due = now.0 < last || now.0.saturating_sub(last) >= LOOK_US;
        if due && self.looked_at.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.look();
        }
        self.over.load(Ordering::Relaxed)
    }

    fn look(&self) {
        let Some(used) = (self.look)() else { return };
        self.used_bytes.store(used, Ordering::Relaxed);
        let was = self.over.load(Ordering::Relaxed);
        // Some way below the limit it is over, so that sources do not stop and go with every batch.
        let enough = self.limit_bytes - self.limit_bytes / 32;
        let is = used > if was { enough } else { self.limit_bytes };
        self.over.store(is, Ordering::Relaxed);
        if is && !was {
            tracing::warn!(used, limit = self.limit_bytes, "memory limit reached: sources are held back");
        } else if was && !is {
            tracing::info!(used, limit = self.limit_bytes, "sources are read again");
        }
    }

    /// Bytes that the process held at the last look.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that it may hold; `None` where there is no limit.
    pub fn limit_bytes(&self) -> Option<u64> {
        Some(self.limit_bytes).filter(|limit| *limit != u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::MemoryGuard;
    use crate::time::ProcessingTime;

    #[test]
    fn it_looks_now_and_then_and_lets_go_some_way_below() {
        let used = Arc::new(AtomicU64::new(100));
        let told = Arc::clone(&used);
        let guard = MemoryGuard::new(320, move || Some(told.load(Ordering::Relaxed)));
        let is_over = |millis: i64| guard.is_over(ProcessingTime(millis * 1_000));
        assert!(!is_over(0));
        used.store(321, Ordering::Relaxed);
        assert!(!is_over(49), "it does not look all the time");
        assert!(is_over(50));
        used.store(315, Ordering::Relaxed);
        assert!(is_over(100));
        used.store(310, Ordering::Relaxed);
        assert!(!is_over(150));
        assert_eq!((guard.used_bytes(), guard.limit_bytes()), (310, Some(320)));
        assert!(!MemoryGuard::unlimited().is_over(ProcessingTime(0)));
    }
}
