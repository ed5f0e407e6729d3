//! The memory of the process: what it holds, what it may hold, and the pool of batch queries, which minds both.

use std::fs;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use millstream_engine::runtime::MemoryGuard;
use millstream_engine::time::Clock;

/// The share of the machine's memory that is the server's where nobody says otherwise, in percent.
const SHARE_PERCENT: u64 = 80;

/// What a machine is taken to have where it does not tell.
const FALLBACK_BYTES: u64 = 4 << 30;

/// Bytes that this process holds; `None` where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Bytes that a server takes by default: most of what the machine, or its container, has.
pub(crate) fn default_limit_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| kilobytes(&text, "MemTotal:"));
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    let all = [machine, container].into_iter().flatten().min().unwrap_or(FALLBACK_BYTES);
    all / 100 * SHARE_PERCENT
}

/// The number of a line `NAME   123 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// The pool of batch queries: a limit of its own, and nothing more while the process holds more than it may. Who can spill
/// does so then, who cannot gets an error.
pub(crate) struct GuardedPool {
    inner: FairSpillPool,
    guard: Arc<MemoryGuard>,
    clock: Arc<dyn Clock>,
}

impl GuardedPool {
    /// A pool of so many bytes.
    pub(crate) fn new(bytes: usize, guard: Arc<MemoryGuard>, clock: Arc<dyn Clock>) -> Self {
        Self { inner: FairSpillPool::new(bytes), guard, clock }
    }
}

impl std::fmt::Debug for GuardedPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedPool").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl std::fmt::Display for GuardedPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("guarded")
    }
}

impl MemoryPool for GuardedPool {
    fn name(&self) -> &str {
        "guarded"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if self.guard.is_over(self.clock.now()) {
            return Err(DataFusionError::ResourcesExhausted(full(&self.guard)));
        }
        self.inner.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.inner.memory_limit()
    }
}

/// What is told while the process holds more than it may.
pub(crate) fn full(guard: &MemoryGuard) -> String {
    let mega = |bytes: u64| bytes.div_ceil(1 << 20);
    let limit = guard.limit_bytes().unwrap_or(u64::MAX);
    format!("the server holds {} MB of memory, its limit is {} MB", mega(guard.used_bytes()), mega(limit))
}

#[cfg(test)]
mod tests {
    use super::{default_limit_bytes, kilobytes, resident_bytes};

    #[test]
    fn proc_files() {
        assert_eq!(kilobytes("VmHWM:\t 9 kB\nVmRSS:\t    2048 kB\n", "VmRSS:"), Some(2 << 20));
        assert_eq!(kilobytes("VmRSS:\t many kB\n", "VmRSS:"), None);
        assert!(resident_bytes().is_none_or(|bytes| bytes > 1 << 20));
        assert!(default_limit_bytes() > 1 << 20);
    }
}
