//! The `blackhole` connector: takes every row and forgets it.

use std::sync::Arc;

use millstream_engine::message::{Delta, Epoch};
use millstream_engine::ports::{
    Accepts, Boundedness, Capabilities, CommitToken, Connector, ConnectorDescriptor, Guarantee, ScanRequest, Sink,
    SinkContext, SinkWriter, Source, TableSpec,
};
use millstream_engine::{EngineError, Result};

/// See the module.
#[derive(Debug)]
pub(crate) struct Blackhole {
    descriptor: ConnectorDescriptor,
}

impl Default for Blackhole {
    fn default() -> Self {
        Self {
            descriptor: ConnectorDescriptor {
                name: "blackhole",
                doc: "Takes every row, updates included, and forgets it: for measuring.",
                options: Vec::new(),
                capabilities: Capabilities { sink: true, sink_retracts: true, ..Capabilities::default() },
                metadata: Vec::new(),
            },
        }
    }
}

impl Connector for Blackhole {
    fn descriptor(&self) -> &ConnectorDescriptor {
        &self.descriptor
    }

    fn validate(&self, _table: &TableSpec) -> Result<()> {
        Ok(())
    }

    fn source(&self, table: &TableSpec, _request: &ScanRequest) -> Result<Arc<dyn Source>> {
        Err(EngineError::config(format!("table \"{}\" cannot be read: blackhole forgets its rows", table.name)))
    }

    fn sink(&self, _table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(BlackholeSink))
    }

    fn boundedness(&self, _table: &TableSpec) -> Boundedness {
        Boundedness::Bounded
    }
}

#[derive(Debug)]
struct BlackholeSink;

impl Sink for BlackholeSink {
    fn accepts(&self) -> Accepts {
        Accepts::Retract
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::None
    }

    fn writer(&self, _context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(BlackholeSink))
    }

    fn describe(&self) -> String {
        "blackhole".into()
    }
}

impl SinkWriter for BlackholeSink {
    fn write(&mut self, _delta: &Delta) -> Result<()> {
        Ok(())
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<Option<CommitToken>> {
        Ok(None)
    }

    fn commit(&mut self, _token: &CommitToken) -> Result<()> {
        Ok(())
    }

    fn on_end(&mut self) {}
}
