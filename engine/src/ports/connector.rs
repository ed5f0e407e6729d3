//! Connectors: what `WITH ('connector' = …)` names, described for the SQL front end and opened for the engine.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::{Lookup, LookupRequest, ScanRequest, Sink, Source};
use crate::error::Result;

/// The type of an option's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionType {
    /// Any text.
    String,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Double,
    /// Flink's durations: `10 s`, `1min`, `500 ms`.
    Duration,
    /// Flink's sizes: `128MB`, `64 kb`.
    MemorySize,
    /// One of a few words.
    Choice(&'static [&'static str]),
}

/// One option of a connector or of a format.
#[derive(Debug, Clone)]
pub struct OptionDescriptor {
    /// Its name. A `*` stands for any text (`fields.*.min`).
    pub name: &'static str,
    /// How its text is read.
    pub kind: OptionType,
    /// Whether a table without it is an error.
    pub required: bool,
    /// The value without it, as text, for people.
    pub default: Option<&'static str>,
    /// One sentence for people.
    pub doc: &'static str,
}

/// What a connector can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Tables can be read.
    pub source: bool,
    /// Tables can be written.
    pub sink: bool,
    /// The sink takes retractions.
    pub sink_retracts: bool,
    /// `PARTITIONED BY` is understood.
    pub partitioned: bool,
}

/// A connector as the SQL front end sees it.
#[derive(Debug, Clone)]
pub struct ConnectorDescriptor {
    /// The word behind `'connector' =`.
    pub name: &'static str,
    /// One sentence for people.
    pub doc: &'static str,
    /// All its options but `connector` itself, those of its formats included.
    pub options: Vec<OptionDescriptor>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Metadata columns that its sources offer: key and SQL type.
    pub metadata: Vec<(&'static str, arrow::datatypes::DataType)>,
}

/// The checked options of one table: every name is known, every text parses as its [`OptionType`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OptionValues(pub BTreeMap<String, String>);

impl OptionValues {
    /// The text of an option.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// A connector table as declared, names resolved and options checked.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// Its name, for messages.
    pub name: String,
    /// The physical columns, then the metadata columns, as the connector reads and writes them. Metadata columns
    /// carry their key in the field metadata under [`TableSpec::METADATA_KEY`].
    pub schema: SchemaRef,
    /// The options.
    pub options: OptionValues,
    /// Indexes of the `PARTITIONED BY` columns.
    pub partitioned_by: Vec<usize>,
    /// Indexes of the primary key columns.
    pub primary_key: Vec<usize>,
}

impl TableSpec {
    /// Key in a field's metadata: the field is a metadata column, the value is the connector's key for it.
    pub const METADATA_KEY: &'static str = "millstream.metadata";

    /// Key in the metadata of such a field: it is only read. The others come with the rows that are written, behind the
    /// physical columns.
    pub const VIRTUAL_KEY: &'static str = "millstream.virtual";
}

/// What `'connector' = 'name'` stands for.
pub trait Connector: Send + Sync + fmt::Debug {
    /// Its description.
    fn descriptor(&self) -> &ConnectorDescriptor;

    /// What the single options cannot tell: checks of the declared table as a whole, at `CREATE TABLE`.
    ///
    /// # Errors
    /// Where the table can never work (unknown format, a column that the generator does not make).
    fn validate(&self, table: &TableSpec) -> Result<()>;

    /// Opens the table for reading.
    ///
    /// # Errors
    /// Where this table cannot be read.
    fn source(&self, table: &TableSpec, request: &ScanRequest) -> Result<Arc<dyn Source>>;

    /// Opens the table for lookups by key; `None` where it is better read as a whole, as [`Self::source`] does.
    ///
    /// # Errors
    /// Where this table cannot be looked up.
    fn lookup(&self, _table: &TableSpec, _request: &LookupRequest) -> Result<Option<Arc<dyn Lookup>>> {
        Ok(None)
    }

    /// Opens the table for writing.
    ///
    /// # Errors
    /// Where this table cannot be written.
    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>>;

    /// Whether reading it ends, known from the options alone.
    fn boundedness(&self, table: &TableSpec) -> super::Boundedness;
}
