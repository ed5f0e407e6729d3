//! [`Watched`]: a sink that a test watches.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::error::Result;
use crate::message::{Delta, Epoch};
use crate::ports::{Accepts, CommitToken, Guarantee, Sink, SinkContext, SinkWriter, WakeHandle};

/// A sink that notes what it is told, and is ready when the test says so.
#[derive(Clone, Default)]
pub(super) struct Watched {
    pub(super) log: Arc<Mutex<Vec<String>>>,
    pub(super) blocked: Arc<AtomicBool>,
    /// What was prepared is not durable yet.
    pub(super) prepares: Arc<AtomicBool>,
    /// What was to be committed is not visible yet.
    pub(super) commits: Arc<AtomicBool>,
    pub(super) wakes: Arc<Mutex<Vec<WakeHandle>>>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("watched")
    }
}

impl Watched {
    pub(super) fn unblock(&self) {
        for flag in [&self.blocked, &self.prepares, &self.commits] {
            flag.store(false, Ordering::SeqCst);
        }
        self.wakes.lock().iter().for_each(WakeHandle::wake);
    }
}

impl Sink for Watched {
    fn accepts(&self) -> Accepts {
        Accepts::Append
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::None
    }

    fn writer(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        self.wakes.lock().push(context.wake);
        Ok(Box::new(WatchedWriter { sink: self.clone(), shard: context.shard, rows: 0 }))
    }

    fn describe(&self) -> String {
        "watched".into()
    }
}

struct WatchedWriter {
    sink: Watched,
    shard: usize,
    rows: usize,
}

impl WatchedWriter {
    fn note(&self, what: &str) {
        self.sink.log.lock().push(format!("{} {what}", self.shard));
    }
}

impl SinkWriter for WatchedWriter {
    fn ready(&self) -> bool {
        !self.sink.blocked.load(Ordering::SeqCst)
    }

    fn write(&mut self, delta: &Delta) -> Result<()> {
        self.rows += delta.rows();
        Ok(())
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<Option<CommitToken>> {
        let rows = std::mem::take(&mut self.rows);
        if rows == 0 {
            return Ok(None);
        }
        self.note(&format!("prepare {rows}"));
        Ok(Some(CommitToken(rows.to_string())))
    }

    fn is_prepared(&mut self) -> Result<bool> {
        Ok(!self.sink.prepares.load(Ordering::SeqCst))
    }

    fn is_committed(&mut self) -> Result<bool> {
        Ok(!self.sink.commits.load(Ordering::SeqCst))
    }

    fn commit(&mut self, token: &CommitToken) -> Result<()> {
        self.note(&format!("commit {}", token.0));
        Ok(())
    }

    fn on_end(&mut self) {
        self.note("end");
    }
}
