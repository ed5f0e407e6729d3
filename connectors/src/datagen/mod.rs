//! The `datagen` connector: random or sequential values, under Flink's option names.
//!
//! A row is a pure function of the seed and its number, so that splits can share the work; only timestamps, dates and
//! times are those of the moment. A table with `number-of-rows`, or with a sequence, ends and is then not paced; an
//! endless one keeps to `rows-per-second`. Fields of a ROW are named `fields.<column>.<field>.…`, the elements of an ARRAY
//! `fields.<column>.element.…`. An option that says nothing about its column is an error.

mod generator;
mod make;
mod settings;
mod source;

use std::sync::Arc;

use millstream_engine::ports::{
    Boundedness, Capabilities, Connector, ConnectorDescriptor, OptionDescriptor, OptionType, ScanRequest, Sink, Source,
    TableSpec,
};
use millstream_engine::{EngineError, Result};

use self::generator::Generator;
use self::source::DatagenSource;

/// See the module.
#[derive(Debug)]
pub(crate) struct Datagen {
    descriptor: ConnectorDescriptor,
}

impl Default for Datagen {
    fn default() -> Self {
        let option = |name, kind, default, doc| OptionDescriptor { name, kind, required: false, default, doc };
        let options = vec![
            option("rows-per-second", OptionType::Integer, Some("10000"), "Rows a second of an endless table."),
            option("number-of-rows", OptionType::Integer, None, "How many rows; endless without it."),
            option("seed", OptionType::Integer, Some("0"), "Another seed gives other rows."),
            option(
                "fields.*.kind",
                OptionType::Choice(&["random", "sequence"]),
                Some("random"),
                "How values of the column are made.",
            ),
            option("fields.*.min", OptionType::Double, None, "Least value of a random number."),
            option("fields.*.max", OptionType::Double, None, "Greatest value of a random number."),
            option(
                "fields.*.length",
                OptionType::Integer,
                Some("100"),
                "Length of a random string; of an ARRAY, by default 3.",
            ),
            option("fields.*.var-len", OptionType::Boolean, Some("false"), "Whether strings may be shorter."),
            option("fields.*.null-rate", OptionType::Double, Some("0"), "Share of values that are null, 0 to 1."),
            option("fields.*.max-past", OptionType::Duration, Some("0 s"), "How far back a random timestamp may lie."),
            option("fields.*.start", OptionType::Integer, None, "First value of a sequence."),
            option("fields.*.end", OptionType::Integer, None, "Last value of a sequence; the table ends with it."),
        ];
        Self {
            descriptor: ConnectorDescriptor {
                name: "datagen",
                doc: "Makes random or sequential rows.",
                options,
                capabilities: Capabilities { source: true, ..Capabilities::default() },
                metadata: Vec::new(),
            },
        }
    }
}

impl Connector for Datagen {
    fn descriptor(&self) -> &ConnectorDescriptor {
        &self.descriptor
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        Generator::new(table).map(|_| ())
    }

    fn source(&self, table: &TableSpec, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(DatagenSource::new(table, request, Generator::new(table)?)?))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Err(EngineError::config(format!("table \"{}\" cannot be written: datagen makes rows", table.name)))
    }

    fn boundedness(&self, table: &TableSpec) -> Boundedness {
        match Generator::new(table) {
            Ok(generator) if generator.rows().is_some() => Boundedness::Bounded,
            Ok(_) | Err(_) => Boundedness::Endless,
        }
    }
}

#[cfg(test)]
mod tests;
