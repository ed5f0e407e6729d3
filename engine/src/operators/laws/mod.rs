//! The laws of [`operators`](super), as property tests over every operator that [`build`](super::build::build) makes.
//!
//! Random rows arrive out of order, in random batches, with watermarks, barriers and restarts between them. What comes
//! out, folded, must be what DataFusion answers over all rows at once (laws 1, 2 and 4); laws 3 and 5 are checked on
//! each emission by the harness. The same operators as text are in `scripts`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod cases;
mod chains;
mod emit;
mod emit_scripts;
mod harness;
mod increments;
mod join_scripts;
mod joins;
mod oracle;
mod over;
mod over_scripts;
mod rank;
mod rank_scripts;
mod rescale;
mod saved;
mod scripts;
mod stateless;
mod timed_join_scripts;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use self::cases::{Case, all, windowed};
use self::harness::{Cells, Folded, Harness, delta_of};

/// Milliseconds that a row may come after a later one.
const DISORDER: i64 = 12;
/// The watermark before the first one.
const NO_WATERMARK: i64 = -1_000_000;
/// Arrivals are dealt to the ports in turn: as often to each, where there are one, two or three.
const PORTS: usize = 6;

/// A row and what happens after it.
#[derive(Debug, Clone)]
struct Arrival {
    /// Modulo the number of inputs.
    port: usize,
    key: Option<i64>,
    /// Milliseconds that the latest time moves on, and that this row is behind it.
    step: i64,
    behind: i64,
    value: Option<i64>,
    /// The row is taken back later.
    undone: bool,
    cut: bool,
    watermark: bool,
    barrier: bool,
    restart: bool,
}

fn arrival(behind: std::ops::RangeInclusive<i64>) -> impl Strategy<Value = Arrival> {
    let row =
        (0..PORTS, prop::option::weighted(0.9, 0..3_i64), 0..6_i64, behind, prop::option::weighted(0.8, -2..8_i64));
    let after = (prop::bool::weighted(0.2), prop::bool::weighted(0.4), prop::bool::weighted(0.3));
    (row, after, prop::bool::weighted(0.1), prop::bool::weighted(0.07)).prop_map(
        |((port, key, step, behind, value), (undone, cut, watermark), barrier, restart)| Arrival {
            port,
            key,
            step,
            behind,
            value,
            undone,
            cut,
            watermark,
            barrier,
            restart,
        },
    )
}

/// What is told to an operator.
#[derive(Debug, Clone)]
enum Event {
    Rows(usize, Vec<(bool, Cells)>),
    Watermark(i64),
    /// The clock in milliseconds: early results may be due.
    Clock(i64),
    Barrier,
    Restart,
}

/// Arrivals as events, and the oracle's tables: all rows that stay.
fn events(case: &Case, arrivals: &[Arrival]) -> (Vec<Event>, Vec<Vec<Cells>>) {
    let mut events = Vec::new();
    let mut tables = vec![Vec::new(); case.inputs.len()];
    let mut pending: Vec<Vec<(bool, Cells)>> = vec![Vec::new(); case.inputs.len()];
    let mut undo = pending.clone();
    let (mut latest, mut watermark) = (-40, NO_WATERMARK);
    for (id, arrival) in (0..).zip(arrivals) {
        latest += arrival.step;
        let time = latest - arrival.behind;
        let port = arrival.port % case.inputs.len();
        let flag = arrival.value.map(|value| i64::from(value > 3));
        let mut cells = vec![arrival.key, Some(time), arrival.value, flag];
        if case.inputs[port] == windowed() {
            let start = time.div_euclid(10) * 10;
            cells.extend([start, start + 10, start + 9].map(Some));
        }
        pending[port].push((false, cells.clone()));
        if arrival.undone && case.retracts {
            undo[port].push((true, cells));
        } else {
            tables[port].push(vec![Some(id), arrival.key, Some(time), arrival.value, flag, Some(watermark)]);
        }
        let [cut, mark, barrier, restart] = [arrival.cut, arrival.watermark, arrival.barrier, arrival.restart];
        if !(cut || mark || barrier || restart) {
            continue;
        }
        for port in 0..case.inputs.len() {
            events.push(Event::Rows(port, std::mem::take(&mut pending[port])));
            pending[port].append(&mut undo[port]);
        }
        if mark {
            // A window must not close between a row and its retraction.
            if case.closes() {
                let undone = pending.iter_mut().enumerate();
                events.extend(undone.map(|(port, rows)| Event::Rows(port, std::mem::take(rows))));
            }
            // Rows in time are two milliseconds after it: one for `<=`, one for a session that a row just touches.
            watermark = watermark.max(latest - DISORDER - 2);
            events.push(Event::Watermark(watermark));
        }
        if barrier || restart {
            // The clock goes on with the rows.
            events.push(Event::Clock(latest + 40));
        }
        if barrier {
            events.push(Event::Barrier);
        }
        if restart {
            events.push(Event::Restart);
        }
    }
    for (port, (mut rows, mut undone)) in pending.into_iter().zip(undo).enumerate() {
        rows.append(&mut undone);
        events.push(Event::Rows(port, rows));
    }
    (events, tables)
}

/// Runs a case over events to the end; gives the folded output and the late rows.
fn run(case: &Case, events: &[Event]) -> (Folded, u64) {
    let mut harness = Harness::new(case.spec.clone(), &case.inputs, &case.output, case.times.clone());
    for event in events {
        tell(&mut harness, case, event).unwrap();
    }
    harness.end().unwrap();
    (harness.folded, harness.late)
}

fn tell(harness: &mut Harness, case: &Case, event: &Event) -> crate::error::Result<()> {
    match event {
        Event::Rows(_, rows) if rows.is_empty() => Ok(()),
        Event::Rows(port, rows) => harness.delta(*port, delta_of(&case.inputs[*port], rows)),
        Event::Watermark(millis) => harness.watermark(*millis),
        Event::Clock(millis) => harness.clock(*millis),
        Event::Barrier => harness.barrier(),
        Event::Restart => harness.restart(),
    }
}

fn hold(case: &Case, arrivals: &[Arrival]) {
    let (events, tables) = events(case, arrivals);
    let expected = oracle::query(&case.result, &tables);
    let (folded, late) = run(case, &events);
    assert_eq!(folded, expected, "laws 1, 2, 4 of {}", case.name);
    match &case.late {
        None => assert_eq!(late, 0, "late rows of {}", case.name),
        Some(sql) => {
            let counted = oracle::query(sql, &tables).into_keys().next().unwrap()[0];
            assert_eq!(Some(i64::try_from(late).unwrap()), counted, "late rows of {}", case.name);
        }
    }
    if case.any_order() {
        assert_eq!(run(case, &backwards(&events)).0, expected, "law 2 of {}, backwards", case.name);
    }
    // A row that is late for some of its windows is not counted, and comes in time without watermarks.
    if late == 0 && arrivals.iter().all(|arrival| arrival.behind <= DISORDER) {
        let rows: Vec<Event> = events.into_iter().filter(|event| matches!(event, Event::Rows(..))).collect();
        assert_eq!(run(case, &rows).0, expected, "law 2 of {}", case.name);
    }
}

/// The same events, with the rows between two others in the opposite order: retractions before what they retract.
fn backwards(events: &[Event]) -> Vec<Event> {
    let mut turned = Vec::new();
    for part in events.chunk_by(|left, right| matches!((left, right), (Event::Rows(..), Event::Rows(..)))) {
        turned.extend(part.iter().rev().map(|event| match event {
            Event::Rows(port, rows) => Event::Rows(*port, rows.iter().rev().cloned().collect()),
            other => other.clone(),
        }));
    }
    turned
}

/// Holds the cases to the laws over arrivals that are at most so late.
fn property(cases: &[Case], behind: i64, runs: u32) {
    property_of(cases, behind, runs, |_| ());
}

/// [`property`] of arrivals that are changed before.
fn property_of(cases: &[Case], behind: i64, runs: u32, change: impl Fn(&mut [Arrival])) {
    for case in cases {
        let config = Config { cases: runs, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let arrivals = prop::collection::vec(arrival(0..=behind), 0..70);
        if let Err(error) = runner.run(&arrivals, |mut arrivals| {
            change(&mut arrivals);
            hold(case, &arrivals);
            Ok(())
        }) {
            panic!("{}: {error}", case.name);
        }
    }
}

#[test]
fn every_operator_keeps_the_laws() {
    property(&all(), DISORDER, 24);
}

#[test]
fn windows_that_are_emitted_early_or_late_keep_the_laws() {
    property(&emit::cases(), DISORDER, 8);
    let counted: Vec<Case> = emit::cases().into_iter().filter(|case| case.late.is_some()).collect();
    property(&counted, 3 * DISORDER, 8);
}

/// Early results came out by the clock in runs that are held to the laws, before restarts and after them.
#[test]
fn early_results_come_out_between_restarts() {
    let every = emit::cases().into_iter().find(|case| case.name.contains("Every")).unwrap();
    let arrivals: Vec<Arrival> = (0..40)
        .map(|at| Arrival {
            port: 0,
            key: Some(at % 3),
            step: 4,
            behind: 0,
            value: Some(at % 5),
            undone: false,
            cut: true,
            watermark: false,
            barrier: true,
            restart: at % 7 == 3,
        })
        .collect();
    let (events, tables) = events(&every, &arrivals);
    let mut harness = Harness::new(every.spec.clone(), &every.inputs, &every.output, every.times.clone());
    let (mut before, mut after) = (0, 0);
    let mut restarts = 0;
    for event in &events {
        tell(&mut harness, &every, event).unwrap();
        restarts += usize::from(matches!(event, Event::Restart));
        // No watermark has closed a window yet.
        let emitted = harness.take_log().len();
        if restarts == 0 { before += emitted } else { after += emitted }
    }
    assert!(before > 0 && after > 0, "no early results: {before} before the first restart, {after} after it");
    harness.end().unwrap();
    assert_eq!(harness.folded, oracle::query(&every.result, &tables));
}

#[test]
fn every_rank_keeps_the_laws() {
    property(&rank::cases(), DISORDER, 8);
}

#[test]
fn every_join_keeps_the_laws() {
    property(&joins::regular(), DISORDER, 6);
}

#[test]
fn joins_of_one_input_that_retracts_keep_the_laws() {
    for port in [0, 1] {
        property_of(&joins::half_retracting(port), DISORDER, 6, |arrivals| {
            arrivals.iter_mut().filter(|arrival| arrival.port % 2 != port).for_each(|arrival| arrival.undone = false);
        });
    }
}

#[test]
fn every_join_of_several_inputs_keeps_the_laws() {
    property_of(&joins::multi(), DISORDER, 24, |arrivals| {
        arrivals.iter_mut().for_each(|arrival| arrival.undone = false);
    });
}

#[test]
fn every_temporal_join_keeps_the_laws() {
    property(&joins::temporals(), DISORDER, 16);
}

#[test]
fn every_join_with_what_a_table_holds_keeps_the_laws() {
    // The left input only inserts.
    property_of(&joins::currents(), DISORDER, 16, |arrivals| {
        arrivals.iter_mut().filter(|arrival| arrival.port % 2 == 0).for_each(|arrival| arrival.undone = false);
    });
}

#[test]
fn every_interval_join_keeps_the_laws() {
    property(&joins::intervals(), DISORDER, 8);
}

#[test]
fn joins_of_equal_rows_keep_the_laws() {
    // All rows at one time, and of few values.
    property_of(&joins::regular(), DISORDER, 6, |arrivals| {
        for arrival in arrivals {
            (arrival.step, arrival.behind) = (0, 0);
            arrival.value = arrival.value.map(|value| value.rem_euclid(2));
        }
    });
}

#[test]
fn every_window_function_keeps_the_laws() {
    property(&over::net_change(), DISORDER, 6);
    property(&over::on_watermark(), DISORDER, 24);
    property(&over::on_arrival(), DISORDER, 24);
}

#[test]
fn late_rows_are_dropped_and_counted() {
    let cases: Vec<Case> = all()
        .into_iter()
        .chain(rank::cases())
        .chain(over::on_watermark())
        .chain(joins::intervals())
        .filter(|case| case.late.is_some())
        .collect();
    property(&cases, 3 * DISORDER, 16);
}
