//! The description of a message type, from a `.proto` file or a set of descriptors that `protoc` has written.

use std::path::Path;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::OptionValues;
use prost_reflect::{DescriptorPool, MessageDescriptor};

/// The message type that the options name. Reads its file.
///
/// # Errors
/// Where the file cannot be read, is none of its kind, or has no such message.
pub(super) fn load(options: &OptionValues) -> Result<MessageDescriptor> {
    let files = (options.get("protobuf.schema-file"), options.get("protobuf.descriptor-file"));
    let (pool, own, path) = match files {
        (Some(path), None) => {
            let (pool, own) = compile(path, options.get("protobuf.import-path"))?;
            (pool, Some(own), path)
        }
        (None, Some(path)) => (read(path)?, None, path),
        (Some(_), Some(_)) => {
            return Err(EngineError::config("give \"protobuf.schema-file\" or \"protobuf.descriptor-file\", not both"));
        }
        (None, None) => {
            return Err(EngineError::Config {
                message: "format \"protobuf\" needs option \"protobuf.schema-file\" or \"protobuf.descriptor-file\""
                    .to_owned(),
                hint: Some(
                    "name the .proto file, or what 'protoc --descriptor_set_out --include_imports' has made of it"
                        .to_owned(),
                ),
            });
        }
    };
    find(&pool, own.as_deref(), path, options.get("protobuf.message-name"))
}

/// The types of a `.proto` file and what it imports, and the file's name among them.
fn compile(path: &str, imports: Option<&str>) -> Result<(DescriptorPool, String)> {
    let broken = |error: protox::Error| EngineError::Config {
        message: format!("the Protobuf schema \"{path}\" cannot be used: {error}"),
        hint: Some("'protobuf.import-path' names the directories that imports are looked for in".to_owned()),
    };
    let file = Path::new(path);
    let own = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let more = imports.into_iter().flat_map(|paths| paths.split(';')).map(str::trim).filter(|path| !path.is_empty());
    let folders = more.map(Path::new).chain([own]);
    let mut compiler = protox::Compiler::new(folders).map_err(broken)?;
    compiler.include_imports(true);
    compiler.open_file(file).map_err(broken)?;
    // The files come in the order in which they import one another: the last one is ours.
    let own = compiler.files().last().map(|file| file.name().to_owned()).unwrap_or_default();
    Ok((compiler.descriptor_pool(), own))
}

fn read(path: &str) -> Result<DescriptorPool> {
    let bytes = std::fs::read(path)
        .map_err(|error| EngineError::config(format!("the descriptor file \"{path}\" cannot be read: {error}")))?;
    DescriptorPool::decode(bytes.as_slice()).map_err(|error| EngineError::Config {
        message: format!("the file \"{path}\" is no set of Protobuf descriptors: {error}"),
        hint: Some("'protoc --descriptor_set_out=FILE --include_imports' makes one".to_owned()),
    })
}

/// The message of a name, with or without its package; the only one, where there is no name.
fn find(pool: &DescriptorPool, own: Option<&str>, path: &str, name: Option<&str>) -> Result<MessageDescriptor> {
    let is_own = |message: &MessageDescriptor| {
        let file = message.parent_file();
        !message.is_map_entry() && own.map_or(!file.name().starts_with("google/protobuf/"), |own| file.name() == own)
    };
    let all: Vec<MessageDescriptor> = pool.all_messages().filter(is_own).collect();
    let refused = |message: String| {
        let names: Vec<&str> = all.iter().map(MessageDescriptor::full_name).take(20).collect();
        EngineError::Config { message, hint: Some(format!("its messages are {}", names.join(", "))) }
    };
    let Some(name) = name else {
        let mut outer = all.iter().filter(|message| message.parent_message().is_none());
        return match (outer.next(), outer.next()) {
            (Some(only), None) => Ok(only.clone()),
            _ => Err(refused(format!("option \"protobuf.message-name\" must say which message of \"{path}\" it is"))),
        };
    };
    if let Some(found) = pool.get_message_by_name(name) {
        return Ok(found);
    }
    let mut alike = all.iter().filter(|message| message.name() == name);
    match (alike.next(), alike.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ => Err(refused(format!("there is no message \"{name}\" in \"{path}\""))),
    }
}
