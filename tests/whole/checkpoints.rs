//! Jobs that go on from their checkpoints after the server ended: nothing is read or written twice, whatever the number of
//! shards, and a job that failed goes back with those that it is connected with.

use std::fs;
use std::path::Path;

use millstream_server::config::Config;
use millstream_server::session::{Database, Session};

use crate::durable::{PATIENCE, becomes, rows, run};

/// A server over the directory; checkpoints are made when somebody asks for one.
pub(crate) async fn open(folder: &Path, shards: usize) -> Database {
    let mut config = Config { shards, data_dir: folder.join("data"), epoch_interval_ms: 5, ..Config::standard() };
    config.checkpoints.interval_ms = 3_600_000;
    config.checkpoints.min_pause_ms = 0;
    let opening = async {
        loop {
            // A query of the server before may not have put everything away yet.
            match Database::open(config.clone()).await {
                Err(error) if error.parts().state.0 == "55006" => tokio::task::yield_now().await,
                result => return result.unwrap(),
            }
        }
    };
    tokio::time::timeout(PATIENCE, opening).await.unwrap()
}

/// A directory with files that jobs read, and one that they write.
pub(crate) fn setup(folder: &Path) -> String {
    let (from, to) = (folder.join("in"), folder.join("out"));
    fs::create_dir(&from).unwrap();
    let (from, to) = (from.display(), to.display());
    format!(
        "CREATE TABLE events (id INT, account INT) WITH ('connector' = 'filesystem', 'path' = '{from}',
             'format' = 'json', 'source.monitor-interval' = '10 ms');
         CREATE TABLE copies (id INT, account INT) WITH ('connector' = 'filesystem', 'path' = '{to}', 'format' = 'csv');
         CREATE TABLE accounts (id INT PRIMARY KEY NOT ENFORCED, owner STRING);
         INSERT INTO accounts VALUES (0, 'ann'), (1, 'bob');
         SET 'restart-strategy.type' = 'fixed-delay';
         SET 'restart-strategy.fixed-delay.attempts' = '1000000';
         SET 'restart-strategy.fixed-delay.delay' = '5 ms';
         CREATE MATERIALIZED VIEW sums AS SELECT account, COUNT(*) AS n, SUM(id) AS total FROM events GROUP BY account;
         CREATE MATERIALIZED VIEW named AS
             SELECT a.owner, COUNT(*) AS n FROM events e JOIN accounts a ON e.account = a.id GROUP BY a.owner;
         CREATE MATERIALIZED VIEW most AS SELECT MAX(n) AS n FROM named;
         INSERT INTO copies SELECT id, account FROM events;"
    )
}

/// A database over a folder with the tables, views and jobs of [`setup`].
pub(crate) async fn prepared(folder: &Path, shards: usize) -> (Database, Session) {
    let database = open(folder, shards).await;
    let mut session = database.session();
    run(&mut session, &setup(folder)).await;
    (database, session)
}

pub(crate) fn write(folder: &Path, name: &str, ids: std::ops::Range<u32>) {
    let lines: Vec<String> = ids.map(|id| format!("{{\"id\": {id}, \"account\": {}}}\n", id % 3)).collect();
    // There in one step.
    let hidden = folder.join("in/.file");
    fs::write(&hidden, lines.concat()).unwrap();
    fs::rename(hidden, folder.join("in").join(name)).unwrap();
}

/// The ids in the finished files of the written directory, in order.
fn copied(folder: &Path) -> Vec<u32> {
    let mut ids = Vec::new();
    for file in fs::read_dir(folder.join("out")).into_iter().flatten() {
        let path = file.unwrap().path();
        if path.is_file() && !path.file_name().unwrap().to_string_lossy().starts_with('.') {
            let text = fs::read_to_string(path).unwrap();
            ids.extend(text.lines().map(|line| line.split(',').next().unwrap().parse::<u32>().unwrap()));
        }
    }
    ids.sort_unstable();
    ids
}

/// The numbers of the jobs, by name.
async fn jobs(session: &mut Session) -> Vec<(String, String)> {
    let lines = rows(session, "SHOW JOBS").await.unwrap();
    let job = |line: &String| {
        let (id, rest) = line.split_once(' ').unwrap();
        (id.to_owned(), rest.split(" RUNNING ").next().unwrap().to_owned())
    };
    lines.iter().map(job).collect()
}

pub(crate) async fn job(session: &mut Session, name: &str) -> String {
    jobs(session).await.into_iter().find(|(_, text)| text.starts_with(name)).unwrap().0
}

/// Makes a checkpoint of everything.
pub(crate) async fn checkpoint(session: &mut Session, name: &str) {
    for (at, (id, _)) in jobs(session).await.into_iter().enumerate() {
        run(session, &format!("CREATE SAVEPOINT '{name}-{at}' FOR JOB {id}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_where_it_was_with_any_number_of_shards() {
    let folder = tempfile::tempdir().unwrap();
    let (database, mut session) = prepared(folder.path(), 2).await;
    write(folder.path(), "a.json", 0..30);
    becomes(&mut session, "SELECT * FROM sums", &["0 10 135", "1 10 145", "2 10 155"]).await;
    becomes(&mut session, "SELECT * FROM most", &["10"]).await;
    let plan = rows(&mut session, "EXPLAIN INSERT INTO copies SELECT id, account FROM events").await.unwrap();
    assert!(plan.iter().any(|line| line.contains("guarantee exactly-once")), "{plan:?}");
    checkpoint(&mut session, "first").await;
    assert_eq!(copied(folder.path()), (0..30).collect::<Vec<_>>());
    // After the checkpoint: from the file again, and out of the log of the table.
    write(folder.path(), "b.json", 30..33);
    run(&mut session, "UPDATE accounts SET owner = 'eve' WHERE id = 1; INSERT INTO accounts VALUES (2, 'joe')").await;
    becomes(&mut session, "SELECT * FROM named", &["ann 11", "eve 11", "joe 11"]).await;
    drop((session, database));
    // What was read before the checkpoint is gone: it is read no more.
    fs::remove_file(folder.path().join("in/a.json")).unwrap();
    for shards in [1, 4, 2] {
        let database = open(folder.path(), shards).await;
        let mut session = database.session();
        becomes(&mut session, "SELECT * FROM sums", &["0 11 165", "1 11 176", "2 11 187"]).await;
        becomes(&mut session, "SELECT * FROM named", &["ann 11", "eve 11", "joe 11"]).await;
        becomes(&mut session, "SELECT * FROM most", &["11"]).await;
        checkpoint(&mut session, &format!("with-{shards}")).await;
        assert_eq!(copied(folder.path()), (0..33).collect::<Vec<_>>(), "{shards} shards");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_stopped_and_started_from_any_savepoint() {
    let folder = tempfile::tempdir().unwrap();
    let (database, mut session) = prepared(folder.path(), 2).await;
    write(folder.path(), "a.json", 0..3);
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["3"]).await;
    let (sums, most) = (job(&mut session, "sums").await, job(&mut session, "most").await);
    run(&mut session, &format!("STOP JOB {sums} WITH SAVEPOINT 'three'")).await;
    write(folder.path(), "b.json", 3..6);
    becomes(&mut session, "SELECT SUM(n) FROM named", &["4"]).await;
    assert_eq!(rows(&mut session, "SHOW JOBS").await.unwrap().iter().filter(|job| job.contains("STOPPED")).count(), 1);
    drop((session, database));

    // It stays stopped, and is started when somebody wants it.
    let database = open(folder.path(), 2).await;
    let mut session = database.session();
    assert_eq!(rows(&mut session, "SHOW JOBS").await.unwrap().iter().filter(|job| job.contains("STOPPED")).count(), 1);
    run(&mut session, &format!("START JOB {sums}")).await;
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["6"]).await;
    run(&mut session, &format!("STOP JOB {sums}")).await;
    fs::remove_file(folder.path().join("in/b.json")).unwrap();
    run(&mut session, &format!("START JOB {sums} FROM SAVEPOINT 'three'")).await;
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["3"]).await;

    // What is connected goes back together; the rows of a table stay as they are.
    run(&mut session, &format!("CREATE SAVEPOINT 'most' FOR JOB {most}")).await;
    run(&mut session, "INSERT INTO accounts VALUES (2, 'joe'); DELETE FROM accounts WHERE id = 0").await;
    becomes(&mut session, "SELECT * FROM named", &["bob 2", "joe 2"]).await;
    run(&mut session, &format!("STOP JOB {most}; START JOB {most} FROM SAVEPOINT 'most'")).await;
    assert_eq!(rows(&mut session, "SELECT id FROM accounts").await.unwrap(), ["1", "2"]);
    becomes(&mut session, "SELECT * FROM named", &["bob 2", "joe 2"]).await;
    becomes(&mut session, "SELECT * FROM most", &["2"]).await;

    for (wrong, state) in [
        (format!("START JOB {most}"), "55000"),
        (format!("CREATE SAVEPOINT 'most' FOR JOB {most}"), "22023"),
        (format!("CREATE SAVEPOINT 'a/../b' FOR JOB {most}"), "22023"),
        ("STOP JOB 999".to_owned(), "42704"),
        ("DROP SAVEPOINT 'nothing'".to_owned(), "42704"),
        (format!("STOP JOB {most} WITH SAVEPOINT"), "42601"),
    ] {
        let error = session.execute_script(&wrong).await.unwrap_err();
        assert_eq!(error.parts().state.0, state, "{wrong}: {error}");
    }
    run(&mut session, "DROP SAVEPOINT 'most'; DROP SAVEPOINT IF EXISTS 'most'").await;
    assert_eq!(rows(&mut session, "SHOW SAVEPOINTS").await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_run_keeps_its_checkpoint_while_others_have_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let (database, mut session) = prepared(folder.path(), 1).await;
    write(folder.path(), "a.json", 0..3);
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["3"]).await;
    let sums = job(&mut session, "sums").await;
    run(&mut session, &format!("STOP JOB {sums}")).await;
    drop((session, database));

    let database = open(folder.path(), 1).await;
    let mut session = database.session();
    let most = job(&mut session, "most").await;
    for round in 0..4 {
        write(folder.path(), &format!("b{round}.json"), 3 + round * 3..6 + round * 3);
        run(&mut session, &format!("CREATE SAVEPOINT 'round{round}' FOR JOB {most}")).await;
    }
    // From the beginning they would not be read again.
    fs::remove_file(folder.path().join("in/a.json")).unwrap();
    run(&mut session, &format!("START JOB {sums}")).await;
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["15"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_failed_goes_on_from_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (_database, mut session) = prepared(folder.path(), 2).await;
    write(folder.path(), "a.json", 0..6);
    becomes(&mut session, "SELECT * FROM most", &["2"]).await;
    checkpoint(&mut session, "good").await;
    fs::remove_file(folder.path().join("in/a.json")).unwrap();
    run(&mut session, "INSERT INTO accounts VALUES (2, 'joe')").await;
    fs::write(folder.path().join("in/b.json"), "no json\n").unwrap();
    // All three read the file and fail; the one behind them is taken along.
    becomes(&mut session, "SELECT COUNT(*) FROM millstream.jobs WHERE state = 'RESTARTING'", &["4"]).await;
    run(&mut session, "INSERT INTO accounts VALUES (3, 'sue')").await;
    write(folder.path(), "b.json", 6..9);
    becomes(&mut session, "SELECT COUNT(*) FROM millstream.jobs WHERE state = 'RUNNING'", &["4"]).await;
    becomes(&mut session, "SELECT * FROM sums", &["0 3 9", "1 3 12", "2 3 15"]).await;
    becomes(&mut session, "SELECT * FROM named", &["ann 3", "bob 3", "joe 3"]).await;
    becomes(&mut session, "SELECT * FROM most", &["3"]).await;
    checkpoint(&mut session, "after").await;
    assert_eq!(copied(folder.path()), (0..9).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let (database, mut session) = prepared(folder.path(), 1).await;
    for (round, name) in ["a.json", "b.json"].into_iter().enumerate() {
        write(folder.path(), name, round as u32 * 3..round as u32 * 3 + 3);
        becomes(&mut session, "SELECT SUM(n) FROM sums", &[&(round * 3 + 3).to_string()]).await;
        checkpoint(&mut session, name.trim_end_matches(".json")).await;
    }
    drop((session, database));
    let runs = folder.path().join("data/checkpoints/runs");
    let mut paths: Vec<_> = fs::read_dir(&runs).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    let last = paths.pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&last, bytes).unwrap();
    let database = open(folder.path(), 1).await;
    let mut session = database.session();
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["6"]).await;
    becomes(&mut session, "SELECT SUM(n) FROM named", &["4"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_copied_elsewhere_and_read_as_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (_database, mut session) = prepared(folder.path(), 2).await;
    write(folder.path(), "a.json", 0..30);
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["30"]).await;
    let sums = job(&mut session, "sums").await;
    let place = folder.path().join("copy").display().to_string();
    run(&mut session, &format!("CREATE SAVEPOINT '{place}' FOR JOB {sums}")).await;
    let error = session.execute_script(&format!("CREATE SAVEPOINT '{place}' FOR JOB {sums}")).await.unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");

    let tables = "SELECT table_name, rows FROM millstream.state('sums') ORDER BY table_name";
    assert_eq!(rows(&mut session, tables).await.unwrap(), ["keys 3", "rows 3"]);
    let state =
        format!("SELECT account, \"calls.c0\" FROM millstream.state('{sums}', 'group-aggregate') ORDER BY account");
    assert_eq!(rows(&mut session, &state).await.unwrap(), ["0 10", "1 10", "2 10"]);
    for wrong in ["'nothing'", "'sums', 'join'", "'sums', 'group-aggregate', 'left'"] {
        let error = session.execute_script(&format!("SELECT * FROM millstream.state({wrong})")).await.unwrap_err();
        assert_eq!(error.parts().state.0, "42704", "{wrong}: {error}");
    }

    write(folder.path(), "b.json", 30..33);
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["33"]).await;
    run(&mut session, &format!("STOP JOB {sums}")).await;
    fs::remove_file(folder.path().join("in/b.json")).unwrap();
    run(&mut session, &format!("START JOB {sums} FROM SAVEPOINT '{place}'")).await;
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["30"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_view_shares_with_its_operator_are_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_database, mut session) = prepared(folder.path(), 1).await;
    // All in one batch: of the few rows that short epochs have each has a copy.
    let made = "CREATE TABLE notes (id BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '5000', 'fields.id.kind' = 'sequence',
             'fields.id.start' = '1', 'fields.id.end' = '5000');
         CREATE MATERIALIZED VIEW last AS SELECT id, note FROM
             (SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY note DESC) AS n
              FROM (SELECT id, REPEAT('n', 200) AS note FROM notes)) WHERE n = 1";
    run(&mut session, made).await;
    becomes(&mut session, "SELECT state FROM millstream.jobs WHERE name = 'last'", &["FINISHED"]).await;
    let runs = fs::read_dir(folder.path().join("data/checkpoints/runs")).unwrap();
    let (count, written) = (5_000, runs.map(|run| run.unwrap().metadata().unwrap().len()).sum::<u64>());
    assert!((count * 212..count * 300).contains(&written), "{written} bytes");
}
