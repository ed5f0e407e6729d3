//! [`FnSink`]: a sink that calls a function of this program.

use std::fmt;
use std::sync::Arc;

use millstream_engine::EngineError;
use millstream_engine::message::{Delta, Epoch};
use millstream_engine::ports::{Accepts, CommitToken, Guarantee, Sink, SinkContext, SinkWriter};

type Take = dyn Fn(&Delta) -> Result<(), EngineError> + Send + Sync;

/// Calls a function with the rows as they come, from the threads of the engine: it must return soon. After a failure rows
/// may come again.
///
/// A sink that writes in transactions implements [`Sink`] itself.
#[derive(Clone)]
pub struct FnSink {
    accepts: Accepts,
    take: Arc<Take>,
}

impl FnSink {
    /// A sink for insertions and retractions.
    pub fn new(take: impl Fn(&Delta) -> Result<(), EngineError> + Send + Sync + 'static) -> Self {
        Self { accepts: Accepts::Retract, take: Arc::new(take) }
    }

    /// A sink for insertions; a query whose rows change is refused.
    pub fn append_only(take: impl Fn(&Delta) -> Result<(), EngineError> + Send + Sync + 'static) -> Self {
        Self { accepts: Accepts::Append, take: Arc::new(take) }
    }
}

impl fmt::Debug for FnSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnSink").field("accepts", &self.accepts).finish_non_exhaustive()
    }
}

impl Sink for FnSink {
    fn accepts(&self) -> Accepts {
        self.accepts
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    fn writer(&self, _context: SinkContext) -> Result<Box<dyn SinkWriter>, EngineError> {
        Ok(Box::new(FnWriter(Arc::clone(&self.take))))
    }

    fn describe(&self) -> String {
        "a function of this program".to_owned()
    }
}

struct FnWriter(Arc<Take>);

impl SinkWriter for FnWriter {
    fn write(&mut self, delta: &Delta) -> Result<(), EngineError> {
        (self.0)(delta)
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<Option<CommitToken>, EngineError> {
        Ok(None)
    }

    fn commit(&mut self, _token: &CommitToken) -> Result<(), EngineError> {
        Ok(())
    }

    fn on_end(&mut self) {}
}
