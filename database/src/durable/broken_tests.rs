//! Broken logs: whatever the disk gives back is read or refused, also where its checksums fit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use millstream_engine::message::Delta;

use super::format_log::{Next, read_record, write_record};
use super::{format_catalog, format_table};

#[path = "../../../tests/src/broken.rs"]
mod broken;

#[test]
fn records_of_logs() {
    let mut log = Vec::new();
    for payload in [b"first".as_slice(), b"", b"third one"] {
        write_record(payload, &mut log).unwrap();
    }
    broken::run("log", &[log], &[b"\0\0\0\0", b"\xff\xff\xff\xff"], |bytes| {
        let mut at = 0;
        while let Next::Record { payload, end } = read_record(bytes, at) {
            assert!(end > at && end <= bytes.len() && payload.len() <= bytes.len());
            at = end;
        }
    });
}

#[test]
fn records_of_tables() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("b"), None]));
    let rows = RecordBatch::try_from_iter([("id", numbers), ("name", names)]).unwrap();
    let change = Delta::signed(rows.clone(), BooleanBuffer::from(vec![true, false, true]));
    let record = |position, snapshot, delta| format_table::TableRecord { position, snapshot, delta };
    let corpus = [record(7, false, change), record(9, true, Delta::append(rows))]
        .map(|record| format_table::encode(&record).unwrap());
    let words: [&[u8]; 5] =
        [b"\xff\xff\xff\xff", b"\0\0\0\0", b"millstream.position", b"millstream.retracted", b"snapshot"];
    broken::run("table-record", &corpus, &words, |bytes| {
        let _ = format_table::decode(bytes);
    });
}

#[test]
fn records_of_the_catalog() {
    let corpus = format_catalog::tests::history();
    let corpus: Vec<Vec<u8>> = corpus.iter().map(|record| format_catalog::encode(record).unwrap()).collect();
    let words: [&[u8]; 6] = [b"{", b"[", b"\"statement\":", b"null", b"-1", b"\""];
    broken::run("catalog-record", &corpus, &words, |bytes| {
        let _ = format_catalog::decode(bytes);
    });
}
