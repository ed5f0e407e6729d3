//! Joins by event time as text: see [`scripts`](super::scripts).

use expect_test::expect;

use super::scripts::check;

#[test]
fn interval_joins_drop_rows_that_nothing_can_meet() {
    check(
        "interval join Full 0 to 8 keyed true residual false",
        false,
        "0: 1 100 1 0, 1 104 2 0, 2 103 1 0, _ 102 1 0
         1: 1 96 5 0, 1 101 6 0, 2 94 7 0
         watermark 100
         state
         watermark 103
         state
         restart
         0: 1 102 3 0, 1 104 4 0
         watermark 110
         state
         1: 1 105 1 0
         end
         state",
        expect![[r#"
            0: 1 100 1 0, 1 104 2 0, 2 103 1 0, _ 102 1 0
            1: 1 96 5 0, 1 101 6 0, 2 94 7 0
              + 1 104 2 0 1 96 5 0
              + 1 100 1 0 1 96 5 0
              + 1 104 2 0 1 101 6 0
            watermark 100
            state
              left 4, left_matched 4, right 3, right_matched 3, times 1
            watermark 103
              + _ 102 1 0 _ _ _ _
              + _ _ _ _ 2 94 7 0
            state
              left 2, left_matched 2, right 2, right_matched 2, times 1
            restart
            0: 1 102 3 0, 1 104 4 0
              + 1 104 4 0 1 101 6 0
              + 1 104 4 0 1 96 5 0
              late 1
            watermark 110
              + 2 103 1 0 _ _ _ _
            state
              left 0, left_matched 0, right 0, right_matched 0, times 1
            1: 1 105 1 0
              late 1
            end
            state
              left 0, left_matched 0, right 0, right_matched 0, times 1
            = _ _ _ _ 2 94 7 0
            = _ 102 1 0 _ _ _ _
            = 1 100 1 0 1 96 5 0
            = 1 104 2 0 1 96 5 0
            = 1 104 2 0 1 101 6 0
            = 1 104 4 0 1 96 5 0
            = 1 104 4 0 1 101 6 0
            = 2 103 1 0 _ _ _ _
        "#]],
    );
}

#[test]
fn rows_meet_the_version_of_their_time() {
    check(
        "temporal join Left AtOrBefore residual false",
        false,
        "1: 1 100 1 0, 2 100 2 0
         0: 1 99 0 0, 1 100 0 0, 1 109 0 0, 1 110 0 0, 2 111 0 0, 3 111 0 0, _ 111 0 0
         barrier
         1: retract 1 100 1 0, 1 110 3 0
         barrier
         watermark 110
         state
         1: retract 2 100 2 0
         watermark 111
         barrier
         restart
         state
         watermark 112
         1: 2 113 4 0
         0: 2 112 0 0, 2 113 0 0, 1 111 0 0, 1 150 0 0
         barrier
         watermark 120
         state
         end",
        expect![[r#"
            1: 1 100 1 0, 2 100 2 0
            0: 1 99 0 0, 1 100 0 0, 1 109 0 0, 1 110 0 0, 2 111 0 0, 3 111 0 0, _ 111 0 0
            barrier
            1: retract 1 100 1 0, 1 110 3 0
            barrier
            watermark 110
              + 1 100 0 0 1 100 1 0
              + 1 109 0 0 1 100 1 0
              + 1 99 0 0 _ _ _ _
            state
              left 4, right 3, right_deleted 3, times 1
            1: retract 2 100 2 0
            watermark 111
              + 1 110 0 0 1 110 3 0
            barrier
            restart
            state
              left 3, right 1, right_deleted 1, times 1
            watermark 112
              + 2 111 0 0 _ _ _ _
              + 3 111 0 0 _ _ _ _
              + _ 111 0 0 _ _ _ _
            1: 2 113 4 0
            0: 2 112 0 0, 2 113 0 0, 1 111 0 0, 1 150 0 0
              late 1
            barrier
            watermark 120
              + 2 113 0 0 2 113 4 0
              + 2 112 0 0 _ _ _ _
            state
              left 1, right 2, right_deleted 2, times 1
            end
              + 1 150 0 0 1 110 3 0
            = _ 111 0 0 _ _ _ _
            = 1 99 0 0 _ _ _ _
            = 1 100 0 0 1 100 1 0
            = 1 109 0 0 1 100 1 0
            = 1 110 0 0 1 110 3 0
            = 1 150 0 0 1 110 3 0
            = 2 111 0 0 _ _ _ _
            = 2 112 0 0 _ _ _ _
            = 2 113 0 0 2 113 4 0
            = 3 111 0 0 _ _ _ _
        "#]],
    );
}

#[test]
fn rows_meet_what_the_table_holds_at_their_barrier() {
    check(
        "current join Left residual false retracts true",
        true,
        "0: 1 5 0 0, _ 5 0 0
         watermark 4
         1: 1 100 1 0, 1 100 1 0, 1 90 7 0
         barrier
         0: 1 6 0 0
         1: retract 1 100 1 0, retract 1 90 7 0, 1 50 2 0
         barrier
         0: 1 7 0 0, 2 7 0 0
         restart
         1: retract 1 50 2 0, retract 1 100 1 0
         0: 1 8 0 0
         barrier
         state",
        expect![[r#"
            0: 1 5 0 0, _ 5 0 0
            watermark 4
            1: 1 100 1 0, 1 100 1 0, 1 90 7 0
            barrier
              + 1 5 0 0 1 90 7 0
              + 1 5 0 0 1 100 1 0
              + 1 5 0 0 1 100 1 0
              + _ 5 0 0 _ _ _ _
            0: 1 6 0 0
            1: retract 1 100 1 0, retract 1 90 7 0, 1 50 2 0
            barrier
              + 1 6 0 0 1 50 2 0
              + 1 6 0 0 1 100 1 0
            0: 1 7 0 0, 2 7 0 0
            restart
              + 1 7 0 0 1 50 2 0
              + 1 7 0 0 1 100 1 0
              + 2 7 0 0 _ _ _ _
            1: retract 1 50 2 0, retract 1 100 1 0
            0: 1 8 0 0
            barrier
              + 1 8 0 0 _ _ _ _
            state
              left 0, ended 1, right 0, right_state 0
            = _ 5 0 0 _ _ _ _
            = 1 5 0 0 1 90 7 0
            = 1 5 0 0 1 100 1 0 x2
            = 1 6 0 0 1 50 2 0
            = 1 6 0 0 1 100 1 0
            = 1 7 0 0 1 50 2 0
            = 1 7 0 0 1 100 1 0
            = 1 8 0 0 _ _ _ _
            = 2 7 0 0 _ _ _ _
        "#]],
    );
}

#[test]
fn rows_wait_for_the_next_row_of_their_key() {
    check(
        "temporal join Left AtOrAfter residual false",
        false,
        "0: 1 100 0 0, 1 105 0 0, 2 103 0 0, _ 101 0 0
         1: 1 105 1 0, 1 107 2 0, 2 110 3 0, 1 99 4 0
         watermark 103
         state
         watermark 106
         state
         restart
         1: 2 104 5 0
         watermark 120
         0: 1 119 0 0, 1 121 0 0, 3 120 0 0
         1: 1 125 6 0
         watermark 126
         state
         end
         state",
        expect![[r#"
            0: 1 100 0 0, 1 105 0 0, 2 103 0 0, _ 101 0 0
              + _ 101 0 0 _ _ _ _
            1: 1 105 1 0, 1 107 2 0, 2 110 3 0, 1 99 4 0
            watermark 103
            state
              left 3, right 3, times 1
            watermark 106
              + 1 100 0 0 1 105 1 0
              + 1 105 0 0 1 105 1 0
            state
              left 1, right 2, times 1
            restart
            1: 2 104 5 0
            watermark 120
              + 2 103 0 0 2 104 5 0
            0: 1 119 0 0, 1 121 0 0, 3 120 0 0
              late 1
            1: 1 125 6 0
            watermark 126
              + 1 121 0 0 1 125 6 0
            state
              left 1, right 0, times 1
            end
              + 3 120 0 0 _ _ _ _
            state
              left 0, right 0, times 1
            = _ 101 0 0 _ _ _ _
            = 1 100 0 0 1 105 1 0
            = 1 105 0 0 1 105 1 0
            = 1 121 0 0 1 125 6 0
            = 2 103 0 0 2 104 5 0
            = 3 120 0 0 _ _ _ _
        "#]],
    );
}
