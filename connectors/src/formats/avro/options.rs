//! The options of the Avro formats.

use millstream_engine::ports::{OptionDescriptor, OptionType};

/// The options of both formats.
pub(crate) fn options() -> Vec<OptionDescriptor> {
    let option = |name, kind, default, doc| OptionDescriptor { name, kind, required: false, default, doc };
    let text = |name, doc| option(name, OptionType::String, None, doc);
    let flag = |name, doc| option(name, OptionType::Boolean, Some("false"), doc);
    let ignore = "Messages that cannot be read are skipped and counted.";
    vec![
        flag("avro.ignore-parse-errors", ignore),
        flag("avro-confluent.ignore-parse-errors", ignore),
        text("avro-confluent.url", "The schema registry: http://host:port, several with commas between them."),
        text("avro-confluent.subject", "Name of the schema to write with; else 'TOPIC-value' or 'TOPIC-key'."),
        text("avro-confluent.schema", "The schema to write with; else it follows from the columns."),
        option(
            "avro-confluent.basic-auth.credentials-source",
            OptionType::Choice(&["USER_INFO", "URL"]),
            None,
            "Where name and password for the registry are from.",
        ),
        text("avro-confluent.basic-auth.user-info", "name:password for the registry."),
        text("avro-confluent.bearer-auth.token", "A token for the registry."),
    ]
}
