//! Parking and waking of a shard's thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Lets other threads wake one shard. A wake that comes before the park is not lost.
#[derive(Debug, Default)]
pub(super) struct Waker {
    /// Set by a wake, taken by the shard before it parks.
    awake: AtomicBool,
    lock: Mutex<()>,
    signal: Condvar,
}

impl Waker {
    /// Wakes the shard, or makes its next park return at once.
    pub(super) fn wake(&self) {
        if !self.awake.swap(true, Ordering::AcqRel) {
            let _guard = self.lock.lock();
            self.signal.notify_one();
        }
    }

    /// Waits for a wake, at most for `timeout`; for ever where there is none.
    pub(super) fn park(&self, timeout: Option<Duration>) {
        let mut guard = self.lock.lock();
        if self.awake.swap(false, Ordering::AcqRel) {
            return;
        }
        match timeout {
            Some(timeout) => {
                self.signal.wait_for(&mut guard, timeout);
            }
            None => self.signal.wait(&mut guard),
        }
        self.awake.store(false, Ordering::Release);
    }

    /// Takes a wake without waiting.
    pub(super) fn take(&self) -> bool {
        self.awake.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_before_the_park_is_not_lost() {
        let waker = Waker::default();
        waker.wake();
        waker.park(None);
        assert!(!waker.take());
    }
}
