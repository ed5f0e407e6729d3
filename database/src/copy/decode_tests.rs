//! What rows of `COPY` mean, and what is told of wrong ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arrow::array::Array;
use millstream_sql::ast::{CopyExisting, CopyFormat, CopyOptions};

use super::decode;
use crate::copy::CopyEncoder;

fn options(format: CopyFormat) -> CopyOptions {
    let csv = format == CopyFormat::Csv;
    CopyOptions {
        format,
        header: false,
        match_header: false,
        delimiter: if csv { b',' } else { b'\t' },
        null: if csv { String::new() } else { "\\N".to_owned() },
        quote: b'"',
        escape: b'"',
        compression: None,
        partition_by: Vec::new(),
        existing: CopyExisting::Refuse,
    }
}

fn read(text: &str, options: &CopyOptions) -> Result<Vec<Vec<Option<String>>>, String> {
    let texts = decode(text.as_bytes(), options, &["a", "b"], "t").map_err(|error| {
        format!("{}: {error} ({})", error.parts().state.0, error.parts().detail.as_deref().unwrap())
    })?;
    let value = |row: usize| {
        let of = |column: &arrow::array::StringArray| (!column.is_null(row)).then(|| column.value(row).to_owned());
        texts.columns.iter().map(of).collect()
    };
    Ok((0..texts.lines.len()).map(value).collect())
}

fn row(a: &str, b: Option<&str>) -> Vec<Option<String>> {
    vec![Some(a.to_owned()), b.map(str::to_owned)]
}

#[test]
fn text_rows() {
    let text = "1\tx\n2\t\\N\n\\t\\\\\t\\101\\x42é\r\n3\ta\\\tb\n\\.\nnot read\n";
    let found = read(text, &options(CopyFormat::Text)).unwrap();
    let wanted = vec![row("1", Some("x")), row("2", None), row("\t\\", Some("ABé")), row("3", Some("a\tb"))];
    assert_eq!(found, wanted);
    assert_eq!(read("1\t", &options(CopyFormat::Text)).unwrap(), [row("1", Some(""))]);
    let wrong = |text| read(text, &options(CopyFormat::Text)).unwrap_err();
    assert_eq!(wrong("1\t2\n3\n"), "22P04: missing data for column \"b\" (COPY t, line 2)");
    assert_eq!(wrong("1\t2\t3\n"), "22P04: extra data after last expected column (COPY t, line 1)");
}

#[test]
fn csv_rows() {
    let text = "1,x\r\n\"2,\"\"\n\",\n3,\"\"\n";
    let found = read(text, &options(CopyFormat::Csv)).unwrap();
    assert_eq!(found, [row("1", Some("x")), row("2,\"\n", None), row("3", Some(""))]);
    let header = CopyOptions { header: true, delimiter: b';', ..options(CopyFormat::Csv) };
    assert_eq!(read("a;b;c\n1;2", &header).unwrap(), [row("1", Some("2"))]);
    let wrong = |text| read(text, &options(CopyFormat::Csv)).unwrap_err();
    assert_eq!(wrong("\"a\n\",1\n2\n"), "22P04: missing data for column \"b\" (COPY t, line 3)");
    assert_eq!(wrong("1,\"2\n"), "22P04: unterminated CSV quoted field (COPY t, line 1)");
}

#[test]
fn what_is_written_is_read_back() {
    use arrow::array::{ArrayRef, RecordBatch, StringArray};
    use std::sync::Arc;
    let odd = ["", "\\N", "a\tb", "x,y", "\"q\"", "line\nend\r", "\\.", "back\\slash", "\u{8}\u{b}\u{c}"];
    let left: ArrayRef = Arc::new(StringArray::from_iter_values(odd));
    let right: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; odd.len()]));
    let batch = RecordBatch::try_from_iter_with_nullable([("a", left, true), ("b", right, true)]).unwrap();
    for format in [CopyFormat::Text, CopyFormat::Csv] {
        let mut encoder = CopyEncoder::new(options(format), crate::encode::TextStyle::default());
        let mut out = Vec::new();
        (0..batch.num_rows()).for_each(|index| encoder.row(&batch, index, &mut out));
        let found = read(std::str::from_utf8(&out).unwrap(), &options(format)).unwrap();
        assert_eq!(found, odd.map(|text| row(text, None)), "{format:?}");
    }
}

#[test]
fn names_of_the_header_that_must_match() {
    let matched = CopyOptions { header: true, match_header: true, ..options(CopyFormat::Csv) };
    assert_eq!(read("a,b\n1,2\n", &matched).unwrap(), [row("1", Some("2"))]);
    let wrong = |text| read(text, &matched).unwrap_err();
    assert_eq!(
        wrong("b,a\n1,2\n"),
        "22P04: column name mismatch in header line field 1: got \"b\", expected \"a\" (COPY t, line 1)"
    );
    assert_eq!(wrong("a\n1\n"), "22P04: wrong number of fields in header line: expected 2 (COPY t, line 1)");
    assert_eq!(wrong("a,b,c\n1,2,3\n"), "22P04: wrong number of fields in header line: expected 2 (COPY t, line 1)");
}
