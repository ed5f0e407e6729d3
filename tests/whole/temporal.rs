//! What EXPLAIN says of temporal joins, and where their errors point; their rows are in `sqllogictest/`.

use millstream_server::config::Config;
use millstream_server::session::{Database, Session};

use crate::nexmark::run;

/// The tables of the tests.
const TABLES: &str = "
CREATE TABLE orders (id INT, currency STRING, ts TIMESTAMP(3), at_ AS PROCTIME(), WATERMARK FOR ts AS ts);
CREATE TABLE rates (currency STRING, rate INT, since TIMESTAMP(3), PRIMARY KEY (currency) NOT ENFORCED,
  WATERMARK FOR since AS since);
CREATE TABLE names (currency STRING PRIMARY KEY NOT ENFORCED, name STRING);
CREATE TABLE few (currency STRING, name STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '3');
CREATE TABLE asked (currency STRING, name STRING) WITH (
  'connector' = 'postgres', 'url' = 'postgresql://user:secret@127.0.0.1:1/db', 'table-name' = 'names',
  'lookup.cache.max-rows' = '500', 'lookup.cache.expire-after-write' = '1 min');
";

/// Runs a test on a database with the tables.
fn with_tables(test: impl AsyncFnOnce(&mut Session)) {
    let runtime = crate::runtime();
    runtime.block_on(async {
        let database = Database::start(Config { shards: 2, ..Config::standard() }).unwrap();
        let mut session = database.session();
        run(&mut session, TABLES).await;
        test(&mut session).await;
        database.shutdown();
    });
}

#[test]
fn explain_tells_what_is_kept_and_until_when() {
    let cases = [
        (
            "SELECT id, rate FROM orders o LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency",
            "TemporalJoin left on currency = currency and the last since <= ts",
            "state: rows until the watermark passes them; of each key the versions from the watermark on, one before it",
        ),
        (
            "SELECT id, rate FROM orders o ASOF JOIN rates r ON o.currency = r.currency AND o.ts < r.since",
            "TemporalJoin inner on currency = currency and the first since > ts",
            "state: rows until the watermark passes the next row of their key",
        ),
        (
            "SELECT id, name FROM orders o JOIN names FOR SYSTEM_TIME AS OF o.at_ AS n ON o.currency = n.currency",
            "CurrentJoin inner on currency = currency, as of processing time",
            "state: the table; rows until the end of their epoch",
        ),
        (
            "SELECT id, name FROM orders o JOIN few FOR SYSTEM_TIME AS OF PROCTIME() AS f ON o.currency = f.currency",
            "CurrentJoin inner on currency = currency, when the table is read to its end",
            "state: the table; rows until the table is read to its end",
        ),
        (
            "SELECT id, name FROM orders o JOIN asked FOR SYSTEM_TIME AS OF o.at_ AS a ON o.currency = a.currency",
            "LookupJoin inner asked, postgres table names in db on currency = currency",
            "cached answers, at most 500 rows, for 1 min",
        ),
    ];
    with_tables(async |session| {
        for (query, what, state) in cases {
            let plan = run(session, &format!("EXPLAIN {query}")).await.join("\n");
            for said in [what, state] {
                assert!(plan.contains(said), "\"{said}\" is not in\n{plan}");
            }
            assert!(!plan.contains("secret"), "{plan}");
        }
    });
}

#[test]
fn errors_point_at_the_right_table() {
    let wrong = [
        "SELECT id FROM orders o JOIN names FOR SYSTEM_TIME AS OF o.ts AS n ON o.currency = n.currency",
        "SELECT id FROM orders o JOIN names FOR SYSTEM_TIME AS OF o.at_ AS n ON o.currency > n.currency",
        "SELECT id FROM orders o ASOF JOIN names n ON o.currency = n.currency",
    ];
    with_tables(async |session| {
        for query in wrong {
            let Err(error) = session.execute_script(query).await else { panic!("{query} is not refused") };
            let expected = query.find("names").map(|byte| byte + 1);
            assert_eq!(error.parts().position, expected, "{query}: {error}");
            assert!(error.parts().hint.is_some(), "{query}: {error}");
        }
    });
}
