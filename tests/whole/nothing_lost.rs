//! What somebody does to a data directory, or asks of a statement that is under way: nothing is lost, doubled or done in secret.

use std::fs;
use std::path::Path;

use millstream_server::config::Config;
use millstream_server::session::Database;

use crate::checkpoints::{checkpoint, job, open, prepared, write};
use crate::durable::{becomes, rows, run};

/// The names of the finished files of a directory.
fn finished(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).into_iter().flatten();
    let names = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with('.')).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_log_lost_its_end_has_the_rows_of_the_checkpoint_and_keeps_later_ones() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("data/tables/1.log");
    let database = open(folder.path(), 1).await;
    let mut session = database.session();
    run(&mut session, "CREATE TABLE t (id INT); CREATE MATERIALIZED VIEW v AS SELECT COUNT(*) AS n FROM t").await;
    for id in 0..5 {
        run(&mut session, &format!("INSERT INTO t VALUES ({id})")).await;
    }
    checkpoint(&mut session, "five").await;
    drop((session, database));
    let whole = fs::read(&log).unwrap();
    // Cut in the middle, empty, and gone.
    for (round, left) in [Some(whole.len() / 2), Some(0), None].into_iter().enumerate() {
        match left {
            Some(bytes) => fs::write(&log, &fs::read(&log).unwrap()[..bytes]).unwrap(),
            None => fs::remove_file(&log).unwrap(),
        }
        let count = 5 + round;
        let database = open(folder.path(), 1).await;
        let mut session = database.session();
        becomes(&mut session, "SELECT * FROM v", &[&count.to_string()]).await;
        run(&mut session, "INSERT INTO t VALUES (9)").await;
        drop((session, database));
        let database = open(folder.path(), 2).await;
        let mut session = database.session();
        becomes(&mut session, "SELECT * FROM v", &[&(count + 1).to_string()]).await;
        becomes(&mut session, "SELECT COUNT(*) FROM t", &[&(count + 1).to_string()]).await;
        checkpoint(&mut session, &format!("round-{round}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_start_over_what_it_cannot_tell_of() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = |data: &Path| Config { shards: 1, data_dir: data.to_owned(), ..Config::standard() };
    let refused = async |config: Config| match Database::open(config).await {
        Ok(_) => panic!("it starts"),
        Err(error) => (error.parts().state.0, error.to_string()),
    };
    let (database, mut session) = prepared(folder.path(), 1).await;
    write(folder.path(), "a.json", 0..3);
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["3"]).await;
    checkpoint(&mut session, "three").await;
    drop((session, database));

    let (catalog, hidden) = (data.join("catalog/catalog.log"), folder.path().join("hidden"));
    fs::rename(&catalog, &hidden).unwrap();
    let (state, message) = refused(config(&data)).await;
    assert!(state == "XX001" && message.contains("catalog.log"), "{state}: {message}");
    fs::rename(&hidden, &catalog).unwrap();

    let mut other = config(&folder.path().join("other"));
    other.checkpoints.state_url = data.join("checkpoints").display().to_string();
    let (_, message) = refused(other).await;
    assert!(message.contains("another data directory"), "{message}");

    fs::rename(data.join("checkpoints/manifests"), &hidden).unwrap();
    let (_, message) = refused(config(&data)).await;
    assert!(message.contains("manifests/"), "{message}");
    fs::rename(data.join("checkpoints"), folder.path().join("all")).unwrap();
    let (_, message) = refused(config(&data)).await;
    assert!(message.contains("are gone"), "{message}");
    fs::remove_dir_all(data.join("checkpoints")).unwrap();
    fs::rename(folder.path().join("all"), data.join("checkpoints")).unwrap();
    fs::rename(&hidden, data.join("checkpoints/manifests")).unwrap();

    let database = open(folder.path(), 1).await;
    becomes(&mut database.session(), "SELECT SUM(n) FROM sums", &["3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_an_insert_that_ends_appear_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path(), 2).await;
    let mut session = database.session();
    let out = folder.path().join("out");
    run(
        &mut session,
        &format!(
            "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '200000',
                 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '200000');
             CREATE TABLE out (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
                 'sink.rolling-policy.file-size' = '10KB')",
            out.display()
        ),
    )
    .await;
    let error = session.execute_script("INSERT INTO out SELECT 100 / (n - 199000) FROM numbers").await.unwrap_err();
    assert_eq!(error.parts().state.0, "22012", "{error}");
    assert_eq!(finished(&out), Vec::<String>::new());
    run(&mut session, "INSERT INTO out SELECT n FROM numbers").await;
    assert_eq!(rows(&mut session, "SELECT COUNT(*), COUNT(DISTINCT n) FROM out").await.unwrap(), ["200000 200000"]);
}

/// Hides finished files again, as a kill would have left them.
fn hide(out: &Path, names: &[String]) {
    for name in names {
        fs::rename(out.join(name), out.join(format!(".{name}.0123456789abcdef.inprogress"))).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_leaves_of_an_insert_is_finished_or_goes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let made = format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '20000',
             'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '20000');
         CREATE TABLE out (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
             'sink.rolling-policy.file-size' = '10KB')",
        out.display()
    );
    let database = open(folder.path(), 2).await;
    run(&mut database.session(), &made).await;
    drop(database);
    let log = folder.path().join("data/catalog/catalog.log");
    let (mut whole, mut foreign) = (0, String::new());
    // Killed before the first file was visible, and after; by a job, and by a statement that is none.
    for (mode, begun) in [("streaming", false), ("streaming", true), ("batch", false), ("batch", true)] {
        let database = open(folder.path(), 2).await;
        let mut session = database.session();
        let before = finished(&out);
        run(&mut session, &format!("SET 'execution.runtime-mode' = '{mode}'; INSERT INTO out SELECT n FROM numbers"))
            .await;
        drop((session, database));
        let mut written: Vec<String> = finished(&out).into_iter().filter(|name| !before.contains(name)).collect();
        assert!(written.len() > 3, "{written:?}");
        written.sort();
        // The record that all is written is the last one.
        let bytes = fs::read(&log).unwrap();
        fs::write(&log, &bytes[..bytes.len() - 1]).unwrap();
        hide(&out, &written[usize::from(begun)..]);
        if foreign.is_empty() {
            foreign = ".part-1-2-3-0-0.csv.0123456789abcdef.inprogress".to_owned();
            fs::write(out.join(&foreign), "1\n").unwrap();
        }
        whole += if begun { 20_000 } else { 0 };
        for _ in 0..2 {
            let database = open(folder.path(), 1).await;
            let count = rows(&mut database.session(), "SELECT COUNT(*) FROM out").await.unwrap();
            assert_eq!(count, [whole.to_string()], "{mode} {begun}");
            let hidden = fs::read_dir(&out).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
            assert_eq!(hidden.filter(|name| name.starts_with('.')).collect::<Vec<_>>(), [foreign.as_str()]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_over_in_time_has_not_happened() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path(), 1).await;
    let mut session = database.session();
    run(
        &mut session,
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '200000',
             'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '200000');
         CREATE TABLE t (n BIGINT)",
    )
    .await;
    let (mut expected, mut refused) = (0, 0);
    for limit in [1, 3, 10, 30, 60, 100, 200, 400, 100_000] {
        run(&mut session, &format!("SET statement_timeout = '{limit} ms'")).await;
        let all = session.execute_script("INSERT INTO t SELECT n FROM numbers").await;
        let made = session.execute_script(&format!("CREATE TABLE c{limit} AS SELECT n FROM numbers")).await;
        run(&mut session, "RESET statement_timeout").await;
        for result in [&all, &made] {
            assert!(
                result.as_ref().is_ok_and(Option::is_some) || result.as_ref().unwrap_err().parts().state.0 == "57014"
            );
        }
        expected += if all.is_ok() { 200_000 } else { 0 };
        refused += usize::from(all.is_err());
        // What was on its way comes before this.
        run(&mut session, "INSERT INTO t VALUES (0)").await;
        expected += 1;
        assert_eq!(rows(&mut session, "SELECT COUNT(*) FROM t").await.unwrap(), [expected.to_string()]);
        if made.is_err() {
            becomes(
                &mut session,
                &format!("SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'c{limit}'"),
                &["0"],
            )
            .await;
        } else {
            let count = rows(&mut session, &format!("SELECT COUNT(*) FROM c{limit}")).await.unwrap();
            assert_eq!(count, ["200000"]);
        }
    }
    assert!(refused > 0, "one of them was too late");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_of_a_stopped_job_is_read_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (database, mut session) = prepared(folder.path(), 2).await;
    write(folder.path(), "a.json", 0..3);
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["3"]).await;
    let sums = job(&mut session, "sums").await;
    run(&mut session, &format!("STOP JOB {sums}")).await;
    drop((session, database));
    fs::remove_file(folder.path().join("in/a.json")).unwrap();
    let database = open(folder.path(), 2).await;
    let mut session = database.session();
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["3"]).await;
    assert_eq!(rows(&mut session, "SHOW JOBS").await.unwrap().iter().filter(|job| job.contains("STOPPED")).count(), 1);
    write(folder.path(), "b.json", 3..6);
    run(&mut session, &format!("START JOB {sums}")).await;
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["6"]).await;
}
