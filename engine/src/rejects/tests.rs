//! What is rejected, what is kept of it, and what is forgotten.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::message::Epoch;
use crate::runtime::JobId;
use crate::time::ProcessingTime;

fn batch(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    RecordBatch::try_from_iter([("n", values)]).unwrap()
}

fn values(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

fn odd(delta: &Delta) -> Result<Vec<i64>> {
    match values(&delta.batch).iter().find(|value| **value % 2 == 0) {
        Some(value) => Err(EngineError::Evaluate(format!("{value} is even"))),
        None => Ok(values(&delta.batch)),
    }
}

proptest! {
    #[test]
    fn exactly_the_rows_that_fail_are_rejected(rows in prop::collection::vec((0_i64..50, any::<bool>()), 0..200)) {
        let delta = Delta::signed(
            batch(rows.iter().map(|row| row.0)),
            rows.iter().map(|row| row.1).collect::<BooleanBuffer>(),
        );
        let mut rejects = Rejects::new(OnError::Table);
        let done = narrow(RejectKind::Bad, &delta, &mut rejects, &mut odd).unwrap().concat();
        let good: Vec<i64> = rows.iter().map(|row| row.0).filter(|value| value % 2 != 0).collect();
        prop_assert_eq!(done, good);
        // Retractions of bad rows go without a word.
        let bad: Vec<i64> = rows.iter().filter(|row| row.0 % 2 == 0 && !row.1).map(|row| row.0).collect();
        prop_assert_eq!(rejects.counts.bad, bad.len() as u64);
        let kept: Vec<i64> = rejects.kept.iter().flat_map(|rejected| match &rejected.content {
            RejectedContent::Rows(batch) => values(batch),
            RejectedContent::Record(_) => Vec::new(),
        }).collect();
        prop_assert_eq!(kept, bad);
        let flags = kept_rows(&delta, &mut Rejects::new(OnError::Skip), &mut |part| {
            odd(part).map(|odd| BooleanArray::from(vec![true; odd.len()]))
        }).unwrap();
        let expected: Vec<bool> = rows.iter().map(|row| row.0 % 2 != 0).collect();
        prop_assert_eq!(flags.values().iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn what_is_no_fault_of_the_data_ends_the_work() {
    let broken = |_: &Delta| -> Result<()> { Err(EngineError::Internal("a bug".into())) };
    let mut rejects = Rejects::new(OnError::Skip);
    assert!(narrow(RejectKind::Bad, &Delta::append(batch([1, 2])), &mut rejects, &mut { broken }).is_err());
    assert!(rejects.is_empty());
}

#[test]
fn late_rows_are_counted_exactly_and_kept_within_a_bound() {
    let mut rejects = Rejects::default();
    let delta = Delta::append(batch(0..1_000));
    rejects.late(&delta, 0..1_000).unwrap();
    assert_eq!((rejects.counts.late, rejects.kept[0].content.rows()), (1_000, LATE_ROWS_KEPT));
    let retraction = Delta::signed(batch([1]), BooleanBuffer::new_set(1));
    rejects.late(&retraction, 0..1).unwrap();
    assert_eq!((rejects.counts.late, rejects.kept.len()), (1_001, 1));
}

#[test]
fn records_are_kept_as_text() {
    let mut rejects = Rejects::new(OnError::Table);
    let error = || EngineError::BadRow { message: "f line 3: no number".into(), hint: None };
    rejects.record(b"a\xffb\xc3\xa4\0\r\n", &"f line 3", false, error).unwrap();
    let long = vec![b'x'; 20_000];
    rejects.record(&long, &"f line 4", false, error).unwrap();
    let text = |index: usize| match &rejects.kept[index].content {
        RejectedContent::Record(text) => text.clone(),
        RejectedContent::Rows(_) => String::new(),
    };
    assert_eq!(text(0), "a\\xffbä\\x00");
    assert_eq!(rejects.kept[0].reason, "no number");
    assert_eq!(rejects.kept[0].place.as_deref(), Some("f line 3"));
    assert_eq!(text(1).chars().count(), RECORD_BYTES_MAX + 1);
    assert!(Rejects::new(OnError::Fail).record(b"", &"f", false, error).is_err());
    let io = || EngineError::io("cannot read", "gone");
    assert!(Rejects::new(OnError::Skip).record(b"", &"f", false, io).is_err());
}

fn entry(job: u64, kind: RejectKind, from: i64, rows: i64) -> RejectEntry {
    RejectEntry {
        number: 0,
        job: Some(JobId(job)),
        name: "job".into(),
        relation: None,
        operator: "filter".into(),
        at: ProcessingTime(0),
        rejected: Rejected {
            kind,
            content: RejectedContent::Rows(batch(from..from + rows)),
            reason: String::new(),
            place: None,
        },
        origin: RejectOrigin::default(),
    }
}

#[test]
fn a_job_goes_back_to_what_it_had_rejected_before_a_barrier() {
    let log = RejectLog::new(RejectLimits::default());
    let at = |passed: u64, mut entry: RejectEntry| {
        entry.origin = RejectOrigin { node: "filter-1".into(), passed: Epoch(passed), restored: false };
        entry
    };
    log.add(at(0, entry(1, RejectKind::Bad, 0, 2)));
    let mut record = at(4, entry(1, RejectKind::Sink, 0, 1));
    record.rejected.content = RejectedContent::Record("no row".into());
    (record.rejected.reason, record.rejected.place) = ("why".into(), Some("file".into()));
    (record.relation, record.at) = (Some("t".into()), ProcessingTime(7));
    log.add(record);
    log.add(at(5, entry(1, RejectKind::Late, 0, 3)));
    log.add(at(0, entry(2, RejectKind::Bad, 0, 1)));
    let saved = format_rejected::encode(&log.before(JobId(1), Epoch(5))).unwrap();
    let back = format_rejected::decode(Some(JobId(1)), &"job".into(), &saved).unwrap();
    let first = RejectOrigin { node: "filter-1".into(), passed: Epoch(0), restored: true };
    assert!(back.len() == 2 && back.iter().all(|entry| entry.origin == first));
    let RejectedContent::Rows(rows) = &back[0].rejected.content else { panic!("a record") };
    assert_eq!((values(rows), back[0].rejected.kind), (vec![0, 1], RejectKind::Bad));
    assert_eq!(format!("{:?}", back[1].rejected), format!("{:?}", log.entries(RejectKind::Sink)[0].rejected));
    assert_eq!((back[1].relation.as_deref(), back[1].at), (Some("t"), ProcessingTime(7)));

    log.replace(JobId(1), back);
    assert_eq!((log.before(JobId(1), Epoch(1)).len(), log.entries(RejectKind::Late).len()), (2, 0));
    assert_eq!((log.rows(JobId(1)), log.rows(JobId(2))), (0, 1), "none since it was started");
    log.add_unless(|| true, entry(1, RejectKind::Late, 0, 3));
    assert_eq!(log.entries(RejectKind::Late).len(), 0, "of the job that is over");

    let broken = saved.project(&[0, 1]).unwrap();
    assert!(format_rejected::decode(Some(JobId(1)), &"job".into(), &broken).is_err());
}

#[test]
fn the_log_forgets_the_oldest_of_who_has_most() {
    let log = RejectLog::new(RejectLimits { job_rows: 10, rows: 15, bytes: 1 << 20 });
    for start in 0..6 {
        log.add(entry(1, RejectKind::Bad, start * 3, 3));
    }
    log.add(entry(1, RejectKind::Late, 100, 2));
    assert_eq!(log.rows(JobId(1)), 11, "nine of one kind, two of another");
    log.add(entry(2, RejectKind::Bad, 0, 6));
    assert_eq!((log.rows(JobId(1)), log.rows(JobId(2))), (8, 6), "the first job gave way");
    let bad = log.entries(RejectKind::Bad);
    assert!(bad.is_sorted_by_key(|entry| entry.number));
    assert_eq!(bad.iter().map(|entry| entry.job.map(|job| job.0)).collect::<Vec<_>>(), [Some(1), Some(1), Some(2)]);
    let log = RejectLog::new(RejectLimits { job_rows: 4, ..RejectLimits::default() });
    log.add(entry(1, RejectKind::Late, 0, 10));
    let last = log.entries(RejectKind::Late).into_iter().map(|entry| match entry.rejected.content {
        RejectedContent::Rows(batch) => values(&batch),
        RejectedContent::Record(_) => Vec::new(),
    });
    assert_eq!(last.collect::<Vec<_>>(), [[6, 7, 8, 9]], "more than fit at once: the last of them");
    let small = RejectLog::new(RejectLimits { bytes: 1, ..RejectLimits::default() });
    small.add(entry(1, RejectKind::Bad, 0, 1));
    assert_eq!(small.rows(JobId(1)), 0);
}
