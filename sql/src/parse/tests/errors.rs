//! What errors say, and where they point.

use expect_test::{Expect, expect};

/// Checks the error of a text: its parts, and the text with a mark at the position.
fn check(text: &str, expect: &Expect) {
    let error = crate::parse(text).expect_err(text);
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
    expect.assert_eq(&shown);
}

#[test]
fn syntax_errors_point_at_the_token() {
    check(
        "SELEC 1",
        &expect![[r#"
        42601: syntax error at or near "SELEC"
        ▶SELEC 1
        detail: expected an SQL statement
    "#]],
    );
    check(
        "select 1;\n  select a b c from t",
        &expect![[r#"
        42601: syntax error at or near "c"
        select 1;
          select a b ▶c from t
        detail: expected end of statement
    "#]],
    );
    check(
        "select é, from t",
        &expect![[r#"
            42601: syntax error at or near "from"
            select é, ▶from t
            detail: expected an expression
        "#]],
    );
    check(
        "select 1 +",
        &expect![[r#"
        42601: syntax error at end of input
        select 1 +▶
        detail: expected an expression
    "#]],
    );
    check(
        "create table t (a bigint",
        &expect![[r#"
        42601: syntax error at end of input
        create table t (a bigint▶
        detail: expected )
    "#]],
    );
    check(
        "create table t (a bigint,)",
        &expect![[r#"
        42601: syntax error at or near ")"
        create table t (a bigint,▶)
        detail: expected a name
    "#]],
    );
    check(
        "select case when a then from t",
        &expect![[r#"
            42601: syntax error at or near "from"
            select case when a then ▶from t
            detail: expected an expression
        "#]],
    );
    check(
        "select cast(a as) from t",
        &expect![[r#"
        42601: syntax error at or near ")"
        select cast(a as▶) from t
        detail: expected a type
    "#]],
    );
    check(
        "select 1; drop nothing",
        &expect![[r#"
            42601: syntax error at or near "nothing"
            select 1; drop ▶nothing
            detail: expected TABLE, VIEW, MATERIALIZED VIEW or FUNCTION
        "#]],
    );
    check(
        "insert into t",
        &expect![[r#"
        42601: syntax error at end of input
        insert into t▶
        detail: expected a query
    "#]],
    );
    check(
        "explain",
        &expect![[r#"
        42601: syntax error at end of input
        explain▶
        detail: expected a statement to explain
    "#]],
    );
    check(
        "flush now",
        &expect![[r#"
        42601: syntax error at or near "now"
        flush ▶now
        detail: expected end of statement
    "#]],
    );
}

#[test]
fn what_does_not_end_is_named() {
    check(
        "select 'abc",
        &expect![[r#"
        42601: unterminated quoted string at or near "'abc"
        select ▶'abc
    "#]],
    );
    check(
        "select 1 /* abc",
        &expect![[r#"
        42601: unterminated /* comment
        select 1 /* abc▶
    "#]],
    );
    check(
        "select \"abc",
        &expect![[r#"
        42601: unterminated quoted identifier at or near ""abc"
        select ▶"abc
    "#]],
    );
}

#[test]
fn types_are_checked() {
    check(
        "create table t (a strng)",
        &expect![[r#"
        42704: type "strng" does not exist
        create table t (a ▶strng)
        hint: did you mean "string"?
    "#]],
    );
    check(
        "create table t (a decimal(40, 2))",
        &expect![[r#"
        22023: DECIMAL precision 40 must be between 1 and 38
        create table t (a ▶decimal(40, 2))
    "#]],
    );
    check(
        "create table t (a decimal(4, 5))",
        &expect![[r#"
        22023: DECIMAL scale 5 must be between 0 and precision 4
        create table t (a ▶decimal(4, 5))
    "#]],
    );
    check(
        "create table t (a timestamp(10))",
        &expect![[r#"
        22023: TIMESTAMP precision 10 must be between 0 and 9
        create table t (a ▶timestamp(10))
    "#]],
    );
    check(
        "create table t (a row<b int, b int>)",
        &expect![[r#"
        42701: field "b" is declared twice in a ROW
        create table t (a ▶row<b int, b int>)
    "#]],
    );
    check(
        "create table t (a array<int)",
        &expect![[r#"
        42601: syntax error at or near ")"
        create table t (a array<int▶)
        detail: expected >
    "#]],
    );
    check(
        "create table t (a array<int>>)",
        &expect![[r#"
        42601: syntax error at or near ">>"
        create table t (a array<int▶>>)
        detail: expected one > less
    "#]],
    );
}

#[test]
fn what_is_refused_says_so() {
    check(
        "create table t (a int) distributed into 4 buckets",
        &expect![[r#"
        0A000: DISTRIBUTED BY is not supported: no connector has buckets
        create table t (a int) ▶distributed into 4 buckets
        hint: leave it out; rows go to the sink by their key
    "#]],
    );
    check(
        "create table t (a int default 3)",
        &expect![[r#"
        0A000: DEFAULT in CREATE TABLE is not supported
        create table t (a int ▶default 3)
        hint: of the constraints, NOT NULL and PRIMARY KEY can be declared
    "#]],
    );
    check(
        "create function f as 'com.example.F'",
        &expect![[r#"
        0A000: functions in Java, Scala or Python are not supported
        create function f ▶as 'com.example.F'
        hint: write the body as an expression: CREATE FUNCTION f(x INT) RETURNS INT RETURN x + 1
    "#]],
    );
    check(
        "insert overwrite t select 1",
        &expect![[r#"
        0A000: INSERT OVERWRITE is not supported
        insert ▶overwrite t select 1
        hint: TRUNCATE TABLE empties a table of Millstream's own; files are only added to
    "#]],
    );
    check(
        "execute statement set begin insert into a values (1) on conflict do nothing; end",
        &expect![[r#"
        0A000: ON CONFLICT in a statement set is not supported
        execute statement set begin ▶insert into a values (1) on conflict do nothing; end
    "#]],
    );
    check(
        "create table t (a int, watermark for a as a, watermark for a as a)",
        &expect![[r#"
        42P16: a table can have one watermark only
        create table t (a int, watermark for a as a, watermark for ▶a as a)
    "#]],
    );
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("select {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(crate::parse(&deep).unwrap_err().parts().state.0, "54001");
    let long = format!("select 1{}", " + 1".repeat(100_000));
    assert_eq!(crate::parse(&long).unwrap_err().parts().state.0, "54001");
    let types = format!("create table t (a {}int{})", "array<".repeat(1_000), ">".repeat(1_000));
    assert_eq!(crate::parse(&types).unwrap_err().parts().state.0, "54001");
    let brackets = format!("select a::int{}", "[]".repeat(1_000));
    assert_eq!(crate::parse(&brackets).unwrap_err().parts().state.0, "54001");
}
