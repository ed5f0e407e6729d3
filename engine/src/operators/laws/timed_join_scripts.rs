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
fn rows_meet_the_version_of_now() {
    check(
        "temporal join Left AtOrBefore residual false",
        true,
        "0: 1 5 0 0, _ 5 0 0
         1: 1 100 1 0
         0: 1 5 0 0
         1: retract 1 100 1 0, 1 50 2 0
         0: 1 5 0 0
         barrier
         restart
         0: 1 5 0 0
         1: retract 1 50 2 0
         0: 1 5 0 0
         barrier
         state",
        expect![[r#"
            0: 1 5 0 0, _ 5 0 0
              + 1 5 0 0 _ _ _ _
              + _ 5 0 0 _ _ _ _
            1: 1 100 1 0
            0: 1 5 0 0
              + 1 5 0 0 1 100 1 0
            1: retract 1 100 1 0, 1 50 2 0
            0: 1 5 0 0
              + 1 5 0 0 1 50 2 0
            barrier
            restart
            0: 1 5 0 0
              + 1 5 0 0 1 50 2 0
            1: retract 1 50 2 0
            0: 1 5 0 0
              + 1 5 0 0 _ _ _ _
            barrier
            state
              left 0, right 0, right_deleted 0, times 1
            = _ 5 0 0 _ _ _ _
            = 1 5 0 0 _ _ _ _ x2
            = 1 5 0 0 1 50 2 0 x2
            = 1 5 0 0 1 100 1 0
        "#]],
    );
}
