//! Materialised views that get another query while they run: what stays, what is made anew, and that it is so after a restart.

use std::collections::BTreeSet;
use std::fs;

use millstream_server::session::{Body, Session};

use crate::checkpoints::{checkpoint, job, open, prepared, write};
use crate::durable::{becomes, rows, run};

/// What `EXPLAIN` says of a change, in alphabetical order.
async fn change(session: &mut Session, statement: &str) -> Vec<String> {
    let mut plan = rows(session, &format!("EXPLAIN {statement}")).await.unwrap();
    let told = ["operators go on", "stays above the state", "is made anew behind it", "reads events again"];
    plan.retain(|line| told.iter().any(|told| line.contains(told)));
    plan
}

const LARGE: &str = "CREATE OR REPLACE MATERIALIZED VIEW sums AS \
    SELECT account, COUNT(*) AS n, SUM(id) AS total FROM events GROUP BY account HAVING SUM(id) > 140";
const NAMED: &str = "ALTER MATERIALIZED VIEW named AS \
    SELECT UPPER(a.owner) AS owner, COUNT(*) AS n FROM events e JOIN accounts a ON e.account = a.id \
    GROUP BY a.owner HAVING COUNT(*) > 10";
const COUNTED: &str = "ALTER MATERIALIZED VIEW sums AS SELECT account, COUNT(*) AS n FROM events GROUP BY account";

#[tokio::test(flavor = "multi_thread")]
async fn a_view_gets_another_query_and_keeps_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let (database, mut session) = prepared(folder.path(), 2).await;
    write(folder.path(), "a.json", 0..30);
    becomes(&mut session, "SELECT * FROM sums", &["0 10 135", "1 10 145", "2 10 155"]).await;
    becomes(&mut session, "SELECT * FROM most", &["10"]).await;
    checkpoint(&mut session, "first").await;
    let (sums, named) = (job(&mut session, "sums").await, job(&mut session, "named").await);
    // What has been read is gone: who would have to read it again would show less.
    fs::remove_file(folder.path().join("in/a.json")).unwrap();
    let kept = "3 of 5 operators go on with their state, the others are made anew";
    assert_eq!(change(&mut session, LARGE).await, [kept]);
    assert_eq!(
        change(&mut session, NAMED).await,
        [
            "6 of 8 operators go on with their state, the others are made anew",
            "most reads the view and is made anew behind it"
        ]
    );
    assert_eq!(
        change(&mut session, COUNTED).await,
        [
            "0 of 5 operators go on with their state, the others are made anew",
            "node #0 reads events again from its beginning"
        ]
    );
    run(&mut session, &format!("{LARGE}; {NAMED}")).await;
    becomes(&mut session, "SELECT * FROM sums", &["1 10 145", "2 10 155"]).await;
    becomes(&mut session, "SELECT * FROM named", &[]).await;
    write(folder.path(), "b.json", 30..33);
    becomes(&mut session, "SELECT * FROM sums", &["0 11 165", "1 11 176", "2 11 187"]).await;
    becomes(&mut session, "SELECT * FROM named", &["ANN 11", "BOB 11"]).await;
    becomes(&mut session, "SELECT * FROM most", &["11"]).await;
    assert_eq!(
        (job(&mut session, "sums").await, job(&mut session, "named").await),
        (sums, named),
        "they keep their jobs"
    );
    drop((session, database));
    for shards in [1, 4] {
        let database = open(folder.path(), shards).await;
        let mut session = database.session();
        becomes(&mut session, "SELECT * FROM sums", &["0 11 165", "1 11 176", "2 11 187"]).await;
        becomes(&mut session, "SELECT * FROM named", &["ANN 11", "BOB 11"]).await;
        becomes(&mut session, "SELECT * FROM most", &["11"]).await;
        assert_eq!(change(&mut session, LARGE).await, ["nothing changes: all operators go on"]);
        checkpoint(&mut session, &format!("with-{shards}")).await;
    }
    // Another aggregate reads what is still there.
    let database = open(folder.path(), 2).await;
    let mut session = database.session();
    run(&mut session, COUNTED).await;
    becomes(&mut session, "SELECT * FROM sums", &["0 1", "1 1", "2 1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_could_be_computed_earlier_stays_above_the_state_that_it_would_cost() {
    let folder = tempfile::tempdir().unwrap();
    let (database, mut session) = prepared(folder.path(), 2).await;
    let joined = "SELECT e.id, a.owner FROM events e JOIN accounts a ON e.account = a.id";
    run(&mut session, &format!("CREATE MATERIALIZED VIEW joined AS {joined}")).await;
    write(folder.path(), "a.json", 0..30);
    becomes(&mut session, "SELECT * FROM sums", &["0 10 135", "1 10 145", "2 10 155"]).await;
    becomes(&mut session, "SELECT COUNT(*) FROM joined", &["20"]).await;
    checkpoint(&mut session, "first").await;
    fs::remove_file(folder.path().join("in/a.json")).unwrap();
    let query = "SELECT account, COUNT(*) AS n, SUM(id) AS total FROM events GROUP BY account";
    let but = |account: u32| {
        format!("ALTER MATERIALIZED VIEW sums AS SELECT * FROM ({query}) AS all_of_them WHERE account <> {account}")
    };
    let some = |ids: &str| format!("ALTER MATERIALIZED VIEW joined AS {joined} WHERE e.id {ids} AND a.owner = 'bob'");
    let above = "its last filter stays above the state";
    let kept =
        |of: &str| [format!("{of} operators go on with their state, the others are made anew"), above.to_owned()];
    assert_eq!(change(&mut session, &but(1)).await, kept("3 of 5"));
    assert_eq!(change(&mut session, &some("> 20")).await, kept("4 of 6"));
    run(&mut session, &format!("{}; {}", but(1), some("> 20"))).await;
    becomes(&mut session, "SELECT * FROM sums", &["0 10 135", "2 10 155"]).await;
    becomes(&mut session, "SELECT id FROM joined", &["22", "25", "28"]).await;
    // Kept with the view: another filter finds all rows too, after a restart as well.
    drop((session, database));
    for (round, shards) in [(0, 1), (1, 3)] {
        let database = open(folder.path(), shards).await;
        let mut session = database.session();
        assert_eq!(change(&mut session, &but(1 + round)).await.len(), 2);
        run(&mut session, &format!("{}; {}", but(2 - 2 * round), some("< 10"))).await;
        let expected: [&[&str]; 2] = [&["0 10 135", "1 10 145"], &["1 10 145", "2 10 155"]];
        becomes(&mut session, "SELECT * FROM sums", expected[round as usize]).await;
        becomes(&mut session, "SELECT id FROM joined", &["1", "4", "7"]).await;
        checkpoint(&mut session, &format!("round{round}")).await;
    }
    // Without it all rows are there.
    let database = open(folder.path(), 2).await;
    let mut session = database.session();
    run(&mut session, &format!("ALTER MATERIALIZED VIEW sums AS {query}")).await;
    becomes(&mut session, "SELECT * FROM sums", &["0 10 135", "1 10 145", "2 10 155"]).await;
    write(folder.path(), "b.json", 30..33);
    becomes(&mut session, "SELECT * FROM sums", &["0 11 165", "1 11 176", "2 11 187"]).await;
    // Whoever knows beforehand that a filter will change says so.
    run(
        &mut session,
        "SET 'sql.filter-above-state' = 'true';
         CREATE MATERIALIZED VIEW later AS
             SELECT * FROM (SELECT account, COUNT(*) AS n FROM events GROUP BY account) AS counted WHERE account = 0;
         RESET 'sql.filter-above-state'",
    )
    .await;
    becomes(&mut session, "SELECT * FROM later", &["0 1"]).await;
    fs::remove_file(folder.path().join("in/b.json")).unwrap();
    let other = "CREATE OR REPLACE MATERIALIZED VIEW later AS
        SELECT * FROM (SELECT account, COUNT(*) AS n FROM events GROUP BY account) AS counted WHERE account > 0";
    run(&mut session, other).await;
    becomes(&mut session, "SELECT * FROM later", &["1 1", "2 1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_whose_new_query_cannot_start_goes_on_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (_database, mut session) = prepared(folder.path(), 2).await;
    write(folder.path(), "a.json", 0..30);
    becomes(&mut session, "SELECT * FROM most", &["10"]).await;
    run(
        &mut session,
        "CREATE TABLE lost (id INT) WITH ('connector' = 'filesystem', 'path' = '/no/such/place', 'format' = 'json')",
    )
    .await;
    let error = rows(&mut session, "ALTER MATERIALIZED VIEW sums AS SELECT id FROM lost").await.unwrap_err();
    assert!(error.to_string().contains("/no/such/place"), "{error}");
    write(folder.path(), "b.json", 30..33);
    becomes(&mut session, "SELECT * FROM sums", &["0 11 165", "1 11 176", "2 11 187"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_whose_new_query_fails_at_once_goes_on_with_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let (_database, mut session) = prepared(folder.path(), 2).await;
    write(folder.path(), "a.json", 0..30);
    becomes(&mut session, "SELECT * FROM sums", &["0 10 135", "1 10 145", "2 10 155"]).await;
    checkpoint(&mut session, "first").await;
    fs::remove_file(folder.path().join("in/a.json")).unwrap();
    // The aggregate goes on, and what it gives once more cannot be computed.
    let fails = "ALTER MATERIALIZED VIEW sums AS \
        SELECT account, COUNT(*) AS n, 10 / (SUM(id) - 145) AS total FROM events GROUP BY account";
    let error = rows(&mut session, fails).await.unwrap_err();
    assert!(error.to_lowercase().contains("zero"), "{error}");
    assert_eq!(rows(&mut session, "SELECT * FROM sums").await.unwrap(), ["0 10 135", "1 10 145", "2 10 155"]);
    write(folder.path(), "b.json", 30..33);
    becomes(&mut session, "SELECT * FROM sums", &["0 11 165", "1 11 176", "2 11 187"]).await;
    let shown = rows(&mut session, "SHOW CREATE MATERIALIZED VIEW sums").await.unwrap();
    assert!(shown.iter().any(|line| line.contains("SUM(id) AS total")), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_the_old_rows_until_all_new_ones_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let (database, mut session) = prepared(folder.path(), 2).await;
    for file in 0..20 {
        write(folder.path(), &format!("{file}.json"), file * 30..file * 30 + 30);
    }
    becomes(&mut session, "SELECT SUM(n) FROM sums", &["600"]).await;
    let mut reader = database.session();
    let replacing = tokio::spawn(async move {
        // Reads the files again.
        run(&mut session, COUNTED).await;
        rows(&mut session, "SELECT * FROM sums").await
    });
    let mut seen = BTreeSet::new();
    while !replacing.is_finished() {
        match rows(&mut reader, "SELECT SUM(n) FROM sums").await {
            Ok(lines) => seen.extend(lines),
            Err(error) => assert_eq!(error, "\"sums\" was replaced while the query began"),
        }
    }
    assert_eq!(replacing.await.unwrap().unwrap(), ["0 200", "1 200", "2 200"]);
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["600"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_to_a_replaced_view_ends_with_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    let (database, mut session) = prepared(folder.path(), 2).await;
    let mut reader = database.session();
    let outcome = reader.execute_script("SUBSCRIBE sums").await.unwrap().unwrap();
    let Body::Subscription(rows) = outcome.body else { panic!("no subscription") };
    run(&mut session, COUNTED).await;
    let error = rows.collect().await.unwrap_err();
    let parts = error.parts();
    assert_eq!(
        (parts.state.0, parts.message.as_str()),
        ("55000", "relation \"sums\", which the job reads, was replaced: it has another query now")
    );
    assert_eq!(parts.hint.as_deref(), Some("Start the statement again to read its new rows."));
}
