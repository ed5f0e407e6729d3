//! What depends on the clock, and what `EXPLAIN` tells: early results, the time to live of state, changelog modes.

use millstream_server::config::Config;
use millstream_server::session::{Database, Session};

use super::nexmark::run;
use super::windows::{rows_of, with_clock};

#[test]
fn early_results_come_out_by_the_clock() {
    crate::runtime().block_on(async {
        let (database, clock) = with_clock();
        let mut session = database.session();
        run(&mut session, "CREATE TABLE bid (ts TIMESTAMP(3), price INT, WATERMARK FOR ts AS ts)").await;
        let view = "CREATE MATERIALIZED VIEW sums AS SELECT window_start, SUM(price) AS total
                    FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '1' HOUR))
                    GROUP BY window_start, window_end EMIT EVERY INTERVAL '10' SECOND";
        run(&mut session, view).await;
        run(&mut session, "INSERT INTO bid VALUES (TIMESTAMP '2026-01-01 08:05:00', 4)").await;
        assert!(rows_of(&mut session, "sums").await.is_empty(), "it is not time yet");
        clock.advance_us(9_999_999);
        assert!(rows_of(&mut session, "sums").await.is_empty(), "it is time in a microsecond");
        clock.advance_us(1);
        assert_eq!(rows_of(&mut session, "sums").await, ["2026-01-01 08:00:00|4"]);
        run(&mut session, "INSERT INTO bid VALUES (TIMESTAMP '2026-01-01 08:06:00', 5)").await;
        assert_eq!(rows_of(&mut session, "sums").await, ["2026-01-01 08:00:00|4"]);
        run(&mut session, "INSERT INTO bid VALUES (TIMESTAMP '2026-01-01 09:00:00', 1)").await;
        assert_eq!(rows_of(&mut session, "sums").await, ["2026-01-01 08:00:00|9"], "the close does not wait");
        clock.advance_us(10_000_000);
        let both = ["2026-01-01 08:00:00|9", "2026-01-01 09:00:00|1"];
        assert_eq!(rows_of(&mut session, "sums").await, both);
        database.shutdown();
    });
}

#[test]
fn a_key_that_was_forgotten_starts_anew_and_replaces_its_row() {
    crate::runtime().block_on(async {
        let (database, clock) = with_clock();
        let mut session = database.session();
        run(&mut session, "CREATE TABLE clicks (name STRING)").await;
        run(&mut session, "SET 'table.exec.state.ttl' = '10 s'").await;
        let view = "CREATE MATERIALIZED VIEW counts AS SELECT name, COUNT(*) AS n FROM clicks GROUP BY name";
        run(&mut session, view).await;
        run(&mut session, "RESET 'table.exec.state.ttl'").await;
        let kept = "CREATE MATERIALIZED VIEW kept AS SELECT name, COUNT(*) AS n FROM clicks GROUP BY name";
        run(&mut session, kept).await;
        let total = "CREATE MATERIALIZED VIEW total AS SELECT SUM(n) AS n FROM counts";
        run(&mut session, total).await;
        run(&mut session, "INSERT INTO clicks VALUES ('ann'), ('ann'), ('bob')").await;
        assert_eq!(rows_of(&mut session, "counts").await, ["ann|2", "bob|1"]);
        clock.advance_us(6_000_000);
        run(&mut session, "INSERT INTO clicks VALUES ('bob')").await;
        clock.advance_us(6_000_000);
        assert_eq!(rows_of(&mut session, "counts").await, ["ann|2", "bob|2"], "rows stay");
        run(&mut session, "INSERT INTO clicks VALUES ('ann'), ('bob')").await;
        assert_eq!(rows_of(&mut session, "counts").await, ["ann|1", "bob|3"], "ann was forgotten");
        assert_eq!(rows_of(&mut session, "kept").await, ["ann|3", "bob|3"]);
        assert_eq!(rows_of(&mut session, "total").await, ["4"], "who reads the view knows of the replaced row");
        let evicted = "SELECT name, evicted_keys FROM millstream.jobs WHERE evicted_keys > 0";
        let evicted = run(&mut session, evicted).await;
        assert!(evicted.len() == 1 && evicted[0].ends_with("|1"), "one key was evicted: {evicted:?}");
        database.shutdown();
    });
}

/// The lines of an `EXPLAIN` that have a word in them, without the space around.
async fn lines(session: &mut Session, query: &str, word: &str) -> Vec<String> {
    let lines = run(session, query).await;
    lines.iter().filter(|line| line.contains(word)).map(|line| line.trim().to_owned()).collect()
}

async fn tables() -> (Database, Session) {
    let database = Database::start(Config { shards: 1, ..Config::standard() }).unwrap();
    let mut session = database.session();
    for table in [
        "CREATE TABLE orders (id INT, item STRING, price INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)",
        "CREATE TABLE items (name STRING, tax INT)",
        "CREATE TABLE counts (item STRING, n BIGINT, PRIMARY KEY (item) NOT ENFORCED) WITH ('connector' = 'upsert-kafka',
         'topic' = 't', 'properties.bootstrap.servers' = 'localhost:1', 'key.format' = 'json', 'value.format' = 'json')",
    ] {
        run(&mut session, table).await;
    }
    (database, session)
}

#[test]
fn explain_tells_how_long_state_is_kept() {
    crate::runtime().block_on(async {
        let (database, mut session) = tables().await;
        let counts = "EXPLAIN SUBSCRIBE (SELECT item, COUNT(*) AS n FROM orders GROUP BY item)";
        let grows = lines(&mut session, counts, "state:").await;
        assert_eq!(grows, ["state: one group a key, grows for ever: nothing bounds it (warning)"]);
        run(&mut session, "SET 'table.exec.state.ttl' = '1 h'").await;
        let dropped = "state: one group a key, dropped when no row has touched it for";
        assert_eq!(lines(&mut session, counts, "state:").await, [format!("{dropped} 1 h")]);
        let hinted = "EXPLAIN SUBSCRIBE (SELECT /*+ STATE_TTL('ORDERS' = '2 d') */ item, COUNT(*) FROM orders GROUP BY item)";
        assert_eq!(lines(&mut session, hinted, "state:").await, [format!("{dropped} 2 d")]);
        let joined = "EXPLAIN SUBSCRIBE (SELECT /*+ STATE_TTL('o' = '2 d', 'items' = '0') */ o.id, items.tax
                      FROM orders AS o JOIN items ON o.item = items.name)";
        let state = "state: the rows of the left side, dropped when they were idle for 2 d; of the right side, grows for \
                     ever: nothing bounds it (warning)";
        assert_eq!(lines(&mut session, joined, "state:").await, [state]);
        let windows = "EXPLAIN SUBSCRIBE (SELECT item, COUNT(*) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts),
                       INTERVAL '1' HOUR)) GROUP BY item, window_start, window_end ALLOW LATENESS INTERVAL '5' MINUTE)";
        let state = "state: groups of each window, dropped when the watermark is 5 min past their close";
        assert_eq!(lines(&mut session, windows, "state:").await, [state]);
        run(&mut session, "RESET 'table.exec.state.ttl'").await;
        let counts = "SELECT item, window_start AS a, window_end AS z, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE orders,
                      DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY item, window_start, window_end";
        let ranked = format!("SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY a, z ORDER BY n DESC) AS r FROM ({counts})) WHERE r <= 2");
        let joined = format!("SELECT l.item, r.n FROM ({counts}) l JOIN ({counts}) r ON l.a = r.a AND l.z = r.z");
        for (query, closing) in [(ranked, "the first 2 of each partition"), (joined, "rows of both sides of each window")] {
            let state = lines(&mut session, &format!("EXPLAIN SUBSCRIBE ({query})"), closing).await;
            assert!(state.len() == 1 && state[0].contains("watermark closes"), "{state:?}");
            // Early results are taken back: what reads them keeps rows that the watermark does not drop, and says so.
            let early = format!("EXPLAIN SUBSCRIBE ({query} EMIT ON UPDATE)");
            assert_eq!(lines(&mut session, &early, "(warning)").await.len(), 1, "{early}");
        }
        database.shutdown();
    });
}

#[test]
fn explain_tells_the_changelog_modes() {
    crate::runtime().block_on(async {
        let (database, mut session) = tables().await;
        let upsert = "EXPLAIN CHANGELOG_MODE INSERT INTO counts SELECT item, COUNT(*) FROM orders GROUP BY item";
        let modes = lines(&mut session, upsert, "changelogMode").await;
        let mode = |line: &String| line.split("changelogMode=").nth(1).unwrap().to_owned();
        let modes: Vec<String> = modes.iter().map(mode).collect();
        assert!(modes.contains(&"[NONE]".to_owned()) && modes.contains(&"[I]".to_owned()), "{modes:?}");
        assert!(modes.contains(&"[I,UA]".to_owned()), "upsert-kafka needs no old rows: {modes:?}");
        let view =
            "EXPLAIN CHANGELOG_MODE CREATE MATERIALIZED VIEW v AS SELECT item, COUNT(*) AS n FROM orders GROUP BY item";
        let modes: Vec<String> = lines(&mut session, view, "changelogMode").await.iter().map(mode).collect();
        assert!(modes.contains(&"[I,UB,UA]".to_owned()), "a view is told of the old rows: {modes:?}");
        let other_key =
            "EXPLAIN CHANGELOG_MODE INSERT INTO counts SELECT MIN(item), COUNT(*) FROM orders GROUP BY price";
        let modes: Vec<String> = lines(&mut session, other_key, "changelogMode").await.iter().map(mode).collect();
        assert!(modes.contains(&"[I,UB,UA]".to_owned()), "the rows have another key: {modes:?}");
        assert!(lines(&mut session, "EXPLAIN SELECT item FROM orders", "changelogMode").await.is_empty());
        database.shutdown();
    });
}

#[test]
fn a_sink_that_replaces_rows_is_given_no_old_ones() {
    crate::runtime().block_on(async {
        let (database, mut session) = tables().await;
        let upsert = |name: &str, columns: &str, key: &str| {
            format!(
                "CREATE TABLE {name} ({columns}, PRIMARY KEY ({key}) NOT ENFORCED) WITH ('connector' = 'upsert-kafka',
                 'topic' = 't', 'properties.bootstrap.servers' = 'localhost:1', 'key.format' = 'json', 'value.format' = 'json')"
            )
        };
        for table in [
            upsert("places", "item STRING, price INT, place BIGINT", "item, place"),
            upsert("of_item", "item STRING, price INT", "item"),
            upsert("of_account", "id INT, name STRING", "id"),
            upsert("of_person", "name STRING, id INT", "name"),
            "CREATE TABLE accounts (id INT PRIMARY KEY NOT ENFORCED, person INT)".to_owned(),
            "CREATE TABLE people (id INT PRIMARY KEY NOT ENFORCED, name STRING)".to_owned(),
        ] {
            run(&mut session, &table).await;
        }
        let ranked = "SELECT item, price, ROW_NUMBER() OVER (PARTITION BY item ORDER BY price DESC) AS place FROM orders";
        let joined = |kind: &str| format!("SELECT a.id, p.name FROM accounts a {kind} JOIN people p ON a.person = p.id");
        for (what, insert, mode) in [
            ("Top-N by its place", format!("places SELECT * FROM ({ranked}) AS r WHERE place <= 3"), Some("[I,UA]")),
            ("Top-N by another key", format!("of_item SELECT item, price FROM ({ranked}) AS r WHERE place <= 3"), None),
            ("the first row", format!("of_item SELECT item, price FROM ({ranked}) AS r WHERE place = 1"), Some("[I,UA]")),
            ("a join with one row", format!("of_account {}", joined("")), Some("[I,UA,D]")),
            ("an outer join with one row", format!("of_account {}", joined("LEFT")), Some("[I,UA,D]")),
            ("a join whose rows may be without a key", format!("of_account {}", joined("FULL")), None),
            ("a join by no key", format!("of_person SELECT name, id FROM ({}) AS j", joined("")), None),
            (
                "a condition on the way",
                format!("of_account SELECT * FROM ({}) AS j WHERE name IS NULL OR name > 'a'", joined("LEFT")),
                None,
            ),
        ] {
            let explained = format!("EXPLAIN CHANGELOG_MODE INSERT INTO {insert}");
            let modes = lines(&mut session, &explained, "changelogMode").await;
            let upserts: Vec<&String> = modes.iter().filter(|line| line.contains("changelog: upsert")).collect();
            match mode {
                None => assert!(upserts.is_empty(), "{what}: {modes:?}"),
                Some(mode) => {
                    let told = upserts.iter().filter(|line| line.ends_with(&format!("changelogMode={mode}")));
                    assert!(told.count() > 0, "{what}: {modes:?}");
                }
            }
        }
        database.shutdown();
    });
}

#[test]
fn changes_are_written_to_files_and_read_back() {
    crate::runtime().block_on(async {
        let database = Database::start(Config { shards: 2, ..Config::standard() }).unwrap();
        let mut session = database.session();
        run(&mut session, "CREATE TABLE orders (item STRING, price INT)").await;
        let folder = tempfile::tempdir().unwrap();
        let ways = [
            ("debezium", "'format' = 'debezium-json'", r#"{"before":null,"after":{"item":"b","n":1},"op":"c"}"#),
            ("canal", "'format' = 'canal-json'", r#"{"data":[{"item":"b","n":1}],"type":"INSERT"}"#),
            ("maxwell", "'format' = 'maxwell-json'", r#"{"data":{"item":"b","n":1},"type":"insert"}"#),
            ("csv", "'format' = 'csv', 'changelog.op-column' = 'op'", "b,1,+I"),
            ("json", "'format' = 'json', 'changelog.op-column' = 'op'", r#"{"item":"b","n":1,"op":"+I"}"#),
            ("parquet", "'format' = 'parquet', 'changelog.op-column' = 'op'", ""),
        ];
        for (name, options, line) in ways {
            let path = folder.path().join(name);
            let table = format!(
                "CREATE TABLE {name} (item STRING, n BIGINT)
                 WITH ('connector' = 'filesystem', 'path' = '{}', {options})",
                path.display()
            );
            run(&mut session, &table).await;
            // A bounded query, so that its files are ended: the groups of values change as they come in two batches.
            let rows = "VALUES ('a', 1), ('b', 2), ('a', 3)";
            let insert =
                format!("INSERT INTO {name} SELECT item, COUNT(*) FROM ({rows}) AS o(item, price) GROUP BY item");
            run(&mut session, &insert).await;
            assert_eq!(run(&mut session, &format!("SELECT * FROM {name}")).await, ["a|2", "b|1"], "{name}");
            let written = std::fs::read_dir(&path).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
            let written = String::from_utf8_lossy(&written.collect::<Vec<_>>().concat()).into_owned();
            assert!(written.contains(line), "{name}: {written}");
        }
        let deleted = r#"{"op":"u","before":{"item":"a","n":2},"after":{"item":"a","n":5}}
            {"op":"d","before":{"item":"b","n":1}}"#;
        std::fs::write(folder.path().join("debezium/zzz.json"), deleted).unwrap();
        assert_eq!(run(&mut session, "SELECT * FROM debezium").await, ["a|5"]);
        run(&mut session, "CREATE MATERIALIZED VIEW total AS SELECT SUM(n) AS n, COUNT(*) AS rows FROM debezium").await;
        assert_eq!(rows_of(&mut session, "total").await, ["5|1"], "an updating table in a view");
        database.shutdown();
    });
}
