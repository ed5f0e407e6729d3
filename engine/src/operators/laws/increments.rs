//! What checkpoints cost: where 1 % of the keys is touched, or goes, an operator tells as little, and as little is written.

use std::ops::Range;

use super::cases::{self, Case, windowed};
use super::harness::{Cells, Harness, delta_of};
use super::{emit, joins, over, rank};
use crate::message::BATCH_ROWS;

const KEYS: i64 = 10_000;
/// One key in so many is touched.
const STEP: usize = 100;

/// The operators, by how the names of their cases begin; and whether the watermark passes the rows before they are saved.
const OPERATORS: [(&str, bool); 30] = [
    ("group aggregate keyed true retracts false: count(*), sum(v), min(v), max(v), count(DISTINCT v)", false),
    ("group aggregate keyed true retracts true: count(*), sum(v), min(v), max(v), count(DISTINCT v)", false),
    ("window aggregate tumble 10 0 keyed true attached false retracts false: count(*), sum(v), min(v)", true),
    ("window aggregate hop 5 10 0 keyed true attached false retracts false: count(*), sum(v), count(*)", false),
    ("window aggregate cumulate 5 15 2 keyed true attached false retracts false: count(*), sum(v), min(v)", false),
    ("window aggregate tumble 10 0 keyed true attached true retracts true", false),
    (
        "window aggregate tumble 10 0 keyed true attached true retracts true: count(*), sum(v), min(v), max(v), count(DISTINCT v), sum(DISTINCT v) FILTER (WHERE b = 1) WindowEmit",
        false,
    ),
    ("session aggregate keyed true", true),
    ("session assign", true),
    ("session assign retracts true WindowEmit", false),
    ("rank row_number 1 to 1 keyed true ranked true retracts false", false),
    ("rank row_number 1 to 3 keyed true ranked true retracts false", false),
    ("rank row_number 1 to 3 keyed true ranked false retracts true", false),
    ("rank rank 1 to 3 keyed true ranked true retracts false", false),
    ("rank first in time", false),
    ("rank first in time", true),
    ("rank FirstArrival", false),
    ("window rank row_number 2", false),
    ("join Inner on Key residual false retracts (false, false)", false),
    ("join Full on Key residual false retracts (true, true)", false),
    ("interval join Full -20 to -4 keyed true", false),
    ("temporal join Left AtOrBefore residual false", true),
    ("temporal join Left AtOrAfter residual false", false),
    ("current join Left residual false retracts true", false),
    ("window join Full keyed true residual false", false),
    ("over v DESC NULLS LAST NetChange retracts true", false),
    ("over ts OnWatermark", false),
    (
        "over ts OnWatermark { column: 1 } retracts false: count(*), sum(v), min(v), max(v), count(v) FILTER (WHERE b = 1), avg(v)",
        true,
    ),
    (
        "over ts OnWatermark { column: 1 } retracts false: count(*), sum(v), min(v), max(v), count(v) FILTER (WHERE b = 1), first_value",
        true,
    ),
    ("over id", false),
];

fn all() -> Vec<Case> {
    let windows = cases::all().into_iter().chain(emit::cases());
    windows.chain(rank::cases()).chain(joins::all()).chain(over::cases()).collect()
}

/// A row of each of some keys at a time, inserted or taken back.
fn rows(case: &Case, port: usize, (time, step): (i64, usize), retract: bool) -> Vec<(bool, Cells)> {
    let row = |key: i64| {
        let mut cells = vec![Some(key), Some(time), Some(key + time), Some(key % 2)];
        if case.inputs[port] == windowed() {
            cells.extend([0, 10, 9].map(Some));
        }
        (retract, cells)
    };
    (0..KEYS).step_by(step).map(row).collect()
}

fn check(case: &Case, passes: bool) {
    let mut harness = Harness::new(case.spec.clone(), &case.inputs, &case.output, case.times.clone());
    let ports = case.inputs.len();
    let mut round = |time: i64, step: usize, ports: Range<usize>, retract: bool| {
        for port in ports {
            for rows in rows(case, port, (time, step), retract).chunks(BATCH_ROWS) {
                harness.delta(port, delta_of(&case.inputs[port], rows)).unwrap();
            }
        }
        if passes {
            harness.watermark(time + 1).unwrap();
        }
        harness.checkpoint().unwrap()
    };
    let full = round(2, 1, 0..ports, false);
    assert!(full.rows >= KEYS as usize, "{} keeps only {} rows", case.name, full.rows);
    let mut changes = vec![round(4, STEP, 0..1, false), round(6, STEP, ports - 1..ports, false)];
    if case.retracts {
        changes.push(round(6, STEP, ports - 1..ports, true));
    }
    for of in changes {
        assert!(of.told * 100 < full.rows * 3, "{}: {of:?} after {full:?}", case.name);
        assert!(of.bytes * 100 < full.bytes * 3, "{}: {of:?} after {full:?}", case.name);
    }
}

#[test]
fn a_checkpoint_costs_what_has_changed() {
    let all = all();
    for (name, passes) in OPERATORS {
        let case = all.iter().find(|case| case.name.starts_with(name));
        check(case.unwrap_or_else(|| panic!("no case {name}")), passes);
    }
}
