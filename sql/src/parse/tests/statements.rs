//! What statements become.

use expect_test::expect;

use crate::ast::{ColumnKind, Show, Statement, SubscribeTo};

use super::one;

/// A statement in one line, for tests.
fn shown(text: &str) -> String {
    match one(text) {
        Statement::CreateTable(table) => {
            let columns = table.columns.iter().map(|column| {
                let kind = match &column.kind {
                    ColumnKind::Physical { data_type, not_null } => {
                        format!("{}{}", data_type.text, if *not_null { " NOT NULL" } else { "" })
                    }
                    ColumnKind::Computed(expr) => format!("AS {expr}"),
                    ColumnKind::Metadata { data_type, key, virtual_ } => {
                        format!("{} METADATA {key:?} {virtual_}", data_type.text)
                    }
                };
                format!("{} {kind} {:?}", column.name.value, column.comment)
            });
            format!(
                "table {} temporary={} if_not_exists={}\n  {}\n  watermark {:?}\n  key {:?} comment {:?} by {:?}\n  {:?}",
                table.name,
                table.temporary,
                table.if_not_exists,
                columns.collect::<Vec<_>>().join("\n  "),
                table.watermark.map(|found| format!("{}: {}", found.column, found.expr)),
                table.primary_key.iter().map(|name| &name.value).collect::<Vec<_>>(),
                table.comment,
                table.partitioned_by.iter().map(|name| &name.value).collect::<Vec<_>>(),
                table.options,
            )
        }
        Statement::CreateView(view) => format!(
            "view {} materialized={} temporary={} replace={} if_not_exists={} {:?}: {}",
            view.name,
            view.materialized,
            view.temporary,
            view.or_replace,
            view.if_not_exists,
            view.columns.iter().map(|name| &name.value).collect::<Vec<_>>(),
            view.query_text
        ),
        Statement::CreateFunction(function) => format!(
            "function {}({}) {} replace={}: {}",
            function.name,
            function
                .parameters
                .iter()
                .map(|(name, kind)| format!("{name} {}", kind.text))
                .collect::<Vec<_>>()
                .join(", "),
            function.returns.text,
            function.or_replace,
            function.body_text
        ),
        Statement::Drop(drop) => format!(
            "drop {:?} {} if_exists={} cascade={}",
            drop.kind,
            drop.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            drop.if_exists,
            drop.cascade
        ),
        Statement::Insert(insert) => format!(
            "insert {} {:?}: {}",
            insert.table,
            insert.columns.iter().map(|name| &name.value).collect::<Vec<_>>(),
            insert.query
        ),
        Statement::Query(query) => format!("query {query}"),
        Statement::Subscribe(SubscribeTo::Relation(name)) => format!("subscribe to {name}"),
        Statement::Subscribe(SubscribeTo::Query(query)) => format!("subscribe {query}"),
        Statement::Explain { statement, options } => format!("explain {options:?} {}", kind(&statement)),
        Statement::Show(Show::Setting(name)) => format!("show setting {name}"),
        Statement::Show(Show::Create(name)) => format!("show create {name}"),
        Statement::Show(Show::Columns(name)) => format!("show columns {name}"),
        Statement::Other(other) => format!("other {other}"),
        rest => format!("{rest:?}"),
    }
}

fn kind(statement: &Statement) -> &'static str {
    match statement {
        Statement::Query(_) => "query",
        Statement::Insert(_) => "insert",
        Statement::Change(_) => "change",
        Statement::CreateView(_) => "view",
        Statement::Subscribe(_) => "subscribe",
        _ => "something else",
    }
}

fn all(texts: &[&str]) -> String {
    texts.iter().map(|text| shown(text) + "\n").collect()
}

#[test]
fn create_table() {
    expect![[r#"
        table a.t temporary=true if_not_exists=true
          id BIGINT NOT NULL Some("the key")
          name VARCHAR(20) None
          Odd Name STRING None
          total AS price * 2 Some("computed")
          at_ TIMESTAMP(3) METADATA Some("timestamp") true None
          part INT METADATA None false None
          pay ROW<a INT, b ARRAY<ROW<c MAP<STRING, INT>>>> None
          watermark Some("ts: ts - INTERVAL '5' SECOND")
          key ["id", "name"] comment Some("it's") by ["name"]
          [("connector", "files", 503), ("path", "/tmp/x", 526)]
        table t temporary=false if_not_exists=false
          id INT None
          v STRING None
          watermark None
          key ["id"] comment None by []
          []
        table t temporary=true if_not_exists=false
          watermark INT None
          primary INT None
          c DOUBLE None
          d TIMESTAMP_LTZ(6) None
          e ARRAY<INT> None
          f ARRAY<INT> None
          watermark None
          key [] comment None by []
          []
    "#]].assert_eq(&all(&[
        "create temporary table if not exists a.t (
           id bigint not null comment 'the key', name varchar(20), \"Odd Name\" string null,
           total as price * 2 comment 'computed', at_ timestamp(3) metadata from 'timestamp' virtual,
           part int metadata, pay row<a int not null 'x', b array<row<c map<string, int>>>>,
           watermark for ts as ts - interval '5' second,
           constraint pk primary key (id, name) not enforced
         ) comment 'it''s' partitioned by (name) with ('connector' = 'files', 'path' = '/tmp/x')",
        "create table t (id int primary key, v text)",
        "create temp table t (watermark int, `primary` int, c double precision, d timestamp with time zone, e int[], f int array)",
    ]));
}

#[test]
fn views_functions_and_drops() {
    expect![[r#"
        view v materialized=false temporary=false replace=false if_not_exists=false []: select 1
        view v materialized=false temporary=true replace=true if_not_exists=false ["a", "b"]: (select 1, 2)
        view m materialized=true temporary=false replace=false if_not_exists=true []: table t
        function f(x INT, s STRING) BIGINT replace=false: x + char_length(s)
        function g() ROW<a INT> replace=true: row(1)
        drop Table a b if_exists=true cascade=true
        drop MaterializedView m if_exists=false cascade=false
        drop View v if_exists=false cascade=false
        drop Function f if_exists=false cascade=false
        drop Function f if_exists=false cascade=false
    "#]]
    .assert_eq(&all(&[
        "create view v as select 1 -- the end\n",
        "create or replace temporary view v (a, b) as (select 1, 2)",
        "create materialized view if not exists m as /* one */ table t",
        "create function f(x int, s string) returns bigint language sql return x + char_length(s)",
        "create or replace function g() returns row<a int> return row(1)",
        "drop table if exists a, b cascade",
        "drop materialized view m restrict",
        "drop view v",
        "drop function f(int, string)",
        "drop temporary function f",
    ]));
}

#[test]
fn rows() {
    expect![[r#"
        insert t []: VALUES (1, 'a'), (2, default_name)
        insert t ["a", "b"]: SELECT a, b FROM u
        insert t []: (SELECT 1)
        query SELECT * FROM bid
        query (SELECT 1) UNION ALL (SELECT * FROM "bid")
        query SELECT 1 UNION ALL (SELECT * FROM "a"."bid") UNION ALL (SELECT * FROM "c")
        query VALUES (1), (2)
        query WITH a AS (SELECT 1) SELECT * FROM a
        subscribe to v
        subscribe (SELECT * FROM v)
        subscribe SELECT * FROM v
        explain [] query
        explain ["ANALYZE", "VERBOSE"] query
        explain ["CHANGELOG_MODE", "ESTIMATED_COST"] insert
        explain ["PLAN", "FOR"] view
        explain ["ANALYZE", "FORMAT JSON"] query
        explain [] query
    "#]]
    .assert_eq(&all(&[
        "insert into t values (1, 'a'), (2, default_name)",
        "insert into t (a, b) select a, b from u",
        "insert into t (select 1)",
        "table bid",
        "(select 1) union all table bid",
        "select 1 union all table a.bid union all table c",
        "values (1), (2)",
        "with a as (select 1) select * from a",
        "subscribe v",
        "subscribe to (select * from v)",
        "subscribe to select * from v",
        "explain select 1",
        "explain analyze verbose select 1",
        "explain changelog_mode, estimated_cost insert into t select 1",
        "explain plan for create materialized view v as select 1",
        "explain (analyze, verbose false, format json) select 1",
        "explain (select 1)",
    ]));
}

#[test]
fn sessions() {
    expect![[r#"
        Set { name: "x", value: Some("1") }
        Set { name: "x", value: Some("a b") }
        Set { name: "table.local-time-zone", value: Some("UTC") }
        Set { name: "table.local-time-zone", value: Some("UTC") }
        Set { name: "x", value: None }
        Set { name: "x", value: Some("-1.5") }
        Set { name: "search_path", value: Some("a, b") }
        Set { name: "TimeZone", value: Some("Europe/Berlin") }
        Set { name: "TimeZone", value: None }
        Acknowledge("SET")
        Show(All)
        Reset(Some("x"))
        Reset(None)
        Reset(None)
        Show(Tables)
        Show(MaterializedViews)
        show create a.t
        show create t
        show columns t
        show setting sql.semantics
        show setting sql.semantics
        show setting TimeZone
        show setting transaction_isolation
        Show(All)
        Describe(ObjectName([Identifier(Ident { value: "t", quote_style: None, span: Span(Location(1,10)..Location(1,11)) })]))
        Describe(ObjectName([Identifier(Ident { value: "a", quote_style: None, span: Span(Location(1,12)..Location(1,13)) }), Identifier(Ident { value: "t", quote_style: None, span: Span(Location(1,14)..Location(1,15)) })]))
        Job(Cancel("12"))
        Job(Cancel("x"))
        Flush
        Transaction("BEGIN")
        Transaction("BEGIN")
        Transaction("START TRANSACTION")
        Transaction("COMMIT")
        Transaction("COMMIT")
        Transaction("ROLLBACK")
        Acknowledge("DISCARD ALL")
        Kept(Deallocate(None))
        Kept(Deallocate(Some("p")))
        Kept(Close(None))
        Acknowledge("UNLISTEN")
        Change(Change { table: ObjectName([Identifier(Ident { value: "t", quote_style: None, span: Span(Location(1,8)..Location(1,9)) })]), alias: None, changes: Changes { assignments: [(Ident { value: "a", quote_style: None, span: Span(Location(1,14)..Location(1,15)) }, Value(ValueWithSpan { value: Number("1", false), span: Span(Location(1,18)..Location(1,19)) }))], selection: None }, delete: false, truncate: false })
    "#]].assert_eq(&all(&[
        "set x = 1",
        "set x to 'a b'",
        "set 'table.local-time-zone' = 'UTC'",
        "set table.local-time-zone = 'UTC'",
        "set session x to default",
        "set local x = -1.5",
        "set search_path to a, \"b\"",
        "set time zone 'Europe/Berlin'",
        "set time zone local",
        "set transaction isolation level read committed",
        "set",
        "reset x",
        "reset all",
        "reset",
        "show tables",
        "show materialized views",
        "show create table a.t",
        "show create materialized view t",
        "show columns from t",
        "show sql.semantics",
        "show 'sql.semantics'",
        "show time zone",
        "show transaction isolation level",
        "show all",
        "describe t",
        "desc table a.t",
        "cancel job 12",
        "cancel job 'x'",
        "flush",
        "begin",
        "begin transaction isolation level serializable, read only",
        "start transaction",
        "commit work",
        "end",
        "rollback",
        "discard all",
        "deallocate all",
        "deallocate prepare p",
        "close all",
        "unlisten *",
        "update t set a = 1",
    ]));
}

#[test]
fn expressions() {
    expect![[r#"
        query SELECT CAST(a AS VARCHAR), CAST(b AS TIMESTAMP(3)), TRY_CAST(c AS BYTEA), d::TIMESTAMP(3) WITH TIME ZONE::STRUCT<a INT>
        query SELECT map(ARRAY['a', 'b'], ARRAY[1, 2]), ARRAY[1, 2], row(1, 2), interval, INTERVAL '1' DAY, timestamp, TIMESTAMP '2020-01-01'
        query SELECT x < -1, a[1], b.c.d, `q`.`r`, "s", DATE '2020-01-01', date(x), TIMESTAMP WITH TIME ZONE '2020-01-01 00:00:00'
        query SELECT floor_to('HOUR', ts), EXTRACT(HOUR FROM ts), SUBSTRING(a FROM 1 FOR 2), TRIM(BOTH 'x' FROM a), POSITION('a' IN b)
        query SELECT $1, x IS NOT DISTINCT FROM y, E'\n', NOT a AND b, -1, a || b FROM t emit
        query SELECT * FROM TABLE(hop(data => (SELECT * FROM a.bid DISTRIBUTE BY x, y), timecol => descriptor(ts)))
        query SELECT count(*) FILTER (WHERE a > 1) OVER w FROM t WINDOW w AS (PARTITION BY b ORDER BY c)
    "#]].assert_eq(&all(&[
        "select cast(a as string), cast(b as timestamp(3)), try_cast(c as bytes), d::timestamp_ltz(3)::row<a int>",
        "select map['a', 1, 'b', 2], array[1, 2], row(1, 2), interval, interval '1' day, timestamp, timestamp '2020-01-01'",
        "select x<-1, a[1], b.c.d, `q`.`r`, \"s\", date '2020-01-01', date(x), timestamp_ltz '2020-01-01 00:00:00'",
        "select floor(ts to hour), extract(hour from ts), substring(a from 1 for 2), trim(both 'x' from a), position('a' in b)",
        "select $1, x is not distinct from y, e'\\n', not a and b, -1, a || b from t emit",
        "select * from table(hop(data => table a.bid partition by (x, y), timecol => descriptor(ts)))",
        "select count(*) filter (where a > 1) over w from t window w as (partition by b order by c)",
    ]));
}

#[test]
fn scripts_are_cut_at_their_semicolons() {
    let text = ";; select ';' -- ; one\n; /* ; */ ; select `a;b`, $$;$$ ;\n\té; ";
    let found = crate::parse(text);
    assert!(found.is_err(), "é alone is no statement");
    let text = ";; select ';' -- ; one\n; /* ; */ ; select `a;b`, $$;$$ ;\n\tshow é; ";
    let statements = crate::parse(text).unwrap();
    let texts: Vec<_> = statements.iter().map(|statement| (statement.text.as_str(), statement.offset)).collect();
    assert_eq!(texts, [("select ';'", 3), ("select `a;b`, $$;$$", 35), ("show é", 58)]);
    assert!(crate::parse(" -- nothing\n").unwrap().is_empty());
}
