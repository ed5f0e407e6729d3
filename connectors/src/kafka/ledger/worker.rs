//! [`Worker`]: a thread that does one thing after the other for a writer, so that its shard waits for nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::WakeHandle;
use parking_lot::Mutex;

/// See the module. Its thread ends after it: what it has not begun is not done.
#[derive(Debug)]
pub(super) struct Worker<T> {
    sender: Sender<(T, usize)>,
    asked: u64,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    done: AtomicU64,
    /// Bytes that wait.
    bytes: AtomicUsize,
    stopped: AtomicBool,
    failed: Mutex<Option<EngineError>>,
}

impl<T: Send + 'static> Worker<T> {
    /// A thread that calls `work`; it wakes the shard when something is done. After an error it does nothing more.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub(super) fn new(
        name: &str,
        wake: WakeHandle,
        mut work: impl FnMut(T, &dyn Fn() -> bool) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let (sender, receiver) = channel::<(T, usize)>();
        let state = Arc::new(State::default());
        let own = Arc::clone(&state);
        let serve = move || {
            let stopped = || own.stopped.load(Ordering::Acquire);
            while let Ok((task, bytes)) = receiver.recv() {
                if stopped() {
                    return;
                }
                let result = work(task, &stopped);
                let failed = result.is_err();
                if let Err(error) = result {
                    *own.failed.lock() = Some(error);
                }
                own.bytes.fetch_sub(bytes, Ordering::AcqRel);
                own.done.fetch_add(1, Ordering::AcqRel);
                wake.wake();
                if failed {
                    return;
                }
            }
        };
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(serve);
        spawned.map_err(|error| EngineError::io("cannot start a thread", error))?;
        Ok(Self { sender, asked: 0, state })
    }

    /// Asks for something that holds so many bytes. Gives its number.
    pub(super) fn ask(&mut self, task: T, bytes: usize) -> u64 {
        self.asked += 1;
        self.state.bytes.fetch_add(bytes, Ordering::AcqRel);
        // A thread that has ended has left its error.
        let _ = self.sender.send((task, bytes));
        self.asked
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.state.bytes.load(Ordering::Acquire)
    }

    /// Whether all is done up to this number. What is asked for later need not be waited for.
    ///
    /// # Errors
    /// What the work reported.
    pub(super) fn has_done(&self, number: u64) -> Result<bool> {
        if let Some(error) = self.state.failed.lock().take() {
            return Err(error);
        }
        Ok(self.state.done.load(Ordering::Acquire) >= number)
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Release);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn it_tells_what_is_done_and_what_failed() {
        let (woken, wakes) = sync_channel(8);
        let wake = WakeHandle::new(move || woken.send(()).unwrap());
        let work = |task: u32, _: &dyn Fn() -> bool| match task {
            0 => Ok(()),
            other => Err(EngineError::Internal(other.to_string())),
        };
        let mut worker = Worker::new("test", wake, work).unwrap();
        assert!(worker.has_done(0).unwrap() && !worker.has_done(1).unwrap());
        assert_eq!(worker.ask(0, 10), 1);
        wakes.recv().unwrap();
        assert!(worker.has_done(1).unwrap());
        assert_eq!(worker.bytes(), 0);
        worker.ask(1, 10);
        wakes.recv().unwrap();
        assert!(worker.has_done(1).is_err());
    }
}
