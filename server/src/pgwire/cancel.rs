//! Cancel requests: they come on a connection of their own and name another by its process id and key.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// All connections that can be cancelled.
#[derive(Debug, Default)]
pub(super) struct Cancels {
    next: AtomicI32,
    /// Seeds of the standard library are random; a key is a hash under one.
    random: RandomState,
    connections: Mutex<HashMap<i32, (i32, Arc<Notify>)>>,
}

/// One connection's entry; dropped with the connection.
#[derive(Debug)]
pub(super) struct CancelEntry {
    cancels: Arc<Cancels>,
    /// The process id that the client is told.
    pub(super) process: i32,
    /// The key that the client is told.
    pub(super) key: i32,
    notify: Arc<Notify>,
}

impl Cancels {
    /// A new entry with an id and a key of its own.
    pub(super) fn register(self: &Arc<Self>) -> CancelEntry {
        let process = self.next.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let key = self.random.hash_one(process);
        let key = i32::from_be_bytes(key.to_be_bytes().first_chunk().copied().unwrap_or_default());
        let notify = Arc::new(Notify::new());
        self.connections.lock().insert(process, (key, Arc::clone(&notify)));
        CancelEntry { cancels: Arc::clone(self), process, key, notify }
    }

    /// Cancels what the connection runs, where the key is right.
    pub(super) fn cancel(&self, process: i32, key: i32) {
        let connections = self.connections.lock();
        if let Some((expected, notify)) = connections.get(&process)
            && *expected == key
        {
            // Only a statement that runs now is waiting; a request that comes too late does nothing.
            notify.notify_waiters();
        }
    }
}

impl CancelEntry {
    /// Completes when the client asks to cancel. Requests from this call on count.
    pub(super) fn requested(&self) -> Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for CancelEntry {
    fn drop(&mut self) {
        self.cancels.connections.lock().remove(&self.process);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;

    use super::Cancels;

    #[test]
    fn only_the_right_key_cancels() {
        let cancels = Arc::new(Cancels::default());
        let entry = cancels.register();
        let mut waiting = Box::pin(entry.requested());
        assert!(waiting.as_mut().now_or_never().is_none());
        cancels.cancel(entry.process, entry.key.wrapping_add(1));
        assert!(waiting.as_mut().now_or_never().is_none());
        cancels.cancel(entry.process, entry.key);
        assert!(waiting.as_mut().now_or_never().is_some());
    }
}
