//! Operators as text: what is told to them line by line, and what they answer.
//!
//! `0: 1 1000 5 1, retract 2 _ 7 0` are two rows into port 0 (`_` is null); `watermark`, `clock` (milliseconds),
//! `barrier`, `restart` and `end` are what they say; `state` asks how many rows the tables of a snapshot have. Each line that is answered is followed by the answer; the folded
//! result stands at the end behind `=`.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::cases::all;
use super::harness::{Cells, Harness, Times, delta_of, text_of};
use crate::error::Result;
use crate::plan::{OperatorSpec, WindowInput, WindowTime};

/// Runs a script through the operator of the case with that name; `by_clock`: windows are of processing time, and ranks
/// forget partitions after 10 ms.
pub(super) fn check(name: &str, by_clock: bool, script: &str, expected: Expect) {
    let mut case = all()
        .into_iter()
        .chain(super::emit::cases())
        .chain(super::rank::cases())
        .chain(super::over::cases())
        .chain(super::joins::all())
        .find(|case| case.name == name)
        .unwrap();
    if by_clock {
        case.times = Times::None;
        match &mut case.spec {
            OperatorSpec::SessionAggregate(spec) => spec.time = WindowTime::Processing,
            OperatorSpec::SessionAssign(spec) => spec.time = WindowTime::Processing,
            OperatorSpec::WindowAggregate(spec) => match &mut spec.window {
                WindowInput::Assign { time, .. } => *time = WindowTime::Processing,
                WindowInput::Attached { .. } => panic!("{name} has windows of its own"),
            },
            OperatorSpec::Rank(spec) => spec.ttl_us = Some(10_000),
            OperatorSpec::Join(spec) => spec.ttl_us = (Some(10_000), Some(10_000)),
            OperatorSpec::CurrentJoin(spec) => spec.right_ends = false,
            other => panic!("{other:?} knows no clock"),
        }
    }
    let mut harness = Harness::new(case.spec, &case.inputs, &case.output, case.times);
    let mut answer = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        writeln!(answer, "{line}").unwrap();
        if let Err(error) = tell(&mut harness, line) {
            writeln!(answer, "  error: {error}").unwrap();
        }
        for said in harness.take_log() {
            writeln!(answer, "  {said}").unwrap();
        }
        if let Some(timer) = harness.timer() {
            writeln!(answer, "  timer {timer}").unwrap();
        }
    }
    for (cells, count) in &harness.folded {
        writeln!(answer, "= {}{}", text_of(cells), if *count == 1 { String::new() } else { format!(" x{count}") })
            .unwrap();
    }
    expected.assert_eq(&answer);
}

fn tell(harness: &mut Harness, line: &str) -> Result<()> {
    if let Some((port, rows)) = line.split_once(':') {
        let port = port.parse().unwrap();
        let rows: Vec<(bool, Cells)> = rows.split(',').map(row).collect();
        let delta = delta_of(harness.input(port), &rows);
        return harness.delta(port, delta);
    }
    let millis = || line.split(' ').nth(1).unwrap().parse().unwrap();
    match line.split(' ').next().unwrap() {
        "watermark" => harness.watermark(millis()),
        "clock" => harness.clock(millis()),
        "barrier" => harness.barrier(),
        "restart" => harness.restart(),
        "end" => harness.end(),
        "state" => harness.tell_state(),
        other => panic!("{other} in a script"),
    }
}

fn row(text: &str) -> (bool, Cells) {
    let text = text.trim();
    let (retracts, text) = match text.strip_prefix("retract ") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let cell = |word: &str| (word != "_").then(|| word.parse().unwrap());
    (retracts, text.split(' ').map(cell).collect())
}

const SESSIONS: &str = "session aggregate keyed true: count(*), sum(v), min(v), max(v), count(DISTINCT v), sum(DISTINCT v) FILTER (WHERE b = 1)";
const JOIN: &str = "window join Full keyed true residual true";
const CHANGES: &str = "group aggregate keyed true retracts true: count(*), sum(v), min(v), max(v), count(DISTINCT v), sum(DISTINCT v) FILTER (WHERE b = 1)";
const GROUPS: &str = "group aggregate keyed true retracts false: count(*), sum(v), min(v), max(v), count(DISTINCT v), sum(DISTINCT v) FILTER (WHERE b = 1)";

#[test]
fn a_row_between_two_sessions_makes_them_one() {
    check(
        SESSIONS,
        false,
        "0: 1 100 1 0, 1 110 2 0
         0: 1 105 4 1, 2 103 _ 0
         watermark 107
         restart
         watermark 113
         watermark 114
         0: 1 109 1 0, 1 110 1 0",
        expect![[r#"
            0: 1 100 1 0, 1 110 2 0
            0: 1 105 4 1, 2 103 _ 0
            watermark 107
              + 2 1 _ _ _ 0 _ 103 108 107
            restart
            watermark 113
            watermark 114
              + 1 3 7 1 4 3 4 100 115 114
            0: 1 109 1 0, 1 110 1 0
              late 2
            = 1 3 7 1 4 3 4 100 115 114
            = 2 1 _ _ _ 0 _ 103 108 107
        "#]],
    );
}

#[test]
fn sessions_of_the_clock_close_by_timer() {
    check(
        SESSIONS,
        true,
        "clock 100
         0: 1 0 1 0, 2 0 1 0
         clock 103
         0: 1 0 2 0
         clock 105
         clock 108
         0: 1 0 2 0
         end",
        expect![[r#"
            clock 100
            0: 1 0 1 0, 2 0 1 0
              timer 105
            clock 103
              timer 105
            0: 1 0 2 0
              timer 105
            clock 105
              + 2 1 1 1 1 1 _ 100 105 104
              timer 108
            clock 108
              + 1 2 3 1 2 2 _ 100 108 107
            0: 1 0 2 0
              timer 113
            end
              + 1 1 2 2 2 1 _ 108 113 112
              timer 113
            = 1 1 2 2 2 1 _ 108 113 112
            = 1 2 3 1 2 2 _ 100 108 107
            = 2 1 1 1 1 1 _ 100 105 104
        "#]],
    );
}

#[test]
fn restored_sessions_of_the_clock_ask_for_their_timer() {
    check(
        SESSIONS,
        true,
        "clock 100
         0: 1 0 1 0
         restart
         barrier
         clock 105",
        expect![[r#"
            clock 100
            0: 1 0 1 0
              timer 105
            restart
            barrier
              timer 105
            clock 105
              + 1 1 1 1 1 1 _ 100 105 104
            = 1 1 1 1 1 1 _ 100 105 104
        "#]],
    );
}

#[test]
fn windows_of_the_clock_close_by_timer() {
    check(
        "window aggregate tumble 10 0 keyed true attached false retracts false: count(*), sum(v), count(*) FILTER (WHERE b = 1)",
        true,
        "clock 101
         0: 1 0 1 0, 2 0 1 0
         clock 109
         0: 1 0 2 1
         clock 110
         0: 1 0 2 0
         end",
        expect![[r#"
            clock 101
            0: 1 0 1 0, 2 0 1 0
              timer 110
            clock 109
              timer 110
            0: 1 0 2 1
              timer 110
            clock 110
              + 1 2 3 1 100 110 109
              + 2 1 1 0 100 110 109
            0: 1 0 2 0
              timer 120
            end
              + 1 1 2 0 110 120 119
              timer 120
            = 1 1 2 0 110 120 119
            = 1 2 3 1 100 110 109
            = 2 1 1 0 100 110 109
        "#]],
    );
}

#[test]
fn a_window_join_with_a_residual_keeps_the_lonely() {
    check(
        JOIN,
        false,
        "0: 1 100 1 0 100 110 109, 1 101 5 1 100 110 109, _ 102 1 0 100 110 109
         1: 1 103 3 0 100 110 109, _ 104 9 1 100 110 109, 1 112 9 1 110 120 119
         watermark 108
         watermark 109
         0: 1 109 1 0 100 110 109
         end",
        expect![[r#"
            0: 1 100 1 0 100 110 109, 1 101 5 1 100 110 109, _ 102 1 0 100 110 109
            1: 1 103 3 0 100 110 109, _ 104 9 1 100 110 109, 1 112 9 1 110 120 119
            watermark 108
            watermark 109
              + 1 100 1 0 100 110 109 1 103 3 0 100 110 109
              + 1 101 5 1 100 110 109 _ _ _ _ _ _ _
              + _ 102 1 0 100 110 109 _ _ _ _ _ _ _
              + _ _ _ _ _ _ _ _ 104 9 1 100 110 109
            0: 1 109 1 0 100 110 109
              late 1
            end
              + _ _ _ _ _ _ _ 1 112 9 1 110 120 119
            = _ _ _ _ _ _ _ _ 104 9 1 100 110 109
            = _ _ _ _ _ _ _ 1 112 9 1 110 120 119
            = _ 102 1 0 100 110 109 _ _ _ _ _ _ _
            = 1 100 1 0 100 110 109 1 103 3 0 100 110 109
            = 1 101 5 1 100 110 109 _ _ _ _ _ _ _
        "#]],
    );
}

#[test]
fn only_the_net_change_of_an_epoch_comes_out() {
    check(
        GROUPS,
        false,
        "0: 1 0 4 1, 1 0 4 1, 2 0 _ _
         barrier
         0: 1 0 7 1
         0: 1 0 1 0
         barrier
         barrier",
        expect![[r#"
            0: 1 0 4 1, 1 0 4 1, 2 0 _ _
            barrier
              + 1 2 8 4 4 1 4
              + 2 1 _ _ _ 0 _
            0: 1 0 7 1
            0: 1 0 1 0
            barrier
              - 1 2 8 4 4 1 4
              + 1 4 16 1 7 3 11
            barrier
            = 1 4 16 1 7 3 11
            = 2 1 _ _ _ 0 _
        "#]],
    );
}

#[test]
fn what_is_retracted_leaves_its_aggregates() {
    check(
        CHANGES,
        false,
        "0: 1 0 4 1, 1 0 7 1, 2 0 3 0
         barrier
         0: retract 1 0 4 1, retract 2 0 3 0
         barrier
         0: retract 3 0 9 1
         0: 3 0 9 1, 1 0 1 0
         restart
         0: retract 1 0 7 1
         barrier",
        expect![[r#"
            0: 1 0 4 1, 1 0 7 1, 2 0 3 0
            barrier
              + 1 2 11 4 7 2 11
              + 2 1 3 3 3 1 _
            0: retract 1 0 4 1, retract 2 0 3 0
            barrier
              - 1 2 11 4 7 2 11
              + 1 1 7 7 7 1 7
              - 2 1 3 3 3 1 _
            0: retract 3 0 9 1
            0: 3 0 9 1, 1 0 1 0
            restart
              - 1 1 7 7 7 1 7
              + 1 2 8 1 7 2 7
            0: retract 1 0 7 1
            barrier
              - 1 2 8 1 7 2 7
              + 1 1 1 1 1 1 _
            = 1 1 1 1 1 1 _
        "#]],
    );
}

#[test]
fn a_null_event_time_and_a_retraction_are_errors() {
    check(
        SESSIONS,
        false,
        "0: 1 _ 1 0\n0: 1 1 1 0, retract 1 1 1 0",
        expect![[r#"
        0: 1 _ 1 0
          error: null event time in column "ts"
        0: 1 1 1 0, retract 1 1 1 0
          error: internal error: retractions into a session over insertions
    "#]],
    );
}
