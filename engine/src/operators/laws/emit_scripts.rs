//! Windows that are emitted before their close, or replaced after it, as text.

use expect_test::expect;

use super::scripts::check;

const COUNTS: &str = "count(*), sum(v), min(v), max(v), count(DISTINCT v), sum(DISTINCT v) FILTER (WHERE b = 1)";

fn windows(emit: &str) -> String {
    format!(
        "window aggregate tumble 10 0 keyed true attached false retracts false: {COUNTS} WindowEmit {{ {emit}, holds_watermark: true }}"
    )
}

#[test]
fn an_early_result_is_replaced_and_an_equal_one_is_not_emitted() {
    check(
        &windows("early: EachEpoch, lateness_us: 0"),
        false,
        "0: 1 100 4 0, 2 101 1 0
         barrier
         0: 1 102 _ 0
         barrier
         restart
         barrier
         watermark 109
         0: 1 108 1 0
         barrier",
        expect![[r#"
            0: 1 100 4 0, 2 101 1 0
            barrier
              + 1 1 4 4 4 1 _ 100 110 109
              + 2 1 1 1 1 1 _ 100 110 109
            0: 1 102 _ 0
            barrier
              - 1 1 4 4 4 1 _ 100 110 109
              + 1 2 4 4 4 1 _ 100 110 109
            restart
            barrier
            watermark 109
            0: 1 108 1 0
              late 1
            barrier
            = 1 2 4 4 4 1 _ 100 110 109
            = 2 1 1 1 1 1 _ 100 110 109
        "#]],
    );
}

#[test]
fn early_results_wait_for_the_clock_and_the_close_does_not() {
    check(
        &windows("early: Every(10000), lateness_us: 0"),
        false,
        "clock 3
         0: 1 100 4 0
         barrier
         clock 10
         barrier
         0: 1 101 4 0
         restart
         barrier
         watermark 109
         clock 20
         barrier",
        expect![[r#"
            clock 3
            0: 1 100 4 0
              timer 10
            barrier
              timer 10
            clock 10
            barrier
              + 1 1 4 4 4 1 _ 100 110 109
            0: 1 101 4 0
              timer 20
            restart
            barrier
              timer 20
            watermark 109
              - 1 1 4 4 4 1 _ 100 110 109
              + 1 2 8 4 4 1 _ 100 110 109
              timer 20
            clock 20
            barrier
            = 1 2 8 4 4 1 _ 100 110 109
        "#]],
    );
}

#[test]
fn a_late_row_replaces_the_result_until_the_lateness_is_over() {
    check(
        &windows("early: Never, lateness_us: 7000"),
        false,
        "0: 1 100 4 0
         barrier
         watermark 109
         0: 1 101 1 0, 1 111 1 0
         restart
         0: 1 102 1 0
         watermark 115
         barrier
         0: 1 103 2 0
         watermark 116
         0: 1 104 1 0
         state",
        expect![[r#"
            0: 1 100 4 0
            barrier
            watermark 109
              + 1 1 4 4 4 1 _ 100 110 109
            0: 1 101 1 0, 1 111 1 0
            restart
              - 1 1 4 4 4 1 _ 100 110 109
              + 1 2 5 1 4 2 _ 100 110 109
            0: 1 102 1 0
            watermark 115
            barrier
              - 1 2 5 1 4 2 _ 100 110 109
              + 1 3 6 1 4 2 _ 100 110 109
            0: 1 103 2 0
            watermark 116
              - 1 3 6 1 4 2 _ 100 110 109
              + 1 4 8 1 4 3 _ 100 110 109
            0: 1 104 1 0
              late 1
            state
              0/calls 1, 0/keys 1, 0/numbers 1, 0/distinct0 1, 0/emitted 1, 0/dirty 1, 0/results 0, windows 1, times 2
            = 1 4 8 1 4 3 _ 100 110 109
        "#]],
    );
}

#[test]
fn a_session_parts_and_shrinks_when_rows_are_taken_back() {
    check(
        "session assign retracts true WindowEmit { early: EachEpoch, lateness_us: 0, holds_watermark: true }",
        false,
        "0: 1 100 1 0, 1 104 2 0, 1 108 3 0, 1 104 2 0
         barrier
         0: retract 1 104 2 0
         barrier
         0: retract 1 104 2 0
         restart
         watermark 105
         0: retract 1 100 1 0, 1 109 1 0
         barrier
         end
         state",
        expect![[r#"
            0: 1 100 1 0, 1 104 2 0, 1 108 3 0, 1 104 2 0
            barrier
              + 1 100 1 0 100 113 112
              + 1 104 2 0 100 113 112
              + 1 104 2 0 100 113 112
              + 1 108 3 0 100 113 112
            0: retract 1 104 2 0
            barrier
              - 1 104 2 0 100 113 112
            0: retract 1 104 2 0
            restart
              - 1 104 2 0 100 113 112
              - 1 100 1 0 100 113 112
              + 1 100 1 0 100 105 104
              - 1 108 3 0 100 113 112
              + 1 108 3 0 108 113 112
            watermark 105
            0: retract 1 100 1 0, 1 109 1 0
              late 1
            barrier
              - 1 108 3 0 108 113 112
              + 1 108 3 0 108 114 113
              + 1 109 1 0 108 114 113
            end
            state
              rows 0, times 1
            = 1 100 1 0 100 105 104
            = 1 108 3 0 108 114 113
            = 1 109 1 0 108 114 113
        "#]],
    );
}

#[test]
fn a_retraction_may_come_before_its_row_and_is_late_without_it() {
    check(
        "session assign retracts true WindowEmit { early: Never, lateness_us: 0, holds_watermark: true }",
        false,
        "0: retract 1 100 1 0
         0: 1 100 1 0, 2 101 1 0
         0: retract 3 104 1 0
         barrier
         watermark 106
         0: retract 2 101 1 0
         state",
        expect![[r#"
            0: retract 1 100 1 0
            0: 1 100 1 0, 2 101 1 0
            0: retract 3 104 1 0
            barrier
              late 1
            watermark 106
              + 2 101 1 0 101 106 105
            0: retract 2 101 1 0
              late 1
            state
              rows 0, times 1
            = 2 101 1 0 101 106 105
        "#]],
    );
}
