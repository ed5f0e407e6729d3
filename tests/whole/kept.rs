//! What a server that is started again still knows: the rows that its jobs rejected, each once; which jobs had failed, and why;
//! what views show whose jobs do not run.

use std::fs;
use std::path::Path;

use millstream_server::session::{Database, Session};
use tempfile::TempDir;

use crate::checkpoints::{checkpoint, job, open, prepared, write};
use crate::durable::{becomes, rows, run};

/// A file with good and bad records, there in one step.
fn write_orders(folder: &Path, name: &str, lines: &str) {
    let hidden = folder.join("in/.orders");
    fs::write(&hidden, lines).unwrap();
    fs::rename(hidden, folder.join("in").join(name)).unwrap();
}

const REJECTED: &str = "SELECT 'bad', job, \"row\" FROM millstream.bad_rows
    UNION ALL SELECT 'late', job, \"row\" FROM millstream.late_rows
    UNION ALL SELECT 'sink', job, \"row\" FROM millstream.sink_errors";

/// A table whose bad records are kept, a view whose late rows are, and an INSERT whose sink refuses some.
async fn rejecting(folder: &Path) -> (Database, Session) {
    fs::create_dir(folder.join("in")).unwrap();
    let database = open(folder, 2).await;
    let mut session = database.session();
    let script = format!(
        "SET 'restart-strategy.type' = 'fixed-delay';
         SET 'restart-strategy.fixed-delay.attempts' = '1000000';
         SET 'restart-strategy.fixed-delay.delay' = '5 ms';
         CREATE TABLE orders (id INT, at TIMESTAMP(3), WATERMARK FOR at AS at) WITH ('connector' = 'filesystem',
             'path' = '{}', 'format' = 'json', 'source.monitor-interval' = '10 ms', 'on-error' = 'table');
         CREATE TABLE named (id INT NOT NULL) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
             'sink.on-error' = 'table');
         CREATE MATERIALIZED VIEW per_minute AS SELECT window_start, COUNT(*) AS n
             FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(at), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
         INSERT INTO named SELECT id FROM orders",
        folder.join("in").display(),
        folder.join("out").display()
    );
    run(&mut session, &script).await;
    (database, session)
}

/// A new database of two shards, and beside its data the directory `in`.
async fn begun() -> (TempDir, Database, Session) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    let database = open(folder.path(), 2).await;
    let session = database.session();
    (folder, database, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_are_there_once_after_failures_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let (database, mut session) = rejecting(folder.path()).await;
    let first =
        "{\"id\": 1, \"at\": \"2026-01-01 00:00:00\"}\n{\"id\": null, \"at\": \"2026-01-01 01:00:00\"}\nno json\n";
    write_orders(folder.path(), "a.json", first);
    let (bad, sink) = ("no json", r#"{"id":null}"#);
    let both = |bad: &str| ["insert into named", "per_minute"].map(|job| format!("bad {job} {bad}"));
    let [one, two] = both(bad);
    let sink = format!("sink insert into named {sink}");
    becomes(&mut session, REJECTED, &[&one, &two, &sink]).await;
    checkpoint(&mut session, "first").await;
    // After the checkpoint: they come again.
    let second = "{\"id\": 2, \"at\": \"2026-01-01 00:00:30\"}\n{\"id\": 3, \"at\": \"2026-01-01 02:00:00\"}\nbroken\n";
    write_orders(folder.path(), "b.json", second);
    let [three, four] = both("broken");
    let expected = [&one, &three, &two, &four, &sink];
    let mut expected = expected.map(String::as_str).to_vec();
    becomes(&mut session, "SELECT COUNT(*) FROM millstream.late_rows", &["1"]).await;
    let late = rows(&mut session, "SELECT 'late', job, \"row\" FROM millstream.late_rows").await.unwrap();
    expected.push(&late[0]);
    expected.sort_unstable();
    becomes(&mut session, REJECTED, &expected).await;
    drop((session, database));
    for shards in [2, 3, 1] {
        let database = open(folder.path(), shards).await;
        let mut session = database.session();
        becomes(&mut session, REJECTED, &expected).await;
        becomes(&mut session, "SELECT SUM(n) FROM per_minute", &["2"]).await;
        drop((session, database));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_are_there_once_after_a_job_failed() {
    let (folder, database, mut session) = begun().await;
    let script = format!(
        "SET 'restart-strategy.type' = 'fixed-delay';
         SET 'restart-strategy.fixed-delay.attempts' = '1000000';
         SET 'restart-strategy.fixed-delay.delay' = '5 ms';
         CREATE TABLE orders (id INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json',
             'source.monitor-interval' = '10 ms', 'on-error' = 'table');
         CREATE MATERIALIZED VIEW shares AS SELECT SUM(100 / id) AS n FROM orders",
        folder.path().join("in").display()
    );
    run(&mut session, &script).await;
    write_orders(folder.path(), "a.json", "{\"id\": 1}\nfirst\n");
    becomes(&mut session, "SELECT * FROM shares", &["100"]).await;
    checkpoint(&mut session, "one").await;
    write_orders(folder.path(), "b.json", "{\"id\": 2}\nsecond\n");
    becomes(&mut session, "SELECT * FROM shares", &["150"]).await;
    write_orders(folder.path(), "c.json", "third\n{\"id\": 0}\n");
    becomes(&mut session, "SELECT COUNT(*) FROM millstream.jobs WHERE restarts > 3", &["1"]).await;
    write_orders(folder.path(), "c.json", "third\n{\"id\": 4}\n");
    becomes(&mut session, "SELECT * FROM shares", &["175"]).await;
    becomes(&mut session, "SELECT \"row\" FROM millstream.bad_rows", &["first", "second", "third"]).await;
    let forgotten = "SELECT state, forgotten_rows FROM millstream.jobs";
    assert_eq!(rows(&mut session, forgotten).await.unwrap(), ["RUNNING 0"]);

    // Stopped, it keeps them too; a savepoint has those of its moment.
    let shares = job(&mut session, "shares").await;
    run(&mut session, &format!("STOP JOB {shares}")).await;
    drop((session, database));
    let database = open(folder.path(), 2).await;
    let mut session = database.session();
    becomes(&mut session, "SELECT \"row\" FROM millstream.bad_rows", &["first", "second", "third"]).await;
    fs::remove_file(folder.path().join("in/b.json")).unwrap();
    fs::remove_file(folder.path().join("in/c.json")).unwrap();
    run(&mut session, &format!("START JOB {shares} FROM SAVEPOINT 'one-0'")).await;
    becomes(&mut session, "SELECT \"row\" FROM millstream.bad_rows", &["first"]).await;
    becomes(&mut session, "SELECT * FROM shares", &["100"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_statement_has_rejected_is_there_after_a_restart() {
    let (folder, mut database, mut session) = begun().await;
    write_orders(folder.path(), "a.json", "{\"id\": 1}\nno json\n{\"id\": null}\n");
    let script = format!(
        "CREATE TABLE orders (id INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json', 'on-error' = 'table');
         CREATE TABLE named (id INT NOT NULL) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
             'sink.on-error' = 'table');
         CREATE TABLE kept (id INT)",
        folder.path().join("in").display(),
        folder.path().join("out").display()
    );
    run(&mut session, &script).await;
    let mut told = Vec::new();
    let statements = [
        "INSERT INTO kept SELECT id FROM orders",
        "INSERT INTO named SELECT id FROM orders",
        "INSERT INTO kept VALUES (7)",
    ];
    for statement in statements {
        run(&mut session, statement).await;
        let now = rows(&mut session, REJECTED).await.unwrap();
        drop((session, database));
        database = open(folder.path(), 2).await;
        session = database.session();
        assert_eq!(rows(&mut session, REJECTED).await.unwrap(), now, "{statement}");
        told.push(now.len());
    }
    assert_eq!(told, [1, 3, 3]);
    let counts =
        "SELECT COUNT(*), SUM(CASE WHEN reason <> '' AND relation <> '' THEN 1 ELSE 0 END) FROM millstream.bad_rows";
    assert_eq!(rows(&mut session, counts).await.unwrap(), ["2 2"]);

    // Nobody is kept from starting by what is only told.
    drop((session, database));
    let file = folder.path().join("data/rejected/rejected.log");
    let mut bytes = fs::read(&file).unwrap();
    bytes[40] ^= 1;
    fs::write(&file, bytes).unwrap();
    let database = open(folder.path(), 2).await;
    let mut session = database.session();
    assert_eq!(rows(&mut session, REJECTED).await.unwrap(), [""; 0]);
    run(&mut session, "INSERT INTO kept SELECT id FROM orders").await;
    drop((session, database));
    let database = open(folder.path(), 2).await;
    assert_eq!(rows(&mut database.session(), REJECTED).await.unwrap().len(), 1);
    assert!(file.with_extension("damaged").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_failed_for_good_stays_so_until_somebody_starts_it() {
    let (folder, database, mut session) = begun().await;
    let script = format!(
        "SET 'restart-strategy.type' = 'none';
         CREATE TABLE orders (id INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json',
             'source.monitor-interval' = '10 ms');
         CREATE TABLE copies (id INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         CREATE MATERIALIZED VIEW shares AS SELECT SUM(100 / id) AS n FROM orders;
         CREATE MATERIALIZED VIEW twice AS SELECT n * 2 AS n FROM shares;
         INSERT INTO copies SELECT 100 / id FROM orders",
        folder.path().join("in").display(),
        folder.path().join("out").display()
    );
    run(&mut session, &script).await;
    write_orders(folder.path(), "a.json", "{\"id\": 1}\n");
    becomes(&mut session, "SELECT * FROM twice", &["200"]).await;
    checkpoint(&mut session, "one").await;
    write_orders(folder.path(), "b.json", "{\"id\": 0}\n");
    let failed = "SELECT COUNT(*) FROM millstream.jobs WHERE state = 'FAILED'";
    becomes(&mut session, failed, &["3"]).await;
    let told = "SELECT id, name, kind, state, error, restarts, next_restart FROM millstream.jobs";
    let before = rows(&mut session, told).await.unwrap();
    drop((session, database));
    write_orders(folder.path(), "b.json", "{\"id\": 4}\n");

    for _ in 0..2 {
        let database = open(folder.path(), 2).await;
        let mut session = database.session();
        assert_eq!(rows(&mut session, told).await.unwrap(), before);
        let error = session.execute_script("SELECT * FROM shares").await.unwrap_err();
        assert_eq!(error.parts().state.0, "55000", "{error}");
    }
    let database = open(folder.path(), 2).await;
    let mut session = database.session();
    let (shares, twice) = (job(&mut session, "shares").await, job(&mut session, "twice").await);
    // Stopped, its view is read as it was.
    run(&mut session, &format!("STOP JOB {twice}")).await;
    becomes(&mut session, "SELECT * FROM twice", &["200"]).await;
    run(&mut session, &format!("START JOB {shares}; START JOB {twice}")).await;
    becomes(&mut session, "SELECT * FROM shares", &["125"]).await;
    becomes(&mut session, "SELECT * FROM twice", &["250"]).await;
    let copies = job(&mut session, "insert into copies").await;
    run(&mut session, &format!("START JOB {copies}")).await;
    checkpoint(&mut session, "two").await;
    assert_eq!(rows(&mut session, "SELECT * FROM copies").await.unwrap(), ["100", "25"]);
    drop((session, database));
    let database = open(folder.path(), 1).await;
    let mut session = database.session();
    becomes(&mut session, "SELECT COUNT(*) FROM millstream.jobs WHERE state = 'RUNNING'", &["3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_behind_a_stopped_one_are_read_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (database, mut session) = prepared(folder.path(), 2).await;
    let behind = "CREATE MATERIALIZED VIEW top AS SELECT MAX(total) AS n FROM sums;
        CREATE MATERIALIZED VIEW more AS SELECT n + 1 AS n FROM top";
    run(&mut session, behind).await;
    write(folder.path(), "a.json", 0..3);
    becomes(&mut session, "SELECT n FROM more", &["3"]).await;
    let sums = job(&mut session, "sums").await;
    run(&mut session, &format!("STOP JOB {sums}")).await;
    becomes(&mut session, "SELECT n FROM more", &["3"]).await;
    let told = "SELECT id, name, state FROM millstream.jobs";
    let states = "SELECT state, COUNT(*) FROM millstream.jobs GROUP BY state";
    becomes(&mut session, states, &["RESTARTING 2", "RUNNING 3", "STOPPED 1"]).await;
    let before = rows(&mut session, told).await.unwrap();
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    drop((session, database));
    fs::remove_file(folder.path().join("in/a.json")).unwrap();
    for shards in [2, 3, 1] {
        let database = open(folder.path(), shards).await;
        let mut session = database.session();
        assert_eq!(rows(&mut session, "SELECT account, total FROM sums").await.unwrap(), ["0 0", "1 1", "2 2"]);
        assert_eq!(rows(&mut session, "SELECT n FROM top").await.unwrap(), ["2"]);
        assert_eq!(rows(&mut session, "SELECT n FROM more").await.unwrap(), ["3"]);
        becomes(&mut session, told, &before).await;
    }
    let database = open(folder.path(), 2).await;
    let mut session = database.session();
    write(folder.path(), "b.json", 3..9);
    run(&mut session, &format!("START JOB {sums}")).await;
    becomes(&mut session, "SELECT n FROM more", &["16"]).await;
    run(&mut session, &format!("STOP JOB {sums}")).await;
    drop((session, database));
    let database = open(folder.path(), 2).await;
    let mut session = database.session();
    run(&mut session, "DROP MATERIALIZED VIEW more; DROP MATERIALIZED VIEW top; DROP MATERIALIZED VIEW sums").await;
    assert!(rows(&mut session, "SELECT * FROM sums").await.is_err());
    // Nothing of it is left that another view of the name could be taken for.
    run(&mut session, "CREATE MATERIALIZED VIEW sums AS SELECT COUNT(*) AS n FROM accounts").await;
    becomes(&mut session, "SELECT * FROM sums", &["2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_beside_tables_and_views_that_have_gone_on() {
    let folder = tempfile::tempdir().unwrap();
    let (database, mut session) = prepared(folder.path(), 2).await;
    let script = format!(
        "CREATE TABLE notes (id INT, note STRING, tags ARRAY<STRING>, counts MAP<STRING, INT>);
         CREATE TABLE found (id INT, note STRING, tags ARRAY<STRING>)
             WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');
         CREATE MATERIALIZED VIEW owned AS SELECT a.owner, COUNT(*) AS n, MAX(s.total) AS total
             FROM events e LEFT JOIN accounts a ON e.account = a.id LEFT JOIN sums s ON s.account = a.id GROUP BY a.owner;
         INSERT INTO found SELECT n.id, n.note, n.tags FROM notes n JOIN events e ON n.id = e.id;
         CREATE TABLE low (id INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         CREATE MATERIALIZED VIEW all_low AS SELECT id FROM events WHERE id < 11;
         INSERT INTO low SELECT id FROM all_low;
         INSERT INTO notes VALUES (1, 'one', ARRAY['a', NULL], MAP['x', 1]), (1, 'one', ARRAY['a', NULL], MAP['x', 1])",
        folder.path().join("found").display(),
        folder.path().join("low").display()
    );
    run(&mut session, &script).await;
    write(folder.path(), "a.json", 0..3);
    let owned = "SELECT owner, n, total FROM owned";
    becomes(&mut session, owned, &["NULL 1 NULL", "ann 1 0", "bob 1 1"]).await;
    let mut jobs = Vec::new();
    for name in ["owned", "insert into found", "insert into low"] {
        jobs.push(job(&mut session, name).await);
    }
    let all = |verb: &str| jobs.iter().map(|job| format!("{verb} JOB {job};")).collect::<String>();
    let changes = [
        "INSERT INTO notes VALUES (2, 'two', NULL, NULL); UPDATE accounts SET owner = 'ada' WHERE id = 0;
         INSERT INTO accounts VALUES (2, 'cid')",
        "INSERT INTO notes VALUES (4, NULL, ARRAY['b'], NULL), (1, 'uno', NULL, NULL); DELETE FROM accounts WHERE id = 1",
        "INSERT INTO accounts VALUES (1, 'ben')",
    ];
    let expected: [&[&str]; 3] = [
        &["ada 2 3", "bob 2 5", "cid 2 7"],
        &["NULL 3 NULL", "ada 3 9", "cid 3 15"],
        &["ada 4 18", "ben 4 22", "cid 4 26"],
    ];
    let (mut database, mut session) = (database, session);
    for (round, (change, expected)) in changes.into_iter().zip(expected).enumerate() {
        run(&mut session, &all("STOP")).await;
        run(&mut session, change).await;
        let ids = u32::try_from(3 + 3 * round).unwrap();
        write(folder.path(), &format!("b{round}.json"), ids..ids + 3);
        let total = format!("{}", (0..=round).map(|round| 3 * u32::try_from(round + 1).unwrap()).sum::<u32>());
        becomes(&mut session, "SELECT total FROM sums WHERE account = 0", &[&total]).await;
        // In the same process, and in others with another number of shards.
        if round > 0 {
            checkpoint(&mut session, &format!("round{round}")).await;
            drop((session, database));
            database = open(folder.path(), round).await;
            session = database.session();
        }
        run(&mut session, &all("START")).await;
        becomes(&mut session, owned, expected).await;
    }
    run(&mut session, &all("STOP")).await;
    assert_eq!(
        rows(&mut session, "SELECT COUNT(*), COUNT(DISTINCT id), MAX(id) FROM low").await.unwrap(),
        ["11 11 10"]
    );
    let found = rows(&mut session, "SELECT id, note, tags FROM found").await.unwrap();
    assert_eq!(found, ["1 one {a,NULL}", "1 one {a,NULL}", "1 uno NULL", "2 two NULL", "4 NULL {b}"]);
}
