//! Windows end to end: every window query gives the rows of the batch in streaming on 1, 2 and 4 shards, whatever the order
//! in which the rows arrive within the bound of the watermark; and windows of processing time close by a clock that the
//! test moves.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use millstream_engine::runtime::EngineConfig;
use millstream_engine::time::{ProcessingTime, VirtualClock};
use millstream_server::config::Config;
use millstream_server::session::{Database, Session};

use super::nexmark::{compare, run};

/// Milliseconds that the watermark stays behind the latest row.
const BOUND_MS: u64 = 5_000;
const ROWS: u64 = 600;

/// What is asked; `{w}` stands for each window function in turn.
const OVER_EACH_WINDOW: [(&str, &str); 3] = [
    (
        "aggregates",
        "SELECT item, window_start, window_end, window_time, COUNT(*), SUM(price), MIN(price), MAX(price), AVG(price)
         FROM TABLE({w}) GROUP BY item, window_start, window_end, window_time",
    ),
    (
        "distinct and filters",
        "SELECT window_start, window_end, COUNT(DISTINCT item), COUNT(DISTINCT item) FILTER (WHERE price > 50),
                SUM(DISTINCT price) FILTER (WHERE item <> 'b'), ROUND(VAR_POP(price), 6)
         FROM TABLE({w}) GROUP BY window_start, window_end",
    ),
    ("rows", "SELECT id, item, window_start, window_end, window_time FROM TABLE({w}) WHERE price > 10"),
];

const WINDOWS: [(&str, &str); 8] = [
    ("tumble", "TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '10' SECOND)"),
    ("tumble with an offset", "TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '3' SECOND)"),
    ("hop", "HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND)"),
    ("hop of no multiple", "HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '4' SECOND, INTERVAL '10' SECOND)"),
    ("hop with gaps", "HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '15' SECOND, INTERVAL '10' SECOND)"),
    (
        "named arguments",
        "HOP(DATA => TABLE bid, TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '5' SECOND, SIZE => INTERVAL '10' SECOND)",
    ),
    ("cumulate", "CUMULATE(TABLE bid, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND)"),
    ("session", "SESSION(TABLE bid PARTITION BY item, DESCRIPTOR(ts), INTERVAL '3' SECOND)"),
];

/// Further queries.
const OTHERS: [(&str, &str); 17] = [
    (
        "early results",
        "SELECT item, window_start, COUNT(*), SUM(price), MAX(price)
         FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY item, window_start, window_end
         EMIT ON UPDATE",
    ),
    (
        "early and late results",
        "SELECT window_start, COUNT(DISTINCT item), MIN(price)
         FROM TABLE(HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '4' SECOND, INTERVAL '10' SECOND))
         GROUP BY window_start, window_end EMIT ON UPDATE ALLOW LATENESS INTERVAL '3' SECOND",
    ),
    (
        "early sessions",
        "SELECT item, window_start, window_end, COUNT(*), SUM(price)
         FROM TABLE(SESSION(TABLE bid PARTITION BY item, DESCRIPTOR(ts), INTERVAL '3' SECOND))
         GROUP BY item, window_start, window_end EMIT ON UPDATE",
    ),
    (
        "early results of early results",
        "SELECT window_start, MAX(n) FROM (SELECT item, window_start, window_end, COUNT(*) AS n
         FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY item, window_start, window_end)
         GROUP BY window_start, window_end EMIT EVERY INTERVAL '1' SECOND ALLOW LATENESS INTERVAL '3' SECOND",
    ),
    (
        "legacy tumble",
        "SELECT item, TUMBLE_START(ts, INTERVAL '10' SECOND), TUMBLE_END(ts, INTERVAL '10' SECOND),
                TUMBLE_ROWTIME(ts, INTERVAL '10' SECOND), COUNT(*)
         FROM bid GROUP BY item, TUMBLE(ts, INTERVAL '10' SECOND)",
    ),
    (
        "legacy hop",
        "SELECT HOP_START(ts, INTERVAL '2' SECOND, INTERVAL '6' SECOND),
                HOP_END(ts, INTERVAL '2' SECOND, INTERVAL '6' SECOND), SUM(price)
         FROM bid GROUP BY HOP(ts, INTERVAL '2' SECOND, INTERVAL '6' SECOND)",
    ),
    (
        "legacy session",
        "SELECT b.item, SESSION_START(b.ts, INTERVAL '2' SECOND), SESSION_END(b.ts, INTERVAL '2' SECOND), COUNT(*)
         FROM bid b GROUP BY b.item, SESSION(b.ts, INTERVAL '2' SECOND)",
    ),
    (
        "cascade",
        "WITH fine AS (
           SELECT window_time AS at, item, SUM(price) AS total
           FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '2' SECOND))
           GROUP BY item, window_start, window_end, window_time)
         SELECT window_start, window_end, item, MAX(total), COUNT(*)
         FROM TABLE(TUMBLE(TABLE fine, DESCRIPTOR(at), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, item",
    ),
    (
        "join on equal windows",
        "SELECT a.window_start, a.item, a.n, b.most FROM
           (SELECT item, window_start, window_end, COUNT(*) AS n
            FROM TABLE(HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
            GROUP BY item, window_start, window_end) a
         JOIN
           (SELECT window_start, window_end, MAX(price) AS most
            FROM TABLE(HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
            GROUP BY window_start, window_end) b
         ON a.window_start = b.window_start AND a.window_end = b.window_end AND a.n < b.most",
    ),
    (
        "outer join on equal windows",
        "SELECT a.window_start, a.n, b.window_start, b.n FROM
           (SELECT window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '1' SECOND))
            WHERE price > 60 GROUP BY window_start, window_end) a
         FULL JOIN
           (SELECT window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '1' SECOND))
            WHERE price < 40 GROUP BY window_start, window_end) b
         ON a.window_start = b.window_start AND a.window_end = b.window_end",
    ),
    (
        "interval join",
        "SELECT a.id, b.id, a.price - b.price FROM bid a JOIN bid b
         ON a.item = b.item AND a.ts BETWEEN b.ts - INTERVAL '2' SECOND AND b.ts + INTERVAL '1' SECOND",
    ),
    (
        "interval left join",
        "SELECT a.id, b.id FROM bid a LEFT JOIN bid b
         ON a.item = b.item AND b.ts > a.ts AND b.ts <= a.ts + INTERVAL '0.2' SECOND AND b.price > a.price",
    ),
    (
        "interval full join",
        "SELECT a.id, b.id FROM (SELECT * FROM bid WHERE price > 60) a FULL JOIN (SELECT * FROM bid WHERE price < 30) b
         ON a.item = b.item AND a.ts - b.ts >= INTERVAL '0' SECOND AND a.ts BETWEEN b.ts AND b.ts + INTERVAL '1' SECOND",
    ),
    (
        "window over an interval join",
        "SELECT window_start, COUNT(*), SUM(gain) FROM TABLE(TUMBLE(
           TABLE (SELECT a.ts, a.price - b.price AS gain FROM bid a JOIN bid b
                  ON a.item = b.item AND a.ts BETWEEN b.ts AND b.ts + INTERVAL '1' SECOND),
           DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end",
    ),
    (
        "running totals",
        "SELECT id, SUM(price) OVER (PARTITION BY item ORDER BY ts RANGE BETWEEN INTERVAL '2' SECOND PRECEDING AND CURRENT ROW),
                COUNT(*) OVER (PARTITION BY item ORDER BY ts RANGE BETWEEN INTERVAL '2' SECOND PRECEDING AND CURRENT ROW)
         FROM bid",
    ),
    ("no window", "SELECT item, COUNT(*), SUM(price), MIN(ts), MAX(ts) FROM bid GROUP BY item"),
    (
        "union",
        "SELECT item, COUNT(*) FROM (SELECT item FROM bid WHERE price > 50 UNION ALL SELECT item FROM bid) GROUP BY item",
    ),
];

/// A row as it stands in a file.
struct Row {
    at_ms: u64,
    text: String,
}

/// SplitMix64.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Rows in order of time, with pauses in which sessions end.
fn rows() -> Vec<Row> {
    let (mut seed, mut at_ms) = (7, 0);
    let row = |id| {
        at_ms +=
            if next(&mut seed).is_multiple_of(40) { 2_000 + next(&mut seed) % 9_000 } else { next(&mut seed) % 300 };
        let item = ["a", "b", "c", "d"][(next(&mut seed) % 4) as usize];
        let price = next(&mut seed) % 100;
        let (minute, second, milli) = (at_ms / 60_000, at_ms / 1_000 % 60, at_ms % 1_000);
        let ts = format!("2026-01-01 10:{minute:02}:{second:02}.{milli:03}");
        Row { at_ms, text: format!(r#"{{"id":{id},"ts":"{ts}","item":"{item}","price":{price}}}"#) }
    };
    (0..ROWS).map(row).collect()
}

/// Writes the rows as they arrive: each up to the bound later than its time says, into `files` files by turns.
fn write(folder: &Path, rows: &[Row], seed: u64, files: usize) {
    let mut seed = seed;
    let mut arrivals: Vec<(u64, &Row)> =
        rows.iter().map(|row| (row.at_ms + if seed == 0 { 0 } else { next(&mut seed) % BOUND_MS }, row)).collect();
    arrivals.sort_by_key(|(at, _)| *at);
    let mut texts = vec![String::new(); files];
    for (index, (_, row)) in arrivals.iter().enumerate() {
        writeln!(texts[index % files], "{}", row.text).unwrap();
    }
    for (index, text) in texts.iter().enumerate() {
        fs::write(folder.join(format!("{index}.json")), text).unwrap();
    }
}

fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for (window, call) in WINDOWS {
        for (what, text) in OVER_EACH_WINDOW {
            // Sessions are of the keys that they are partitioned by.
            if window == "session" && what == "distinct and filters" {
                let whole = text.replace("{w}", "SESSION(TABLE bid, DESCRIPTOR(ts), INTERVAL '1' SECOND)");
                queries.push(("session of all, distinct".to_owned(), whole));
                continue;
            }
            queries.push((format!("{window}, {what}"), text.replace("{w}", call)));
        }
    }
    queries.extend(OTHERS.map(|(name, text)| (name.to_owned(), text.to_owned())));
    queries
}

/// The answers of all queries over the files of a folder.
async fn answers(folder: &Path, shards: usize, mode: &str) -> Vec<(String, Vec<String>)> {
    let database = Database::start(Config { shards, ..Config::standard() }).unwrap();
    let mut session = database.session();
    let table = format!(
        "CREATE TABLE bid (id BIGINT, ts TIMESTAMP(3), item STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
         WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json')",
        folder.display()
    );
    run(&mut session, &table).await;
    run(&mut session, &format!("SET 'execution.runtime-mode' = '{mode}'")).await;
    let mut made = Vec::new();
    for (name, query) in queries() {
        made.push((name, run(&mut session, &query).await));
    }
    database.shutdown();
    made
}

#[test]
fn any_order_of_arrival_gives_the_rows_of_the_batch() {
    let runtime = crate::runtime();
    runtime.block_on(async {
        let rows = rows();
        let ordered = tempfile::tempdir().unwrap();
        write(ordered.path(), &rows, 0, 1);
        let want = answers(ordered.path(), 2, "batch").await;
        for (seed, files, shards) in [(0, 1, 1), (1, 1, 1), (2, 2, 2), (3, 3, 4)] {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), &rows, seed, files);
            let got = answers(folder.path(), shards, "streaming").await;
            compare(&want, &got, &format!("arrival {seed}, {files} files, {shards} shards"));
        }
    });
}

/// A database on two shards whose clock stands at 2026-01-01 00:00:00.
pub(crate) fn with_clock() -> (Database, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::new(ProcessingTime(1_767_225_600_000_000)));
    let config = Config { shards: 2, ..Config::standard() };
    let engine = EngineConfig { shards: 2, clock: Arc::clone(&clock) as _, ..EngineConfig::default() };
    let database = Database::start_with(config, engine, millstream_connectors::registry()).unwrap();
    (database, clock)
}

pub(crate) async fn rows_of(session: &mut Session, view: &str) -> Vec<String> {
    run(session, "FLUSH").await;
    run(session, &format!("SELECT * FROM {view}")).await
}

#[test]
fn windows_of_processing_time_close_by_the_clock() {
    let runtime = crate::runtime();
    runtime.block_on(async {
        let (database, clock) = with_clock();
        let mut session = database.session();
        run(&mut session, "CREATE TABLE clicks (name STRING, at AS PROCTIME())").await;
        let windows = "GROUP BY name, window_start, window_end";
        for view in [
            format!(
                "CREATE MATERIALIZED VIEW tumbled AS SELECT name, COUNT(*) AS n, window_start, window_end
                 FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(at), INTERVAL '10' SECOND)) {windows}"
            ),
            format!(
                "CREATE MATERIALIZED VIEW sessions AS SELECT name, COUNT(*) AS n, window_start, window_end
                 FROM TABLE(SESSION(TABLE clicks PARTITION BY name, DESCRIPTOR(at), INTERVAL '4' SECOND)) {windows}"
            ),
        ] {
            run(&mut session, &view).await;
        }
        run(&mut session, "INSERT INTO clicks VALUES ('ann'), ('bob')").await;
        clock.advance_us(3_000_000);
        run(&mut session, "INSERT INTO clicks VALUES ('ann')").await;
        assert!(rows_of(&mut session, "tumbled").await.is_empty(), "no window has ended");
        clock.advance_us(3_999_999);
        let bob = "bob|1|2026-01-01 00:00:00|2026-01-01 00:00:04";
        assert_eq!(rows_of(&mut session, "sessions").await, [bob], "one pause was long enough");
        clock.advance_us(1);
        let ann = "ann|2|2026-01-01 00:00:00|2026-01-01 00:00:07";
        assert_eq!(rows_of(&mut session, "sessions").await, [ann, bob], "then the other");
        clock.advance_us(2_999_999);
        assert!(rows_of(&mut session, "tumbled").await.is_empty(), "the window ends in a microsecond");
        clock.advance_us(1);
        let end = "2026-01-01 00:00:00|2026-01-01 00:00:10";
        assert_eq!(rows_of(&mut session, "tumbled").await, [format!("ann|2|{end}"), format!("bob|1|{end}")]);
        database.shutdown();
    });
}
