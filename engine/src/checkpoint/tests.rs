//! Tests of checkpoints as stored: runs and manifests that are torn or changed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Int64Type, Schema};

use super::edits::Edit;
use super::format_manifest::{JobRecord, Manifest, NodeRecord, SplitRecord};
use super::format_run::{Batch, Extent, Section, decode};
use super::format_run_writer::encode;
use crate::pieces::live_batch;

pub(super) fn sections() -> Vec<Section> {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    let options = RecordBatchOptions::new().with_row_count(Some(2));
    let bare = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).unwrap();
    let rows = RecordBatch::try_from_iter([("c0", column)]).unwrap();
    let edits = vec![Edit { from: 7, rows: 2, fresh: 1 }, Edit { from: 0, rows: 1, fresh: 2 }];
    let changes = Extent::Changes { of: "3/keys".into(), edits };
    vec![
        Section::whole("job", "op-1", "keys", rows.clone()),
        Section::whole("job", "op-1", "calls", bare),
        Section { extent: changes, ..Section::whole("job", "op-1", "2/keys", rows.clone()) },
        Section {
            extent: Extent::Same { of: "calls".into() },
            ..Section::whole("job", "op-1", "calls", rows.slice(0, 0))
        },
    ]
}

#[test]
fn a_run_is_read_back_and_every_damage_is_seen() {
    let mut bytes = Vec::new();
    encode(&sections(), &mut bytes).unwrap();
    let back = decode("runs/1", &bytes).unwrap();
    assert_eq!(back.len(), 4);
    assert_eq!(back[0].batches, sections()[0].batches);
    assert_eq!((back[1].table.as_str(), back[1].batches[0].count()), ("calls", 2));
    assert_eq!((&back[2].extent, &back[2].batches), (&sections()[2].extent, &sections()[2].batches));
    assert_eq!(back[3].extent, sections()[3].extent);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(decode("runs/1", &changed).unwrap_err().to_string().contains("runs/1"), "byte {at}");
        assert!(decode("runs/1", &bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn rows_that_tables_share_are_written_once() {
    let column: ArrayRef = Arc::new((0..4_000).collect::<Int64Array>());
    let rows = RecordBatch::try_from_iter([("c0", Arc::clone(&column))]).unwrap();
    let other =
        RecordBatch::try_from_iter([("c0", Arc::new((4_000..4_400).collect::<Int64Array>()) as ArrayRef)]).unwrap();
    let live: BooleanBuffer = (0..4_000).map(|row| row % 3 != 0).collect();
    // The same values by another array.
    let named = RecordBatch::try_from_iter([("bid", column.slice(0, 4_000))]).unwrap();
    let section = |table: &str, schema: &RecordBatch, batches: Vec<Batch>| Section {
        schema: schema.schema(),
        batches,
        ..Section::whole("job", table, table, schema.clone())
    };
    let masked = |rows: &RecordBatch| Batch { rows: rows.clone(), live: Some(live.clone()) };
    let part = named.slice(0, 300);
    let first = section("first", &rows, vec![rows.clone().into(), masked(&rows), other.clone().into()]);
    let second = section("second", &named, vec![other.into(), named.clone().into(), masked(&named), part.into()]);
    let (mut alone, mut bytes) = (Vec::new(), Vec::new());
    encode(std::slice::from_ref(&first), &mut alone).unwrap();
    encode(&[first.clone(), second.clone()], &mut bytes).unwrap();
    assert!(bytes.len() < alone.len() + 300 * 8 + 2_000, "{} bytes after {}", bytes.len(), alone.len());
    let values = |section: &Section| -> Vec<i64> {
        let live = |batch: &Batch| live_batch(&batch.rows, batch.live.as_ref()).unwrap();
        section
            .batches
            .iter()
            .flat_map(|batch| live(batch).column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect()
    };
    let back = decode("runs/1", &bytes).unwrap();
    assert_eq!((&back[0].schema, &back[1].schema), (&rows.schema(), &named.schema()));
    assert_eq!((values(&back[0]), values(&back[1])), (values(&first), values(&second)));
}

#[test]
fn edits_of_tables_beside_one_another_are_written_once() {
    let rows = RecordBatch::try_from_iter([("c0", Arc::new(Int64Array::from(vec![7])) as ArrayRef)]).unwrap();
    let section = |table: &str, edits: &[Edit]| {
        let extent = Extent::Changes { of: table.into(), edits: edits.to_vec() };
        Section { extent, ..Section::whole("job", "op-1", table, rows.clone()) }
    };
    let edits: Vec<Edit> = (0..1_000).map(|row| Edit { from: row * 2, rows: 1, fresh: u32::from(row == 0) }).collect();
    let sections = [section("calls", &edits), section("keys", &edits), section("distinct0", &edits[..999])];
    let mut bytes = Vec::new();
    let sizes = encode(&sections, &mut bytes).unwrap().sections;
    assert!(sizes[0] > 12_000 && sizes[1] < 1_000 && sizes[2] > 11_000, "{sizes:?}");
    let back = decode("runs/1", &bytes).unwrap();
    assert!(back.iter().zip(&sections).all(|(back, section)| back.extent == section.extent));
}

#[test]
fn a_manifest_is_read_back_and_every_damage_is_seen() {
    let mut manifest = Manifest::new(3, 17, 5, 2);
    let split = SplitRecord { id: "0".into(), offset: Some("4:2".into()), ended: false, watermark_us: -1, idle: true };
    let node = NodeRecord { operator: "source-1".into(), splits: vec![split], ..NodeRecord::default() };
    let (uid, name, plan) = ("u".into(), "n".into(), "h".into());
    manifest.jobs.push(JobRecord { uid, name, plan, inserted: 9, base_epoch: 4, nodes: vec![node] });
    let bytes = manifest.encode().unwrap();
    assert_eq!(Manifest::decode("manifests/1", &bytes).unwrap(), manifest);
    for at in 0..bytes.len() - 1 {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Manifest::decode("manifests/1", &changed).is_err(), "byte {at}");
        assert!(Manifest::decode("manifests/1", &bytes[..at]).is_err(), "cut at {at}");
    }
}
