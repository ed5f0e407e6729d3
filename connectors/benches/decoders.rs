//! Micro-benchmarks of what reads and makes rows: JSON and CSV files, the Nexmark generator. Items are rows.
//!
//! Files lie in a temporary directory, so that a run reads them from the page cache.
#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark that cannot be set up ends")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use divan::Bencher;
use divan::counter::ItemsCount;
use millstream_engine::ports::{OptionValues, ReadContext, ReadPoll, ScanColumn, ScanRequest, TableSpec, WakeHandle};
use millstream_engine::rejects::Rejects;
use millstream_engine::time::ProcessingTime;

const ROWS: usize = 100_000;

fn main() {
    divan::main();
}

fn bid() -> Fields {
    let integer = |name| Field::new(name, DataType::Int64, true);
    let text = |name| Field::new(name, DataType::Utf8, true);
    let time = Field::new("dateTime", DataType::Timestamp(TimeUnit::Millisecond, None), true);
    Fields::from(vec![
        integer("auction"),
        integer("bidder"),
        integer("price"),
        text("channel"),
        text("url"),
        time,
        text("extra"),
    ])
}

fn table(connector: &str, fields: impl Into<Fields>, options: &[(&str, &str)]) -> TableSpec {
    let mut all = BTreeMap::from([("connector".to_owned(), connector.to_owned())]);
    all.extend(options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    TableSpec {
        name: "measured".into(),
        schema: Arc::new(Schema::new(fields)),
        options: OptionValues(all),
        partitioned_by: Vec::new(),
        primary_key: Vec::new(),
    }
}

/// Reads a table to its end; the number of rows.
fn read(connector: &str, table: &TableSpec, request: &ScanRequest) -> usize {
    let source = millstream_connectors::registry()[connector].source(table, request).expect("a source");
    let (wake, mut rejects, mut rows) = (WakeHandle::noop(), Rejects::default(), 0);
    for split in source.splits(1).expect("splits") {
        let mut reader = source.reader(&split).expect("a reader");
        loop {
            let now = ProcessingTime(0);
            let mut context = ReadContext { rows_max: 8_192, now, flushing: false, wake: &wake, rejects: &mut rejects };
            match reader.poll(&mut context).expect("rows") {
                ReadPoll::Batch(batch) => rows += divan::black_box(batch).num_rows(),
                ReadPoll::End => break,
                other => panic!("no rows: {other:?}"),
            }
        }
    }
    rows
}

fn measure(bencher: Bencher<'_, '_>, connector: &str, table: &TableSpec, request: &ScanRequest) {
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| assert_eq!(read(connector, table, request), ROWS));
}

/// Reads bids from a file; only `columns` of them.
fn file(bencher: Bencher<'_, '_>, format: &str, line: fn(usize, &mut String), columns: &[usize]) {
    let folder = tempfile::tempdir().expect("a directory");
    let mut text = String::new();
    (0..ROWS).for_each(|row| line(row, &mut text));
    std::fs::write(folder.path().join("bids"), text).expect("a file");
    let path = folder.path().display().to_string();
    let table = table("filesystem", bid(), &[("path", &path), ("format", format)]);
    let columns = columns.iter().map(|&index| ScanColumn { index, children: None }).collect();
    measure(bencher, "filesystem", &table, &ScanRequest { columns });
}

fn json_line(row: usize, out: &mut String) {
    // Writing to a string does not fail, here and below.
    let _ = writeln!(
        out,
        "{{\"auction\":{},\"bidder\":{},\"price\":{},\"channel\":\"Google\",\"url\":\"https://www.nexmark.com/a/b/c/item.htm\
         ?query=1\",\"dateTime\":\"2015-07-15 00:00:{:02}.{:03}\",\"extra\":\"qtbukc bd uuxmy yxcvqppvh eetv qcbziwrmbb\"}}",
        1_000 + row % 977,
        1_000 + row % 1_013,
        row * 7,
        row / 1_000 % 60,
        row % 1_000
    );
}

fn csv_line(row: usize, out: &mut String) {
    let _ = writeln!(
        out,
        "{},{},{},Google,https://www.nexmark.com/a/b/c/item.htm?query=1,2015-07-15 00:00:{:02}.{:03},qtbukc bd uuxmy yxcvqppvh",
        1_000 + row % 977,
        1_000 + row % 1_013,
        row * 7,
        row / 1_000 % 60,
        row % 1_000
    );
}

#[divan::bench]
fn json_all_columns(bencher: Bencher<'_, '_>) {
    file(bencher, "json", json_line, &[0, 1, 2, 3, 4, 5, 6]);
}

#[divan::bench]
fn json_two_columns(bencher: Bencher<'_, '_>) {
    file(bencher, "json", json_line, &[0, 2]);
}

#[divan::bench]
fn csv_all_columns(bencher: Bencher<'_, '_>) {
    file(bencher, "csv", csv_line, &[0, 1, 2, 3, 4, 5, 6]);
}

#[divan::bench]
fn csv_two_columns(bencher: Bencher<'_, '_>) {
    file(bencher, "csv", csv_line, &[0, 2]);
}

fn nexmark(bencher: Bencher<'_, '_>, children: Option<Vec<usize>>) {
    let events = ROWS.to_string();
    let fields =
        vec![Field::new("event_type", DataType::Int32, true), Field::new("bid", DataType::Struct(bid()), true)];
    let table = table("nexmark", fields, &[("events.num", &events)]);
    let columns = vec![ScanColumn { index: 0, children: None }, ScanColumn { index: 1, children }];
    measure(bencher, "nexmark", &table, &ScanRequest { columns });
}

#[divan::bench]
fn nexmark_whole_bids(bencher: Bencher<'_, '_>) {
    nexmark(bencher, None);
}

#[divan::bench]
fn nexmark_two_fields(bencher: Bencher<'_, '_>) {
    nexmark(bencher, Some(vec![0, 2]));
}
