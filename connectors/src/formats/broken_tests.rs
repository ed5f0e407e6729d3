//! Every decoder takes broken input without a panic, soon, and in bounded memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use millstream_engine::ports::OptionValues;
use millstream_engine::rejects::{OnError, Rejects};
use parquet::arrow::arrow_writer::ArrowWriter;

use super::avro::AvroFileEncoder;
use super::message::{MessageFormat, Role};
use super::protobuf::tests as proto;
use super::{Format, Progress, RecordEncoder};
use crate::filesystem::FileReader;

#[path = "../../../tests/src/broken.rs"]
mod broken;

/// Columns of most types that text formats carry.
fn columns() -> Fields {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
    let row = DataType::Struct(vec![field("a", DataType::Int64), field("b", list(DataType::Utf8))].into());
    vec![
        field("id", DataType::Int64),
        field("small", DataType::Int16),
        field("name", DataType::Utf8),
        field("data", DataType::Binary),
        field("price", DataType::Decimal128(10, 2)),
        field("share", DataType::Float64),
        field("yes", DataType::Boolean),
        field("day", DataType::Date32),
        field("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
        field("row", row.clone()),
        field("rows", list(row)),
    ]
    .into()
}

/// Those of them that one text stands for.
fn scalars() -> Fields {
    columns().iter().filter(|field| !field.data_type().is_nested()).cloned().collect()
}

fn options(pairs: &[(&str, &str)]) -> OptionValues {
    OptionValues(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn wanted(columns: &Fields) -> Vec<super::WantedColumn> {
    (0..columns.len()).map(|index| (index, None)).collect()
}

const JSON: &str = r#"{"id":1,"small":-7,"name":"a\u00e9\"x","data":"AAEC","price":"12.50","share":1.5e-3,"yes":true,"day":"2024-02-29","at":"2024-01-01 10:00:00.123","row":{"a":1,"b":["x",null]},"rows":[{"a":2,"b":[]},null]}"#;
const JSON_WORDS: [&[u8]; 14] = [
    b"{",
    b"[",
    b"\"",
    b":",
    b",",
    b"null",
    b"{\"row\":",
    b"{\"b\":[",
    b"\\u",
    b"}",
    b"]",
    b"{\"payload\":",
    b"\"id\"",
    b"\n",
];

/// Reads a file of a format in two pieces, whatever is done with rows that fail.
fn file(format: &Format, columns: &Fields, bytes: &[u8], on_error: OnError) {
    let mut rejects = Rejects::new(on_error);
    let mut progress = Progress { source: "f", line: 0, rejects: &mut rejects };
    let mut decoder = format.decoder(columns, &wanted(columns)).unwrap().unwrap();
    let Ok(Some(header)) = decoder.header(bytes, true, &mut progress) else { return };
    let bytes = bytes.get(header..).unwrap_or_default();
    let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
    let Ok(taken) = decoder.decode(half, false, 1_000, &mut progress) else { return };
    assert!(taken <= half.len());
    let mut rest = bytes.get(taken..).unwrap_or_default();
    loop {
        let Ok(taken) = decoder.decode(rest, true, 1_000, &mut progress) else { return };
        let rows = decoder.rows();
        let Ok(batch) = decoder.finish() else { return };
        assert_eq!(batch.num_rows(), rows);
        if taken == 0 || rest.is_empty() {
            return;
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
}

fn files(name: &str, pairs: &[(&str, &str)], columns: &Fields, corpus: &[Vec<u8>], words: &[&[u8]]) {
    let format = Format::from_options("t", &options(pairs)).unwrap();
    let mut turn = 0;
    broken::run(name, corpus, words, |bytes| {
        turn += 1;
        let policies = [OnError::Fail, OnError::Skip, OnError::Table];
        file(&format, columns, bytes, policies[turn % 3]);
    });
}

/// Reads messages, one whole and one behind it.
fn messages(name: &str, format: &MessageFormat, columns: &Fields, corpus: &[Vec<u8>], words: &[&[u8]]) {
    let mut decoder = format.decoder(columns, &wanted(columns)).unwrap();
    broken::run(name, corpus, words, |bytes| {
        let before = decoder.rows();
        let decoded = decoder.decode(bytes, &"here");
        assert!(decoded.is_ok() || decoder.rows() == before, "rows are left of a message that failed");
        if decoder.rows() > 100 {
            decoder.finish().unwrap();
        }
    });
    decoder.finish().unwrap();
}

#[test]
fn json() {
    let corpus = vec![JSON.as_bytes().to_vec(), format!("{JSON}\n{{}}\n{JSON}\r\n").into_bytes()];
    files("json", &[("format", "json")], &columns(), &corpus, &JSON_WORDS);
    files(
        "json-lenient",
        &[("format", "json"), ("json.ignore-parse-errors", "true")],
        &columns(),
        &corpus,
        &JSON_WORDS,
    );
}

#[test]
fn csv() {
    let line = "1,-7,\"a\"\"b\",AAEC,12.50,1.5e3,true,2024-02-29,2024-01-01 10:00:00.123\n";
    let corpus = vec![line.repeat(3).into_bytes(), format!("\"x\ny\"{line}#{line}").into_bytes()];
    let words: [&[u8]; 8] = [b",", b"\"", b"\n", b"\r\n", b"\"\"", b"\\", b"#", b";"];
    files("csv", &[("format", "csv"), ("csv.allow-comments", "true")], &scalars(), &corpus, &words);
    let escaped = [("format", "csv"), ("csv.escape-character", "\\"), ("csv.ignore-parse-errors", "true")];
    files("csv-escaped", &escaped, &scalars(), &corpus, &words);
    let header = format!("name,id,AT,other\nx,1,2024-01-01 10:00:00,y\n{line}").into_bytes();
    files("csv-header", &[("format", "csv"), ("csv.header", "true")], &scalars(), &[header], &words);
    let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    let row = vec![Field::new("a", DataType::Int64, false), Field::new("b", DataType::Decimal128(5, 2), true)];
    let nested: Fields =
        vec![Field::new("list", list, true), Field::new("row", DataType::Struct(row.into()), true)].into();
    let corpus = vec![b"a;b;,1;2.5\n\"\",;1\n\"x;\"\"y\",\n".to_vec()];
    let null = [("format", "csv"), ("csv.null-literal", "a"), ("csv.ignore-parse-errors", "true")];
    files("csv-nested", &[("format", "csv")], &nested, &corpus, &words);
    files("csv-nested-null", &null, &nested, &corpus, &words);
}

#[test]
fn raw() {
    let columns: Fields = vec![Field::new("line", DataType::Utf8, true)].into();
    files("raw", &[("format", "raw")], &columns, &[b"a\n\nb\r\nc".to_vec()], &[b"\n", b"\r"]);
}

#[test]
fn changes() {
    let debezium = format!(r#"{{"before":{JSON},"after":{JSON},"op":"u","ts_ms":1,"source":{{"db":"d"}}}}"#);
    let canal =
        format!(r#"{{"data":[{JSON}],"old":[{{"name":"b"}}],"type":"UPDATE","ts":1,"database":"d","table":"t"}}"#);
    let maxwell =
        format!(r#"{{"data":{JSON},"old":{{"name":"b"}},"type":"update","ts":1,"database":"d","table":"t"}}"#);
    for (name, message) in [("debezium-json", debezium), ("canal-json", canal), ("maxwell-json", maxwell)] {
        let corpus = vec![
            message.clone().into_bytes(),
            message.replace("update", "insert").replace("\"u\"", "\"c\"").into_bytes(),
        ];
        files(name, &[("format", name)], &columns(), &corpus, &JSON_WORDS);
        let format = MessageFormat::from_options(Role::Value, &options(&[("format", name)])).unwrap().unwrap();
        messages(&format!("{name}-message"), &format, &columns(), &corpus, &JSON_WORDS);
    }
}

#[test]
fn messages_of_text() {
    for (name, columns) in [("json", columns()), ("csv", scalars())] {
        let format = MessageFormat::from_options(Role::Value, &options(&[("format", name)])).unwrap().unwrap();
        let corpus = vec![JSON.as_bytes().to_vec(), b"1,2,x,AAEC,3,4,true,2024-01-01,2024-01-01 00:00:00".to_vec()];
        messages(&format!("{name}-message"), &format, &columns, &corpus, &JSON_WORDS);
    }
}

fn rows() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter((0..300).map(|row| (row % 3 > 0).then_some(row))));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..300).map(|row| format!("n{}", row % 17))));
    let shares: ArrayRef = Arc::new(Float64Array::from_iter_values((0..300).map(f64::from)));
    let inner = Fields::from(vec![Field::new("x", DataType::Float64, true), Field::new("y", DataType::Utf8, true)]);
    let row: ArrayRef = Arc::new(StructArray::new(inner, vec![Arc::clone(&shares), Arc::clone(&names)], None));
    RecordBatch::try_from_iter_with_nullable([
        ("id", ids, true),
        ("name", names, true),
        ("share", shares, true),
        ("row", row, true),
    ])
    .unwrap()
}

#[test]
fn avro() {
    let batch = rows();
    let columns = batch.schema().fields().clone();
    let mut encoder = AvroFileEncoder::new(&columns).unwrap();
    let mut bytes = Vec::new();
    encoder.header(&mut bytes);
    encoder.encode(&batch.slice(0, 5), &mut bytes).unwrap();
    encoder.encode(&batch, &mut bytes).unwrap();
    let words: [&[u8]; 9] = [
        b"\x00",
        b"\x02",
        b"\x01",
        b"null",
        b"deflate",
        b"snappy",
        b"\"record\"",
        b"{\"type\":\"array\",\"items\":",
        b"Obj\x01",
    ];
    files("avro-file", &[("format", "avro")], &columns, &[bytes], &words);
    let format = MessageFormat::from_options(Role::Value, &options(&[("format", "avro")])).unwrap().unwrap();
    let mut encoder = format.encoder(&columns).unwrap();
    let mut encoded = super::message::Messages::default();
    encoder.encode(&millstream_engine::message::Delta::append(batch.slice(0, 5)), &mut encoded).unwrap();
    let corpus: Vec<Vec<u8>> = (0..5).map(|row| encoded.get(row).unwrap().to_vec()).collect();
    messages("avro-message", &format, &columns, &corpus, &words);
}

#[test]
fn protobuf() {
    let format = proto::order();
    let columns = proto::all_columns();
    let line = r#"{"id":1,"name":"x","price":1.5,"color":"RED","sizes":[1,2],"counts":{"a":1},"place":{"city":"c","zip":2},"cash":7,"stops":[{"city":"d"}],"big":3,"delta":-4,"note":"n","raw":"AAEC","yes":true,"share":0.5,"tags":["t"]}"#;
    let mut rejects = Rejects::default();
    let mut progress = Progress { source: "t", line: 0, rejects: &mut rejects };
    let json = Format::from_options("t", &options(&[("format", "json")])).unwrap();
    let mut decoder = json.decoder(&columns, &wanted(&columns)).unwrap().unwrap();
    decoder.decode(line.as_bytes(), true, 10, &mut progress).unwrap();
    let corpus = proto::encoded(&format, &decoder.finish().unwrap());
    let words: [&[u8]; 7] = [b"\x3a\x7f", b"\x3a", b"\x0a\x01x", b"\x3b", b"\x0b", b"\x92\x01", b"\x5a\x02\x0a\x00"];
    messages("protobuf", &MessageFormat::Protobuf(Box::new(format)), &columns, &corpus, &words);
}

#[test]
fn parquet() {
    let batch = rows();
    let columns = batch.schema().fields().clone();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::new(Schema::new(columns.clone())), None).unwrap();
    writer.write(&batch).unwrap();
    let corpus = [writer.into_inner().unwrap()];
    let words: [&[u8]; 4] = [b"PAR1", b"\x15\x00", b"\x19", b"\xff\xff\xff\x7f"];
    broken::run("parquet", &corpus, &words, |bytes| {
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        let opened = super::parquet::open(bytes, "f", &columns, &wanted(&columns), 0..u64::MAX);
        let Ok(mut file) = opened else { return };
        let mut rejects = Rejects::default();
        while let Ok(Some(_)) = file.next(1_000, &mut rejects) {}
    });
}

#[test]
fn schemas_are_found_in_broken_files() {
    let dir = tempfile::tempdir().unwrap();
    let endings: HashMap<bool, &str> = HashMap::from([(true, "x.json"), (false, "x.csv")]);
    for (json, name) in endings {
        let path = dir.path().join(name);
        let corpus = [JSON.as_bytes().to_vec(), b"a,b\n1,\"x\"\n2,2024-01-01\n".to_vec()];
        broken::run(name, &corpus, &JSON_WORDS, |bytes| {
            std::fs::write(&path, bytes).unwrap();
            let files = crate::find_files(path.to_str().unwrap()).unwrap().unwrap();
            let _ = if json {
                crate::infer_json(&files, &options(&[])).map(|_| ())
            } else {
                crate::infer_csv(&files, &options(&[])).map(|_| ())
            };
        });
    }
}
