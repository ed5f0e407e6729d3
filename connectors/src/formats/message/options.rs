//! The options of the formats of messages: the same set behind no prefix, behind `value.` and behind `key.`.

use std::sync::LazyLock;

use millstream_engine::ports::{OptionDescriptor, OptionType, OptionValues};

use super::{MESSAGE_FORMATS, change};
use crate::formats::avro;
use crate::formats::csv::CsvFormat;
use crate::formats::json::JsonFormat;
use crate::formats::protobuf::ProtobufFormat;

/// What a format is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The message's value: `format` or `value.format`.
    Value,
    /// The message's key: `key.format`.
    Key,
}

/// The options with their prefixes. Made once: descriptions are for ever.
static OPTIONS: LazyLock<Vec<OptionDescriptor>> = LazyLock::new(|| {
    let format = |name, doc| OptionDescriptor {
        name,
        kind: OptionType::Choice(MESSAGE_FORMATS),
        required: false,
        default: None,
        doc,
    };
    let own =
        [JsonFormat::options(), CsvFormat::options(), change::options(), avro::options(), ProtobufFormat::options()]
            .concat();
    let mut options = vec![
        format("format", "How rows stand in the values of messages."),
        format("value.format", "Another name of 'format'; its own options then begin with 'value.' too."),
        format("key.format", "How the columns of 'key.fields' stand in the keys of messages."),
    ];
    for prefix in ["value.", "key."] {
        options.extend(own.iter().map(|option| {
            let name: &'static str = format!("{prefix}{}", option.name).leak();
            OptionDescriptor { name, ..option.clone() }
        }));
    }
    options.extend(own);
    options
});

/// The options of all formats of messages, `format` and its kin included.
pub(crate) fn options() -> Vec<OptionDescriptor> {
    OPTIONS.clone()
}

/// The name of a role's format and the format's options without their prefix.
pub(super) fn of_role(role: Role, options: &OptionValues) -> Option<(String, OptionValues)> {
    let (name, prefix) = match role {
        Role::Value => match options.get("value.format") {
            Some(name) => (name, "value."),
            None => (options.get("format")?, ""),
        },
        Role::Key => (options.get("key.format")?, "key."),
    };
    let own = options.0.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())));
    Some((name.to_lowercase(), OptionValues(own.collect())))
}

/// The name under which a registry keeps the schema of a role, where nothing else is said.
pub(super) fn subject(role: Role, options: &OptionValues) -> Option<String> {
    let suffix = match role {
        Role::Value => "value",
        Role::Key => "key",
    };
    options.get("topic").map(|topic| format!("{topic}-{suffix}"))
}
