//! `CREATE TABLE`: columns, keys, options, and that definitions read back as themselves.

use expect_test::expect;

use super::World;

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
        hint: SHOW DATABASES lists those that exist
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
        "create table f (a int, b int metadata from 'file.modified') with ('connector' = 'filesystem')",
        &expect![[r#"
            42804: metadata "file.modified" of connector "filesystem" is TIMESTAMP_LTZ(3), not INT
            create table f (a int, ▶b int metadata from 'file.modified') with ('connector' = 'filesystem')
            hint: declare the column as TIMESTAMP_LTZ(3) and add a computed column that makes of it what is needed
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
