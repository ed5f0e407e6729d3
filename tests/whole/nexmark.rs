//! Nexmark's queries q0 to q23, and q6 as published, give the same rows in streaming as in batch over 100,000 generated
//! events, on 1 and on 4 shards: the oracle over everything at once. What a query leaves open is not compared: in q19 which
//! of two bids of an equal price has the better place, in q12 where the windows of the clock begin. Those that do not join are
//! compared over the same events as JSON files too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use millstream_server::config::Config;
use millstream_server::encode::text_value;
use millstream_server::session::{Body, Database, Rows, Session};

/// So many events all queries read.
const EVENTS: u64 = 100_000;
/// Queries without joins and ranks.
const PLAIN: [&str; 14] = ["q0", "q1", "q2", "q5", "q8", "q10", "q11", "q12", "q14", "q15", "q16", "q17", "q21", "q22"];
/// Queries with joins and ranks.
const JOINS: [&str; 11] = ["q3", "q4", "q6", "q6 as published", "q7", "q9", "q13", "q18", "q19", "q20", "q23"];
/// All bids that may be among the first ten of q19: as many as there are of the tenth price.
const Q19_CANDIDATES: &str =
    "SELECT * FROM (SELECT *, RANK() OVER (PARTITION BY auction ORDER BY price DESC) AS place FROM bid)
WHERE place <= 10";

/// q6 with the words of the benchmark. Which of two equal bids wins and which of two wins at one time comes first it leaves
/// open; the generated events have neither.
const Q6: &str = "SELECT Q.seller,
  AVG(Q.final) OVER (PARTITION BY Q.seller ORDER BY Q.dateTime ROWS BETWEEN 10 PRECEDING AND CURRENT ROW)
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY id, seller ORDER BY final DESC) AS rownum
  FROM (
    SELECT A.id, A.seller, B.price AS final, B.dateTime
    FROM auction AS A, bid AS B
    WHERE A.id = B.auction AND B.dateTime BETWEEN A.dateTime AND A.expires
  )
) AS Q
WHERE Q.rownum <= 1";

fn text(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/src/bench/nexmark");
    fs::read_to_string(folder.join(format!("{name}.sql"))).unwrap()
}

/// The declaration of a table of events.
fn events(name: &str, options: &str) -> String {
    let columns = text("columns");
    format!(
        "CREATE TABLE {name} ({columns}, dateTime AS CASE WHEN event_type = 0 THEN person.dateTime \
         WHEN event_type = 1 THEN auction.dateTime ELSE bid.dateTime END, \
         WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND) WITH ({options})"
    )
}

/// What a file does before its query, and the query without the table that it fills.
fn query(name: &str, output: &Path) -> (String, String) {
    match name {
        "q6 as published" => return (String::new(), Q6.to_owned()),
        "q19 candidates" => return (String::new(), Q19_CANDIDATES.to_owned()),
        _ => {}
    }
    let text = text(name).replace("{output}", &output.display().to_string());
    let insert = text.rfind("INSERT INTO").unwrap();
    let select = insert + text[insert..].find("SELECT").unwrap();
    let (before, query) = (text[..insert].to_owned(), text[select..].trim().trim_end_matches(';').to_owned());
    if name == "q12" {
        return (before, format!("SELECT bidder, SUM(bid_count) FROM ({query}) GROUP BY bidder"));
    }
    (before, query)
}

/// The rows of a statement, sorted; fails where it does.
pub(crate) async fn run(session: &mut Session, sql: &str) -> Vec<String> {
    let outcome = session.execute_script(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    let Some(Body::Rows(rows)) = outcome.map(|outcome| outcome.body) else { return Vec::new() };
    let style = session.settings().style();
    let batches = Rows::collect(rows).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    let mut lines = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| text_value(column, row, style).unwrap_or("NULL".into()));
            lines.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    lines.sort();
    lines
}

/// The options of the generator.
fn generated(events: u64) -> String {
    format!(
        "'connector' = 'nexmark', 'events.num' = '{events}', 'next-event.rate' = '1000', 'first-event.rate' = '1000'"
    )
}

/// The rows of queries, in batch or streaming.
async fn all(queries: &[&'static str], shards: usize, mode: &str, source: &str) -> Vec<(&'static str, Vec<String>)> {
    let database = Database::start(Config { shards, ..Config::standard() }).unwrap();
    let mut session = database.session();
    run(&mut session, &events("events", source)).await;
    run(&mut session, &text("views")).await;
    run(&mut session, &format!("SET 'execution.runtime-mode' = '{mode}'")).await;
    let folder = tempfile::tempdir().unwrap();
    let mut results = Vec::new();
    for &name in queries {
        let (before, query) = query(name, folder.path());
        run(&mut session, &before).await;
        results.push((name, run(&mut session, &query).await));
    }
    database.shutdown();
    results
}

/// Fails where a query has other rows than it should.
pub(crate) fn compare<N: std::fmt::Display>(want: &[(N, Vec<String>)], got: &[(N, Vec<String>)], how: &str) {
    for ((name, want), (_, got)) in want.iter().zip(got) {
        assert!(!want.is_empty(), "{name} gives no rows");
        assert_eq!(want.len(), got.len(), "{name}, {how}: number of rows");
        if let Some((want, got)) = want.iter().zip(got).find(|(want, got)| want != got) {
            panic!("{name}, {how}: {got} instead of {want}");
        }
    }
}

/// Fails where a query has rows that it cannot have. `candidates`: the rows of [`Q19_CANDIDATES`].
fn compare_all(want: &[(&str, Vec<String>)], got: &[(&str, Vec<String>)], candidates: &[String], how: &str) {
    for ((name, want), (_, got)) in want.iter().zip(got) {
        match *name {
            "q19" => compare_top_ten(want, got, candidates, how),
            name => compare(&[(name, want.clone())], &[(name, got.clone())], how),
        }
    }
}

/// Fails where the rows are not ten first bids of each auction: each place has the price of the batch, and the bids are
/// among those that have these prices, each as often as it was made. So bids with a price that is not cut are all there.
fn compare_top_ten(want: &[String], got: &[String], candidates: &[String], how: &str) {
    let places = |rows: &[String]| {
        let mut places: Vec<[String; 3]> = rows
            .iter()
            .map(|row| {
                let cells: Vec<&str> = row.split('|').collect();
                [cells[0], cells[2], cells[cells.len() - 1]].map(str::to_owned)
            })
            .collect();
        places.sort();
        places
    };
    assert!(!want.is_empty() && places(want) == places(got), "q19, {how}: prices of the places");
    let bid = |row: &String| row.rsplit_once('|').unwrap().0.to_owned();
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    candidates.iter().for_each(|row| *left.entry(bid(row)).or_default() += 1);
    for row in got {
        let left = left.get_mut(&bid(row)).filter(|left| **left > 0);
        *left.unwrap_or_else(|| panic!("q19, {how}: {row} is no bid or there too often")) -= 1;
    }
}

#[test]
fn streaming_equals_batch() {
    let runtime = crate::runtime();
    runtime.block_on(async {
        let generator = generated(EVENTS);
        let want = all(&PLAIN, 2, "batch", &generator).await;
        for shards in [1, 4] {
            compare(&want, &all(&PLAIN, shards, "streaming", &generator).await, &format!("{shards} shards"));
        }
        let folder = tempfile::tempdir().unwrap();
        let database = Database::start(Config { shards: 2, ..Config::standard() }).unwrap();
        let mut session = database.session();
        run(&mut session, &events("events", &generator)).await;
        let files = format!("'connector' = 'filesystem', 'path' = '{}', 'format' = 'json'", folder.path().display());
        run(&mut session, &format!("CREATE TABLE kept ({}) WITH ({files})", text("columns"))).await;
        run(&mut session, "INSERT INTO kept SELECT event_type, person, auction, bid FROM events").await;
        database.shutdown();
        compare(&want, &all(&PLAIN, 2, "batch", &files).await, "files in batch");
        compare(&want, &all(&PLAIN, 2, "streaming", &files).await, "files");
    });
}

#[test]
fn joins_and_ranks_equal_batch() {
    let runtime = crate::runtime();
    runtime.block_on(async {
        let generator = generated(EVENTS);
        let queries: Vec<&str> = JOINS.into_iter().chain(["q19 candidates"]).collect();
        let mut want = all(&queries, 2, "batch", &generator).await;
        let (_, candidates) = want.pop().unwrap();
        compare_all(&want, &want, &candidates, "batch");
        for shards in [1, 4] {
            let got = all(&JOINS, shards, "streaming", &generator).await;
            compare_all(&want, &got, &candidates, &format!("{shards} shards"));
        }
    });
}
