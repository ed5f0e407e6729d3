//! Names, and the statements that only look something up.

use expect_test::expect;

use super::World;

#[test]
fn look_ups() {
    let world = World::new("create table Bid (x int); create table person (x int); create table PERSON (x int)");
    world.check(
        "describe bid",
        &expect![[r#"
        describe Bid
    "#]],
    );
    world.check(
        "show columns from public.bid",
        &expect![[r#"
        describe Bid
    "#]],
    );
    world.check(
        "describe bidd",
        &expect![[r#"
        42P01: relation "bidd" does not exist
        describe ▶bidd
        hint: did you mean "Bid"?
    "#]],
    );
    world.check(
        "describe PERSON",
        &expect![[r#"
        describe PERSON
    "#]],
    );
    world.check(
        "describe Person",
        &expect![[r#"
        42P09: relation name "Person" is ambiguous
        describe ▶Person
        detail: it fits "PERSON", "person"
        hint: write the name with the case that it was declared with
    "#]],
    );
    world.check(
        "show create table a.b.c.d",
        &expect![[r#"
        42601: improper qualified name (too many dotted names): a.b.c.d
        show create table ▶a.b.c.d
    "#]],
    );
    world.check(
        "show create table BID",
        &expect![[r#"
        CREATE TABLE Bid (
          x INT
        )
    "#]],
    );
    world.check(
        "cancel job 12",
        &expect![[r#"
        Job(Cancel(12))
    "#]],
    );
    world.check(
        "cancel job twelve",
        &expect![[r#"
        22P02: invalid input syntax for type bigint: "twelve"
        hint: SHOW JOBS lists the numbers of the jobs
    "#]],
    );
    world.check(
        "update bid set x = 1",
        &expect![[r#"
            0A000: UPDATE needs a primary key, which table "Bid" has not
            update ▶bid set x = 1
            hint: declare PRIMARY KEY (…) NOT ENFORCED on the table
        "#]],
    );
    world.check(
        "alter table bid add column y int",
        &expect![[r#"
            0A000: ALTER TABLE can only rename an internal table
            alter table ▶bid add column y int
            hint: create a table with the columns that are wanted and fill it with INSERT INTO … SELECT
        "#]],
    );
    world.check(
        "insert into bidd select 1",
        &expect![[r#"
        42P01: relation "bidd" does not exist
        insert into ▶bidd select 1
        hint: did you mean "Bid"?
    "#]],
    );
}

#[test]
fn catalog_queries_are_told() {
    let world = World::new("create table pg_mine (x int)");
    let is = |text: &str| world.bind(text) == "SystemCatalog\n";
    for text in [
        "select version()",
        "select current_schema(), current_user",
        "select relname from pg_class",
        "select * from pg_catalog.pg_tables where x in (select 1)",
        "select * from information_schema.tables",
        "select 'a'::regclass",
        "select pg_backend_pid()",
        "select set_config('search_path', '', false)",
    ] {
        assert!(is(text), "{text}");
    }
    for text in ["select 1", "select * from pg_mine", "select now()"] {
        assert!(!is(text), "{text}");
    }
}
