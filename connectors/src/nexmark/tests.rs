//! Tests of the generator: the same events for any number of splits and any batch size, and the official proportions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Field, Fields, Int32Type, Int64Type, Schema, TimeUnit, TimestampMillisecondType};
use millstream_engine::ports::{OptionValues, ReadContext, ReadPoll, ScanColumn, WakeHandle};
use millstream_engine::rejects::Rejects;
use millstream_engine::time::ProcessingTime;

use super::*;

fn table(options: &[(&str, &str)]) -> TableSpec {
    let row = |names: &[&str], kind: Kind| {
        let fields: Fields =
            names.iter().map(|name| Field::new(*name, kind.field(name).unwrap().data_type(), true)).collect();
        DataType::Struct(fields)
    };
    let bid = row(&["auction", "bidder", "price", "channel", "url", "dateTime", "extra"], Kind::Bid);
    let schema = Schema::new(vec![
        Field::new("event_type", DataType::Int32, true),
        Field::new("person", row(&["id", "name", "emailAddress", "creditCard", "city", "state"], Kind::Person), true),
        Field::new("bid", bid, true),
    ]);
    TableSpec {
        name: "n".into(),
        schema: Arc::new(schema),
        options: OptionValues(options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        partitioned_by: Vec::new(),
        primary_key: Vec::new(),
    }
}

fn read(options: &[(&str, &str)], splits: usize, rows_max: usize) -> Vec<RecordBatch> {
    let source = Nexmark::default().source(&table(options), &ScanRequest::all(3)).unwrap();
    let mut batches = Vec::new();
    for split in source.splits(splits).unwrap() {
        let mut reader = source.reader(&split).unwrap();
        let (wake, mut rejects) = (WakeHandle::noop(), Rejects::default());
        loop {
            let now = ProcessingTime(0);
            let mut context = ReadContext { rows_max, now, flushing: false, wake: &wake, rejects: &mut rejects };
            match reader.poll(&mut context).unwrap() {
                ReadPoll::Batch(batch) => batches.push(batch),
                ReadPoll::Changes(_) | ReadPoll::Splits(_) => panic!("a generator changes rows or finds splits"),
                ReadPoll::Fetching { .. } | ReadPoll::Pending { .. } => panic!("a bounded generator waits"),
                ReadPoll::End => break,
            }
        }
    }
    batches
}

fn bids(batches: &[RecordBatch]) -> BTreeMap<(i64, i64, i64, String), usize> {
    let mut counts = BTreeMap::new();
    for batch in batches {
        let bid = batch.column(2).as_struct();
        let ints = |index: usize| bid.column(index).as_primitive::<Int64Type>();
        let extra = bid.column(6).as_string::<i32>();
        for row in (0..bid.len()).filter(|row| bid.is_valid(*row)) {
            let key = (ints(0).value(row), ints(1).value(row), ints(2).value(row), extra.value(row).to_owned());
            *counts.entry(key).or_insert(0) += 1;
        }
    }
    counts
}

#[test]
fn any_split_makes_any_range() {
    let options = [("events.num", "30001"), ("seed", "5")];
    let one = bids(&read(&options, 1, 8192));
    assert_eq!(one, bids(&read(&options, 3, 1000)));
    assert_eq!(one, bids(&read(&options, 4, 77)));
    assert_ne!(one, bids(&read(&[("events.num", "30001"), ("seed", "6")], 1, 8192)));
}

#[test]
fn kinds_come_in_their_proportions() {
    let mut counts = [0, 0, 0];
    for batch in read(&[("events.num", "5000")], 1, 8192) {
        for code in batch.column(0).as_primitive::<Int32Type>().values() {
            counts[usize::try_from(*code).unwrap()] += 1;
        }
    }
    assert_eq!(counts, [100, 300, 4600]);
}

#[test]
fn times_follow_the_rate_and_start_at_the_base() {
    let batches = read(&[("events.num", "1000"), ("next-event.rate", "100"), ("first-event.rate", "100")], 1, 8192);
    let times = batches[0].column(2).as_struct().column(5).as_primitive::<TimestampMillisecondType>().clone();
    // Of each 50 events the first 4 are no bids.
    assert_eq!((times.value(4), times.value(999)), (1_436_918_400_040, 1_436_918_409_990));
    assert_eq!(times.data_type(), &DataType::Timestamp(TimeUnit::Millisecond, None));
}

#[test]
fn half_the_channels_are_hot_and_sizes_are_official() {
    let batches = read(&[("events.num", "50000")], 1, 8192);
    let (mut hot, mut all, mut bytes) = (0, 0, 0);
    for batch in &batches {
        let bid = batch.column(2).as_struct();
        let (channel, extra) = (bid.column(3).as_string::<i32>(), bid.column(6).as_string::<i32>());
        for row in (0..bid.len()).filter(|row| bid.is_valid(*row)) {
            all += 1;
            hot += usize::from(!channel.value(row).starts_with("channel-"));
            bytes += 32 + extra.value(row).len();
        }
    }
    assert!((45..55).contains(&(100 * hot / all)), "{hot} of {all}");
    assert!((95..105).contains(&(bytes / all)), "{} bytes", bytes / all);
}

#[test]
fn children_that_nobody_reads_are_null() {
    let request = ScanRequest { columns: vec![ScanColumn { index: 2, children: Some(vec![2]) }] };
    let source = Nexmark::default().source(&table(&[("events.num", "100")]), &request).unwrap();
    let mut reader = source.reader(&source.splits(1).unwrap()[0]).unwrap();
    let (wake, mut rejects) = (WakeHandle::noop(), Rejects::default());
    let now = ProcessingTime(0);
    let mut context = ReadContext { rows_max: 100, now, flushing: false, wake: &wake, rejects: &mut rejects };
    let ReadPoll::Batch(batch) = reader.poll(&mut context).unwrap() else { panic!("no batch") };
    let bid = batch.column(0).as_struct();
    assert_eq!((bid.column(0).null_count(), bid.column(2).null_count()), (100, 0));
}

#[test]
fn wrong_columns_and_options_are_named() {
    let mut wrong = table(&[]);
    wrong.schema = Arc::new(Schema::new(vec![Field::new("price", DataType::Int64, true)]));
    assert!(Nexmark::default().validate(&wrong).unwrap_err().to_string().contains("no column \"price\""));
    let error = Nexmark::default().validate(&table(&[("base-time", "soon")])).unwrap_err();
    assert!(error.to_string().contains("'soon'"), "{error}");
}

#[test]
fn a_paced_reader_goes_on_from_its_offset() {
    let source = Nexmark::default()
        .source(&table(&[("next-event.rate", "100"), ("first-event.rate", "100")]), &ScanRequest::all(3))
        .unwrap();
    let mut reader = source.reader(&source.splits(1).unwrap()[0]).unwrap();
    reader.seek("5000").unwrap();
    let (wake, mut rejects) = (WakeHandle::noop(), Rejects::default());
    let mut poll = |us| {
        let now = ProcessingTime(us);
        let mut context = ReadContext { rows_max: 1000, now, flushing: false, wake: &wake, rejects: &mut rejects };
        match reader.poll(&mut context).unwrap() {
            ReadPoll::Batch(batch) => Ok(batch.num_rows()),
            ReadPoll::Pending { retry_at } => Err(retry_at),
            ReadPoll::Changes(_) | ReadPoll::Splits(_) | ReadPoll::Fetching { .. } => {
                panic!("a generator fetches or changes rows")
            }
            ReadPoll::End => panic!("an endless generator ends"),
        }
    };
    assert_eq!(poll(0), Ok(1));
    assert_eq!(poll(0), Err(Some(ProcessingTime(10_000))));
    assert_eq!(poll(1_000_000), Ok(100));
    assert_eq!(reader.offset(), "5101");
}
