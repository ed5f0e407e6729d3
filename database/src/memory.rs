//! The memory of the process: what it holds, what it may hold, and the pool of batch queries, which minds both.

use std::fs;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use millstream_engine::runtime::MemoryGuard;
use millstream_engine::time::Clock;
use parking_lot::Mutex;

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

/// The part of the pool that is kept for those who cannot spill, one in so many, and at most so many bytes: what merges rows that
/// were spilled must find room when all who can spill have filled theirs.
const KEPT_ONE_IN: usize = 3;
const KEPT_BYTES_MAX: usize = 64 << 20;

/// The pool of batch queries: a limit of its own, and nothing more while the process holds more than it may. Those who can spill
/// share it evenly, and do so when they have their share; those who cannot get an error when it is used up.
pub(crate) struct GuardedPool {
    bytes: usize,
    used: Mutex<Used>,
    guard: Arc<MemoryGuard>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Used {
    /// How many there are who can spill, and their bytes.
    spillers: usize,
    spillable: usize,
    /// Bytes of the others.
    fixed: usize,
}

impl Used {
    fn of(&mut self, reservation: &MemoryReservation) -> &mut usize {
        if reservation.consumer().can_spill() { &mut self.spillable } else { &mut self.fixed }
    }
}

impl GuardedPool {
    /// A pool of so many bytes.
    pub(crate) fn new(bytes: usize, guard: Arc<MemoryGuard>, clock: Arc<dyn Clock>) -> Self {
        Self { bytes, used: Mutex::default(), guard, clock }
    }

    /// Bytes that a reservation may come to.
    fn most(&self, used: &Used, reservation: &MemoryReservation) -> usize {
        if reservation.consumer().can_spill() {
            let kept = (self.bytes / KEPT_ONE_IN).min(KEPT_BYTES_MAX).max(used.fixed);
            self.bytes.saturating_sub(kept) / used.spillers.max(1)
        } else {
            self.bytes.saturating_sub(used.spillable + used.fixed) + reservation.size()
        }
    }
}

impl std::fmt::Debug for GuardedPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedPool").field("bytes", &self.bytes).field("used", &self.used).finish_non_exhaustive()
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
        self.used.lock().spillers += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut used = self.used.lock();
        used.spillers = used.spillers.saturating_sub(usize::from(consumer.can_spill()));
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        *self.used.lock().of(reservation) += additional;
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut used = self.used.lock();
        let of = used.of(reservation);
        *of = of.saturating_sub(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if self.guard.is_over(self.clock.now()) {
            return Err(DataFusionError::ResourcesExhausted(full(&self.guard)));
        }
        let mut used = self.used.lock();
        let most = self.most(&used, reservation);
        if reservation.size().saturating_add(additional) > most {
            let kilo = |bytes: usize| bytes.div_ceil(1 << 10);
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{} needs {} KB more and may have {} KB of the {} KB that all queries share",
                reservation.consumer().name(),
                kilo(additional),
                kilo(most),
                kilo(self.bytes)
            )));
        }
        *used.of(reservation) += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        let used = self.used.lock();
        used.spillable + used.fixed
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
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
