//! The `filesystem` connector: tables over local files, read once or watched, and written in rolling part files.

mod chunks;
mod file_reader;
mod format_offset;
mod listing;
mod partition;
mod read_file;
mod scan;
mod table;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{
    Boundedness, Capabilities, Connector, ConnectorDescriptor, ScanRequest, Sink, Source, TableSpec,
};

pub(crate) use file_reader::FileReader;
pub(crate) use format_offset::Position;
use scan::{FileScan, FileSource};
use table::FileTable;

/// See the module.
#[derive(Debug)]
pub struct Filesystem {
    descriptor: ConnectorDescriptor,
}

impl Default for Filesystem {
    fn default() -> Self {
        Self {
            descriptor: ConnectorDescriptor {
                name: "filesystem",
                doc: "Reads and writes files of a local directory.",
                options: table::options(),
                capabilities: Capabilities { source: true, sink: true, sink_retracts: false, partitioned: true },
                metadata: scan::metadata(),
            },
        }
    }
}

impl Connector for Filesystem {
    fn descriptor(&self) -> &ConnectorDescriptor {
        &self.descriptor
    }

    fn validate(&self, spec: &TableSpec) -> Result<()> {
        FileTable::new(spec)?.check_columns(spec)
    }

    fn source(&self, spec: &TableSpec, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let table = FileTable::new(spec)?;
        table.check_columns(spec)?;
        Ok(Arc::new(FileSource(Arc::new(FileScan::new(table, spec, request)?))))
    }

    fn sink(&self, spec: &TableSpec) -> Result<Arc<dyn Sink>> {
        Err(EngineError::Unsupported(format!("table \"{}\" cannot be written yet", spec.name)))
    }

    fn boundedness(&self, spec: &TableSpec) -> Boundedness {
        match spec.options.get("source.monitor-interval") {
            Some(_) => Boundedness::Unbounded,
            None => Boundedness::Bounded,
        }
    }
}
