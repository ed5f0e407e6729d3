//! CSV: what is read, what is refused, and that what is written reads back.

use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use millstream_engine::rejects::Rejects;

use super::*;
use crate::formats::RecordEncoder;

fn format(options: &[(&str, &str)]) -> CsvFormat {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    CsvFormat::from_options(&OptionValues(options)).unwrap()
}

fn read(format: CsvFormat, columns: &Fields, text: &[u8]) -> Result<(RecordBatch, u64)> {
    let wanted: Vec<WantedColumn> = (0..columns.len()).map(|index| (index, None)).collect();
    let mut decoder = CsvDecoder::new(format, columns, &wanted)?;
    let mut rejects = Rejects::default();
    let mut progress = Progress { source: "f.csv", line: 0, rejects: &mut rejects };
    let start = decoder.header(text, true, &mut progress)?.unwrap();
    decoder.decode(&text[start..], true, usize::MAX, &mut progress)?;
    Ok((decoder.finish()?, rejects.counts.bad))
}

fn columns() -> Fields {
    Fields::from(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("t", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ])
}

fn check(options: &[(&str, &str)], text: &str, expected: &Expect) {
    let shown = match read(format(options), &columns(), text.as_bytes()) {
        Ok((batch, bad)) => format!("{}\nbad {bad}", pretty_format_batches(&[batch]).unwrap()),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn records() {
    let text = "1,\"a,\"\"b\"\"\nc\",2015-07-15 00:00:01.5\r\n\n2,,\n# no comment,x,\n";
    check(
        &[],
        text,
        &expect![[r##"f.csv line 5: column "a": expected BIGINT, found "# no comment", in: # no comment,x,"##]],
    );
    check(
        &[("csv.allow-comments", "true"), ("csv.null-literal", "")],
        &text.replace("\nc", "c"),
        &expect![[r#"
            +---+--------+-------------------------+
            | a | name   | t                       |
            +---+--------+-------------------------+
            | 1 | a,"b"c | 2015-07-15T00:00:01.500 |
            | 2 |        |                         |
            +---+--------+-------------------------+
            bad 0"#]],
    );
    check(&[], "1,2\n", &expect!["f.csv line 1: expected 3 fields, found 2, in: 1,2"]);
    check(&[], "1,\"x\"y,\n", &expect![[r#"f.csv line 1: text behind a closing quote, in: 1,"x"y,"#]]);
    check(&[], "1,\"x,\n", &expect![[r#"f.csv line 1: a quoted field has no end, in: 1,"x,"#]]);
}

#[test]
fn faults_can_be_ignored() {
    check(
        &[("csv.ignore-parse-errors", "true"), ("csv.field-delimiter", "\\t")],
        "x\tok\t\n1\n2\t\"b\"x\t\n3\tc\t\textra\n",
        &expect![[r#"
            +---+------+---+
            | a | name | t |
            +---+------+---+
            |   | ok   |   |
            | 1 |      |   |
            | 3 | c    |   |
            +---+------+---+
            bad 3"#]],
    );
}

#[test]
fn headers_name_the_columns() {
    let header = [("csv.header", "true")];
    check(
        &header,
        "t,NAME,other,a\n2015-07-15 00:00:01,n,x,1\n",
        &expect![[r#"
            +---+------+---------------------+
            | a | name | t                   |
            +---+------+---------------------+
            | 1 | n    | 2015-07-15T00:00:01 |
            +---+------+---------------------+
            bad 0"#]],
    );
    check(
        &header,
        "t,a\n",
        &expect![[r#"
        +---+------+---+
        | a | name | t |
        +---+------+---+
        +---+------+---+
        bad 0"#]],
    );
}

fn nested() -> Fields {
    let item = |data_type| Arc::new(Field::new("item", data_type, true));
    let row = vec![Field::new("x", DataType::Float64, true), Field::new("y", DataType::Utf8, true)];
    Fields::from(vec![
        Field::new("names", DataType::List(item(DataType::Utf8)), true),
        Field::new("sizes", DataType::List(item(DataType::Int32)), true),
        Field::new("row", DataType::Struct(row.into()), true),
    ])
}

#[test]
fn arrays_and_rows_stand_in_one_field() {
    let shown = |options: &[(&str, &str)], text: &str| match read(format(options), &nested(), text.as_bytes()) {
        Ok((batch, bad)) => {
            let batches = [batch.clone()];
            let mut written = vec![];
            CsvEncoder::new(format(options), &nested()).encode(&batch, &mut written).unwrap();
            let table = pretty_format_batches(&batches).unwrap();
            format!("{table}\nbad {bad}\n{}", String::from_utf8_lossy(&written))
        }
        Err(error) => error.to_string(),
    };
    let lenient = [("csv.ignore-parse-errors", "true")];
    expect![[r#"
        +--------+-----------+----------------+
        | names  | sizes     | row            |
        +--------+-----------+----------------+
        | [a, b] | [1, 2, 3] | {x: 1.5, y: q} |
        |        |           |                |
        | []     | []        |                |
        | [, ]   | [1, , 3]  | {x: , y: }     |
        +--------+-----------+----------------+
        bad 1
        a;b,1;2;3,1.5;q
        ,,
        "","",
        ;,1;;3,;
    "#]]
    .assert_eq(&shown(&lenient, "a;b,1;2;3,1.5;q\n,,\n\n\"\",\"\",1;2;3\n;,1;;3,;\n"));
    expect!["f.csv line 1: column \"sizes\": expected ARRAY<INT>, found \"1;x\", in: a,1;x,1;2"]
        .assert_eq(&shown(&[], "a,1;x,1;2\n"));
    expect!["f.csv line 1: column \"row\": expected ROW<x DOUBLE, y STRING>, found \"1\", in: a,1,1"]
        .assert_eq(&shown(&[], "a,1,1\n"));
    let other = [("csv.array-element-delimiter", "||"), ("csv.null-literal", "-")];
    expect![[r#"
        +------------+-------+----------------+
        | names      | sizes | row            |
        +------------+-------+----------------+
        | [a|b, , c] | [1, ] | {x: 2.0, y: e} |
        |            | []    |                |
        +------------+-------+----------------+
        bad 0
        a|b||-||c,1||-,2.0||e
        -,"",-
    "#]]
    .assert_eq(&shown(&other, "\"a|b||-||c\",1||-,2||e\n-,\"\",-\n"));
}

#[test]
fn what_csv_does_not_take() {
    let deep = DataType::List(Arc::new(Field::new("item", nested()[0].data_type().clone(), true)));
    assert!(!is_csv_type(&deep) && nested().iter().all(|field| is_csv_type(field.data_type())));
    for options in [
        vec![("csv.array-element-delimiter", "")],
        vec![("csv.disable-quote-character", "true"), ("csv.quote-character", "'")],
    ] {
        let options = options.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert!(CsvFormat::from_options(&OptionValues(options)).is_err());
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(rows in proptest::collection::vec(
        (any::<Option<i64>>(), proptest::option::of("[a-z,\"#\\\\\n\r é]{0,6}"), proptest::option::of(-60_000_000_000_000_i64..200_000_000_000_000)), 1..20),
        escape in any::<bool>(), header in any::<bool>())
    {
        use arrow::array::*;
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.1.clone()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<TimestampMillisecondArray>()),
        ];
        let batch = RecordBatch::try_new(Arc::new(Schema::new(columns())), arrays).unwrap();
        let mut options = vec![("csv.null-literal", "null"), ("csv.allow-comments", "true")];
        if escape { options.push(("csv.escape-character", "\\")); }
        if header { options.push(("csv.header", "true")); }
        let mut encoder = CsvEncoder::new(format(&options), &columns());
        let mut text = vec![];
        encoder.header(&mut text);
        encoder.encode(&batch, &mut text).unwrap();
        let (back, bad) = read(format(&options), &columns(), &text).unwrap();
        prop_assert_eq!(bad, 0);
        prop_assert_eq!(back, batch);
    }

    #[test]
    fn no_text_makes_it_panic(text in proptest::collection::vec(prop_oneof![
        Just(b','), Just(b'"'), Just(b'\n'), Just(b'\r'), Just(b'1'), any::<u8>()], 0..40), cut in 0_usize..40)
    {
        let lenient = format(&[("csv.ignore-parse-errors", "true"), ("csv.escape-character", "\\")]);
        prop_assert!(read(lenient, &columns(), &text).is_ok());
        let mut spans = vec![];
        let marks = format(&[]).marks;
        let _ = split(&text[..cut.min(text.len())], false, marks, &mut spans);
    }
}

#[test]
fn bad_lines_go_where_the_table_says() {
    use millstream_engine::rejects::OnError;

    let text = b"1,a,\nx,b,\n2,c\n3,\"d,\n";
    for (on_error, kept) in [(OnError::Skip, 0), (OnError::Table, 3)] {
        let wanted: Vec<WantedColumn> = (0..3).map(|index| (index, None)).collect();
        let mut decoder = CsvDecoder::new(format(&[]), &columns(), &wanted).unwrap();
        let mut rejects = Rejects::new(on_error);
        let mut progress = Progress { source: "f.csv", line: 0, rejects: &mut rejects };
        decoder.decode(text, true, usize::MAX, &mut progress).unwrap();
        assert_eq!(decoder.finish().unwrap().num_rows(), 1);
        assert_eq!((rejects.counts.bad, rejects.kept.len()), (3, kept));
    }
}
