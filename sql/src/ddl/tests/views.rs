//! What needs queries and expressions bound: computed columns, watermarks, views, functions, and what depends on them.

use expect_test::expect;

use super::World;

const BASE: &str = "create table t (id int primary key, v text, ts timestamp(3));
    create function twice(x int) returns bigint return x + x;
    create view a as select id, v from t;
    create view b as select id, twice(id) as d from a;
    create materialized view m as select d from b;
    create function four(x int) returns bigint return twice(x) + twice(x);
    create temporary table tmp (x int)";

#[test]
fn computed_columns_and_watermarks() {
    let world = World::new(BASE);
    world.check(
        "create table e (event_type int, bid row<price bigint, `dateTime` timestamp(3)>,
           `dateTime` as case when event_type = 0 then bid.`dateTime` end comment 'when',
           p as proctime(), d as 0.5 * bid.price, q as twice(event_type),
           watermark for datetime as `dateTime` - interval '4' second)",
        &expect![[r#"
            exists=false
            CREATE TABLE e (
              event_type INT,
              bid ROW<price BIGINT, dateTime TIMESTAMP(3)>,
              dateTime AS CASE WHEN event_type = 0 THEN bid.`dateTime` END COMMENT 'when',
              p AS proctime(),
              d AS 0.5 * bid.price,
              q AS twice(event_type),
              WATERMARK FOR dateTime AS `dateTime` - INTERVAL '4' SECOND
            )
        "#]],
    );
    world.check(
        "create table e (a int, b as a + nothing)",
        &expect![[r#"
        42703: column "nothing" does not exist
        create table e (a int, b as a + ▶nothing)
    "#]],
    );
    world.check(
        "create table e (a int, b as count(a))",
        &expect![[r#"
            42803: aggregate functions are not allowed in a computed column
            create table e (a int, ▶b as count(a))
        "#]],
    );
    world.check(
        "create table e (ts string, watermark for ts as ts)",
        &expect![[r#"
        42804: a watermark column must be a TIMESTAMP or TIMESTAMP_LTZ: "ts" is STRING
        create table e (ts string, watermark for ▶ts as ts)
        hint: add a computed column, such as ts AS CAST(text AS TIMESTAMP(3)), and put the watermark on it
    "#]],
    );
    world.check(
        "create table e (ts timestamp(3), watermark for tz as ts)",
        &expect![[r#"
        42703: column "tz" named in watermark does not exist
        create table e (ts timestamp(3), watermark for ▶tz as ts)
    "#]],
    );
    world.check(
        "create table e (ts timestamp(3), watermark for ts as 1)",
        &expect![[r#"
        42804: a watermark must be a TIMESTAMP or TIMESTAMP_LTZ, not INT
        create table e (ts timestamp(3), watermark for ▶ts as 1)
    "#]],
    );
    world.check(
        "create table e (ts timestamp(3),\n watermark for ts as tx - interval '1' second)",
        &expect![[r#"
        42703: column "tx" does not exist
        create table e (ts timestamp(3),
         watermark for ts as ▶tx - interval '1' second)
    "#]],
    );
    world.check(
        "create table e (a as 1)",
        &expect![[r#"
        42P16: a table needs a column that is not computed
        create table ▶e (a as 1)
    "#]],
    );
}

#[test]
fn views() {
    let world = World::new(BASE);
    world.check(
        "create view c (`one`, two) as select id, v from T -- all\n",
        &expect![[r#"
        exists=false replace=false
        CREATE VIEW c (one, two) AS
        select id, v from T
    "#]],
    );
    world.check(
        "create materialized view c as select id, count(*) from t group by id",
        &expect![[r#"
        exists=false
        CREATE MATERIALIZED VIEW c AS
        select id, count(*) from t group by id
    "#]],
    );
    world.check(
        "create view c (one) as select id, v from t",
        &expect![[r#"
        42601: the view has 1 column names but its query has 2 columns
        create view ▶c (one) as select id, v from t
    "#]],
    );
    world.check(
        "create view c as select id, id from t",
        &expect![[r#"
        42701: column "id" specified more than once
        create view ▶c as select id, id from t
        hint: give the columns names with AS
    "#]],
    );
    world.check(
        "create view a as select 1",
        &expect![[r#"
        42P07: relation "a" already exists
        create view ▶a as select 1
    "#]],
    );
    world.check(
        "create view if not exists a as select 1",
        &expect![[r#"
        exists=true replace=false
        CREATE VIEW a AS
        select id, v from t
    "#]],
    );
    world.check(
        "create or replace view a as select 1 as x",
        &expect![[r#"
        2BP01: cannot replace view a because other objects depend on it
        create or replace view ▶a as select 1 as x
        detail: view b depends on view a
    "#]],
    );
    world.check(
        "create or replace view t as select 1 as x",
        &expect![[r#"
        42809: "t" is not a view
        create or replace view ▶t as select 1 as x
    "#]],
    );
    world.check(
        "create or replace view c as select 1 as x",
        &expect![[r#"
        exists=false replace=false
        CREATE VIEW c AS
        select 1 as x
    "#]],
    );
    world.check(
        "create view c as select * from tmp",
        &expect![[r#"
        exists=false replace=false
        CREATE TEMPORARY VIEW c AS
        select * from tmp
    "#]],
    );
    world.check(
        "create materialized view c as select * from tmp",
        &expect![[r#"
        0A000: a materialized view cannot read "tmp", which is temporary
        create materialized view ▶c as select * from tmp
    "#]],
    );
    world.check(
        "create view c as\n select nothing from t",
        &expect![[r#"
        42703: column "nothing" does not exist
        create view c as
         select ▶nothing from t
    "#]],
    );
    world.check(
        "select * from nowhere",
        &expect![[r#"
        42P01: relation "nowhere" does not exist
        select * from ▶nowhere
    "#]],
    );
    world.check(
        "subscribe nowhere",
        &expect![[r#"
        42P01: relation "nowhere" does not exist
        subscribe ▶nowhere
    "#]],
    );
    world.check(
        "insert into a values (1, 'x')",
        &expect![[r#"
        42809: cannot insert into view "a"
        insert into ▶a values (1, 'x')
    "#]],
    );
    world.check(
        "explain drop view a",
        &expect![[r#"
            0A000: EXPLAIN does not take this statement
            hint: it takes queries, INSERT, STATEMENT SET, SUBSCRIBE, CREATE and ALTER MATERIALIZED VIEW
        "#]],
    );
}

#[test]
fn functions() {
    let world = World::new(BASE);
    world.check(
        "create function f(x int, y string) returns string return y || x",
        &expect![[r#"
        exists=false f returns STRING: y || x
    "#]],
    );
    world.check(
        "create function f(x int) returns int return z",
        &expect![[r#"
        42703: column "z" does not exist
        create function f(x int) returns int return ▶z
    "#]],
    );
    world.check(
        "create function f(x int) returns row<a int> return x",
        &expect![[r#"
        42P13: function "f" is declared to return ROW<a INT> and its body is INT
        create function ▶f(x int) returns row<a int> return x
    "#]],
    );
    world.check(
        "create function f(x int, x int) returns int return x",
        &expect![[r#"
        42P13: parameter name "x" used more than once
        create function f(x int, ▶x int) returns int return x
    "#]],
    );
    world.check(
        "create function Twice(x int) returns int return x",
        &expect![[r#"
        42723: function "Twice" already exists
        create function ▶Twice(x int) returns int return x
        hint: use CREATE OR REPLACE FUNCTION
    "#]],
    );
    world.check(
        "create or replace function twice(x int) returns bigint return four(x)",
        &expect![[r#"
        42P13: function "twice" calls itself
        create or replace function ▶twice(x int) returns bigint return four(x)
    "#]],
    );
    world.check(
        "create function if not exists twice(x int) returns int return x",
        &expect![[r#"
        exists=true twice returns BIGINT: x + x
    "#]],
    );
}

#[test]
fn drops() {
    let world = World::new(BASE);
    world.check(
        "drop table t",
        &expect![[r#"
        2BP01: cannot drop table t because other objects depend on it
        drop table ▶t
        detail: view a depends on table t
        view b depends on table t
        materialized view m depends on table t
        hint: use DROP … CASCADE to drop the dependent objects too
    "#]],
    );
    world.check(
        "drop table t cascade",
        &expect![[r#"
        drop Table ["m", "b", "a", "t"] [] []
    "#]],
    );
    world.check(
        "drop view b, a",
        &expect![[r#"
        2BP01: cannot drop view b because other objects depend on it
        drop view ▶b, a
        detail: materialized view m depends on view b
        hint: use DROP … CASCADE to drop the dependent objects too
    "#]],
    );
    world.check(
        "drop view a, b cascade",
        &expect![[r#"
        drop View ["m", "b", "a"] [] []
    "#]],
    );
    world.check(
        "drop materialized view m",
        &expect![[r#"
        drop MaterializedView ["m"] [] []
    "#]],
    );
    world.check(
        "drop table m",
        &expect![[r#"
        42809: "m" is not a table
        drop table ▶m
        hint: use DROP MATERIALIZED VIEW to remove a materialized view
    "#]],
    );
    world.check(
        "drop view if exists x, public.y",
        &expect![[r#"
        drop View [] [] ["view \"x\" does not exist, skipping", "view \"public.y\" does not exist, skipping"]
    "#]],
    );
    world.check(
        "drop view x",
        &expect![[r#"
        42P01: relation "x" does not exist
        drop view ▶x
    "#]],
    );
    world.check(
        "drop function four, twice",
        &expect![[r#"
        2BP01: cannot drop function twice because other objects depend on it
        drop function four, ▶twice
        detail: view b depends on function twice
        materialized view m depends on function twice
        hint: use DROP … CASCADE to drop the dependent objects too
    "#]],
    );
    world.check(
        "drop function twice cascade",
        &expect![[r#"
        drop Function ["m", "b"] ["four", "twice"] []
    "#]],
    );
    world.check(
        "drop function thrice",
        &expect![[r#"
        42883: function "thrice" does not exist
        drop function ▶thrice
        hint: did you mean "twice"?
    "#]],
    );
    world.check(
        "drop table if exists a",
        &expect![[r#"
        42809: "a" is not a table
        drop table if exists ▶a
        hint: use DROP VIEW to remove a view
    "#]],
    );
}
