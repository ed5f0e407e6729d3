//! [`Schema`]: a parsed Avro schema.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Levels of nesting that a schema may have.
const DEPTH_MAX: usize = 64;

/// A schema, or a part of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Schema {
    Null,
    Boolean,
    /// Zigzag varint, 32 or 64 bits.
    Integer(Logical),
    Float,
    Double,
    /// Length and bytes.
    Bytes(Logical),
    /// So many bytes.
    Fixed(usize, Logical),
    String,
    /// Index of a symbol.
    Enum(Vec<String>),
    Array(Box<Schema>),
    Map(Box<Schema>),
    Union(Vec<Schema>),
    Record(Vec<SchemaField>),
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SchemaField {
    pub(super) name: String,
    pub(super) schema: Schema,
    /// The field of the ROW that takes it, once bound to columns.
    pub(super) slot: Option<usize>,
}

/// What a number or a byte string stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    /// Itself.
    Plain,
    /// Days since 1970.
    Date,
    /// Since midnight, so many a second.
    Time(i64),
    /// Since 1970, so many a second.
    Timestamp(i64),
    /// An unscaled number in two's complement, and its scale.
    Decimal(i8),
}

impl Schema {
    /// Parses the JSON of a schema.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let value = match serde_json::from_str(text) {
            Ok(value) => value,
            // A bare name, as registries give for primitive types.
            Err(_) if text.chars().all(|c| c.is_ascii_alphabetic()) => Value::String(text.to_owned()),
            Err(error) => return Err(format!("the Avro schema is no JSON: {error}")),
        };
        Parser::default().schema(&value, "", 0)
    }
}

#[derive(Default)]
struct Parser {
    named: HashMap<String, Schema>,
}

impl Parser {
    fn schema(&mut self, value: &Value, namespace: &str, depth: usize) -> Result<Schema, String> {
        if depth > DEPTH_MAX {
            return Err(format!("the Avro schema is nested deeper than {DEPTH_MAX} levels"));
        }
        match value {
            Value::String(name) => self.name(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.schema(branch, namespace, depth + 1));
                Ok(Schema::Union(branches.collect::<Result<_, _>>()?))
            }
            Value::Object(object) => self.object(object, namespace, depth),
            Value::Null | Value::Bool(_) | Value::Number(_) => Err(format!("not an Avro schema: {value}")),
        }
    }

    fn name(&self, name: &str, namespace: &str) -> Result<Schema, String> {
        Ok(match name {
            "null" => Schema::Null,
            "boolean" => Schema::Boolean,
            "int" | "long" => Schema::Integer(Logical::Plain),
            "float" => Schema::Float,
            "double" => Schema::Double,
            "bytes" => Schema::Bytes(Logical::Plain),
            "string" => Schema::String,
            other => {
                let found = self.named.get(&full_name(other, namespace)).or_else(|| self.named.get(other));
                return found.cloned().ok_or_else(|| format!("unknown or recursive Avro type \"{other}\""));
            }
        })
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str, depth: usize) -> Result<Schema, String> {
        let kind = object.get("type").ok_or("an Avro schema has no \"type\"")?;
        let Value::String(kind) = kind else { return self.schema(kind, namespace, depth + 1) };
        let inner = |key: &str| object.get(key).ok_or_else(|| format!("an Avro {kind} has no \"{key}\""));
        let own = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let name = object.get("name").and_then(Value::as_str).map(|name| full_name(name, own));
        let space = name.as_deref().and_then(|name| name.rsplit_once('.')).map_or(own, |(space, _)| space).to_owned();
        let schema = match kind.as_str() {
            "array" => Schema::Array(Box::new(self.schema(inner("items")?, namespace, depth + 1)?)),
            "map" => Schema::Map(Box::new(self.schema(inner("values")?, namespace, depth + 1)?)),
            "enum" => {
                let symbols = inner("symbols")?.as_array().map(Vec::as_slice).unwrap_or_default();
                Schema::Enum(symbols.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            "fixed" => {
                let size = inner("size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                Schema::Fixed(size.ok_or("an Avro fixed has no size")?, logical(object)?)
            }
            "record" | "error" => {
                let mut fields = Vec::new();
                for field in inner("fields")?.as_array().map(Vec::as_slice).unwrap_or_default() {
                    let name = field.get("name").and_then(Value::as_str).ok_or("an Avro field has no \"name\"")?;
                    let kind = field.get("type").ok_or_else(|| format!("the Avro field \"{name}\" has no \"type\""))?;
                    let schema = self.schema(kind, &space, depth + 1)?;
                    fields.push(SchemaField { name: name.to_owned(), schema, slot: None });
                }
                Schema::Record(fields)
            }
            primitive => match self.name(primitive, namespace)? {
                Schema::Integer(_) => Schema::Integer(logical(object)?),
                Schema::Bytes(_) => Schema::Bytes(logical(object)?),
                other => return Ok(other),
            },
        };
        if let Some(name) = name {
            self.named.insert(name, schema.clone());
        }
        Ok(schema)
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn logical(object: &Map<String, Value>) -> Result<Logical, String> {
    Ok(match object.get("logicalType").and_then(Value::as_str) {
        Some("date") => Logical::Date,
        Some("time-millis") => Logical::Time(1_000),
        Some("time-micros") => Logical::Time(1_000_000),
        Some("timestamp-millis" | "local-timestamp-millis") => Logical::Timestamp(1_000),
        Some("timestamp-micros" | "local-timestamp-micros") => Logical::Timestamp(1_000_000),
        Some("timestamp-nanos" | "local-timestamp-nanos") => Logical::Timestamp(1_000_000_000),
        Some("decimal") => {
            let scale = object.get("scale").map_or(Some(0), Value::as_i64);
            let scale = scale.and_then(|scale| i8::try_from(scale).ok()).filter(|scale| (0..=38).contains(scale));
            Logical::Decimal(scale.ok_or("an Avro decimal has a scale that is out of range")?)
        }
        // An unknown logical type is ignored, as the specification says.
        Some(_) | None => Logical::Plain,
    })
}
