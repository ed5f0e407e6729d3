//! [`SinkOptions`]: what the options and metadata columns of a table say about writing.

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{Guarantee, TableSpec};

/// How rows find their partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partitioner {
    /// By the hash of the key; at random without one.
    Default,
    /// All rows of a shard to one.
    Fixed,
    /// In turn.
    RoundRobin,
}

/// The options of the sink.
#[derive(Debug, Clone)]
pub(super) struct SinkOptions {
    pub(super) partitioner: Partitioner,
    pub(super) guarantee: Guarantee,
    /// What transactional ids begin with, where there are transactions.
    pub(super) prefix: String,
}

/// The columns of the input that are no part of keys or values, by index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WrittenMetadata {
    pub(super) timestamp: Option<usize>,
    pub(super) headers: Option<usize>,
}

impl SinkOptions {
    /// Reads them.
    ///
    /// # Errors
    /// Where they ask for what is not there, or contradict one another.
    pub(super) fn new(table: &TableSpec) -> Result<Self> {
        let word = |name: &str| table.options.get(name).unwrap_or_default().to_ascii_lowercase();
        let guarantee = match word("sink.delivery-guarantee").as_str() {
            "none" => Guarantee::None,
            "exactly-once" => Guarantee::ExactlyOnce,
            _ => Guarantee::AtLeastOnce,
        };
        let prefix = table.options.get("sink.transactional-id-prefix").unwrap_or_default().to_owned();
        if guarantee == Guarantee::ExactlyOnce && prefix.is_empty() {
            return Err(EngineError::Config {
                message: "'sink.delivery-guarantee' = 'exactly-once' needs option \"sink.transactional-id-prefix\""
                    .into(),
                hint: Some("choose a text that no other application on these brokers uses".into()),
            });
        }
        for property in ["properties.transactional.id", "properties.enable.idempotence"] {
            if guarantee == Guarantee::ExactlyOnce && table.options.get(property).is_some() {
                return Err(EngineError::Config {
                    message: format!("option \"{property}\" cannot be used with exactly-once"),
                    hint: Some("leave it out: the sink sets it itself".into()),
                });
            }
        }
        let partitioner = match word("sink.partitioner").as_str() {
            "fixed" => Partitioner::Fixed,
            "round-robin" => Partitioner::RoundRobin,
            "" | "default" => Partitioner::Default,
            other => {
                return Err(EngineError::Config {
                    message: format!("'sink.partitioner' = '{other}' is not supported"),
                    hint: Some("it is 'default', 'fixed' or 'round-robin'; classes of Java cannot be loaded".into()),
                });
            }
        };
        Ok(Self { partitioner, guarantee, prefix })
    }
}

impl WrittenMetadata {
    /// The metadata columns that an `INSERT` gives: they come behind the physical ones.
    ///
    /// # Errors
    /// Where one of them cannot be written.
    pub(super) fn new(table: &TableSpec) -> Result<Self> {
        let mut written = Self::default();
        let mut at = 0;
        for field in table.schema.fields() {
            if field.metadata().contains_key(TableSpec::VIRTUAL_KEY) {
                continue;
            }
            match field.metadata().get(TableSpec::METADATA_KEY).map(String::as_str) {
                None => {}
                Some("timestamp") => written.timestamp = Some(at),
                Some("headers") => written.headers = Some(at),
                Some(other) => {
                    return Err(EngineError::Config {
                        message: format!(
                            "table \"{}\" cannot be written: metadata \"{other}\" of column \"{}\" can only be read",
                            table.name,
                            field.name()
                        ),
                        hint: Some(
                            "declare the column as METADATA VIRTUAL; timestamp and headers can be written".into(),
                        ),
                    });
                }
            }
            at += 1;
        }
        Ok(written)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use millstream_engine::ports::OptionValues;

    use super::*;

    fn table(columns: &[(&str, &str, bool)], options: &[(&str, &str)]) -> TableSpec {
        let field = |(name, metadata, is_virtual): &(&str, &str, bool)| {
            let mut notes = HashMap::new();
            if !metadata.is_empty() {
                notes.insert(TableSpec::METADATA_KEY.to_owned(), (*metadata).to_owned());
            }
            if *is_virtual {
                notes.insert(TableSpec::VIRTUAL_KEY.to_owned(), String::new());
            }
            Field::new(*name, DataType::Utf8, true).with_metadata(notes)
        };
        TableSpec {
            name: "t".into(),
            schema: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
            options: OptionValues(options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()),
            partitioned_by: Vec::new(),
            primary_key: Vec::new(),
        }
    }

    #[test]
    fn metadata_that_are_written_come_behind_the_columns() {
        let columns = [("a", "", false), ("b", "", false), ("o", "offset", true), ("h", "headers", false)];
        let written = WrittenMetadata::new(&table(&columns, &[])).unwrap();
        assert_eq!(written, WrittenMetadata { timestamp: None, headers: Some(2) });
        let error = WrittenMetadata::new(&table(&[("o", "offset", false)], &[])).unwrap_err();
        assert!(error.hint().unwrap().contains("VIRTUAL"), "{error}");
    }

    #[test]
    fn guarantees_need_what_they_need() {
        let guarantee = ("sink.delivery-guarantee", "exactly-once");
        let new = |options: &[(&str, &str)]| SinkOptions::new(&table(&[], options));
        assert!(new(&[guarantee]).unwrap_err().to_string().contains("sink.transactional-id-prefix"));
        let prefix = ("sink.transactional-id-prefix", "p");
        assert_eq!(new(&[guarantee, prefix]).unwrap().guarantee, Guarantee::ExactlyOnce);
        assert!(new(&[guarantee, prefix, ("properties.transactional.id", "x")]).is_err());
        assert_eq!(new(&[]).unwrap().guarantee, Guarantee::AtLeastOnce);
        assert!(new(&[("sink.partitioner", "org.example.Mine")]).is_err());
        assert_eq!(new(&[("sink.partitioner", "Fixed")]).unwrap().partitioner, Partitioner::Fixed);
    }
}
