//! Parking and waking: [`Waker`] of a thread, [`Signal`] of a job on a shard, [`Mailbox`] of whoever has a thread.
//!
//! A wake that comes before the park is never lost, so that nobody polls.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::ports::WakeHandle;

/// Lets other threads wake one thread.
#[derive(Debug, Default)]
pub(super) struct Waker {
    /// Set by a wake, taken by the park that it ends.
    awake: AtomicBool,
    lock: Mutex<()>,
    condition: Condvar,
}

impl Waker {
    /// Wakes the thread, or makes its next park return at once.
    pub(super) fn wake(&self) {
        if !self.awake.swap(true, Ordering::AcqRel) {
            // The lock orders this after the check of a thread that is about to wait.
            let _guard = self.lock.lock();
            self.condition.notify_one();
        }
    }

    /// Waits for a wake, at most for `timeout`; for ever where there is none.
    pub(super) fn park(&self, timeout: Option<Duration>) {
        let mut guard = self.lock.lock();
        if !self.awake.load(Ordering::Acquire) {
            match timeout {
                Some(timeout) => {
                    self.condition.wait_for(&mut guard, timeout);
                }
                None => self.condition.wait(&mut guard),
            }
        }
        // A swap, not a store: it must see what every waker wrote before its own swap.
        self.awake.swap(false, Ordering::AcqRel);
    }
}

/// Says that a job has something to do on a shard.
#[derive(Debug)]
pub(super) struct Signal {
    raised: AtomicBool,
    waker: Arc<Waker>,
}

impl Signal {
    /// A signal to a job that runs on the thread of `waker`.
    pub(super) fn new(waker: Arc<Waker>) -> Self {
        Self { raised: AtomicBool::new(false), waker }
    }

    /// Asks for a step of the job.
    pub(super) fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Takes the request. What is raised from now on asks for another step.
    pub(super) fn take(&self) -> bool {
        self.raised.load(Ordering::Relaxed) && self.raised.swap(false, Ordering::AcqRel)
    }

    /// The same for connectors.
    pub(super) fn handle(self: &Arc<Self>) -> WakeHandle {
        let signal = Arc::clone(self);
        WakeHandle::new(move || signal.raise())
    }
}

/// Messages to one thread. Unbounded: who sends waits for an answer or is held back elsewhere.
#[derive(Debug)]
pub(super) struct Mailbox<T> {
    queue: Mutex<VecDeque<T>>,
    waker: Arc<Waker>,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self { queue: Mutex::default(), waker: Arc::default() }
    }
}

impl<T> Mailbox<T> {
    /// What wakes the thread that reads.
    pub(super) fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// Adds a message and wakes the reader.
    pub(super) fn send(&self, message: T) {
        self.queue.lock().push_back(message);
        self.waker.wake();
    }

    /// Takes all messages.
    pub(super) fn take(&self) -> VecDeque<T> {
        std::mem::take(&mut *self.queue.lock())
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
        assert!(!waker.awake.load(Ordering::Acquire));
    }

    #[test]
    fn a_signal_is_taken_once() {
        let signal = Signal::new(Arc::default());
        assert!(!signal.take());
        signal.raise();
        signal.raise();
        assert!(signal.take());
        assert!(!signal.take());
    }
}
