//! Avro in messages: `avro`, whose schema follows from the declared columns, and `avro-confluent`, whose messages name a
//! schema in a registry; and in files ([`file`]), which begin with their schema.
//!
//! [`schema`] has schemas, [`decode`] and [`encode`] values, [`registry`] the calls to a registry.
//! Source: the Avro specification 1.11, "Binary encoding"; Confluent's "Wire format".

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

pub(super) use decode::AvroMessages;
pub(super) use encode::AvroMessageEncoder;
pub(super) use file::{AvroFileDecoder, AvroFileEncoder, check};
pub(super) use options::options;
use registry::Registry;

/// `avro` or `avro-confluent`, with its options.
#[derive(Debug, Clone)]
pub(crate) struct AvroFormat {
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
        Ok(Self { ignore_parse_errors, registry: None, schema: None, subject: None })
    }

    /// The format with a registry. `subject`: the name of the schema where the options give none.
    ///
    /// # Errors
    /// Where the registry has no address, or the schema is none.
    pub(crate) fn confluent(options: &OptionValues, subject: Option<String>) -> Result<Self> {
        let given = options.get("avro-confluent.schema").map(str::to_owned);
        if let Some(text) = &given {
            schema::Schema::parse(text)
                .map_err(|what| EngineError::config(format!("option \"avro-confluent.schema\": {what}")))?;
        }
        Ok(Self {
            ignore_parse_errors: options.boolean("avro-confluent.ignore-parse-errors", false)?,
            registry: Some(Arc::new(Registry::from_options(options)?)),
            schema: given,
            subject: options.get("avro-confluent.subject").map(str::to_owned).or(subject),
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        if self.registry.is_some() { "avro-confluent" } else { "avro" }
    }

    /// The schema that rows are written with.
    ///
    /// # Errors
    /// Where a column has a type that Avro does not carry.
    fn written(&self, columns: &Fields) -> Result<String> {
        match &self.schema {
            Some(text) => Ok(text.clone()),
            None => schema_of_columns::json(columns),
        }
    }
}
