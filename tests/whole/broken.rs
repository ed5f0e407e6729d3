//! Broken statements: what `sqllogictest/` has, with letters turned, pieces cut out, doubled, mixed and nested deeply, is parsed
//! and explained. Each is answered or refused with a code and a position that lies in the text; nothing panics.

use std::path::Path;
use std::sync::Arc;

use millstream_server::config::Config;
use millstream_server::session::Database;
use sqllogictest::{DefaultColumnType, Record};
use tokio::sync::Mutex;

use super::generated::rows;

#[path = "../src/broken.rs"]
mod runner;

const TABLES: [&str; 5] = [
    "CREATE TABLE t (id BIGINT PRIMARY KEY NOT ENFORCED, name STRING, price DECIMAL(10, 2), at TIMESTAMP(3), tags ARRAY<STRING>)",
    "CREATE TABLE u (id BIGINT, row_of ROW<a INT, b STRING>, m MAP<STRING, INT>, d DATE, x DOUBLE)",
    "CREATE TABLE s (k INT, v STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) \
     WITH ('connector' = 'datagen', 'number-of-rows' = '10')",
    "CREATE VIEW w AS SELECT id, upper(name) AS name FROM t WHERE price > 1",
    "CREATE MATERIALIZED VIEW m AS SELECT name, count(*) AS n, sum(price) AS total FROM t GROUP BY name",
];

const WORDS: [&[u8]; 48] = [
    b"(",
    b")",
    b"((",
    b"SELECT ",
    b" FROM ",
    b" WHERE ",
    b" GROUP BY ",
    b" ORDER BY ",
    b" JOIN ",
    b" ON ",
    b" UNION ALL ",
    b"CASE WHEN ",
    b" END",
    b" NOT ",
    b"-",
    b" AND ",
    b" OR ",
    b"[",
    b"]",
    b"{",
    b"ARRAY[",
    b"ROW(",
    b"MAP[",
    b"CAST(",
    b" AS ",
    b"INTERVAL '",
    b"TUMBLE(TABLE s, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
    b" OVER (PARTITION BY ",
    b"'",
    b"\"",
    b"`",
    b"--",
    b"/*",
    b"*/",
    b"$$",
    b"$1",
    b"E'\\",
    b"U&'",
    b"::",
    b"<",
    b">",
    b";",
    b",",
    b".",
    b" FOR SYSTEM_TIME AS OF ",
    b"MATCH_RECOGNIZE (",
    b" WITHIN GROUP (",
    b"EXPLAIN ",
];

/// The statements of `sqllogictest/`, each whole.
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sqllogictest");
    let mut statements: Vec<Vec<u8>> = TABLES.iter().map(|text| text.as_bytes().to_vec()).collect();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "slt") {
            continue;
        }
        for record in sqllogictest::parse_file::<DefaultColumnType>(&path).unwrap() {
            if let Record::Statement { sql, .. } | Record::Query { sql, .. } = record {
                statements.push(sql.into_bytes());
            }
        }
    }
    statements.sort();
    statements.dedup();
    statements
}

/// Parses a text. The statements that can be explained without doing anything come back.
fn parsed(text: &str) -> Vec<String> {
    match millstream_sql::parse(text) {
        Ok(statements) => statements.into_iter().map(|statement| statement.text).collect(),
        Err(error) => {
            assert!(!error.parts().message.is_empty(), "an error without a message");
            let end = text.chars().count() + 1;
            assert!(
                error.parts().position.is_none_or(|at| (1..=end).contains(&at)),
                "{:?} of {end}: {error}",
                error.parts().position
            );
            Vec::new()
        }
    }
}

#[test]
fn statements_are_parsed_or_refused() {
    runner::run("statements", &corpus(), &WORDS, |bytes| drop(parsed(&String::from_utf8_lossy(bytes))));
}

#[test]
fn statements_are_explained_or_refused() {
    let runtime = crate::runtime();
    let database = runtime.block_on(async { Database::start(Config { shards: 1, ..Config::standard() }).unwrap() });
    let session = Arc::new(Mutex::new(database.session()));
    runtime.block_on(async {
        for table in TABLES {
            rows(&mut *session.lock().await, table).await.unwrap();
        }
    });
    let mut corpus = corpus();
    corpus.retain(|text| ["SELECT", "INSERT", "WITH", "VALUES"].iter().any(|word| text.starts_with(word.as_bytes())));
    runner::run("explained", &corpus, &WORDS, |bytes| {
        // What is told of long statements is told of their parse.
        if bytes.len() > 64 << 10 {
            return;
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        let session = Arc::clone(&session);
        // On a thread of the runtime, as in the server: its stack is longer.
        let explained = runtime.spawn(async move {
            let Ok([text]) = <[String; 1]>::try_from(parsed(&text)) else { return };
            let explained = rows(&mut *session.lock().await, &format!("EXPLAIN {text}")).await;
            if let Err(error) = explained {
                assert_ne!(error.parts().state.0, "XX000", "{error}\n{text}");
            }
        });
        runtime.block_on(explained).unwrap();
    });
    database.shutdown();
}
