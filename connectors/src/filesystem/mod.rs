//! The `filesystem` connector: tables over files of this machine or in a bucket, read once or watched, and written in rolling
//! part files.

mod apart;
mod chunks;
mod compressed;
mod cut;
mod file_reader;
mod format_offset;
mod format_token;
mod infer;
mod json_layout;
mod json_names;
mod listing;
mod part_file;
mod partition;
mod partition_commit;
mod place;
mod read_file;
mod remote_file;
mod scan;
mod sink;
#[cfg(test)]
mod sink_tests;
mod staging;
mod table;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

use std::fmt;
use std::sync::Arc;

use millstream_engine::error::Result;
use millstream_engine::ports::{
    Boundedness, Capabilities, Connector, ConnectorDescriptor, Lookup, LookupRequest, ScanColumn, ScanRequest, Sink,
    Source, TableSpec,
};
use millstream_engine::time::{Clock, SystemClock};

pub use compressed::{Compression, PackedWriter};
pub(crate) use file_reader::FileReader;
pub(crate) use format_offset::Position;
pub use infer::{FoundFiles, find_files, infer_csv, infer_json, partitions, read_whole};
pub use listing::list_of_paths;
use scan::{FileScan, FileSource};
use sink::{FileSink, SharedFileSink};
use table::FileTable;

use crate::lookup::{self, LookupOptions, Scanned};

/// See the module.
pub(crate) struct Filesystem {
    descriptor: ConnectorDescriptor,
    /// Tells the age of part files.
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filesystem").finish_non_exhaustive()
    }
}

impl Default for Filesystem {
    fn default() -> Self {
        Self {
            descriptor: ConnectorDescriptor {
                name: "filesystem",
                doc: "Reads and writes files of a local directory or of an object store.",
                options: [table::options(), sink::options(), lookup::descriptors()].concat(),
                capabilities: Capabilities { source: true, sink: true, sink_retracts: false, partitioned: true },
                metadata: scan::metadata(),
            },
            clock: Arc::new(SystemClock),
        }
    }
}

impl Connector for Filesystem {
    fn descriptor(&self) -> &ConnectorDescriptor {
        &self.descriptor
    }

    fn validate(&self, spec: &TableSpec) -> Result<()> {
        FileTable::new(spec)?.check_columns(spec)?;
        LookupOptions::new(&spec.options)?;
        sink::check(spec)
    }

    fn source(&self, spec: &TableSpec, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let table = FileTable::new(spec)?;
        table.check_columns(spec)?;
        Ok(Arc::new(FileSource(Arc::new(FileScan::new(table, spec, request)?))))
    }

    fn lookup(&self, spec: &TableSpec, request: &LookupRequest) -> Result<Option<Arc<dyn Lookup>>> {
        let Some(options) = LookupOptions::new(&spec.options)? else { return Ok(None) };
        // What is looked up is there now: nothing is watched.
        let mut spec = spec.clone();
        spec.options.0.remove("source.monitor-interval");
        let columns = request.columns.iter().map(|&index| ScanColumn { index, children: None }).collect();
        let source = self.source(&spec, &ScanRequest { columns })?;
        let place = |key: &usize| request.columns.iter().position(|column| column == key);
        let keys = request.keys.iter().filter_map(place).collect();
        Ok(Some(Arc::new(Scanned::new(source, keys, options, Arc::clone(&self.clock))?)))
    }

    fn sink(&self, spec: &TableSpec) -> Result<Arc<dyn Sink>> {
        self.validate(spec)?;
        Ok(Arc::new(SharedFileSink(Arc::new(FileSink::new(spec, Arc::clone(&self.clock))?))))
    }

    fn boundedness(&self, spec: &TableSpec) -> Boundedness {
        match spec.options.get("source.monitor-interval") {
            Some(_) => Boundedness::Unbounded,
            None => Boundedness::Bounded,
        }
    }
}
