//! The connector behind tables of sources and sinks of this program: it finds them by a handle in the table's options.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{Schema, SchemaRef};
use millstream_engine::EngineError;
use millstream_engine::message::Delta;
use millstream_engine::plan::ChangelogMode;
use millstream_engine::ports::{
    Boundedness, Capabilities, Connector, ConnectorDescriptor, OptionDescriptor, OptionType, ReadContext, ReadPoll,
    ScanRequest, Sink, Source, Split, SplitPlace, SplitReader, TableSpec,
};
use parking_lot::Mutex;

/// The connector's name.
pub(crate) const NAME: &str = "embedded";

/// The option that names source or sink.
pub(crate) const HANDLE: &str = "handle";

/// What the engine's ports give.
type Result<T> = std::result::Result<T, EngineError>;

/// Sources and sinks of this program by their handles.
pub(crate) struct EmbeddedConnector {
    descriptor: ConnectorDescriptor,
    ends: Mutex<HashMap<String, End>>,
    last: AtomicU64,
}

/// What stands at the end of a dataflow.
#[derive(Clone)]
enum End {
    Source(Arc<dyn Source>),
    Sink(Arc<dyn Sink>),
}

impl EmbeddedConnector {
    pub(crate) fn new() -> Self {
        let handle = OptionDescriptor {
            name: HANDLE,
            kind: OptionType::String,
            required: true,
            default: None,
            doc: "Names a source or sink of the program that holds the database.",
        };
        let descriptor = ConnectorDescriptor {
            name: NAME,
            doc: "Sources and sinks of the program that holds the database.",
            options: vec![handle],
            capabilities: Capabilities { source: true, sink: true, sink_retracts: true, partitioned: false },
            metadata: Vec::new(),
        };
        Self { descriptor, ends: Mutex::default(), last: AtomicU64::new(0) }
    }

    /// A number that was not given before.
    pub(crate) fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn put_source(&self, source: Arc<dyn Source>) -> String {
        self.put(End::Source(source))
    }

    pub(crate) fn put_sink(&self, sink: Arc<dyn Sink>) -> String {
        self.put(End::Sink(sink))
    }

    fn put(&self, end: End) -> String {
        let handle = self.next().to_string();
        self.ends.lock().insert(handle.clone(), end);
        handle
    }

    pub(crate) fn remove(&self, handle: &str) {
        self.ends.lock().remove(handle);
    }

    fn end(&self, table: &TableSpec) -> Result<End> {
        let handle = table.options.get(HANDLE).unwrap_or_default();
        let gone = || EngineError::Config {
            message: format!("this program has no source or sink for table \"{}\"", table.name),
            hint: Some("make the table with create_table".to_owned()),
        };
        self.ends.lock().get(handle).cloned().ok_or_else(gone)
    }
}

impl fmt::Debug for EmbeddedConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

impl Connector for EmbeddedConnector {
    fn descriptor(&self) -> &ConnectorDescriptor {
        &self.descriptor
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        match self.end(table)? {
            End::Source(source) => check_columns(&table.schema, &source.schema()),
            End::Sink(_) => Ok(()),
        }
    }

    fn source(&self, table: &TableSpec, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        match self.end(table)? {
            End::Source(inner) => Ok(Arc::new(Projected::new(inner, &table.schema, request)?)),
            End::Sink(_) => Err(EngineError::config(format!("table \"{}\" can only be written", table.name))),
        }
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        match self.end(table)? {
            End::Sink(sink) => Ok(sink),
            End::Source(_) => Err(EngineError::config(format!("table \"{}\" can only be read", table.name))),
        }
    }

    fn boundedness(&self, table: &TableSpec) -> Boundedness {
        match self.end(table) {
            Ok(End::Source(source)) => source.boundedness(),
            Ok(End::Sink(_)) | Err(_) => Boundedness::Bounded,
        }
    }
}

/// Whether the source gives the columns that the table declares.
fn check_columns(declared: &Schema, given: &Schema) -> Result<()> {
    for field in declared.fields() {
        let found = given.field_with_name(field.name()).map(arrow::datatypes::Field::data_type);
        match found {
            Ok(found) if found == field.data_type() => {}
            Ok(found) => {
                let message = format!(
                    "column \"{}\" is declared as {} and the source gives {found}",
                    field.name(),
                    field.data_type()
                );
                return Err(EngineError::config(message));
            }
            Err(_) => {
                return Err(EngineError::config(format!("the source has no column \"{}\"", field.name())));
            }
        }
    }
    Ok(())
}

/// The columns of a source that are asked for.
#[derive(Debug)]
struct Projected {
    inner: Arc<dyn Source>,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Projected {
    fn new(inner: Arc<dyn Source>, declared: &Schema, request: &ScanRequest) -> Result<Self> {
        let given = inner.schema();
        let mut columns = Vec::with_capacity(request.columns.len());
        for column in &request.columns {
            let field = declared.fields().get(column.index);
            let place = field.and_then(|field| given.index_of(field.name()).ok());
            columns.push(place.ok_or_else(|| EngineError::Internal("a column that was not declared".into()))?);
        }
        let schema = Arc::new(given.project(&columns)?);
        Ok(Self { inner, columns, schema })
    }
}

impl Source for Projected {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn boundedness(&self) -> Boundedness {
        self.inner.boundedness()
    }

    fn changelog(&self) -> ChangelogMode {
        self.inner.changelog()
    }

    fn stream_key(&self) -> Option<Vec<usize>> {
        // Without one of its columns the key is the whole row.
        let place = |key: usize| self.columns.iter().position(|column| *column == key);
        self.inner.stream_key()?.into_iter().map(place).collect()
    }

    fn replayable(&self) -> bool {
        self.inner.replayable()
    }

    fn splits(&self, parallelism: usize) -> Result<Vec<Split>> {
        self.inner.splits(parallelism)
    }

    fn resume(&self, known: &[SplitPlace]) -> Result<Vec<Split>> {
        self.inner.resume(known)
    }

    fn reader(&self, split: &Split) -> Result<Box<dyn SplitReader>> {
        Ok(Box::new(ProjectedReader { inner: self.inner.reader(split)?, columns: self.columns.clone() }))
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

struct ProjectedReader {
    inner: Box<dyn SplitReader>,
    columns: Vec<usize>,
}

impl SplitReader for ProjectedReader {
    fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll> {
        Ok(match self.inner.poll(context)? {
            ReadPoll::Batch(batch) => ReadPoll::Batch(batch.project(&self.columns)?),
            ReadPoll::Changes(delta) => {
                let batch = delta.batch.project(&self.columns)?;
                ReadPoll::Changes(Delta { batch, sign: delta.sign })
            }
            other @ (ReadPoll::Splits(_) | ReadPoll::Fetching { .. } | ReadPoll::Pending { .. } | ReadPoll::End) => {
                other
            }
        })
    }

    fn offset(&self) -> String {
        self.inner.offset()
    }

    fn seek(&mut self, offset: &str) -> Result<()> {
        self.inner.seek(offset)
    }
}
