//! Errors of values and of calls tell where they come from.

use futures::StreamExt;
use millstream_server::config::Config;
use millstream_server::session::{Body, Database, Session};
use millstream_sql::SqlError;

/// Statements with `^` before what is wrong, and the codes of their errors. Without `^` nothing tells which part it is.
const WRONG: &[(&str, &str)] = &[
    // Casts.
    ("SELECT 1, CAST(^'abc' AS INT)", "22P02"),
    ("SELECT 'abc', ^'abc'::int", "22P02"),
    ("SELECT INT ^'abc'", "22P02"),
    ("SELECT DATE ^'2024-02-30'", "22007"),
    ("SELECT TIMESTAMP ^'2024-02-30 00:00:00'", "22007"),
    ("SELECT INTERVAL ^'x' DAY", "22P02"),
    ("SELECT CAST(^300 AS TINYINT)", "22003"),
    ("SELECT 1,\n  CAST(^12345678901.5 AS DECIMAL(5, 2))", "22003"),
    ("SELECT CAST(^'x' AS BOOLEAN)", "22P02"),
    ("SELECT CAST(^TRUE AS DATE)", "42846"),
    ("SELECT CAST(^s AS INT) FROM t", "22P02"),
    ("SELECT a + CAST(^s AS DOUBLE), a / 2 FROM t", "22P02"),
    // Casts that nobody wrote.
    ("SELECT * FROM t WHERE a = ^'xyz'", "22P02"),
    ("SELECT * FROM t WHERE d > ^'2024-13-01'", "22007"),
    ("SELECT NULLIF(1, ^'x')", "22P02"),
    ("INSERT INTO t VALUES (^'abc', 1, 's', DATE '2024-01-01')", "22P02"),
    ("INSERT INTO t VALUES (1, 1, 's', ^'nodate')", "22007"),
    ("INSERT INTO t VALUES (^3000000000, 1, 's', DATE '2024-01-01')", "22003"),
    ("INSERT INTO k VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = ^'abc'", "22P02"),
    ("UPDATE k SET n = CAST(^'abc' AS INT) WHERE id = 1", "22P02"),
    ("DELETE FROM k WHERE id = ^'abc'", "22P02"),
    // Arithmetic.
    ("SELECT 1, ^1/0", "22012"),
    ("SELECT 5 + ^1/0 FROM t", "22012"),
    ("SELECT 5 + ^MOD(5, 0)", "22012"),
    ("SELECT a / 2, ^a / b FROM t", "22012"),
    ("SELECT a FROM t WHERE ^a % b = 1", "22012"),
    ("SELECT 1, ^9223372036854775807 + 1", "22003"),
    ("SELECT a, b - 9223372036854775807 - a - a - a FROM t", "22003"),
    ("COPY (SELECT ^a / b FROM t) TO STDOUT", "22012"),
    ("CREATE TABLE made AS SELECT ^1/0 AS c", "22012"),
    // Patterns and paths.
    ("SELECT REGEXP_EXTRACT('abc', ^'(', 1)", "2201B"),
    ("SELECT REGEXP_EXTRACT(s, ^'(', 1) FROM t", "2201B"),
    ("SELECT s ~ ^'(' FROM t", "2201B"),
    ("SELECT s FROM t WHERE ^s SIMILAR TO '('", "2201B"),
    ("SELECT s FROM t WHERE REGEXP_LIKE(s, ^'[')", "2201B"),
    ("SELECT JSON_VALUE('{\"a\":1}', ^'bad path')", "42601"),
    ("SELECT JSON_QUERY(s, ^'$..[') FROM t", "42601"),
    ("SELECT ^PARSE_JSON('{')", "22000"),
    ("SELECT UPPER(s), PARSE_JSON(s) FROM t", "22000"),
    // Places in lists, and numbers of rows.
    ("SELECT a FROM t ORDER BY ^5", "42601"),
    ("SELECT a FROM t GROUP BY ^7", "42601"),
    ("SELECT a FROM t LIMIT -^1", "2201W"),
    ("SELECT a FROM t LIMIT ^'x'", "42601"),
    ("SELECT a FROM t OFFSET -^3", "2201X"),
    ("INSERT INTO t VALUES ^(1, 2)", "42601"),
    ("INSERT INTO t (a, b) ^SELECT 1, 2, 3", "42601"),
    // Calls.
    ("SELECT a, ^UPPER('a', 'b') FROM t", "42883"),
    ("SELECT UPPER(s), ^UPPER() FROM t", "42883"),
    ("SELECT SQRT(^'x')", "42883"),
    ("SELECT AVG(^s), MAX(s) FROM t", "42883"),
    ("SELECT a FROM t WHERE ^COUNT(*) > 1", "42803"),
    ("SELECT 1 WHERE ^'x'", "42804"),
    ("SELECT EXTRACT(FOO FROM ^d) FROM t", "22000"),
    ("CREATE VIEW made AS SELECT a, ^UPPER(a, a) AS u FROM t", "42883"),
    ("CREATE TABLE made (x INT, y AS ^UPPER(x, x))", "42883"),
    ("CREATE FUNCTION made(x INT) RETURNS INT RETURN x + ^ABS('a', x)", "42883"),
];

#[test]
fn errors_tell_where_they_come_from() {
    let runtime = super::runtime();
    let database = Database::start(Config { shards: 1, ..Config::standard() }).unwrap();
    let mut session = database.session();
    let wrong: Vec<String> = runtime.block_on(async {
        let tables = "CREATE TABLE t (a INT, b BIGINT, s STRING, d DATE);
            INSERT INTO t VALUES (1, 0, 'abc', DATE '2024-01-01');
            CREATE TABLE k (id INT PRIMARY KEY NOT ENFORCED, n INT);
            INSERT INTO k VALUES (1, 1)";
        session.execute_script(tables).await.unwrap();
        let mut wrong = Vec::new();
        for (marked, state) in WRONG {
            let wanted = (state.to_string(), marked.find('^').map(|before| before + 1));
            let found = match failure(&mut session, &marked.replacen('^', "", 1)).await {
                Some(error) => (error.parts().state.0.to_owned(), error.parts().position),
                None => ("no error".to_owned(), None),
            };
            if found != wanted {
                wrong.push(format!("{marked}: {found:?}, not {wanted:?}"));
            }
        }
        wrong
    });
    drop(session);
    database.shutdown();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs a statement to its last row.
async fn failure(session: &mut Session, text: &str) -> Option<SqlError> {
    let statement = match millstream_sql::parse(text) {
        Ok(statements) => statements.into_iter().next()?,
        Err(error) => return Some(error),
    };
    let mut rows = match session.execute(&statement, &[]).await {
        Err(error) => return Some(error),
        Ok(outcome) => match outcome.body {
            Body::Rows(rows) => rows,
            Body::CopyOut(copy) => copy.rows,
            Body::Subscription(_) | Body::CopyIn(_) | Body::Done(_) => return None,
        },
    };
    while let Some(batch) = rows.batches.next().await {
        if let Err(error) = batch {
            return Some(error);
        }
    }
    None
}
