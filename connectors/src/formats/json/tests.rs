//! JSON lines: what is read, what is refused, and that what is written reads back.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use expect_test::{Expect, expect};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::OptionValues;
use millstream_engine::rejects::Rejects;
use proptest::prelude::*;

use super::*;
use crate::formats::RecordEncoder;

fn format(options: &[(&str, &str)]) -> JsonFormat {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    JsonFormat::from_options(&OptionValues(options)).unwrap()
}

fn all(columns: &Fields) -> Vec<WantedColumn> {
    (0..columns.len()).map(|index| (index, None)).collect()
}

fn read(format: JsonFormat, columns: &Fields, wanted: &[WantedColumn], text: &[u8]) -> Result<(RecordBatch, u64)> {
    let mut decoder = JsonDecoder::new(format, columns, wanted)?;
    let mut rejects = Rejects::default();
    let mut progress = Progress { source: "bids.json", line: 0, rejects: &mut rejects };
    let consumed = decoder.decode(text, true, usize::MAX, &mut progress)?;
    assert_eq!(consumed, text.len());
    Ok((decoder.finish()?, rejects.counts.bad))
}

fn check(columns: &[Field], text: &str, expected: &Expect) {
    let columns = Fields::from(columns.to_vec());
    let (batch, _) = read(format(&[]), &columns, &all(&columns), text.as_bytes()).unwrap();
    expected.assert_eq(&pretty_format_batches(&[batch]).unwrap().to_string());
}

fn check_error(columns: &[Field], text: &str, expected: &Expect) {
    let columns = Fields::from(columns.to_vec());
    let error = read(format(&[]), &columns, &all(&columns), text.as_bytes()).unwrap_err();
    assert!(matches!(error, EngineError::BadRow { .. }) && error.hint().is_some());
    expected.assert_eq(&error.to_string());
}

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn millis() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

#[test]
fn bids() {
    let columns = [
        field("auction", DataType::Int64),
        field("price", DataType::Decimal128(10, 2)),
        field("channel", DataType::Utf8),
        field("dateTime", millis()),
        field("hot", DataType::Boolean),
    ];
    let text = r#"{"auction": 1, "price": 1.005, "channel": "a\u00e9\"", "dateTime": "2015-07-15 00:00:01.123", "hot": true}

{"channel":5,"auction":"7","DATETIME":"2015-07-15T00:00:02Z","unknown":{"x":[1,"}"]},"price":"12.5","hot":"FALSE"}
{"auction":null,"auction":3}
{}"#;
    check(
        &columns,
        text,
        &expect![[r#"
            +---------+-------+---------+-------------------------+-------+
            | auction | price | channel | dateTime                | hot   |
            +---------+-------+---------+-------------------------+-------+
            | 1       | 1.01  | aé"     | 2015-07-15T00:00:01.123 | true  |
            | 7       | 12.50 | 5       | 2015-07-15T00:00:02     | false |
            | 3       |       |         |                         |       |
            |         |       |         |                         |       |
            +---------+-------+---------+-------------------------+-------+"#]],
    );
}

#[test]
fn nested() {
    let map = Field::new(
        "entries",
        DataType::Struct(Fields::from(vec![
            Field::new("key", DataType::Utf8, false),
            Field::new("value", DataType::Int64, true),
        ])),
        false,
    );
    let row = DataType::Struct(Fields::from(vec![field("id", DataType::Int64), field("name", DataType::Utf8)]));
    let columns = [
        field("person", row.clone()),
        field("tags", DataType::List(Arc::new(field("item", DataType::Utf8)))),
        field("counts", DataType::Map(Arc::new(map), false)),
        field("rows", DataType::List(Arc::new(field("item", row)))),
    ];
    let text = r#"{"person":null,"tags":["a",null],"counts":{"x":1,"y":null},"rows":[{"id":1},null,{"name":"n"}]}
{"tags":[],"counts":{},"rows":null}
{"person":{"name":"b","id":2}}"#;
    check(
        &columns,
        text,
        &expect![[r#"
            +------------------+-------+-------------+--------------------------------------+
            | person           | tags  | counts      | rows                                 |
            +------------------+-------+-------------+--------------------------------------+
            |                  | [a, ] | {x: 1, y: } | [{id: 1, name: }, , {id: , name: n}] |
            |                  | []    | {}          |                                      |
            | {id: 2, name: b} |       |             |                                      |
            +------------------+-------+-------------+--------------------------------------+"#]],
    );
}

#[test]
fn only_what_is_wanted_is_read() {
    let row = DataType::Struct(Fields::from(vec![field("id", DataType::Int64), field("name", DataType::Utf8)]));
    let columns = Fields::from(vec![field("a", DataType::Int64), field("A", DataType::Int64), field("person", row)]);
    let text = br#"{"a":"not a number","A":2,"person":{"id":"not a number","name":"n"}}"#;
    let (batch, _) = read(format(&[]), &columns, &[(2, Some(vec![1])), (1, None)], text).unwrap();
    expect![[r#"
        +-----------------+---+
        | person          | A |
        +-----------------+---+
        | {id: , name: n} | 2 |
        +-----------------+---+"#]]
    .assert_eq(&pretty_format_batches(&[batch]).unwrap().to_string());
    let (batch, _) = read(format(&[]), &columns, &[], text).unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (1, 0));
}

#[test]
fn faults_name_file_line_and_column() {
    let columns = [field("a", DataType::Int64), field("t", millis())];
    check_error(
        &columns,
        "{\"a\":1}\n{\"a\":1.5}",
        &expect![[r#"bids.json line 2: column "a": expected BIGINT, found 1.5, in: {"a":1.5}"#]],
    );
    check_error(
        &columns,
        r#"{"a":"abc"}"#,
        &expect![[r#"bids.json line 1: column "a": expected BIGINT, found "abc", in: {"a":"abc"}"#]],
    );
    check_error(
        &columns,
        r#"{"t":1436918401123}"#,
        &expect![[
            r#"bids.json line 1: column "t": expected TIMESTAMP(3), found 1436918401123, in: {"t":1436918401123}"#
        ]],
    );
    check_error(
        &columns,
        r#"{"a" 1}"#,
        &expect![[r#"bids.json line 1: invalid JSON at column 6: expected ':', found 1, in: {"a" 1}"#]],
    );
    check_error(
        &columns,
        r#"{"a":1"#,
        &expect![[r#"bids.json line 1: invalid JSON: expected ',' or '}', found the end of the line, in: {"a":1"#]],
    );
    check_error(
        &columns,
        "[1]",
        &expect![[r#"bids.json line 1: invalid JSON at column 1: expected '{', found [1, in: [1]"#]],
    );
    check_error(
        &columns,
        r#"{"a":1} x"#,
        &expect![[
            r#"bids.json line 1: invalid JSON at column 9: expected the end of the line, found x, in: {"a":1} x"#
        ]],
    );
    check_error(
        &[Field::new("a", DataType::Int64, false)],
        r#"{"b":1}"#,
        &expect![[r#"bids.json line 1: column "a": the field is missing, and the column is NOT NULL, in: {"b":1}"#]],
    );
}

#[test]
fn bad_lines_are_skipped_and_bad_values_null() {
    let row = DataType::Struct(Fields::from(vec![field("id", DataType::Int64), field("name", DataType::Utf8)]));
    let columns = Fields::from(vec![field("a", DataType::Int64), field("p", row)]);
    let lenient = format(&[("json.ignore-parse-errors", "true")]);
    let text = b"{\"a\":1,\"p\":{\"id\":1}}\nnonsense\n{\"a\":\"x\",\"p\":{\"name\":\"n\",\"id\":{}}}\n{\"a\":2,\"p\":[}\n{\"a\":3,\"p\":7}\n\xff{\n{\"a\":4";
    let (batch, bad) = read(lenient, &columns, &all(&columns), text).unwrap();
    assert_eq!(bad, 6);
    expect![[r#"
        +---+-----------------+
        | a | p               |
        +---+-----------------+
        | 1 | {id: 1, name: } |
        |   | {id: , name: n} |
        | 3 |                 |
        +---+-----------------+"#]]
    .assert_eq(&pretty_format_batches(&[batch]).unwrap().to_string());
    let strict = format(&[("json.fail-on-missing-field", "true")]);
    let error = read(strict, &columns, &all(&columns), b"{\"a\":1}").unwrap_err().to_string();
    assert!(error.contains("column \"p\": the field is missing"), "{error}");
}

#[test]
fn records_across_pieces() {
    let columns = Fields::from(vec![field("a", DataType::Int64)]);
    let mut decoder = JsonDecoder::new(format(&[]), &columns, &all(&columns)).unwrap();
    let mut rejects = Rejects::default();
    let mut progress = Progress { source: "f", line: 0, rejects: &mut rejects };
    let text = b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}";
    assert_eq!(decoder.decode(&text[..12], false, 10, &mut progress).unwrap(), 8);
    assert_eq!(decoder.decode(&text[8..], false, 10, &mut progress).unwrap(), 8);
    assert_eq!(decoder.decode(&text[16..], true, 10, &mut progress).unwrap(), 7);
    let batch = decoder.finish().unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values().to_vec(), [1, 2, 3]);
    assert_eq!(decoder.decode(text, true, 2, &mut progress).unwrap(), 16);
}

fn scalar_columns() -> Fields {
    Fields::from(vec![
        field("i", DataType::Int64),
        field("s", DataType::Int16),
        field("t", DataType::Utf8),
        field("b", DataType::Binary),
        field("f", DataType::Float64),
        field("d", DataType::Decimal128(20, 3)),
        field("o", DataType::Boolean),
        field("y", DataType::Date32),
        field("m", millis()),
        field("z", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
    ])
}

proptest! {
    #[test]
    fn what_is_written_reads_back(rows in proptest::collection::vec(
        (any::<Option<i64>>(), any::<Option<i16>>(), any::<Option<String>>(), any::<Option<Vec<u8>>>(),
         any::<Option<f64>>(), proptest::option::of(-10_i128.pow(19)..10_i128.pow(19)), any::<Option<bool>>(),
         proptest::option::of(-700_000..2_900_000), proptest::option::of(-60_000_000_000_000_i64..200_000_000_000_000)), 1..20),
        iso in any::<bool>(), leave_out in any::<bool>())
    {
        use arrow::array::*;
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Int16Array>()),
            Arc::new(rows.iter().map(|row| row.2.clone()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.3.clone()).collect::<BinaryArray>()),
            Arc::new(rows.iter().map(|row| row.4.filter(|f| !f.is_nan())).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| row.5).collect::<Decimal128Array>().with_precision_and_scale(20, 3).unwrap()),
            Arc::new(rows.iter().map(|row| row.6).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| row.7).collect::<Date32Array>()),
            Arc::new(rows.iter().map(|row| row.8).collect::<TimestampMillisecondArray>()),
            Arc::new(rows.iter().map(|row| row.8.map(|ms| ms * 1000 + 7)).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        ];
        let columns = scalar_columns();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(columns.clone())), arrays).unwrap();
        let format = format(&[
            ("json.timestamp-format.standard", if iso { "ISO-8601" } else { "SQL" }),
            ("json.encode.ignore-null-fields", if leave_out { "true" } else { "false" }),
        ]);
        let mut text = vec![];
        JsonEncoder::new(format).encode(&batch, &mut text).unwrap();
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for line in lines {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(line).is_ok());
        }
        let (back, _) = read(format, &columns, &all(&columns), &text).unwrap();
        prop_assert_eq!(back, batch);
    }

    #[test]
    fn no_line_makes_it_panic(line in proptest::collection::vec(prop_oneof![
        Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'"'), Just(b':'), Just(b','), Just(b'\\'), Just(b'i'), Just(b't'),
        Just(b'1'), Just(b'-'), Just(b'n'), any::<u8>()], 0..40))
    {
        let columns = scalar_columns();
        let _ = read(format(&[]), &columns, &all(&columns), &line);
        let lenient = format(&[("json.ignore-parse-errors", "true")]);
        prop_assert!(read(lenient, &columns, &all(&columns), &line).is_ok());
    }
}

#[test]
fn bad_lines_are_kept_with_their_places() {
    use millstream_engine::rejects::{OnError, RejectedContent};

    let columns = Fields::from(vec![field("a", DataType::Int64)]);
    let mut decoder = JsonDecoder::new(format(&[]), &columns, &all(&columns)).unwrap();
    let mut rejects = Rejects::new(OnError::Table);
    let mut progress = Progress { source: "f", line: 0, rejects: &mut rejects };
    let text = b"{\"a\":1}\n{\"a\":\"x\"}\n\n{\"a\"\n{\"a\":\"\xff\"}\n{\"a\":2}\n";
    assert_eq!(decoder.decode(text, true, 10, &mut progress).unwrap(), text.len());
    let batch = decoder.finish().unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values().to_vec(), [1, 2]);
    assert_eq!(rejects.counts.bad, 3);
    let kept: Vec<(Option<&str>, &str)> = rejects
        .kept
        .iter()
        .map(|rejected| match &rejected.content {
            RejectedContent::Record(record) => (rejected.place.as_deref(), record.as_str()),
            RejectedContent::Rows(_) => (None, ""),
        })
        .collect();
    let expected =
        [(Some("f line 2"), r#"{"a":"x"}"#), (Some("f line 4"), r#"{"a""#), (Some("f line 5"), r#"{"a":"\xff"}"#)];
    assert_eq!(kept, expected);
    assert!(rejects.kept[0].reason.starts_with("column \"a\": "), "{}", rejects.kept[0].reason);
}
