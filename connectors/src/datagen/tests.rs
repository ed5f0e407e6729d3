//! Tests of datagen: sequences end, ranges hold, splits share, pacing follows the clock.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, TimeUnit};
use millstream_engine::ports::{OptionValues, ReadContext, ReadPoll, WakeHandle};
use millstream_engine::rejects::Rejects;
use millstream_engine::time::ProcessingTime;

use super::*;

fn table(options: &[(&str, &str)]) -> TableSpec {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("n", DataType::Int32, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("d", DataType::Decimal128(5, 2), true),
    ]);
    TableSpec {
        name: "d".into(),
        schema: Arc::new(schema),
        options: OptionValues(options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        partitioned_by: Vec::new(),
        primary_key: Vec::new(),
    }
}

fn poll(reader: &mut dyn millstream_engine::ports::SplitReader, now: i64) -> ReadPoll {
    let (wake, mut rejects) = (WakeHandle::noop(), Rejects::default());
    let now = ProcessingTime(now);
    reader.poll(&mut ReadContext { rows_max: 100, now, flushing: false, wake: &wake, rejects: &mut rejects }).unwrap()
}

fn all(options: &[(&str, &str)], splits: usize) -> Vec<RecordBatch> {
    let source = Datagen::default().source(&table(options), &ScanRequest::all(5)).unwrap();
    let mut batches = Vec::new();
    for split in source.splits(splits).unwrap() {
        let mut reader = source.reader(&split).unwrap();
        while let ReadPoll::Batch(batch) = poll(reader.as_mut(), 0) {
            batches.push(batch);
        }
    }
    batches
}

const SEQUENCE: [(&str, &str); 5] = [
    ("fields.id.kind", "sequence"),
    ("fields.id.start", "5"),
    ("fields.id.end", "504"),
    ("fields.n.min", "-3"),
    ("fields.n.max", "3"),
];

#[test]
fn a_sequence_ends_and_splits_share_it() {
    for splits in [1, 3] {
        let mut ids = Vec::new();
        for batch in all(&SEQUENCE, splits) {
            ids.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
            assert!(batch.column(1).as_primitive::<Int32Type>().values().iter().all(|n| (-3..=3).contains(n)));
        }
        ids.sort_unstable();
        assert!(ids.iter().copied().eq(5..=504));
    }
}

#[test]
fn lengths_and_nulls() {
    let options = [("number-of-rows", "1000"), ("fields.s.length", "7"), ("fields.n.null-rate", "0.5")];
    let (mut nulls, mut rows) = (0, 0);
    for batch in all(&options, 1) {
        assert!(batch.column(2).as_string::<i32>().iter().flatten().all(|text| text.len() == 7));
        nulls += batch.column(1).null_count();
        rows += batch.num_rows();
    }
    assert_eq!(rows, 1000);
    assert!((400..600).contains(&nulls), "{nulls} nulls");
}

#[test]
fn an_endless_table_follows_the_clock() {
    let source = Datagen::default().source(&table(&[("rows-per-second", "50")]), &ScanRequest::all(5)).unwrap();
    let mut reader = source.reader(&source.splits(1).unwrap()[0]).unwrap();
    let ReadPoll::Batch(first) = poll(reader.as_mut(), 0) else { panic!("no row") };
    assert_eq!(first.num_rows(), 1);
    assert!(matches!(poll(reader.as_mut(), 0), ReadPoll::Pending { retry_at: Some(_) }));
    let ReadPoll::Batch(second) = poll(reader.as_mut(), 1_000_000) else { panic!("no rows") };
    assert_eq!(second.num_rows(), 50);
}

#[test]
fn wrong_options_are_named() {
    let error = |options: &[(&str, &str)]| Datagen::default().validate(&table(options)).unwrap_err().to_string();
    assert!(error(&[("fields.x.min", "1")]).contains("fields.x.min"));
    assert!(error(&[("fields.id.kind", "sequence")]).contains("fields.id.start"));
    assert!(error(&[("fields.n.min", "4"), ("fields.n.max", "3")]).contains("fields.n.min"));
    assert!(error(&[("fields.n.length", "4")]).contains("says nothing about \"n\""));
    assert!(error(&[("fields.n.max", "3000000000")]).contains("2147483647"));
    assert!(error(&[("fields.d.max", "x")]).contains("DECIMAL(5, 2)"));
    assert!(error(&[("rows-per-second", "0")]).contains("above 0"));
    assert!(error(&[("fields.n.null-rate", "2")]).contains("from 0 to 1"));
}

/// One batch of a bounded table with one column of this type.
fn one(data_type: DataType, options: &[(&str, &str)]) -> arrow::array::ArrayRef {
    let mut table = table(options);
    table.options.0.insert("number-of-rows".into(), "100".into());
    table.schema = Arc::new(Schema::new(vec![Field::new("c", data_type, true)]));
    let source = Datagen::default().source(&table, &ScanRequest::all(1)).unwrap();
    let mut reader = source.reader(&source.splits(1).unwrap()[0]).unwrap();
    let ReadPoll::Batch(batch) = poll(reader.as_mut(), 1_000_000_000_000) else { panic!("no rows") };
    Arc::clone(batch.column(0))
}

#[test]
fn every_scalar_type_is_made() {
    use DataType::{Binary, Boolean, Date32, Float32, Float64, Int8, Int16, Time32, Time64, Timestamp};
    let zone = Some(Arc::from("UTC"));
    for data_type in [
        Boolean,
        Int8,
        Int16,
        Float32,
        Float64,
        Binary,
        Date32,
        Time32(TimeUnit::Millisecond),
        Time64(TimeUnit::Microsecond),
        Timestamp(TimeUnit::Nanosecond, zone),
        DataType::Decimal128(38, 10),
    ] {
        let made = one(data_type.clone(), &[]);
        assert_eq!((made.data_type(), made.len(), made.null_count()), (&data_type, 100, 0));
    }
}

#[test]
fn rows_and_arrays_hold_random_values() {
    let element = Arc::new(Field::new("item", DataType::Int32, true));
    let row = DataType::Struct(
        vec![Field::new("a", DataType::Int32, true), Field::new("l", DataType::List(element), true)].into(),
    );
    let options = [("fields.c.a.max", "9"), ("fields.c.a.min", "0"), ("fields.c.l.length", "2")];
    let made = one(row, &options);
    let made = made.as_struct();
    assert!(made.column(0).as_primitive::<Int32Type>().values().iter().all(|a| (0..10).contains(a)));
    let list = made.column(1).as_list::<i32>();
    assert!((0..100).all(|row| list.value_length(row) == 2));
    let first = list.value(0);
    assert_ne!(first.as_primitive::<Int32Type>().values(), list.value(1).as_primitive::<Int32Type>().values());
}

#[test]
fn max_past_holds() {
    let made = one(DataType::Timestamp(TimeUnit::Microsecond, None), &[("fields.c.max-past", "10 s")]);
    let times = made.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert!(times.values().iter().all(|at| (999_990_000_000..=1_000_000_000_000).contains(at)));
    assert!(times.value(0) != times.value(1));
}
