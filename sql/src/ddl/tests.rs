//! Statements as text: a catalog is made by statements, and what they bind to or why they are refused is shown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use expect_test::{Expect, expect};
use millstream_engine::plan::RelationId;
use millstream_engine::ports::{Capabilities, ConnectorDescriptor, OptionDescriptor, OptionType};

use crate::bound::{BindContext, BoundStatement};
use crate::catalog::{CatalogSnapshot, Relation, RelationKind, Semantics};

/// A connector for tests.
fn files() -> ConnectorDescriptor {
    let option = |name, kind, required| OptionDescriptor { name, kind, required, default: None, doc: "what it is" };
    ConnectorDescriptor {
        name: "filesystem",
        doc: "files",
        options: vec![
            option("path", OptionType::String, true),
            option("format", OptionType::Choice(&["csv", "json", "parquet"]), true),
            option("source.monitor-interval", OptionType::Duration, false),
            option("fields.*.min", OptionType::Integer, false),
        ],
        capabilities: Capabilities { source: true, sink: true, sink_retracts: false, partitioned: true },
        metadata: vec![
            ("file.path", DataType::Utf8),
            ("file.modified", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        ],
    }
}

fn generator() -> ConnectorDescriptor {
    ConnectorDescriptor {
        name: "nexmark",
        doc: "events",
        options: Vec::new(),
        capabilities: Capabilities { source: true, ..Capabilities::default() },
        metadata: Vec::new(),
    }
}

/// A catalog that statements change.
struct World {
    context: BindContext,
    next: u64,
}

impl World {
    fn new(statements: &str) -> Self {
        let mut catalog = CatalogSnapshot::default();
        for connector in [files(), generator()] {
            catalog.connectors.insert(connector.name.to_owned(), Arc::new(connector));
        }
        let context =
            BindContext { catalog: Arc::new(catalog), semantics: Semantics::Postgres, time_zone: "UTC".to_owned() };
        let mut world = Self { context, next: 1 };
        for statement in crate::parse(statements).unwrap() {
            let bound = super::bind(&statement, &world.context);
            world.apply(bound.unwrap_or_else(|error| panic!("{}: {:?}", statement.text, error.parts())));
        }
        world
    }

    fn apply(&mut self, bound: BoundStatement) {
        let catalog = Arc::make_mut(&mut self.context.catalog);
        match bound {
            BoundStatement::CreateTable { relation, .. }
            | BoundStatement::CreateView { relation, .. }
            | BoundStatement::CreateMaterializedView { relation, .. } => {
                let relation = Relation { id: RelationId(self.next), ..relation };
                self.next += 1;
                catalog.relations.insert(relation.name.clone(), Arc::new(relation));
            }
            BoundStatement::CreateFunction { function, .. } => {
                catalog.functions.insert(function.name.to_ascii_lowercase(), Arc::new(function));
            }
            other => panic!("{other:?}"),
        }
    }

    /// What the last of some statements binds to, in a few lines.
    fn bind(&self, text: &str) -> String {
        let statement = crate::parse(text).unwrap().pop().unwrap();
        match super::bind(&statement, &self.context) {
            Ok(bound) => self.shown(bound),
            Err(error) => refused(text, &error),
        }
    }

    fn shown(&self, bound: BoundStatement) -> String {
        let name = |id: &RelationId| {
            self.context.catalog.relations.values().find(|found| found.id == *id).unwrap().name.clone()
        };
        match bound {
            BoundStatement::CreateTable { relation, exists } => {
                let stored = match &relation.kind {
                    RelationKind::ConnectorTable(table) => format!("{:?} {:?}", table.spec.options.0, table.spec),
                    RelationKind::InternalTable(table) => format!("{:?}", table.primary_key),
                    RelationKind::View { .. } | RelationKind::MaterializedView { .. } => String::new(),
                };
                assert!(!stored.is_empty());
                format!("exists={exists}\n{}\n", relation.definition)
            }
            BoundStatement::CreateView { relation, exists, replace } => {
                format!("exists={exists} replace={replace}\n{}\n", relation.definition)
            }
            BoundStatement::CreateMaterializedView { relation, exists, .. } => {
                format!("exists={exists}\n{}\n", relation.definition)
            }
            BoundStatement::Drop { relations, functions, kind, notices } => {
                let relations: Vec<String> = relations.iter().map(name).collect();
                format!("drop {kind:?} {relations:?} {functions:?} {notices:?}\n")
            }
            BoundStatement::Describe(relation) => format!("describe {}\n", relation.name),
            BoundStatement::ShowCreate(relation) => format!("{}\n", relation.definition),
            BoundStatement::CreateFunction { function, exists } => {
                format!("exists={exists} {} returns {}: {}\n", function.name, function.returns.text, function.body)
            }
            BoundStatement::Query(query) => format!("query {:?}\n", query.schema.fields().len()),
            other => format!("{other:?}\n"),
        }
    }

    fn check(&self, text: &str, expect: &Expect) {
        expect.assert_eq(&self.bind(text));
    }
}

/// An error with its parts, and the text with a mark at the position.
fn refused(text: &str, error: &crate::SqlError) -> String {
    let parts = error.parts();
    let mut shown = format!("{}: {}\n", parts.state.0, parts.message);
    if let Some(position) = parts.position {
        let before: String = text.chars().take(position - 1).collect();
        let behind: String = text.chars().skip(position - 1).collect();
        shown += &format!("{before}▶{behind}\n");
    }
    for (label, part) in [("detail", &parts.detail), ("hint", &parts.hint)] {
        shown += &part.as_ref().map_or_else(String::new, |part| format!("{label}: {part}\n"));
    }
    shown
}

#[test]
fn tables() {
    let world = World::new("create table t (id int primary key, V text)");
    world.check(
        "create table u (id bigint, name string not null, primary key (ID))",
        &expect![[r#"
        exists=false
        CREATE TABLE u (
          id BIGINT NOT NULL,
          name STRING NOT NULL,
          PRIMARY KEY (id) NOT ENFORCED
        )
    "#]],
    );
    world.check(
        "create table if not exists t (x int)",
        &expect![[r#"
        exists=true
        CREATE TABLE t (
          id INT NOT NULL,
          V STRING,
          PRIMARY KEY (id) NOT ENFORCED
        )
    "#]],
    );
    world.check(
        "create table t (x int)",
        &expect![[r#"
        42P07: relation "t" already exists
        create table ▶t (x int)
    "#]],
    );
    world.check(
        "create temporary table t (x int)",
        &expect![[r#"
        exists=false
        CREATE TEMPORARY TABLE t (
          x INT
        )
    "#]],
    );
    world.check(
        "create table other.t (x int)",
        &expect![[r#"
        3F000: schema "other" does not exist
        create table ▶other.t (x int)
        hint: everything is in schema "public"
    "#]],
    );
    world.check(
        "create table default_catalog.default_database.w (x int)",
        &expect![[r#"
        exists=false
        CREATE TABLE w (
          x INT
        )
    "#]],
    );
    world.check(
        "create table u (a int, b int, a text)",
        &expect![[r#"
        42701: column "a" specified more than once
        create table u (a int, b int, ▶a text)
    "#]],
    );
    world.check(
        "create table u (aa int, primary key (ab))",
        &expect![[r#"
        42703: column "ab" named in key does not exist
        create table u (aa int, primary key (▶ab))
    "#]],
    );
    world.check(
        "create table u (a int, primary key (a, a))",
        &expect![[r#"
        42701: column "a" appears twice in key
        create table u (a int, primary key (a, ▶a))
    "#]],
    );
    world.check(
        "create table u (a int metadata)",
        &expect![[r#"
        42P16: an internal table has no METADATA columns
        create table u (▶a int metadata)
    "#]],
    );
    world.check(
        "create table u (a int) partitioned by (a)",
        &expect![[r#"
        42P16: an internal table does not take PARTITIONED BY
        create table u (a int) partitioned by (▶a)
    "#]],
    );
}

#[test]
fn options() {
    let world = World::new("");
    world.check(
        "create table f (a int, `b c` string not null comment 'x', at_ timestamp_ltz(3) metadata from 'file.modified' virtual)
         comment 'it''s' partitioned by (`b c`)
         with ('format' = 'JSON', 'connector' = 'filesystem', 'path' = '/tmp/it''s', 'fields.a.min' = '3')",
        &expect![[r#"
            exists=false
            CREATE TABLE f (
              a INT,
              `b c` STRING NOT NULL COMMENT 'x',
              at_ TIMESTAMP_LTZ(3) METADATA FROM 'file.modified' VIRTUAL
            ) COMMENT 'it''s' PARTITIONED BY (`b c`) WITH (
              'connector' = 'filesystem',
              'fields.a.min' = '3',
              'format' = 'JSON',
              'path' = '/tmp/it''s'
            )
        "#]],
    );
    world.check(
        "create table f (a int) with ('conector' = 'filesystem')",
        &expect![[r#"
        HV00J: option "connector" is missing
        create table f (a int) with (▶'conector' = 'filesystem')
        detail: the connectors are "filesystem", "nexmark"
        hint: a table without WITH is an internal table
    "#]],
    );
    world.check(
        "create table f (a int) with ('connector' = 'filesytem')",
        &expect![[r#"
        22023: option "connector" names no connector: "filesytem"
        create table f (a int) with (▶'connector' = 'filesytem')
        detail: the connectors are "filesystem", "nexmark"
        hint: did you mean "filesystem"?
    "#]],
    );
    world.check(
        "create table f (a int) with ('connector' = 'filesystem', 'path' = 'x', 'fromat' = 'csv')",
        &expect![[r#"
            HV00D: connector "filesystem" has no option "fromat"
            create table f (a int) with ('connector' = 'filesystem', 'path' = 'x', ▶'fromat' = 'csv')
            detail: its options are "path", "format", "source.monitor-interval", "fields.*.min"
            hint: did you mean "format"?
        "#]],
    );
    world.check(
        "create table f (a int) with ('connector' = 'filesystem', 'path' = 'x')",
        &expect![[r#"
        HV00J: connector "filesystem" needs option "format"
        create table f (a int) with (▶'connector' = 'filesystem', 'path' = 'x')
        hint: what it is
    "#]],
    );
    world.check(
        "create table f (a int) with ('connector' = 'filesystem', 'path' = 'x', 'format' = 'jsn')",
        &expect![[r#"
            22023: option "format" of connector "filesystem" takes one of 'csv', 'json', 'parquet', not "jsn"
            create table f (a int) with ('connector' = 'filesystem', 'path' = 'x', ▶'format' = 'jsn')
            hint: did you mean "json"?
        "#]],
    );
    world.check(
        "create table f (a int) with ('connector' = 'filesystem', 'path' = 'x', 'source.monitor-interval' = 'soon')",
        &expect![[r#"
            22023: option "source.monitor-interval" of connector "filesystem" takes a duration such as '10 s' or '500 ms', not "soon"
            create table f (a int) with ('connector' = 'filesystem', 'path' = 'x', ▶'source.monitor-interval' = 'soon')
            hint: what it is
        "#]],
    );
    world.check(
        "create table f (a int) with ('connector' = 'filesystem', 'path' = 'x', 'path' = 'y')",
        &expect![[r#"
            HV00D: option "path" is given twice
            create table f (a int) with ('connector' = 'filesystem', 'path' = 'x', ▶'path' = 'y')
        "#]],
    );
    world.check(
        "create table f (a string metadata from 'file.pth') with ('connector' = 'filesystem')",
        &expect![[r#"
            42703: connector "filesystem" has no metadata "file.pth"
            create table f (▶a string metadata from 'file.pth') with ('connector' = 'filesystem')
            detail: its metadata are "file.path", "file.modified"
            hint: did you mean "file.path"?
        "#]],
    );
    world.check(
        "create table f (a int, b string metadata from 'file.modified') with ('connector' = 'filesystem')",
        &expect![[r#"
            42804: metadata "file.modified" of connector "filesystem" is TIMESTAMP_LTZ(3), not STRING
            create table f (a int, ▶b string metadata from 'file.modified') with ('connector' = 'filesystem')
            hint: declare the column as TIMESTAMP_LTZ(3) and add a computed column that casts it
        "#]],
    );
    world.check(
        "create table f (a int) partitioned by (a) with ('connector' = 'nexmark')",
        &expect![[r#"
        0A000: connector "nexmark" does not take PARTITIONED BY
        create table f (a int) partitioned by (▶a) with ('connector' = 'nexmark')
    "#]],
    );
}

#[test]
fn definitions_read_back_as_themselves() {
    let world = World::new("");
    let tables = [
        "create table t (id int primary key, `select` row<`from` int, x array<map<string, timestamp(3)>>> comment 'a''b')",
        "create temporary table `odd ``name` (a decimal(23, 3), b timestamp_ltz(9), c bytes not null, d char(3), \"É\" time(3))",
        "create table f (a int, m string metadata from 'file.path' virtual) comment 'c' partitioned by (a)
         with ('connector' = 'filesystem', 'format' = 'csv', 'path' = 'it''s')",
    ];
    for text in tables {
        let first = world.bind(text);
        let definition = first.split_once('\n').unwrap().1;
        assert_eq!(world.bind(definition), first, "{text}");
    }
}

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
        CancelJob(12)
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
        0A000: UPDATE is not supported
        ▶update bid set x = 1
    "#]],
    );
    world.check(
        "alter table bid add column y int",
        &expect![[r#"
        0A000: ALTER TABLE is not supported
        ▶alter table bid add column y int
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
