//! Protobuf: bytes that prost-reflect has written are read, what we write it reads; odd but sound bytes. Broken ones and
//! schemas that do not fit: [`super::fault_tests`].

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use expect_test::{Expect, expect};
use millstream_engine::message::Delta;
use millstream_engine::ports::OptionValues;
use prost_reflect::{DynamicMessage, MapKey, Value};

use super::{ProtobufFormat, ProtobufMessageEncoder, ProtobufMessages};
use crate::formats::message::{MessageDecoder, MessageEncoder, Messages};

/// Messages with fields of all kinds.
pub(in crate::formats) const PROTO: &str = r#"
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

enum Color { COLOR_NONE = 0; RED = 1; BLUE = 7; }

message Order {
  int64 id = 1;
  string name = 2;
  optional double price = 3;
  Color color = 4;
  repeated int32 sizes = 5;
  map<string, int64> counts = 6;
  Place place = 7;
  oneof paid { string card = 8; int64 cash = 9; }
  google.protobuf.Timestamp at = 10;
  repeated Place stops = 11;
  uint64 big = 12;
  sint32 delta = 13;
  google.protobuf.StringValue note = 14;
  bytes raw = 15;
  fixed64 wide = 300;
  bool yes = 16;
  float share = 17;
  map<int32, Place> places = 18;
  repeated string tags = 19;
}

message Place { string city = 1; int32 zip = 2; Place inner = 3; }
"#;

pub(in crate::formats) fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

pub(in crate::formats) fn place() -> DataType {
    DataType::Struct(Fields::from(vec![field("city", DataType::Utf8), field("zip", DataType::Int32)]))
}

pub(in crate::formats) fn map(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), field("value", value)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

pub(in crate::formats) fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(field("item", item)))
}

pub(in crate::formats) fn all_columns() -> Fields {
    Fields::from(vec![
        field("id", DataType::Int64),
        field("name", DataType::Utf8),
        field("price", DataType::Float64),
        field("color", DataType::Utf8),
        field("sizes", list(DataType::Int32)),
        field("counts", map(DataType::Utf8, DataType::Int64)),
        field("place", place()),
        field("card", DataType::Utf8),
        field("cash", DataType::Int64),
        field("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
        field("stops", list(place())),
        field("big", DataType::Decimal128(20, 0)),
        field("delta", DataType::Int32),
        field("note", DataType::Utf8),
        field("raw", DataType::Binary),
        field("wide", DataType::Decimal128(20, 0)),
        field("yes", DataType::Boolean),
        field("share", DataType::Float32),
        field("places", map(DataType::Int32, place())),
        field("tags", list(DataType::Utf8)),
    ])
}

/// The format for a message of [`PROTO`], or of other text.
pub(in crate::formats) fn format_of(
    text: &str,
    more: &[(&str, &str)],
) -> millstream_engine::error::Result<ProtobufFormat> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.proto");
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    let path = path.display().to_string();
    let mut options = vec![("protobuf.schema-file", path.as_str()), ("protobuf.message-name", "Order")];
    options.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
    options.extend(more.iter().filter(|(_, value)| !value.is_empty()));
    let options = options.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    ProtobufFormat::from_options(&OptionValues(options.collect()))
}

pub(in crate::formats) fn order() -> ProtobufFormat {
    format_of(PROTO, &[]).unwrap()
}

pub(in crate::formats) fn decoded(format: &ProtobufFormat, columns: &Fields, messages: &[Vec<u8>]) -> RecordBatch {
    let wanted: Vec<_> = (0..columns.len()).map(|index| (index, None)).collect();
    let mut decoder = ProtobufMessages::new(format, columns, &wanted).unwrap();
    for message in messages {
        assert!(!decoder.decode(message, &"here").unwrap());
    }
    decoder.finish().unwrap().batch
}

pub(in crate::formats) fn encoded(format: &ProtobufFormat, batch: &RecordBatch) -> Vec<Vec<u8>> {
    let mut messages = Messages::default();
    let mut encoder = ProtobufMessageEncoder::new(format, batch.schema().fields()).unwrap();
    encoder.encode(&Delta::append(batch.clone()), &mut messages).unwrap();
    (0..batch.num_rows()).map(|row| messages.get(row).unwrap().to_vec()).collect()
}

/// A message from Protobuf's JSON.
fn message(format: &ProtobufFormat, set: impl FnOnce(&mut DynamicMessage)) -> Vec<u8> {
    let mut message = DynamicMessage::new(format.message.clone());
    set(&mut message);
    let mut bytes = Vec::new();
    prost_encode(&message, &mut bytes);
    bytes
}

fn prost_encode(message: &DynamicMessage, into: &mut Vec<u8>) {
    use prost_reflect::prost::Message as _;
    message.encode(into).unwrap();
}

fn shows(batch: &RecordBatch, want: &Expect) {
    want.assert_eq(&pretty_format_batches(std::slice::from_ref(batch)).unwrap().to_string());
}

fn sub(format: &ProtobufFormat, name: &str, fields: &[(&str, Value)]) -> Value {
    let pool = format.message.parent_pool();
    let mut message = DynamicMessage::new(pool.get_message_by_name(name).unwrap());
    for (name, value) in fields {
        message.set_field_by_name(name, value.clone());
    }
    Value::Message(message)
}

pub(in crate::formats) fn full(format: &ProtobufFormat) -> Vec<u8> {
    let text = |text: &str| Value::String(text.to_owned());
    let place = |city: &str, zip| sub(format, "shop.Place", &[("city", text(city)), ("zip", Value::I32(zip))]);
    message(format, |order| {
        for (name, value) in [
            ("id", Value::I64(-5)),
            ("name", text("ü")),
            ("price", Value::F64(0.0)),
            ("color", Value::EnumNumber(7)),
            ("sizes", Value::List(vec![Value::I32(1), Value::I32(-1), Value::I32(300)])),
            ("counts", Value::Map([(MapKey::String("a".into()), Value::I64(3))].into())),
            ("place", place("Kiel", 24103)),
            ("cash", Value::I64(12)),
            (
                "at",
                sub(
                    format,
                    "google.protobuf.Timestamp",
                    &[("seconds", Value::I64(-1)), ("nanos", Value::I32(5_000_000))],
                ),
            ),
            ("stops", Value::List(vec![place("A", 0), place("", 2)])),
            ("big", Value::U64(u64::MAX)),
            ("delta", Value::I32(-3)),
            ("note", sub(format, "google.protobuf.StringValue", &[("value", text("hi"))])),
            ("raw", Value::Bytes(vec![0, 255].into())),
            ("wide", Value::U64(9)),
            ("yes", Value::Bool(true)),
            ("share", Value::F32(0.5)),
            ("places", Value::Map([(MapKey::I32(4), place("P", 1))].into())),
            ("tags", Value::List(vec![text(""), text("x")])),
        ] {
            order.set_field_by_name(name, value);
        }
    })
}

#[test]
fn what_another_implementation_writes_is_read() {
    let format = order();
    let batch = decoded(&format, &all_columns(), &[full(&format), Vec::new()]);
    shows(
        &batch.project(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap(),
        &expect![[r#"
        +----+------+-------+------------+--------------+--------+--------------------------+------+------+-------------------------+
        | id | name | price | color      | sizes        | counts | place                    | card | cash | at                      |
        +----+------+-------+------------+--------------+--------+--------------------------+------+------+-------------------------+
        | -5 | ü    | 0.0   | BLUE       | [1, -1, 300] | {a: 3} | {city: Kiel, zip: 24103} |      | 12   | 1969-12-31T23:59:59.005 |
        | 0  |      |       | COLOR_NONE |              |        |                          |      |      |                         |
        +----+------+-------+------------+--------------+--------+--------------------------+------+------+-------------------------+"#]],
    );
    shows(
        &batch.project(&[10, 11, 12, 13, 14, 15, 16, 17, 18, 19]).unwrap(),
        &expect![[r#"
        +---------------------------------------+----------------------+-------+------+------+------+-------+-------+------------------------+-------+
        | stops                                 | big                  | delta | note | raw  | wide | yes   | share | places                 | tags  |
        +---------------------------------------+----------------------+-------+------+------+------+-------+-------+------------------------+-------+
        | [{city: A, zip: 0}, {city: , zip: 2}] | 18446744073709551615 | -3    | hi   | 00ff | 9    | true  | 0.5   | {4: {city: P, zip: 1}} | [, x] |
        |                                       | 0                    | 0     |      |      | 0    | false | 0.0   |                        |       |
        +---------------------------------------+----------------------+-------+------+------+------+-------+-------+------------------------+-------+"#]],
    );
}

#[test]
fn what_is_written_is_the_same_bytes() {
    let format = order();
    let batch = decoded(&format, &all_columns(), &[full(&format), Vec::new()]);
    let written = encoded(&format, &batch);
    // Fields come in the order of the columns; the other implementation reads them, and finds the same message.
    let read = |bytes: &[u8]| DynamicMessage::decode(format.message.clone(), bytes).unwrap();
    assert_eq!(read(&written[0]), read(&full(&format)));
    assert_eq!(written[1], b"");
    assert_eq!(decoded(&format, &all_columns(), &written), batch);
}

#[test]
fn only_what_is_asked_for_is_built() {
    let format = order();
    let columns = all_columns();
    let mut decoder = ProtobufMessages::new(&format, &columns, &[(6, Some(vec![1])), (0, None)]).unwrap();
    decoder.decode(&full(&format), &"here").unwrap();
    shows(
        &decoder.finish().unwrap().batch,
        &expect![[r#"
        +----------------------+----+
        | place                | id |
        +----------------------+----+
        | {city: , zip: 24103} | -5 |
        +----------------------+----+"#]],
    );
}

#[test]
fn fields_come_in_any_order_and_more_than_once() {
    let format = order();
    let columns = Fields::from(vec![
        field("id", DataType::Int64),
        field("sizes", list(DataType::Int32)),
        field("place", place()),
        field("card", DataType::Utf8),
        field("color", DataType::Utf8),
    ]);
    let bytes = [
        &[0x28, 1][..],                     // sizes: 1, on its own
        &[0x3a, 3, 0x0a, 1, b'x'],          // place.city
        &[0x42, 1, b'c'],                   // card, which goes when cash comes
        &[0x08, 1],                         // id
        &[0x2a, 2, 2, 3],                   // sizes: 2, 3, packed
        &[0x3a, 2, 0x10, 9],                // place.zip, which is added
        &[0xa3, 0x06, 0x08, 1, 0xa4, 0x06], // an unknown group, 100
        &[0x48, 1],                         // cash
        &[0x08, 2],                         // id again: the last one counts
        &[0x20, 99],                        // a color of a later version
    ]
    .concat();
    shows(
        &decoded(&format, &columns, &[bytes]),
        &expect![[r#"
        +----+-----------+-------------------+------+-------+
        | id | sizes     | place             | card | color |
        +----+-----------+-------------------+------+-------+
        | 2  | [1, 2, 3] | {city: x, zip: 9} |      | 99    |
        +----+-----------+-------------------+------+-------+"#]],
    );
}

#[test]
fn what_is_missing_is_null_or_the_default() {
    let proto2 = r#"syntax = "proto2"; message Order {
        optional int32 a = 1 [default = 42]; optional string b = 2; repeated int32 c = 3; optional In d = 4;
        message In { optional bool e = 1 [default = true]; } }"#;
    let inner = DataType::Struct(Fields::from(vec![field("e", DataType::Boolean)]));
    let columns = Fields::from(vec![
        field("a", DataType::Int32),
        field("b", DataType::Utf8),
        field("c", list(DataType::Int32)),
        field("d", inner),
    ]);
    let nulls = decoded(&format_of(proto2, &[]).unwrap(), &columns, &[Vec::new()]);
    shows(
        &nulls,
        &expect![[r#"
        +---+---+---+---+
        | a | b | c | d |
        +---+---+---+---+
        |   |   |   |   |
        +---+---+---+---+"#]],
    );
    let defaults = format_of(proto2, &[("protobuf.read-default-values", "true")]).unwrap();
    shows(
        &decoded(&defaults, &columns, &[Vec::new()]),
        &expect![[r#"
        +----+---+----+-----------+
        | a  | b | c  | d         |
        +----+---+----+-----------+
        | 42 |   | [] | {e: true} |
        +----+---+----+-----------+"#]],
    );
}

#[test]
fn nulls_within_arrays_and_maps_are_written_as_declared() {
    let columns = Fields::from(vec![field("tags", list(DataType::Utf8)), field("sizes", list(DataType::Int32))]);
    let options = OptionValues::default();
    let json = crate::formats::json::JsonFormat::from_options(&options).unwrap();
    let wanted = [(0, None), (1, None)];
    let mut rows = crate::formats::json::JsonDecoder::new(json, &columns, &wanted).unwrap();
    rows.record(br#"{"tags": ["a", null], "sizes": [null, 2]}"#).unwrap();
    let batch = crate::formats::RecordDecoder::finish(&mut rows).unwrap();
    let format = format_of(PROTO, &[("protobuf.write-null-string-literal", "NIL")]).unwrap();
    assert_eq!(encoded(&format, &batch)[0], b"\x9a\x01\x01a\x9a\x01\x03NIL\x2a\x02\x00\x02");
}
