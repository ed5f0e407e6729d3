//! Avro in messages: `avro`, whose schema follows from the declared columns, and `avro-confluent`, whose messages name a
//! schema in a registry; `debezium-avro-confluent`, which tell of changes; and in files ([`file`]), which begin with their
//! schema.
//!
//! [`schema`] has schemas, [`decode`] and [`encode`] values, [`change`] changes, [`registry`] the calls to a registry.
//! Source: the Avro specification 1.11, "Binary encoding"; Confluent's "Wire format".

mod bind;
mod change;
mod decode;
mod encode;
mod file;
mod options;
mod read;
mod registry;
mod schema;
mod schema_of_columns;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::Fields;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::OptionValues;

use change::AvroChanges;
use decode::AvroMessages;
use encode::AvroMessageEncoder;
pub(super) use file::{AvroFileDecoder, AvroFileEncoder, check};
pub(super) use options::options;
use registry::Registry;

use super::WantedColumn;
use super::message::{MessageDecoder, MessageEncoder};

/// Which of the formats of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AvroKind {
    /// `avro`
    Plain,
    /// `avro-confluent`
    Confluent,
    /// `debezium-avro-confluent`
    Debezium,
}

/// A format of messages, with its options.
#[derive(Debug, Clone)]
pub(crate) struct AvroFormat {
    kind: AvroKind,
    /// Messages that cannot be read are skipped.
    ignore_parse_errors: bool,
    /// Where the schemas are; `None`: messages have the schema of the columns.
    registry: Option<Arc<Registry>>,
    /// The schema to write with, as text; `None`: it follows from the columns.
    schema: Option<String>,
    /// Under which name the schema is registered.
    subject: Option<String>,
}

impl AvroFormat {
    /// The plain format.
    ///
    /// # Errors
    /// Where an option is no flag.
    pub(crate) fn plain(options: &OptionValues) -> Result<Self> {
        let ignore_parse_errors = options.boolean("avro.ignore-parse-errors", false)?;
        Ok(Self { kind: AvroKind::Plain, ignore_parse_errors, registry: None, schema: None, subject: None })
    }

    /// A format with a registry. `subject`: the name of the schema where the options give none.
    ///
    /// # Errors
    /// Where the registry has no address, or the schema is none.
    pub(crate) fn confluent(kind: AvroKind, options: &OptionValues, subject: Option<String>) -> Result<Self> {
        let name = kind.name();
        let given = options.get(&format!("{name}.schema")).map(str::to_owned);
        if let Some(text) = &given {
            schema::Schema::parse(text)
                .map_err(|what| EngineError::config(format!("option \"{name}.schema\": {what}")))?;
        }
        Ok(Self {
            kind,
            ignore_parse_errors: options.boolean(&format!("{name}.ignore-parse-errors"), false)?,
            registry: Some(Arc::new(Registry::from_options(name, options)?)),
            schema: given,
            subject: options.get(&format!("{name}.subject")).map(str::to_owned).or(subject),
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Whether its messages tell of changes.
    pub(crate) fn tells_changes(&self) -> bool {
        self.kind == AvroKind::Debezium
    }

    /// A decoder that reads the `wanted` ones of `columns`.
    ///
    /// # Errors
    /// Where Avro cannot carry a column.
    pub(super) fn decoder(&self, columns: &Fields, wanted: &[WantedColumn]) -> Result<Box<dyn MessageDecoder>> {
        Ok(match &self.registry {
            Some(registry) if self.tells_changes() => Box::new(AvroChanges::new(self, registry, columns, wanted)?),
            Some(_) | None => Box::new(AvroMessages::new(self, columns, wanted)?),
        })
    }

    /// An encoder of `columns`.
    ///
    /// # Errors
    /// Where Avro cannot carry a column.
    pub(super) fn encoder(&self, columns: &Fields) -> Result<Box<dyn MessageEncoder>> {
        Ok(Box::new(AvroMessageEncoder::new(self, columns)?))
    }

    /// The schema that rows are written with.
    ///
    /// # Errors
    /// Where a column has a type that Avro does not carry.
    fn written(&self, columns: &Fields) -> Result<String> {
        match (&self.schema, self.kind) {
            (Some(text), _) => Ok(text.clone()),
            (None, AvroKind::Plain | AvroKind::Confluent) => schema_of_columns::json(columns),
            (None, AvroKind::Debezium) => schema_of_columns::envelope(columns),
        }
    }
}

impl AvroKind {
    /// The name of the format.
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "avro",
            Self::Confluent => "avro-confluent",
            Self::Debezium => "debezium-avro-confluent",
        }
    }
}
