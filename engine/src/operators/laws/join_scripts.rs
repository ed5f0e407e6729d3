//! Joins as text: see [`scripts`](super::scripts).

use expect_test::expect;

use super::scripts::check;

#[test]
fn an_outer_row_gives_way_to_its_first_partner() {
    check(
        "join Left on Key residual true retracts (true, true)",
        false,
        "0: 1 1 1 0, 2 1 1 0, _ 1 1 0
         1: 2 2 2 0
         barrier
         1: 1 2 0 0, 1 2 5 0, 1 3 6 0
         barrier
         restart
         1: retract 1 3 6 0, retract 1 2 5 0
         barrier
         1: 2 2 2 0, retract 2 2 2 0
         barrier
         0: retract _ 1 1 0
         end
         state",
        expect![[r#"
            0: 1 1 1 0, 2 1 1 0, _ 1 1 0
            1: 2 2 2 0
            barrier
              + 1 1 1 0 _ _ _ _
              + _ 1 1 0 _ _ _ _
              + 2 1 1 0 2 2 2 0
            1: 1 2 0 0, 1 2 5 0, 1 3 6 0
            barrier
              - 1 1 1 0 _ _ _ _
              + 1 1 1 0 1 2 5 0
              + 1 1 1 0 1 3 6 0
            restart
            1: retract 1 3 6 0, retract 1 2 5 0
            barrier
              - 1 1 1 0 1 2 5 0
              - 1 1 1 0 1 3 6 0
              + 1 1 1 0 _ _ _ _
            1: 2 2 2 0, retract 2 2 2 0
            barrier
            0: retract _ 1 1 0
            end
              - _ 1 1 0 _ _ _ _
            state
              left 2, left_state 2, right 2, right_state 2
            = 1 1 1 0 _ _ _ _
            = 2 1 1 0 2 2 2 0
        "#]],
    );
}

#[test]
fn what_comes_and_goes_in_one_epoch_is_not_seen() {
    check(
        "join Full on Key residual false retracts (true, true)",
        false,
        "0: 1 1 1 0, 1 1 1 0
         1: 1 2 2 0
         0: retract 1 1 1 0
         barrier
         1: retract 2 7 7 0
         1: 2 7 7 0, retract 1 2 2 0, 1 2 2 0
         barrier
         0: 1 1 1 0
         1: 1 2 2 0, 1 2 2 0
         barrier
         0: retract 1 1 1 0, retract 1 1 1 0
         barrier
         0: retract 1 1 1 0
         barrier",
        expect![[r#"
            0: 1 1 1 0, 1 1 1 0
            1: 1 2 2 0
            0: retract 1 1 1 0
            barrier
              + 1 1 1 0 1 2 2 0
            1: retract 2 7 7 0
            1: 2 7 7 0, retract 1 2 2 0, 1 2 2 0
            barrier
            0: 1 1 1 0
            1: 1 2 2 0, 1 2 2 0
            barrier
              + 1 1 1 0 1 2 2 0
              + 1 1 1 0 1 2 2 0
              + 1 1 1 0 1 2 2 0
              + 1 1 1 0 1 2 2 0
              + 1 1 1 0 1 2 2 0
            0: retract 1 1 1 0, retract 1 1 1 0
            barrier
              - 1 1 1 0 1 2 2 0
              - 1 1 1 0 1 2 2 0
              - 1 1 1 0 1 2 2 0
              - 1 1 1 0 1 2 2 0
              - 1 1 1 0 1 2 2 0
              - 1 1 1 0 1 2 2 0
              + _ _ _ _ 1 2 2 0
              + _ _ _ _ 1 2 2 0
              + _ _ _ _ 1 2 2 0
            0: retract 1 1 1 0
            barrier
              error: an input of a join retracts a row that it has not inserted
            = _ _ _ _ 1 2 2 0 x3
        "#]],
    );
}

#[test]
fn not_in_and_nulls() {
    check(
        "join not in retracts true",
        false,
        "0: 1 1 1 0, 2 1 1 0, _ 1 1 0
         barrier
         1: 1 2 2 0
         barrier
         1: _ 3 3 0
         barrier
         restart
         1: retract _ 3 3 0
         barrier
         1: retract 1 2 2 0
         barrier",
        expect![[r#"
            0: 1 1 1 0, 2 1 1 0, _ 1 1 0
            barrier
              + 1 1 1 0
              + 2 1 1 0
              + _ 1 1 0
            1: 1 2 2 0
            barrier
              - 1 1 1 0
              - _ 1 1 0
            1: _ 3 3 0
            barrier
              - 2 1 1 0
            restart
            1: retract _ 3 3 0
            barrier
              + 2 1 1 0
            1: retract 1 2 2 0
            barrier
              + 1 1 1 0
              + _ 1 1 0
            = _ 1 1 0
            = 1 1 1 0
            = 2 1 1 0
        "#]],
    );
}

#[test]
fn a_mark_changes_with_the_first_and_the_last_partner() {
    check(
        "join Mark on Key residual false retracts (true, true)",
        false,
        "0: 1 1 1 0
         barrier
         1: 1 2 2 0, 1 3 3 0
         barrier
         1: retract 1 2 2 0
         barrier
         1: retract 1 3 3 0
         barrier",
        expect![[r#"
            0: 1 1 1 0
            barrier
              + 1 1 1 0 0
            1: 1 2 2 0, 1 3 3 0
            barrier
              - 1 1 1 0 0
              + 1 1 1 0 1
            1: retract 1 2 2 0
            barrier
            1: retract 1 3 3 0
            barrier
              - 1 1 1 0 1
              + 1 1 1 0 0
            = 1 1 1 0 0
        "#]],
    );
}

#[test]
fn an_inner_join_of_insertions_emits_at_once_and_a_semi_join_keeps_no_row_that_is_out() {
    check(
        "join Inner on Key residual false retracts (false, false)",
        false,
        "0: 1 1 1 0, _ 1 1 0
         1: 1 2 2 0, _ 2 2 0
         0: 1 3 3 0
         state
         0: retract 1 1 1 0",
        expect![[r#"
            0: 1 1 1 0, _ 1 1 0
            1: 1 2 2 0, _ 2 2 0
              + 1 1 1 0 1 2 2 0
            0: 1 3 3 0
              + 1 3 3 0 1 2 2 0
            state
              left 2, right 1
            0: retract 1 1 1 0
              error: internal error: a retraction on an append-only input of a join
            = 1 1 1 0 1 2 2 0
            = 1 3 3 0 1 2 2 0
        "#]],
    );
    check(
        "join Semi on Key residual false retracts (false, false)",
        false,
        "0: 1 1 1 0, 2 1 1 0
         1: 1 2 2 0
         0: 1 3 3 0
         state",
        expect![[r#"
            0: 1 1 1 0, 2 1 1 0
            1: 1 2 2 0
              + 1 1 1 0
            0: 1 3 3 0
              + 1 3 3 0
            state
              left 1, left_state 1, right 1
            = 1 1 1 0
            = 1 3 3 0
        "#]],
    );
}

#[test]
fn idle_rows_are_forgotten_and_what_was_made_of_them_stays() {
    check(
        "join Left on Key residual false retracts (true, true)",
        true,
        "clock 0
         0: 1 1 1 0, 2 1 1 0
         1: 1 2 2 0
         barrier
         clock 6
         1: 1 3 3 0
         barrier
         restart
         clock 11
         barrier
         state
         0: retract 1 1 1 0
         1: retract 1 2 2 0, 2 4 4 0
         barrier
         0: 1 5 5 0
         barrier",
        expect![[r#"
            clock 0
            0: 1 1 1 0, 2 1 1 0
            1: 1 2 2 0
            barrier
              + 2 1 1 0 _ _ _ _
              + 1 1 1 0 1 2 2 0
            clock 6
            1: 1 3 3 0
            barrier
              + 1 1 1 0 1 3 3 0
            restart
            clock 11
            barrier
              evicted 3
            state
              left 0, left_state 0, right 1, right_state 1
            0: retract 1 1 1 0
            1: retract 1 2 2 0, 2 4 4 0
            barrier
            0: 1 5 5 0
            barrier
              + 1 5 5 0 1 3 3 0
            = 1 1 1 0 1 2 2 0
            = 1 1 1 0 1 3 3 0
            = 1 5 5 0 1 3 3 0
            = 2 1 1 0 _ _ _ _
        "#]],
    );
}
