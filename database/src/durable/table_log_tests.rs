//! Tests of the table logs: rows come back, concurrent changes share a sync, compaction keeps the rows.

#![allow(clippy::unwrap_used)] // A failed assertion of a test.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int64Type;
use millstream_engine::message::Delta;
use millstream_engine::plan::RelationId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Writer;
use crate::durable::DataDirectory;
use crate::durable::table_log::{Apply, Kept, TableLogs, Visible};

const TABLE: RelationId = RelationId(5);

fn batch(values: Vec<i64>) -> RecordBatch {
    RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(values)) as ArrayRef)]).unwrap()
}

/// An engine that only counts.
fn counting() -> (Apply, Arc<Mutex<usize>>) {
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let apply = move |_, _, _| {
        *counted.lock() += 1;
        Ok(Box::pin(async { Ok(()) }) as Visible)
    };
    (Box::new(apply), count)
}

async fn rows(directory: &DataDirectory, table: RelationId) -> Vec<i64> {
    let logs = TableLogs::open(directory, counting().0).unwrap();
    let mut found: Vec<i64> = Vec::new();
    let Kept::Rows { rows, .. } = logs.hold().await.unwrap().load(table, None).await.unwrap() else {
        panic!("changes since nothing");
    };
    for batch in rows {
        found.extend(batch.column(0).as_primitive::<Int64Type>().values());
    }
    found.sort_unstable();
    found
}

#[tokio::test]
async fn rows_come_back_and_other_tables_go() {
    let folder = tempfile::tempdir().unwrap();
    let directory = DataDirectory::take(folder.path()).unwrap();
    let (apply, applied) = counting();
    let logs = TableLogs::open(&directory, apply).unwrap();
    logs.change(TABLE, Delta::append(batch(vec![1, 2, 3]))).await.unwrap().await.unwrap();
    let update = Delta::signed(batch(vec![2, 9]), BooleanBuffer::from(vec![true, false]));
    logs.change(TABLE, update).await.unwrap().await.unwrap();
    logs.change(RelationId(6), Delta::append(batch(vec![7]))).await.unwrap().await.unwrap();
    assert_eq!(*applied.lock(), 3);
    drop(logs);
    assert_eq!(rows(&directory, TABLE).await, [1, 3, 9]);
    let logs = TableLogs::open(&directory, counting().0).unwrap();
    logs.retain(vec![TABLE]);
    drop(logs);
    assert_eq!(rows(&directory, TABLE).await, [1, 3, 9]);
    assert_eq!(rows(&directory, RelationId(6)).await, Vec::<i64>::new());
}

#[tokio::test]
async fn changes_after_a_position_come_back_one_by_one_while_others_wait() {
    let folder = tempfile::tempdir().unwrap();
    let directory = DataDirectory::take(folder.path()).unwrap();
    let (apply, applied) = counting();
    let logs = TableLogs::open(&directory, apply).unwrap();
    for value in 1..=3 {
        logs.change(TABLE, Delta::append(batch(vec![value]))).await.unwrap().await.unwrap();
    }
    let held = logs.hold().await.unwrap();
    let waiting = logs.change(TABLE, Delta::append(batch(vec![4])));
    let Kept::Changes(changes) = held.load(TABLE, Some(1)).await.unwrap() else { panic!("no changes") };
    let told: Vec<(u64, RecordBatch)> = changes.into_iter().map(|(at, delta)| (at, delta.batch)).collect();
    assert_eq!(told.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(told[1].1.column(0).as_primitive::<Int64Type>().values().to_vec(), [3]);
    assert_eq!(*applied.lock(), 3);
    drop(held);
    waiting.await.unwrap().await.unwrap();
    assert_eq!(*applied.lock(), 4);
}

#[test]
fn changes_that_wait_are_written_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(folder.path().to_owned(), counting().0);
    let changes = (0..100).map(|value| (TABLE, Delta::append(batch(vec![value])), oneshot::channel().0));
    writer.write(changes.collect());
    let log = writer.open.get(&TABLE).unwrap();
    assert_eq!((log.position, log.log.syncs()), (100, 1));
}

#[test]
fn a_grown_log_is_compacted_and_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(folder.path().to_owned(), counting().0);
    let many: Vec<i64> = (0..300_000).collect();
    for _ in 0..10 {
        let twice: Vec<i64> = many.iter().chain(&many).copied().collect();
        let gone = BooleanBuffer::collect_bool(twice.len(), |row| row >= many.len());
        writer.write(vec![(TABLE, Delta::signed(batch(twice), gone), oneshot::channel().0)]);
    }
    writer.write(vec![(TABLE, Delta::append(batch(vec![-1])), oneshot::channel().0)]);
    let log = writer.open.get(&TABLE).unwrap();
    assert!(log.log.bytes() < 60 << 20, "{} bytes", log.log.bytes());
    assert_eq!(log.position, 11);
    // The changes since the first one are not told apart any more.
    let (again, Kept::Rows { position, rows: left }) = writer.read(TABLE, Some(1)).unwrap() else {
        panic!("changes of a compacted log");
    };
    assert_eq!((again.position, position, left.len()), (11, 11, 1));
    assert_eq!(left[0].column(0).as_primitive::<Int64Type>().values().to_vec(), [-1]);
}

#[tokio::test]
async fn a_failed_write_is_told_and_nothing_is_applied() {
    let folder = tempfile::tempdir().unwrap();
    let directory = DataDirectory::take(folder.path()).unwrap();
    let (apply, applied) = counting();
    let logs = TableLogs::open(&directory, apply).unwrap();
    // A folder stands where the log should be.
    std::fs::create_dir(folder.path().join("tables/5.log")).unwrap();
    let error = logs.change(TABLE, Delta::append(batch(vec![1]))).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("5.log"), "{error}");
    assert_eq!(*applied.lock(), 0);
}

#[tokio::test]
async fn a_log_that_has_lost_its_end_is_replaced_and_goes_on_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let directory = DataDirectory::take(folder.path()).unwrap();
    let logs = TableLogs::open(&directory, counting().0).unwrap();
    for value in 1..=2 {
        logs.change(TABLE, Delta::append(batch(vec![value]))).await.unwrap().await.unwrap();
    }
    let held = logs.hold().await.unwrap();
    let Kept::Behind { position: 2 } = held.load(TABLE, Some(5)).await.unwrap() else { panic!("nothing is missing") };
    held.replace(TABLE, 5, vec![batch(vec![1, 2, 3])]).await.unwrap();
    drop(held);
    logs.change(TABLE, Delta::append(batch(vec![4]))).await.unwrap().await.unwrap();
    drop(logs);
    assert_eq!(rows(&directory, TABLE).await, [1, 2, 3, 4]);
    let logs = TableLogs::open(&directory, counting().0).unwrap();
    let Kept::Changes(changes) = logs.hold().await.unwrap().load(TABLE, Some(5)).await.unwrap() else {
        panic!("no changes")
    };
    assert_eq!(changes.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [6]);
}
