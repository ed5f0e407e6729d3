//! Ranks as text: see [`scripts`](super::scripts).

use expect_test::expect;

use super::scripts::check;

#[test]
fn a_number_passes_from_row_to_row() {
    check(
        "rank row_number 1 to 3 keyed true ranked true retracts true",
        false,
        "0: 1 1 5 0, 1 2 7 0, 1 3 6 0, 1 4 1 0, 2 1 1 0
         barrier
         0: 1 5 8 0
         0: retract 1 2 7 0
         barrier
         restart
         0: retract 1 6 9 0
         0: 1 6 9 0, retract 2 1 1 0
         barrier
         0: retract 1 5 8 0, 1 5 8 0
         barrier",
        expect![[r#"
            0: 1 1 5 0, 1 2 7 0, 1 3 6 0, 1 4 1 0, 2 1 1 0
            barrier
              + 1 2 7 0 1
              + 1 3 6 0 2
              + 1 1 5 0 3
              + 2 1 1 0 1
            0: 1 5 8 0
            0: retract 1 2 7 0
            barrier
              - 1 2 7 0 1
              + 1 5 8 0 1
            restart
            0: retract 1 6 9 0
            0: 1 6 9 0, retract 2 1 1 0
            barrier
              - 2 1 1 0 1
            0: retract 1 5 8 0, 1 5 8 0
            barrier
            = 1 1 5 0 3
            = 1 3 6 0 2
            = 1 5 8 0 1
        "#]],
    );
}

#[test]
fn peers_share_a_rank_and_equal_rows_come_often() {
    check(
        "rank rank 1 to 3 keyed true ranked true retracts false",
        false,
        "0: 1 1 5 0, 1 1 5 0, 1 2 4 0, 1 3 4 0, 1 4 3 0
         barrier
         0: 1 5 6 0
         barrier",
        expect![[r#"
            0: 1 1 5 0, 1 1 5 0, 1 2 4 0, 1 3 4 0, 1 4 3 0
            barrier
              + 1 1 5 0 1
              + 1 1 5 0 1
              + 1 2 4 0 3
              + 1 3 4 0 3
            0: 1 5 6 0
            barrier
              - 1 1 5 0 1
              - 1 1 5 0 1
              - 1 2 4 0 3
              - 1 3 4 0 3
              + 1 5 6 0 1
              + 1 1 5 0 2
              + 1 1 5 0 2
            = 1 1 5 0 2 x2
            = 1 5 6 0 1
        "#]],
    );
}

#[test]
fn without_the_rank_only_who_comes_and_goes_is_told() {
    check(
        "rank row_number 3 to 5 keyed false ranked false retracts true",
        false,
        "0: 1 1 9 0, 1 2 8 0, 1 3 7 0, 2 4 6 0
         barrier
         0: 1 5 10 0
         barrier
         0: retract 1 1 9 0, retract 1 2 8 0
         barrier",
        expect![[r#"
            0: 1 1 9 0, 1 2 8 0, 1 3 7 0, 2 4 6 0
            barrier
              + 1 3 7 0
              + 2 4 6 0
            0: 1 5 10 0
            barrier
              + 1 2 8 0
            0: retract 1 1 9 0, retract 1 2 8 0
            barrier
              - 1 2 8 0
              - 1 3 7 0
            = 2 4 6 0
        "#]],
    );
}

#[test]
fn the_best_row_of_an_epoch_replaces_the_one_before() {
    check(
        "rank row_number 1 to 1 keyed true ranked false retracts false",
        false,
        "0: 1 1 5 0, 1 2 6 0, 2 1 _ 0
         barrier
         0: 1 3 7 0, 1 4 8 0, 1 5 2 0, 2 1 _ 0
         barrier
         0: 1 3 7 0
         restart
         0: 1 6 9 0
         barrier
         0: retract 1 6 9 0",
        expect![[r#"
            0: 1 1 5 0, 1 2 6 0, 2 1 _ 0
            barrier
              + 1 2 6 0
              + 2 1 _ 0
            0: 1 3 7 0, 1 4 8 0, 1 5 2 0, 2 1 _ 0
            barrier
              - 1 2 6 0
              + 1 4 8 0
            0: 1 3 7 0
            restart
            0: 1 6 9 0
            barrier
              - 1 4 8 0
              + 1 6 9 0
            0: retract 1 6 9 0
              error: internal error: retractions into a rank over insertions
            = 1 6 9 0
            = 2 1 _ 0
        "#]],
    );
}

fn check_forgetting(name: &str) {
    check(
        name,
        true,
        "0: 1 1 5 0, 2 1 5 0
         barrier
         clock 6
         0: 2 1 6 0
         barrier
         clock 12
         barrier
         0: 1 2 3 0, 2 2 3 0
         barrier",
        expect![[r#"
            0: 1 1 5 0, 2 1 5 0
            barrier
              + 1 1 5 0
              + 2 1 5 0
            clock 6
            0: 2 1 6 0
            barrier
              - 2 1 5 0
              + 2 1 6 0
            clock 12
            barrier
              evicted 1
            0: 1 2 3 0, 2 2 3 0
            barrier
              + 1 2 3 0
            = 1 1 5 0
            = 1 2 3 0
            = 2 1 6 0
        "#]],
    );
}

#[test]
fn a_partition_is_forgotten_after_its_time() {
    check_forgetting("rank row_number 1 to 1 keyed true ranked false retracts false");
    check_forgetting("rank row_number 1 to 1 keyed true ranked false retracts true");
}

#[test]
fn the_first_row_in_time_comes_out_once() {
    check(
        "rank first in time",
        false,
        "0: 1 110 1 0, 2 105 1 0, 1 103 2 0
         watermark 103
         watermark 104
         restart
         0: 1 104 3 0, 2 104 4 0, 3 103 1 0
         watermark 200
         0: 3 300 1 0
         end",
        expect![[r#"
            0: 1 110 1 0, 2 105 1 0, 1 103 2 0
            watermark 103
            watermark 104
              + 1 103 2 0
            restart
            0: 1 104 3 0, 2 104 4 0, 3 103 1 0
              late 1
            watermark 200
              + 2 104 4 0
            0: 3 300 1 0
            end
              + 3 300 1 0
            = 1 103 2 0
            = 2 104 4 0
            = 3 300 1 0
        "#]],
    );
}

#[test]
fn a_window_shows_its_first_rows_when_it_closes() {
    check(
        "window rank row_number 2 ranked true",
        false,
        "0: 1 100 1 0 100 110 109, 1 101 5 1 100 110 109, 1 102 3 0 100 110 109, 1 111 3 0 110 120 119
         watermark 108
         restart
         watermark 109
         0: 1 100 9 0 100 110 109
         end",
        expect![[r#"
            0: 1 100 1 0 100 110 109, 1 101 5 1 100 110 109, 1 102 3 0 100 110 109, 1 111 3 0 110 120 119
            watermark 108
            restart
            watermark 109
              + 1 101 5 1 100 110 109 1
              + 1 102 3 0 100 110 109 2
            0: 1 100 9 0 100 110 109
              late 1
            end
              + 1 111 3 0 110 120 119 1
            = 1 101 5 1 100 110 109 1
            = 1 102 3 0 100 110 109 2
            = 1 111 3 0 110 120 119 1
        "#]],
    );
}

#[test]
fn the_last_row_that_arrived_replaces_the_one_before() {
    check(
        "rank LastArrival",
        true,
        "0: 1 1 5 0, 1 2 6 0, 2 1 1 0
         barrier
         0: 1 3 7 0, 1 1 4 0
         0: 1 2 6 0
         barrier
         clock 9
         0: 1 0 0 0
         barrier
         clock 10
         barrier
         0: 2 2 2 0, 1 1 1 0
         barrier",
        expect![[r#"
            0: 1 1 5 0, 1 2 6 0, 2 1 1 0
            barrier
              + 1 2 6 0 1
              + 2 1 1 0 1
            0: 1 3 7 0, 1 1 4 0
            0: 1 2 6 0
            barrier
            clock 9
            0: 1 0 0 0
            barrier
              - 1 2 6 0 1
              + 1 0 0 0 1
            clock 10
            barrier
            0: 2 2 2 0, 1 1 1 0
            barrier
              - 2 1 1 0 1
              + 2 2 2 0 1
              - 1 0 0 0 1
              + 1 1 1 0 1
            = 1 1 1 0 1
            = 2 2 2 0 1
        "#]],
    );
}

#[test]
fn the_first_row_that_arrives_comes_out_at_once() {
    check(
        "rank FirstArrival",
        true,
        "0: 1 1 5 0, 1 2 6 0, 2 1 1 0
         0: 1 1 5 0, _ 3 7 0
         barrier
         clock 10
         barrier
         0: 1 1 4 0, 1 1 3 0",
        expect![[r#"
            0: 1 1 5 0, 1 2 6 0, 2 1 1 0
              + 1 1 5 0 1
              + 2 1 1 0 1
            0: 1 1 5 0, _ 3 7 0
              + _ 3 7 0 1
            barrier
            clock 10
            barrier
            0: 1 1 4 0, 1 1 3 0
              + 1 1 4 0 1
            = _ 3 7 0 1
            = 1 1 4 0 1
            = 1 1 5 0 1
            = 2 1 1 0 1
        "#]],
    );
}
