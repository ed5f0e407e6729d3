//! The `nexmark` connector: persons, auctions and bids of an auction site, made up.
//!
//! Events are a pure function of the seed and their number, so that any split can make any range: split `i` of `n` makes
//! blocks `i`, `i + n`, … . Option names and distributions are those of the Nexmark generator for Flink; event times
//! start at a fixed moment, so that a table gives the same rows every time.

mod columns;
mod config;
mod events;
mod random;
mod source;

use std::sync::Arc;

use arrow::datatypes::DataType;
use millstream_engine::ports::{
    Boundedness, Capabilities, Connector, ConnectorDescriptor, ScanRequest, Sink, Source, TableSpec,
};
use millstream_engine::{EngineError, Result};

use self::columns::Kind;
use self::config::Config;
use self::source::NexmarkSource;

/// See the module.
#[derive(Debug)]
pub(crate) struct Nexmark {
    descriptor: ConnectorDescriptor,
}

impl Default for Nexmark {
    fn default() -> Self {
        Self {
            descriptor: ConnectorDescriptor {
                name: "nexmark",
                doc: "Makes the events of the Nexmark benchmark: persons, auctions and bids.",
                options: config::options(),
                capabilities: Capabilities { source: true, ..Capabilities::default() },
                metadata: Vec::new(),
            },
        }
    }
}

impl Connector for Nexmark {
    fn descriptor(&self) -> &ConnectorDescriptor {
        &self.descriptor
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        Config::new(&table.options)?;
        table.schema.fields().iter().try_for_each(|field| check_column(field.name(), field.data_type()))
    }

    fn source(&self, table: &TableSpec, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        self.validate(table)?;
        Ok(Arc::new(NexmarkSource::new(table, request, Config::new(&table.options)?)?))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Err(EngineError::config(format!("table \"{}\" cannot be written: nexmark makes rows", table.name)))
    }

    fn boundedness(&self, table: &TableSpec) -> Boundedness {
        match table.options.get("events.num").map(str::trim) {
            None | Some("0") => Boundedness::Endless,
            Some(_) => Boundedness::Bounded,
        }
    }
}

/// The ROW column of that name.
fn kind_of(column: &str) -> Option<Kind> {
    [("person", Kind::Person), ("auction", Kind::Auction), ("bid", Kind::Bid)]
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(column))
        .map(|(_, kind)| kind)
}

/// A column must be one that the generator makes, of the type it makes it in.
fn check_column(column: &str, data_type: &DataType) -> Result<()> {
    let refuse = |message: String| {
        Err(EngineError::Config {
            message,
            hint: Some("nexmark makes event_type INT, person ROW<…>, auction ROW<…> and bid ROW<…>".into()),
        })
    };
    match (kind_of(column), data_type) {
        (None, DataType::Int32) if column.eq_ignore_ascii_case("event_type") => Ok(()),
        (None, other) if column.eq_ignore_ascii_case("event_type") => {
            refuse(format!("column \"event_type\" of nexmark is INT, not {other}"))
        }
        (None, _) => refuse(format!("nexmark makes no column \"{column}\"")),
        (Some(kind), DataType::Struct(fields)) => {
            for field in fields {
                let name = field.name();
                match kind.field(name).map(columns::Field::data_type) {
                    None => return refuse(format!("nexmark makes no field \"{name}\" of {column}")),
                    Some(made) if made != *field.data_type() => {
                        return refuse(format!("field \"{name}\" of {column} is {made}, not {}", field.data_type()));
                    }
                    Some(_) => {}
                }
            }
            Ok(())
        }
        (Some(_), other) => refuse(format!("column \"{column}\" of nexmark is a ROW, not {other}")),
    }
}

#[cfg(test)]
mod tests;
