//! No input makes the parser panic or take for ever.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "CREATE",
    "TABLE",
    "VIEW",
    "MATERIALIZED",
    "FUNCTION",
    "RETURNS",
    "RETURN",
    "INSERT",
    "INTO",
    "VALUES",
    "DROP",
    "CASCADE",
    "IF",
    "EXISTS",
    "NOT",
    "NULL",
    "PRIMARY",
    "KEY",
    "ENFORCED",
    "WATERMARK",
    "FOR",
    "AS",
    "METADATA",
    "VIRTUAL",
    "COMMENT",
    "PARTITIONED",
    "BY",
    "WITH",
    "SET",
    "TO",
    "RESET",
    "SHOW",
    "EXPLAIN",
    "ANALYZE",
    "SUBSCRIBE",
    "CANCEL",
    "JOB",
    "FLUSH",
    "BEGIN",
    "COMMIT",
    "DESCRIBE",
    "CAST",
    "TRY_CAST",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "INTERVAL",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "ROW",
    "ARRAY",
    "MAP",
    "INT",
    "STRING",
    "DECIMAL",
    "GROUP",
    "ORDER",
    "UNION",
    "ALL",
    "JOIN",
    "ON",
    "LATERAL",
    "TUMBLE",
    "DESCRIPTOR",
    "OVER",
    "PARTITION",
    "LIMIT",
    "FLOOR",
    "EXTRACT",
    "SUBSTRING",
    "POSITION",
    "TRIM",
    "OVERLAY",
    "CONVERT",
    "BETWEEN",
    "IN",
    "IS",
    "LIKE",
    "AND",
    "OR",
    "a",
    "b",
    "`c d`",
    "\"e\"",
    "pg_x",
    "(",
    ")",
    "<",
    ">",
    ">>",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    ";",
    "*",
    "+",
    "-",
    "/",
    "=",
    "=>",
    "::",
    ":",
    "$1",
    "||",
    "'s'",
    "1",
    "2.5",
    "1e9",
    "'",
    "\"",
    "`",
    "/*",
    "*/",
    "--",
    "\n",
    "$$",
    "é",
    "\u{0}",
    "@",
    "#",
    "?",
    "!",
    "~",
    "^",
    "&",
    "|",
    "E'",
    "U&'",
    "x'",
    "\\",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn words_in_any_order(words in vec(proptest::sample::select(WORDS), 0..40)) {
        let _ = crate::parse(&words.join(" "));
        let _ = crate::parse(&words.concat());
    }

    #[test]
    fn characters_in_any_order(text in ".{0,80}") {
        let _ = crate::parse(&text);
    }
}

#[test]
fn broken_statements_at_every_length() {
    let texts = [
        "CREATE TABLE t (a BIGINT NOT NULL, b ROW<c ARRAY<MAP<STRING, INT>>>, d AS CAST(a AS TIMESTAMP(3)), \
         e INT METADATA FROM 'k' VIRTUAL, WATERMARK FOR d AS d - INTERVAL '1' SECOND, PRIMARY KEY (a) NOT ENFORCED) \
         COMMENT 'x' PARTITIONED BY (a) WITH ('connector' = 'x')",
        "INSERT INTO t (a) SELECT CASE WHEN x IN (1, 2) THEN MAP['a', 1] END FROM TABLE(HOP(TABLE b, DESCRIPTOR(c), \
         INTERVAL '1' DAY, INTERVAL '2' DAY)) GROUP BY window_start HAVING count(*) > 1",
        "CREATE FUNCTION f(x INT) RETURNS INT RETURN x + 1; SET 'a' = 'b'; EXPLAIN (ANALYZE) SELECT 1",
    ];
    for text in texts {
        for (end, _) in text.char_indices() {
            let _ = crate::parse(&text[..end]);
        }
    }
}

#[test]
fn nested_and_broken_is_not_slow() {
    let openings = [
        "(",
        "cast(",
        "floor(",
        "ceil(",
        "substring(",
        "trim(",
        "position(",
        "overlay(",
        "extract(day from ",
        "convert(",
        "f(",
        "f(a => ",
        "case when ",
        "interval ",
        "interval(",
        "array[",
        "array(",
        "map[",
        "exists(",
        "not ",
        "- ",
        "a in (",
        "(select ",
        "a[",
        "row(",
        "timestamp ",
        "x between ",
        "array(select ",
        "coalesce(a, ",
        "~",
        "a like ",
        "(select a from (",
        "f(distinct ",
        "f(a order by ",
    ];
    for opening in openings {
        for depth in [30, 99, 5_000] {
            let start = Instant::now();
            let _ = crate::parse(&format!("select {}", opening.repeat(depth)));
            let _ = crate::parse(&format!("select {} ] from t", opening.repeat(depth)));
            let _ = crate::parse(&format!("select * from {}", opening.repeat(depth)));
            assert!(start.elapsed() < Duration::from_secs(30), "{opening} {depth}");
        }
    }
}

#[test]
fn the_deepest_trees_can_be_cloned_and_dropped() {
    let texts = [
        format!("select 1{}", " + 1".repeat(490)),
        format!("select a = 1{}", " or a + 1 = 2".repeat(480)),
        format!("select 1{}", " union all select 1".repeat(120)),
        format!("{}select 1{}", "select * from (".repeat(40), ")".repeat(40)),
        format!("select {}1{}", "case when a then (".repeat(40), ") end".repeat(40)),
    ];
    let run = move || {
        for text in texts {
            let made = crate::parse(&text).unwrap();
            let copy = made.clone();
            drop((made, copy));
        }
    };
    // Twice what a thread of the server has: frames are that much larger without optimisation.
    std::thread::Builder::new().stack_size(4 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn parentheses_are_looked_through_once() {
    for before in ["", "EXPLAIN ", "CREATE VIEW v AS ", "INSERT INTO t "] {
        let text = format!("{before}{}SELECT 1", "(".repeat(200_000));
        let error = crate::parse(&text).unwrap_err();
        assert!(error.to_string().contains("nested too deeply"), "{before}: {error}");
    }
}
