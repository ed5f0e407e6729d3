//! The options of the Avro formats.

use millstream_engine::ports::{OptionDescriptor, OptionType};

/// The options of the formats.
pub(crate) fn options() -> Vec<OptionDescriptor> {
    let option = |name, kind, default, doc| OptionDescriptor { name, kind, required: false, default, doc };
    let text = |name, doc| option(name, OptionType::String, None, doc);
    let flag = |name, doc| option(name, OptionType::Boolean, Some("false"), doc);
    let ignore = "Messages that cannot be read are skipped and counted.";
    let mut options =
        vec![flag("avro.ignore-parse-errors", ignore), flag("avro-confluent.ignore-parse-errors", ignore)];
    options.push(flag("debezium-avro-confluent.ignore-parse-errors", ignore));
    let sources = OptionType::Choice(&["USER_INFO", "URL"]);
    let from = "Where name and password for the registry are from.";
    let url = "The schema registry: http://host:port, several with commas between them.";
    let subject = "Name of the schema to write with; else 'TOPIC-value' or 'TOPIC-key'.";
    let schema = "The schema to write with; else it follows from the columns.";
    options.extend([
        text("avro-confluent.url", url),
        text("avro-confluent.subject", subject),
        text("avro-confluent.schema", schema),
        option("avro-confluent.basic-auth.credentials-source", sources.clone(), None, from),
        text("avro-confluent.basic-auth.user-info", "name:password for the registry."),
        text("avro-confluent.bearer-auth.token", "A token for the registry."),
        text("debezium-avro-confluent.url", url),
        text("debezium-avro-confluent.subject", subject),
        text("debezium-avro-confluent.schema", schema),
        option("debezium-avro-confluent.basic-auth.credentials-source", sources.clone(), None, from),
        text("debezium-avro-confluent.basic-auth.user-info", "name:password for the registry."),
        text("debezium-avro-confluent.bearer-auth.token", "A token for the registry."),
    ]);
    options
}
