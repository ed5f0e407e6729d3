//! Window functions as text: see [`scripts`](super::scripts).

use expect_test::expect;

use super::scripts::check;

#[test]
fn rows_whose_results_changed_come_out_again() {
    check(
        "over v DESC NULLS LAST NetChange retracts true: rank(), dense_rank() row_number(), lag(ts), lag(v, 2)",
        false,
        "0: 1 1 5 0, 1 2 5 0, 1 3 3 0, 1 4 1 0, 2 1 1 0
         barrier
         0: 1 9 2 0
         barrier
         restart
         0: retract 1 3 3 0
         0: retract 1 4 1 0, 1 4 1 0
         barrier
         0: retract 2 1 1 0
         barrier",
        expect![[r#"
            0: 1 1 5 0, 1 2 5 0, 1 3 3 0, 1 4 1 0, 2 1 1 0
            barrier
              + 1 1 5 0 1 1 1 _ _
              + 1 2 5 0 1 1 2 1 _
              + 1 3 3 0 3 2 3 2 5
              + 1 4 1 0 4 3 4 3 5
              + 2 1 1 0 1 1 1 _ _
            0: 1 9 2 0
            barrier
              - 1 4 1 0 4 3 4 3 5
              + 1 4 1 0 5 4 5 9 3
              + 1 9 2 0 4 3 4 3 5
            restart
            0: retract 1 3 3 0
            0: retract 1 4 1 0, 1 4 1 0
            barrier
              - 1 3 3 0 3 2 3 2 5
              - 1 9 2 0 4 3 4 3 5
              + 1 9 2 0 3 2 3 2 5
              - 1 4 1 0 5 4 5 9 3
              + 1 4 1 0 4 3 4 9 5
            0: retract 2 1 1 0
            barrier
              - 2 1 1 0 1 1 1 _ _
            = 1 1 5 0 1 1 1 _ _
            = 1 2 5 0 1 1 2 1 _
            = 1 4 1 0 4 3 4 9 5
            = 1 9 2 0 3 2 3 2 5
        "#]],
    );
}

#[test]
fn rows_of_equal_time_see_each_other() {
    check(
        "over ts OnWatermark { column: 1 } retracts false: count(*), sum(v), min(v), max(v), \
         count(v) FILTER (WHERE b = 1), avg(v), count(DISTINCT v) RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        false,
        "0: 1 105 4 1, 2 103 1 0, 1 103 2 0
         0: 1 103 _ 0
         watermark 103
         watermark 104
         restart
         0: 1 103 9 1, 1 105 6 1
         watermark 200
         0: 1 200 1 0
         end",
        expect![[r#"
            0: 1 105 4 1, 2 103 1 0, 1 103 2 0
            0: 1 103 _ 0
            watermark 103
            watermark 104
              + 2 103 1 0 1 1 1 1 0 1 1
              + 1 103 _ 0 2 2 2 2 0 2 1
              + 1 103 2 0 2 2 2 2 0 2 1
            restart
            0: 1 103 9 1, 1 105 6 1
              late 1
            watermark 200
              + 1 105 4 1 4 12 2 6 2 4 3
              + 1 105 6 1 4 12 2 6 2 4 3
            0: 1 200 1 0
            end
              + 1 200 1 0 5 13 1 6 2 3 4
            = 1 103 _ 0 2 2 2 2 0 2 1
            = 1 103 2 0 2 2 2 2 0 2 1
            = 1 105 4 1 4 12 2 6 2 4 3
            = 1 105 6 1 4 12 2 6 2 4 3
            = 1 200 1 0 5 13 1 6 2 3 4
            = 2 103 1 0 1 1 1 1 0 1 1
        "#]],
    );
}

#[test]
fn rows_leave_a_frame_in_time() {
    check(
        "over ts OnWatermark { column: 1 } retracts false: count(*), sum(v), min(v), max(v), \
         count(v) FILTER (WHERE b = 1), avg(v), count(DISTINCT v) RANGE BETWEEN 4000 PRECEDING AND CURRENT ROW",
        false,
        "0: 1 100 1 0, 1 103 2 0
         watermark 102
         0: 1 104 3 0, 1 105 4 0
         watermark 105
         restart
         watermark 106
         0: 1 109 5 0, 1 110 6 0
         end",
        expect![[r#"
            0: 1 100 1 0, 1 103 2 0
            watermark 102
              + 1 100 1 0 1 1 1 1 0 1 1
            0: 1 104 3 0, 1 105 4 0
            watermark 105
              + 1 103 2 0 2 3 1 2 0 1 2
              + 1 104 3 0 3 6 1 3 0 2 3
            restart
            watermark 106
              + 1 105 4 0 3 9 2 4 0 3 3
            0: 1 109 5 0, 1 110 6 0
            end
              + 1 109 5 0 2 9 4 5 0 4 2
              + 1 110 6 0 2 11 5 6 0 5 2
            = 1 100 1 0 1 1 1 1 0 1 1
            = 1 103 2 0 2 3 1 2 0 1 2
            = 1 104 3 0 3 6 1 3 0 2 3
            = 1 105 4 0 3 9 2 4 0 3 3
            = 1 109 5 0 2 9 4 5 0 4 2
            = 1 110 6 0 2 11 5 6 0 5 2
        "#]],
    );
}

#[test]
fn rows_come_out_as_they_arrive() {
    check(
        "over id OnArrival retracts false: rank(), dense_rank() row_number(), lag(ts), lag(v, 2) count(*), sum(v), \
         min(v), max(v), count(v) FILTER (WHERE b = 1), avg(v), count(DISTINCT v) ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        false,
        "0: 1 5 1 0, 2 9 7 1, 1 4 2 1
         0: 2 1 _ 0, 1 3 3 0
         restart
         0: 1 2 4 0
         0: retract 1 2 4 0",
        expect![[r#"
            0: 1 5 1 0, 2 9 7 1, 1 4 2 1
              + 1 5 1 0 1 1 1 _ _ 1 1 1 1 0 1 1
              + 2 9 7 1 1 1 1 _ _ 1 7 7 7 1 7 1
              + 1 4 2 1 2 2 2 5 _ 2 3 1 2 1 1 2
            0: 2 1 _ 0, 1 3 3 0
              + 2 1 _ 0 2 2 2 9 _ 2 7 7 7 1 7 1
              + 1 3 3 0 3 3 3 4 1 3 6 1 3 1 2 3
            restart
            0: 1 2 4 0
              + 1 2 4 0 4 4 4 3 2 4 10 1 4 1 2 4
            0: retract 1 2 4 0
              error: internal error: retractions into window functions over insertions
            = 1 2 4 0 4 4 4 3 2 4 10 1 4 1 2 4
            = 1 3 3 0 3 3 3 4 1 3 6 1 3 1 2 3
            = 1 4 2 1 2 2 2 5 _ 2 3 1 2 1 1 2
            = 1 5 1 0 1 1 1 _ _ 1 1 1 1 0 1 1
            = 2 1 _ 0 2 2 2 9 _ 2 7 7 7 1 7 1
            = 2 9 7 1 1 1 1 _ _ 1 7 7 7 1 7 1
        "#]],
    );
}
