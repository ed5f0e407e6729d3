//! One query or job that goes wrong leaves the others alone: memory, time, a job that fails.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::AsArray;
use millstream_engine::runtime::{EngineConfig, JobState, MemoryGuard};
use millstream_server::config::Config;
use millstream_server::session::{Body, Database, Session};

use crate::checkpoints::write;
use crate::durable::becomes;

async fn run(session: &mut Session, script: &str) -> Result<usize, String> {
    let outcome = session.execute_script(script).await.map_err(|error| error.parts().state.0.to_owned())?;
    match outcome.map(|outcome| outcome.body) {
        Some(Body::Rows(rows)) => {
            let batches = rows.collect().await.map_err(|error| error.parts().state.0.to_owned())?;
            Ok(batches.iter().map(|batch| batch.num_rows()).sum())
        }
        _ => Ok(0),
    }
}

const NUMBERS: &str = "
CREATE TABLE numbers (a BIGINT, s STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '100000',
  'fields.a.kind' = 'sequence', 'fields.a.start' = '1', 'fields.a.end' = '100000');
CREATE TABLE endless (a BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1');
";

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_needs_too_much_fails_alone() {
    let config = Config { shards: 2, query_memory_bytes: 1 << 20, ..Config::standard() };
    let database = Database::start(config).unwrap();
    let mut session = database.session();
    run(&mut session, NUMBERS).await.unwrap();
    let join = "SELECT COUNT(*) FROM numbers x JOIN numbers y ON x.a = y.a WHERE x.s <> y.s OR x.a > 0";
    assert_eq!(run(&mut session, join).await, Err("53200".to_owned()));
    assert_eq!(run(&mut session, "SELECT COUNT(*) FROM numbers").await, Ok(1));
}

/// 50 MB of rows in a pool of 40 MB: what has no room is written to files and read back.
#[tokio::test(flavor = "multi_thread")]
async fn a_sort_and_an_aggregate_of_more_than_the_memory_spill() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_owned();
    let config = Config { shards: 2, query_memory_bytes: 40 << 20, data_dir, ..Config::standard() };
    let database = Database::open(config).await.unwrap();
    let mut session = database.session();
    let table = "CREATE TABLE wide (a BIGINT, s STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '400000',
        'fields.a.kind' = 'sequence', 'fields.a.start' = '1', 'fields.a.end' = '400000', 'fields.s.length' = '120')";
    run(&mut session, table).await.unwrap();
    let outcome = session.execute_script("SELECT s FROM wide ORDER BY s").await.unwrap().unwrap();
    let Body::Rows(rows) = outcome.body else { panic!("no rows") };
    let batches = rows.collect().await.unwrap();
    let sorted: Vec<&str> = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_string_opt::<i32>().into_iter().flatten())
        .flatten()
        .collect();
    assert_eq!(sorted.len(), 400_000);
    assert!(sorted.is_sorted());
    let groups = "SELECT COUNT(*) FROM (SELECT s, COUNT(*) AS n FROM wide GROUP BY s) AS g HAVING COUNT(*) > 399000";
    assert_eq!(run(&mut session, groups).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_had_spilled_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let left_over = folder.path().join("spill/left-by-a-killed-server");
    fs::create_dir_all(&left_over).unwrap();
    let data_dir = folder.path().to_owned();
    let _database = Database::open(Config { shards: 2, data_dir, ..Config::standard() }).await.unwrap();
    assert!(!left_over.exists() && folder.path().join("spill").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_memory_limit_sources_wait_and_who_asks_for_more_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.json"), "{\"n\": 1}\n{\"n\": 2}\n").unwrap();
    let used = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&used);
    let memory = Arc::new(MemoryGuard::new(100 << 20, move || Some(told.load(Ordering::SeqCst))));
    let config = Config { shards: 2, ..Config::standard() };
    let engine = EngineConfig { shards: 2, epoch_interval_ms: 5, memory, ..EngineConfig::default() };
    let database = Database::start_with(config, engine, millstream_connectors::registry()).unwrap();
    let mut session = database.session();
    let path = folder.path().display();
    let files =
        format!("CREATE TABLE files (n INT) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'json')");
    run(&mut session, &files).await.unwrap();
    run(&mut session, "CREATE TABLE kept (n INT PRIMARY KEY NOT ENFORCED); INSERT INTO kept VALUES (1)").await.unwrap();
    used.store(200 << 20, Ordering::SeqCst);
    // The guard looks at most every so often.
    while run(&mut session, "INSERT INTO kept VALUES (2); DELETE FROM kept WHERE n = 2").await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(run(&mut session, "INSERT INTO kept VALUES (3)").await, Err("53200".to_owned()));
    assert_eq!(run(&mut session, "SELECT n, COUNT(*) FROM files GROUP BY n").await, Err("53200".to_owned()));
    run(&mut session, "DELETE FROM kept").await.unwrap();
    run(&mut session, "CREATE MATERIALIZED VIEW v AS SELECT n FROM files").await.unwrap();
    let held = "SELECT * FROM millstream.jobs WHERE state = 'HELD BACK' AND rows_in = 0
                AND error = 'the server holds 200 MB of memory, its limit is 100 MB'";
    assert_eq!(run(&mut session, held).await, Ok(1));
    used.store(50 << 20, Ordering::SeqCst);
    run(&mut session, "FLUSH").await.unwrap();
    assert_eq!(run(&mut session, "SELECT * FROM v").await, Ok(2));
    run(&mut session, "INSERT INTO kept VALUES (3)").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_ended() {
    let database = Database::start(Config { shards: 1, ..Config::standard() }).unwrap();
    let mut session = database.session();
    run(&mut session, NUMBERS).await.unwrap();
    run(&mut session, "SET statement_timeout = '50 ms'").await.unwrap();
    assert_eq!(run(&mut session, "SELECT * FROM endless LIMIT 1000000").await, Err("57014".to_owned()));
    run(&mut session, "RESET statement_timeout").await.unwrap();
    assert_eq!(run(&mut session, "SELECT COUNT(*) FROM numbers").await, Ok(1));
}

/// One job's sink cannot be written to, and it is not tried again for long. What others write of the same view becomes visible.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_stops_its_own_job_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut config =
        Config { shards: 2, data_dir: folder.path().join("data"), epoch_interval_ms: 5, ..Config::standard() };
    (config.checkpoints.interval_ms, config.checkpoints.min_pause_ms) = (20, 0);
    let database = Database::open(config).await.unwrap();
    let mut session = database.session();
    let [input, good, bad] = ["in", "good", "bad"].map(|name| folder.path().join(name));
    fs::create_dir(&input).unwrap();
    let script = format!(
        "SET 'restart-strategy.type' = 'fixed-delay';
         SET 'restart-strategy.fixed-delay.attempts' = '1000000';
         SET 'restart-strategy.fixed-delay.delay' = '1 h';
         CREATE TABLE events (id INT, account INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json',
             'source.monitor-interval' = '10 ms');
         CREATE TABLE good (id INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         CREATE TABLE bad (id INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         CREATE MATERIALIZED VIEW odd AS SELECT id FROM events WHERE MOD(id, 2) = 1;
         INSERT INTO good SELECT id FROM odd; INSERT INTO bad SELECT id FROM odd",
        input.display(),
        good.display(),
        bad.display()
    );
    run(&mut session, &script).await.unwrap();
    write(folder.path(), "a.json", 0..10);
    becomes(&mut session, "SELECT id FROM bad", &["1", "3", "5", "7", "9"]).await;
    // A file stands where the directory was.
    let kept = folder.path().join("kept");
    fs::rename(&bad, &kept).unwrap();
    fs::write(&bad, "").unwrap();
    let job = "FROM millstream.jobs WHERE name = 'insert into";
    for (file, last) in [("b.json", 11), ("c.json", 13), ("d.json", 15)] {
        write(folder.path(), file, last - 1..last + 1);
        let more = format!("SELECT COUNT(*) FROM good WHERE id = {last}");
        becomes(&mut session, &more, &["1"]).await;
    }
    becomes(&mut session, &format!("SELECT state {job} bad'"), &["RESTARTING"]).await;
    becomes(&mut session, &format!("SELECT state, restarts {job} good'"), &["RUNNING 0"]).await;
    becomes(&mut session, "SELECT state, restarts FROM millstream.jobs WHERE name = 'odd'", &["RUNNING 0"]).await;
    fs::remove_file(&bad).unwrap();
    fs::rename(&kept, &bad).unwrap();
    let bad_job = crate::checkpoints::job(&mut session, "insert into bad").await;
    run(&mut session, &format!("STOP JOB {bad_job}; START JOB {bad_job}")).await.unwrap();
    let all = ["1", "11", "13", "15", "3", "5", "7", "9"];
    becomes(&mut session, "SELECT id FROM bad", &all).await;
    becomes(&mut session, "SELECT id FROM good", &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_computes_without_end_is_ended_and_holds_nobody_up() {
    let database = Database::start(Config { shards: 2, ..Config::standard() }).unwrap();
    let mut session = database.session();
    run(&mut session, NUMBERS).await.unwrap();
    run(&mut session, "SET statement_timeout = '300 ms'").await.unwrap();
    // A thousand billion rows, none of which comes out.
    let endless =
        "SELECT COUNT(*) FROM numbers x JOIN numbers y ON x.a <> y.a JOIN numbers z ON x.a + y.a < z.a - 300000";
    let ended = tokio::time::timeout(std::time::Duration::from_secs(30), run(&mut session, endless)).await;
    assert_eq!(ended.unwrap(), Err("57014".to_owned()));
    let mut other = database.session();
    assert_eq!(run(&mut other, "SELECT COUNT(*) FROM numbers").await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_leaves_the_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.json"), "{\"n\": 1}\n").unwrap();
    let database = Database::start(Config { shards: 2, epoch_interval_ms: 5, ..Config::standard() }).unwrap();
    let mut session = database.session();
    let path = folder.path().display();
    let table = format!(
        "CREATE TABLE files (n INT) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'json',
           'source.monitor-interval' = '5 ms')"
    );
    run(&mut session, &table).await.unwrap();
    run(&mut session, "CREATE TABLE steady (n INT); CREATE MATERIALIZED VIEW good AS SELECT SUM(n) FROM steady")
        .await
        .unwrap();
    run(&mut session, "CREATE MATERIALIZED VIEW bad AS SELECT SUM(10 / n) AS s FROM files").await.unwrap();
    fs::write(folder.path().join("b.json"), "{\"n\": 0}\n").unwrap();
    let failed = database.engine().jobs().into_iter().find(|job| job.name == "bad").unwrap();
    let status = tokio::time::timeout(std::time::Duration::from_secs(20), database.engine().finished(failed.id)).await;
    let error = status.unwrap().unwrap().error.unwrap();
    assert!(error.to_lowercase().contains("divide by zero"), "{error}");
    run(&mut session, "INSERT INTO steady VALUES (1)").await.unwrap();
    assert_eq!(run(&mut session, "SELECT * FROM good").await, Ok(1));
    // What the failed job had published is no answer any more.
    assert_eq!(run(&mut session, "SELECT * FROM bad WHERE s = 10").await, Err("55000".to_owned()));
    assert_eq!(run(&mut session, "SUBSCRIBE bad").await, Err("55000".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_whose_job_is_started_again_or_was_cancelled_answers_with_a_warning() {
    let database = Database::start(Config { shards: 2, epoch_interval_ms: 5, ..Config::standard() }).unwrap();
    let mut session = database.session();
    let script = "CREATE TABLE t (n INT); CREATE MATERIALIZED VIEW kept AS SELECT COUNT(*) AS n FROM t;
      SET 'restart-strategy.type' = 'fixed-delay'; SET 'restart-strategy.fixed-delay.delay' = '1 h';
      CREATE MATERIALIZED VIEW bad AS SELECT 10 / n AS s FROM t; INSERT INTO t VALUES (1); INSERT INTO t VALUES (0)";
    run(&mut session, script).await.unwrap();
    // Until the failure is seen by who follows the job, the answer is an error.
    let outcome = loop {
        match session.execute_script("SELECT * FROM bad").await {
            Ok(outcome) => break outcome.unwrap(),
            Err(error) => assert_eq!(error.parts().state.0, "55000"),
        }
        tokio::task::yield_now().await;
    };
    let [notice] = &outcome.notices[..] else { panic!("{:?}", outcome.notices) };
    assert!(notice.message.contains("which is started again"), "{notice:?}");

    let job = database.engine().jobs().into_iter().find(|job| job.name == "kept").unwrap();
    run(&mut session, &format!("CANCEL JOB {}", job.id)).await.unwrap();
    let outcome = session.execute_script("SELECT * FROM kept").await.unwrap().unwrap();
    let [notice] = &outcome.notices[..] else { panic!("{:?}", outcome.notices) };
    assert!(notice.message.contains("when its job was cancelled"), "{notice:?}");
}

/// A view of all pairs of rows of one key, of which none comes out; and one on the same shard that is to keep moving.
async fn pairs(session: &mut Session, folder: &Path) {
    let path = folder.display();
    let script = format!(
        "CREATE TABLE hot (k INT, n INT) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'csv',
           'source.monitor-interval' = '5 ms');
         CREATE TABLE steady (n INT); CREATE MATERIALIZED VIEW good AS SELECT SUM(n) AS n FROM steady;
         CREATE MATERIALIZED VIEW bad AS SELECT a.n FROM hot a JOIN hot b ON a.k = b.k AND a.n + b.n < 0"
    );
    run(session, &script).await.unwrap();
}

/// Lets 200,000 rows come, which are 40 billion pairs, and returns while they are computed.
async fn begin(session: &mut Session, folder: &Path) {
    let rows: String = (0..200_000).map(|n| format!("1,{n}\n")).collect();
    fs::write(folder.join(".rows"), rows).unwrap();
    fs::rename(folder.join(".rows"), folder.join("rows.csv")).unwrap();
    while run(session, "SELECT * FROM millstream.jobs WHERE name = 'bad' AND rows_in > 0").await == Ok(0) {
        tokio::task::yield_now().await;
    }
}

/// How the job of the view `bad` ended.
async fn end_of_bad(database: &Database) -> String {
    let job = database.engine().jobs().into_iter().find(|job| job.name == "bad").unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), database.engine().finished(job.id)).await;
    ended.unwrap().unwrap().error.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_evaluates_too_long_fails_and_the_others_on_its_shard_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::start(Config { shards: 1, epoch_interval_ms: 5, ..Config::standard() }).unwrap();
    let mut session = database.session();
    let script = "SET 'execution.evaluation-timeout' = '50 ms'; SET 'restart-strategy.type' = 'fixed-delay';
      SET 'restart-strategy.fixed-delay.delay' = '1 h'";
    run(&mut session, script).await.unwrap();
    pairs(&mut session, folder.path()).await;
    begin(&mut session, folder.path()).await;
    let error = end_of_bad(&database).await;
    assert_eq!(error, "an evaluation took longer than execution.evaluation-timeout allows, which is 50 ms");
    run(&mut session, "INSERT INTO steady VALUES (1)").await.unwrap();
    assert_eq!(run(&mut session, "SELECT * FROM good WHERE n = 1").await, Ok(1));
    // It would take as long again.
    assert_eq!(run(&mut session, "SELECT * FROM millstream.jobs WHERE name = 'bad' AND state = 'FAILED'").await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_dropped_while_it_evaluates() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::start(Config { shards: 1, epoch_interval_ms: 5, ..Config::standard() }).unwrap();
    let mut session = database.session();
    run(&mut session, "SET 'execution.evaluation-timeout' = '0'").await.unwrap();
    pairs(&mut session, folder.path()).await;
    begin(&mut session, folder.path()).await;
    run(&mut session, "DROP MATERIALIZED VIEW bad").await.unwrap();
    let goes_on = run(&mut session, "INSERT INTO steady VALUES (1)");
    tokio::time::timeout(std::time::Duration::from_secs(20), goes_on).await.unwrap().unwrap();
    assert_eq!(run(&mut session, "SELECT * FROM good WHERE n = 1").await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_makes_more_rows_than_there_is_memory_for_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (used, more) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let grows = Arc::clone(&more);
    // Each look sees more than the one before.
    let look = move || Some(used.fetch_add(grows.load(Ordering::SeqCst), Ordering::SeqCst));
    let memory = Arc::new(MemoryGuard::new(100 << 20, look));
    let config = Config { shards: 1, ..Config::standard() };
    let engine = EngineConfig { shards: 1, epoch_interval_ms: 5, memory, ..EngineConfig::default() };
    let database = Database::start_with(config, engine, millstream_connectors::registry()).unwrap();
    let mut session = database.session();
    pairs(&mut session, folder.path()).await;
    begin(&mut session, folder.path()).await;
    more.store(60 << 20, Ordering::SeqCst);
    let error = end_of_bad(&database).await;
    assert!(error.starts_with("an evaluation makes more rows than there is memory for"), "{error}");
    let good = database.engine().jobs().into_iter().find(|job| job.name == "good").unwrap();
    assert_eq!(good.state, JobState::Running);
}
