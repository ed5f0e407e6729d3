//! The Avro schema that follows from declared columns, as Flink's: nullable columns are unions with null.

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use millstream_engine::error::{EngineError, Result};
use serde_json::{Value, json};

use crate::formats::sql_name;
use crate::formats::types::map_fields;

/// The namespace and the name of the outermost record.
const NAME: &str = "org.apache.flink.avro.generated.record";

/// The schema as JSON.
///
/// # Errors
/// Names the first column of a type that Avro does not carry.
pub(super) fn json(columns: &Fields) -> Result<String> {
    Ok(record(columns, NAME)?.to_string())
}

/// The schema of messages that tell of changes of rows, as JSON.
///
/// # Errors
/// Names the first column of a type that Avro does not carry.
pub(super) fn envelope(columns: &Fields) -> Result<String> {
    let row = |part: &str| -> Result<Value> {
        let row = record(columns, &format!("{NAME}_{part}"))?;
        Ok(json!({"name": part, "type": ["null", row], "default": null}))
    };
    let op = json!({"name": "op", "type": ["null", "string"], "default": null});
    Ok(json!({"type": "record", "name": NAME, "fields": [row("before")?, row("after")?, op]}).to_string())
}

fn record(fields: &Fields, name: &str) -> Result<Value> {
    let field = |field: &std::sync::Arc<Field>| -> Result<Value> {
        let schema = of_field(field, &format!("{name}_{}", field.name()))?;
        Ok(match field.is_nullable() {
            true => json!({"name": field.name(), "type": schema, "default": null}),
            false => json!({"name": field.name(), "type": schema}),
        })
    };
    let fields = fields.iter().map(field).collect::<Result<Vec<_>>>()?;
    Ok(json!({"type": "record", "name": name, "fields": fields}))
}

fn of_field(field: &Field, name: &str) -> Result<Value> {
    let schema = of_type(field.data_type(), name)
        .ok_or_else(|| EngineError::config(format!("Avro cannot carry type {}", sql_name(field.data_type()))))??;
    Ok(if field.is_nullable() { json!(["null", schema]) } else { schema })
}

/// `None` where Avro does not carry the type.
fn of_type(data_type: &DataType, name: &str) -> Option<Result<Value>> {
    let timestamp = |unit: &str| json!({"type": "long", "logicalType": format!("timestamp-{unit}")});
    Some(Ok(match data_type {
        DataType::Boolean => json!("boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Date32 => json!({"type": "int", "logicalType": "date"}),
        DataType::Time32(TimeUnit::Millisecond) => json!({"type": "int", "logicalType": "time-millis"}),
        DataType::Time64(TimeUnit::Microsecond) => json!({"type": "long", "logicalType": "time-micros"}),
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, _) => timestamp("millis"),
        DataType::Timestamp(TimeUnit::Microsecond, _) => timestamp("micros"),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => timestamp("nanos"),
        DataType::Decimal128(precision, scale) => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        DataType::Struct(fields) => return Some(record(fields, name)),
        DataType::List(item) => match of_field(item, name) {
            Ok(items) => json!({"type": "array", "items": items}),
            Err(error) => return Some(Err(error)),
        },
        DataType::Map(entries, _) => {
            let (key, value) = map_fields(entries)?;
            if key.data_type() != &DataType::Utf8 {
                return None;
            }
            match of_field(value, name) {
                Ok(values) => json!({"type": "map", "values": values}),
                Err(error) => return Some(Err(error)),
            }
        }
        _ => return None,
    }))
}
