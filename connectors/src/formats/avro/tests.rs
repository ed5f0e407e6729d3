//! Avro: bytes as the specification gives them, rows back and forth, schemas that differ from the columns.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema as ArrowSchema, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use millstream_engine::message::Delta;
use millstream_engine::ports::OptionValues;

use super::decode::AvroMessages;
use super::encode::AvroMessageEncoder;
use super::schema::Schema;
use super::{AvroFormat, schema_of_columns};
use crate::formats::RecordDecoder;
use crate::formats::json::{JsonDecoder, JsonFormat};
use crate::formats::message::{MessageDecoder, MessageEncoder, Messages};

fn plain() -> AvroFormat {
    AvroFormat::plain(&OptionValues::default()).unwrap()
}

fn fields(of: Vec<Field>) -> Fields {
    of.into()
}

/// Rows from JSON lines.
fn rows(columns: &Fields, lines: &str) -> RecordBatch {
    let wanted: Vec<_> = (0..columns.len()).map(|index| (index, None)).collect();
    let mut decoder =
        JsonDecoder::new(JsonFormat::from_options(&OptionValues::default()).unwrap(), columns, &wanted).unwrap();
    let mut rejects = millstream_engine::rejects::Rejects::default();
    let mut progress = crate::formats::Progress { source: "test", line: 0, rejects: &mut rejects };
    decoder.decode(lines.as_bytes(), true, usize::MAX, &mut progress).unwrap();
    decoder.finish().unwrap()
}

fn encoded(format: &AvroFormat, batch: &RecordBatch) -> Vec<Vec<u8>> {
    let mut messages = Messages::default();
    let mut encoder = AvroMessageEncoder::new(format, batch.schema().fields()).unwrap();
    encoder.encode(&Delta::append(batch.clone()), &mut messages).unwrap();
    (0..batch.num_rows()).map(|row| messages.get(row).unwrap().to_vec()).collect()
}

fn decoded(columns: &Fields, messages: &[Vec<u8>]) -> RecordBatch {
    let wanted: Vec<_> = (0..columns.len()).map(|index| (index, None)).collect();
    let mut decoder = AvroMessages::new(&plain(), columns, &wanted).unwrap();
    for message in messages {
        assert!(!decoder.decode(message, &"here").unwrap());
    }
    decoder.finish().unwrap().batch
}

fn all_types() -> Fields {
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let inner = fields(vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, false)]);
    let entries = fields(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Float64, true)]);
    let entries = Arc::new(Field::new("entries", DataType::Struct(entries), false));
    fields(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("small", DataType::Int8, true),
        Field::new("flag", DataType::Boolean, true),
        Field::new("f", DataType::Float32, true),
        Field::new("d", DataType::Float64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("bytes", DataType::Binary, true),
        Field::new("day", DataType::Date32, true),
        Field::new("clock", DataType::Time32(TimeUnit::Millisecond), true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("ts6", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("price", DataType::Decimal128(20, 2), true),
        Field::new("list", DataType::List(item), true),
        Field::new("row", DataType::Struct(inner), true),
        Field::new("map", DataType::Map(entries, false), true),
    ])
}

const LINES: &str = r#"
{"id":1,"small":-3,"flag":true,"f":1.5,"d":-0.25,"name":"ü","bytes":"AAEC","day":"1969-12-31","clock":"01:02:03.004","ts":"2024-01-01 00:00:00.123","ts6":"1960-01-01 00:00:00.000001Z","price":-123456789012345678.90,"list":[1,null,-9223372036854775808],"row":{"x":null,"y":"z"},"map":{"k":1.5,"l":null}}
{"id":-2}
{"id":3,"list":[],"row":{"x":7,"y":""},"map":{},"price":0}
"#;

#[test]
fn rows_come_back() {
    let columns = all_types();
    let batch = rows(&columns, LINES);
    assert_eq!(decoded(&columns, &encoded(&plain(), &batch)), batch);
}

#[test]
fn bytes_are_those_of_the_specification() {
    // "The record {a: 27, b: "foo"} is 36 06 66 6f 6f."
    let columns = fields(vec![Field::new("a", DataType::Int64, false), Field::new("b", DataType::Utf8, false)]);
    let batch = rows(&columns, r#"{"a":27,"b":"foo"}"#);
    assert_eq!(encoded(&plain(), &batch), [vec![0x36, 0x06, 0x66, 0x6f, 0x6f]]);
    let columns = fields(vec![Field::new("p", DataType::Decimal128(5, 1), true)]);
    let batch = rows(&columns, "{\"p\":-12.8}\n{\"p\":12.8}\n{\"p\":null}");
    assert_eq!(encoded(&plain(), &batch), [vec![2, 2, 0x80], vec![2, 4, 0x00, 0x80], vec![0]]);
}

#[test]
fn a_message_that_is_cut_or_too_long_is_an_error_and_leaves_no_row() {
    let columns = all_types();
    let batch = rows(&columns, LINES);
    let whole = encoded(&plain(), &batch).remove(0);
    let wanted: Vec<_> = (0..columns.len()).map(|index| (index, None)).collect();
    let mut decoder = AvroMessages::new(&plain(), &columns, &wanted).unwrap();
    for end in 0..whole.len() {
        let error = decoder.decode(&whole[..end], &"topic \"t\" partition 0 offset 7").unwrap_err();
        assert!(error.to_string().starts_with("topic \"t\" partition 0 offset 7"), "{error}");
        assert_eq!(decoder.rows(), 0);
    }
    assert!(decoder.decode(&[whole.clone(), vec![0]].concat(), &"here").is_err());
    assert!(!decoder.decode(&whole, &"here").unwrap());
    assert_eq!(decoder.finish().unwrap().batch, batch.slice(0, 1));
}

#[test]
fn only_what_is_asked_for_is_read() {
    let columns = all_types();
    let batch = rows(&columns, LINES);
    let mut decoder = AvroMessages::new(&plain(), &columns, &[(13, Some(vec![1])), (0, None)]).unwrap();
    for message in encoded(&plain(), &batch) {
        decoder.decode(&message, &"here").unwrap();
    }
    let found = pretty_format_batches(&[decoder.finish().unwrap().batch]).unwrap().to_string();
    assert!(found.contains("y: z") && found.contains("-2"), "{found}");
}

#[test]
fn schemas_are_parsed_as_the_specification_says() {
    let text = r#"{"type":"record","name":"a.R","fields":[
        {"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}},
        {"name":"again","type":["null","E"]},
        {"name":"f","type":{"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":9,"scale":2}}]}"#;
    let Schema::Record(found) = Schema::parse(text).unwrap() else { panic!("no record") };
    let symbols = Schema::Enum(vec!["X".into(), "Y".into()]);
    assert_eq!(found[1].schema, Schema::Union(vec![Schema::Null, symbols]));
    for (bad, what) in [
        ("{", "no JSON"),
        (r#"{"type":"record","name":"R"}"#, "fields"),
        (r#"{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}"#, "recursive"),
        ("42", "not an Avro schema"),
    ] {
        let error = Schema::parse(bad).unwrap_err();
        assert!(error.contains(what), "{bad}: {error}");
    }
    let own = schema_of_columns::json(&all_types()).unwrap();
    assert!(Schema::parse(&own).is_ok(), "{own}");
    let schema = ArrowSchema::new(vec![Field::new("u", DataType::UInt64, true)]);
    assert!(schema_of_columns::json(schema.fields()).is_err());
}
