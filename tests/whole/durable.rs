//! What is there again after the server ended: in process, by opening the same directory twice. `tests/kill/run.py` does it
//! to a real server with SIGKILL.

use std::fs;
use std::path::Path;
use std::time::Duration;

use millstream_server::config::Config;
use millstream_server::encode::text_value;
use millstream_server::session::{Body, Database, Session};

/// How long something may take before it counts as hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

async fn open(folder: &Path) -> Database {
    open_or_refuse(folder).await.unwrap()
}

async fn open_or_refuse(folder: &Path) -> Result<Database, String> {
    Database::open(config(folder)).await.map_err(|error| error.to_string())
}

/// As [`open`]; jobs begin at the start of their sources.
async fn open_without_checkpoints(folder: &Path) -> Database {
    let mut config = config(folder);
    config.checkpoints.interval_ms = 0;
    Database::open(config).await.unwrap()
}

fn config(folder: &Path) -> Config {
    Config { shards: 2, data_dir: folder.join("data"), epoch_interval_ms: 5, ..Config::standard() }
}

pub(crate) async fn run(session: &mut Session, script: &str) {
    session.execute_script(script).await.unwrap_or_else(|error| panic!("{error} in {script}"));
}

/// The rows of a query, their values behind spaces, in order.
pub(crate) async fn rows(session: &mut Session, query: &str) -> Result<Vec<String>, String> {
    let outcome = session.execute_script(query).await.map_err(|error| error.to_string())?;
    let Some(Body::Rows(rows)) = outcome.map(|outcome| outcome.body) else { panic!("no rows: {query}") };
    let style = session.settings().style();
    let mut lines = Vec::new();
    for batch in rows.collect().await.map_err(|error| error.to_string())? {
        for row in 0..batch.num_rows() {
            let cells =
                batch.columns().iter().map(|column| text_value(column, row, style).unwrap_or("NULL".to_owned()));
            lines.push(cells.collect::<Vec<_>>().join(" "));
        }
    }
    lines.sort();
    Ok(lines)
}

/// Asks until the rows are those.
pub(crate) async fn becomes(session: &mut Session, query: &str, expected: &[&str]) {
    let mut last = Ok(Vec::new());
    let asking = async {
        loop {
            last = rows(session, query).await;
            if last.as_ref().is_ok_and(|last| last == expected) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, asking).await;
    assert!(done.is_ok(), "{query} stays {last:?}, not {expected:?}");
}

const SHOP: &str = "
CREATE TABLE items (id INT PRIMARY KEY NOT ENFORCED, name STRING, price DECIMAL(10, 2), tags ARRAY<STRING>);
CREATE TABLE log (line STRING);
CREATE FUNCTION gross(p DECIMAL(10, 2)) RETURNS DECIMAL(10, 2) RETURN p * 1.19;
CREATE VIEW dear AS SELECT * FROM items WHERE price > 2;
CREATE MATERIALIZED VIEW sums AS SELECT COUNT(*) AS n, SUM(gross(price)) AS total FROM dear;
CREATE MATERIALIZED VIEW twice AS SELECT n * 2 AS n FROM sums;
SET 'sql.semantics' = 'flink';
CREATE MATERIALIZED VIEW average AS SELECT AVG(id) AS a FROM items;
RESET 'sql.semantics';
INSERT INTO items VALUES (1, 'nut', 1.50, ARRAY['a', NULL]), (2, 'bolt', 2.50, NULL), (4, 'gear', 10, ARRAY['x']);
UPDATE items SET price = 3 WHERE id = 1;
DELETE FROM items WHERE id = 2;
INSERT INTO items VALUES (4, 'wheel', 20, NULL) ON CONFLICT (id) DO UPDATE SET name = 'cog';
INSERT INTO log VALUES ('one'), ('two');
";

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_without_a_client() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let mut session = database.session();
    run(&mut session, SHOP).await;
    run(&mut session, "CREATE TABLE gone (a INT); INSERT INTO gone VALUES (1); DROP TABLE gone").await;
    run(&mut session, "CREATE TEMPORARY TABLE mine (a INT); INSERT INTO mine VALUES (1)").await;
    run(&mut session, "CREATE TABLE copied AS SELECT id, name FROM items; CREATE TABLE alike (id INT, name STRING)")
        .await;
    run(&mut session, "INSERT INTO alike VALUES (7, 'x'); ALTER TABLE alike RENAME TO renamed").await;
    let jobs = rows(&mut session, "SHOW JOBS").await.unwrap().len();
    let refused = open_or_refuse(folder.path()).await.err().unwrap();
    assert!(refused.contains("in use by another server (process "), "{refused}");
    drop((session, database));
    for _ in 0..2 {
        let database = open(folder.path()).await;
        let mut session = database.session();
        let items = ["1 nut 3.00 {a,NULL}", "4 cog 10.00 {x}"];
        assert_eq!(rows(&mut session, "SELECT * FROM items").await.unwrap(), items);
        assert_eq!(rows(&mut session, "SELECT * FROM log").await.unwrap(), ["one", "two"]);
        becomes(&mut session, "SELECT * FROM sums", &["2 15.47"]).await;
        becomes(&mut session, "SELECT * FROM twice", &["4"]).await;
        // Flink's average of whole numbers is a whole number: the setting was kept with the view.
        becomes(&mut session, "SELECT * FROM average", &["2"]).await;
        assert_eq!(rows(&mut session, "SHOW TABLES").await.unwrap().len(), 8);
        assert_eq!(
            rows(&mut session, "SELECT id FROM copied UNION ALL SELECT id FROM renamed").await.unwrap(),
            ["1", "4", "7"]
        );
        assert_eq!(rows(&mut session, "SHOW JOBS").await.unwrap().len(), jobs);
        let taken = session.execute_script("INSERT INTO items VALUES (4, 'x', 1, NULL)").await.unwrap_err();
        assert_eq!(taken.parts().state.0, "23505");
    }
    let database = open(folder.path()).await;
    let mut session = database.session();
    run(&mut session, "INSERT INTO items VALUES (3, 'new', 100, NULL); CREATE TABLE fresh (a INT)").await;
    assert_eq!(rows(&mut session, "SELECT * FROM sums").await.unwrap(), ["3 134.47"]);
    assert_eq!(rows(&mut session, "SELECT * FROM fresh").await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_again_and_cancelled_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&from).unwrap();
    fs::write(from.join("a.csv"), "1\n2\n").unwrap();
    let table = |name: &str, path: &Path, more: &str| {
        let path = path.display();
        format!(
            "CREATE TABLE {name} (n INT) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'csv'{more});"
        )
    };
    let database = open(folder.path()).await;
    let mut session = database.session();
    run(&mut session, &table("numbers", &from, ", 'source.monitor-interval' = '10 ms'")).await;
    run(&mut session, &table("copies", &to, ", 'sink.rolling-policy.rollover-interval' = '10 ms'")).await;
    run(&mut session, "INSERT INTO copies SELECT n FROM numbers").await;
    run(&mut session, "INSERT INTO copies SELECT n + 100 FROM numbers").await;
    run(&mut session, "CREATE MATERIALIZED VIEW total AS SELECT SUM(n) AS s FROM numbers").await;
    becomes(&mut session, "SELECT * FROM total", &["3"]).await;
    let jobs = rows(&mut session, "SHOW JOBS").await.unwrap();
    let ids: Vec<&str> = jobs.iter().map(|job| job.split(' ').next().unwrap()).collect();
    assert_eq!(ids.len(), 3);
    run(&mut session, &format!("CANCEL JOB {}", ids[1])).await;
    drop((session, database));

    fs::write(from.join("b.csv"), "7\n").unwrap();
    let database = open(folder.path()).await;
    let mut session = database.session();
    becomes(&mut session, "SELECT * FROM total", &["10"]).await;
    let jobs = rows(&mut session, "SHOW JOBS").await.unwrap();
    let again: Vec<&str> = jobs.iter().map(|job| job.split(' ').next().unwrap()).collect();
    assert_eq!(again, [ids[0], ids[2]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let mut session = database.session();
    run(&mut session, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)").await;
    drop((session, database));
    let log = folder.path().join("data/catalog/catalog.log");
    let whole = fs::read(&log).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&log, flipped).unwrap();
    let error = open_or_refuse(folder.path()).await.err().unwrap();
    assert!(error.contains("catalog.log") && error.contains("damaged"), "{error}");
    // A record that was cut while it was written is as if it had never been.
    let torn = [whole.as_slice(), &[40, 0, 0]].concat();
    fs::write(&log, torn).unwrap();
    let database = open(folder.path()).await;
    assert_eq!(rows(&mut database.session(), "SELECT * FROM t").await.unwrap(), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_jobs_are_started_again_with_those_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.json");
    let database = open_without_checkpoints(folder.path()).await;
    let mut session = database.session();
    fs::write(&file, "{\"n\": 1}\nbroken\n").unwrap();
    let path = file.display();
    run(
        &mut session,
        &format!(
            "CREATE TABLE numbers (n INT) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'json')"
        ),
    )
    .await;
    fs::write(&file, "{\"n\": 1}\n{\"n\": 5}\n").unwrap();
    run(
        &mut session,
        "SET 'restart-strategy.type' = 'fixed-delay'; SET 'restart-strategy.fixed-delay.attempts' = '1000000'",
    )
    .await;
    run(&mut session, "SET 'restart-strategy.fixed-delay.delay' = '5 ms'").await;
    run(&mut session, "CREATE MATERIALIZED VIEW total AS SELECT SUM(n) AS s FROM numbers").await;
    run(&mut session, "CREATE MATERIALIZED VIEW more AS SELECT s + 1 AS s FROM total").await;
    becomes(&mut session, "SELECT * FROM more", &["7"]).await;
    drop((session, database));

    // The job cannot start, and the server does all the same.
    fs::remove_file(&file).unwrap();
    let database = open_without_checkpoints(folder.path()).await;
    let mut session = database.session();
    let states = rows(&mut session, "SHOW JOBS").await.unwrap();
    assert!(states.len() == 2 && states.iter().all(|job| job.contains("RESTARTING")), "{states:?}");
    let error = rows(&mut session, "SELECT * FROM more").await.unwrap_err();
    assert!(error.contains("has no rows yet"), "{error}");
    fs::write(&file, "{\"n\": 2}\n{\"n\": 5}\n").unwrap();
    becomes(&mut session, "SELECT * FROM more", &["8"]).await;
    becomes(&mut session, "SELECT * FROM total", &["7"]).await;
}
