//! Protobuf in messages: a message is one of a declared type, without length or header before it.
//!
//! [`descriptor`] finds the type, [`plan`] binds its fields to columns, [`decode`] and [`encode`] go over messages by that
//! plan, [`wire`] knows how values stand in bytes. Source: the Protocol Buffers documentation; Flink's page of the format.

mod decode;
mod descriptor;
mod encode;
#[cfg(test)]
mod fault_tests;
mod plan;
#[cfg(test)]
pub(super) mod tests;
mod wire;

use arrow::datatypes::Fields;
use millstream_engine::error::Result;
use millstream_engine::ports::{OptionDescriptor, OptionType, OptionValues};
use prost_reflect::MessageDescriptor;

pub(super) use decode::ProtobufMessages;
pub(super) use encode::ProtobufMessageEncoder;
use plan::MessagePlan;

use crate::formats::columns::RowColumn;

/// `protobuf`, with its options.
#[derive(Debug, Clone)]
pub(crate) struct ProtobufFormat {
    message: MessageDescriptor,
    /// Messages that cannot be read are skipped.
    ignore_parse_errors: bool,
    /// Fields that are not there have their default values, where they would else be null.
    read_default_values: bool,
    /// What is written for a null among strings, which Protobuf does not have.
    null_literal: String,
}

impl ProtobufFormat {
    /// Reads the options, and the file that describes the message.
    ///
    /// # Errors
    /// Where there is no such file, or no such message in it.
    pub(crate) fn from_options(options: &OptionValues) -> Result<Self> {
        Ok(Self {
            message: descriptor::load(options)?,
            ignore_parse_errors: options.boolean("protobuf.ignore-parse-errors", false)?,
            read_default_values: options.boolean("protobuf.read-default-values", false)?,
            null_literal: options.get("protobuf.write-null-string-literal").unwrap_or_default().to_owned(),
        })
    }

    /// The options of the format.
    pub(crate) fn options() -> Vec<OptionDescriptor> {
        let option = |name, kind, default, doc| OptionDescriptor { name, kind, required: false, default, doc };
        let text = |name, doc| option(name, OptionType::String, None, doc);
        let flag = |name, doc| option(name, OptionType::Boolean, Some("false"), doc);
        vec![
            text("protobuf.schema-file", "The .proto file that describes the message, on the server."),
            text("protobuf.descriptor-file", "Else the file that 'protoc --descriptor_set_out' has written."),
            text(
                "protobuf.import-path",
                "Where imports of the .proto file are, with semicolons; its directory always.",
            ),
            text("protobuf.message-name", "The message, with its package; not needed where the file has only one."),
            flag("protobuf.ignore-parse-errors", "Messages that cannot be read are skipped and counted."),
            flag("protobuf.read-default-values", "Fields that are not there have their defaults, not null."),
            text(
                "protobuf.write-null-string-literal",
                "Written for null among the strings of arrays and maps; else ''.",
            ),
        ]
    }

    /// Checks that the fields of the message can be the columns.
    ///
    /// # Errors
    /// Names the first column that has no field, or one that does not fit.
    pub(crate) fn check(&self, columns: &Fields) -> Result<()> {
        self.plan(&RowColumn::new(columns.iter().map(AsRef::as_ref), None)?).map(|_| ())
    }

    /// The message bound to the columns that are read.
    fn plan(&self, row: &RowColumn) -> Result<MessagePlan> {
        MessagePlan::bind(&self.message, row, self.read_default_values)
    }
}
