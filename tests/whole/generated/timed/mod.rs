//! Random queries over event time: windows, sessions, window joins and ranks, interval joins, OVER and first rows, over tables
//! with watermarks whose rows come in disorder, some of them late. What streaming drops as late is decided by the order of the
//! insertions alone: each row carries the watermarks that it met, and the batch leaves out the rows that came behind them.
//!
//! `MILLSTREAM_SEED` and `MILLSTREAM_CASES` count as for the other generated queries.

mod events;
mod query;

use std::collections::BTreeMap;

use millstream_server::config::Config;
use millstream_server::session::{Database, Session};

use self::events::{Events, TABLES};
use self::query::{Check, Queries, Timed};
use super::case::{difference, rows};
use super::random::Random;

const SEED: u64 = 20_270_101;
const CASES: usize = 400;
/// Views over the same tables.
const VIEWS: usize = 20;

/// One view: its number, the query that streaming runs and the one that the batch answers.
struct View {
    number: usize,
    streaming: String,
    batch: Timed,
}

/// Makes the views that streaming can keep; the words of refusals are counted.
async fn create(session: &mut Session, random: &mut Random, refused: &mut BTreeMap<String, usize>) -> Vec<View> {
    let mut views = Vec::new();
    for number in 0..VIEWS {
        // The same numbers make the same query in both forms.
        let mut again = random.clone();
        let streaming = Queries::new(random, false).make();
        let batch = Queries::new(&mut again, true).make();
        match rows(session, &format!("CREATE MATERIALIZED VIEW v{number} AS {}", streaming.sql)).await {
            Ok(_) => views.push(View { number, streaming: streaming.sql, batch }),
            Err(error) => *refused.entry(format!("{error}\n        {}", streaming.sql)).or_default() += 1,
        }
    }
    views
}

/// Compares a view with the batch, where the batch tells what it must have by now. Gives what differs.
async fn differs(session: &mut Session, view: &View, events: &Events, at_end: bool) -> Option<String> {
    let batch = &view.batch.sql;
    let wanted = match view.batch.check {
        Check::Always => batch.clone(),
        Check::Closed { low } => {
            let until = events.closed_until(low);
            format!("SELECT * FROM ({batch}) AS closed WHERE wend <= {until}")
        }
        Check::AtEnd if at_end => batch.clone(),
        Check::AtEnd => return None,
    };
    let want = rows(session, &wanted).await.unwrap_or_else(|error| panic!("{error}\n{wanted}"));
    match rows(session, &format!("SELECT * FROM v{}", view.number)).await {
        Ok(got) if got == want => None,
        Ok(got) => Some(format!("{}\ninstead of (batch)\n{wanted}\n{}", view.streaming, difference(&want, &got))),
        Err(error) => {
            let detail = error.parts().detail.clone().unwrap_or_default();
            Some(format!("{}\n{error}: {detail}", view.streaming))
        }
    }
}

/// Runs a case; gives what differs, with all insertions behind it, and how many views were as they should be.
async fn run(seed: u64, refused: &mut BTreeMap<String, usize>) -> (Vec<String>, usize) {
    let mut random = Random::new(seed);
    let shards = [1, 2, 4][random.below(3)];
    let database = Database::start(Config { shards, ..Config::standard() }).unwrap();
    let mut session = database.session();
    let mut events = Events::new(&mut random);
    for declaration in (0..TABLES).map(|table| events.declaration(table)).chain(Events::views()) {
        rows(&mut session, &declaration).await.unwrap_or_else(|error| panic!("{error}\n{declaration}"));
    }
    let mut views = create(&mut session, &mut random, refused).await;
    let mut failures = Vec::new();
    let steps = random.between(5, 9);
    let mut done = Vec::new();
    for step in 0..=steps {
        let inserts = match step {
            0 => events.first(),
            _ if step == steps => events.last(),
            _ => events.next(&mut random),
        };
        for insert in inserts {
            rows(&mut session, &insert).await.unwrap_or_else(|error| panic!("{error}\n{insert}"));
            done.push(insert);
        }
        let mut good = Vec::with_capacity(views.len());
        for view in views {
            match differs(&mut session, &view, &events, step == steps).await {
                None => good.push(view),
                Some(told) => failures.push(format!("step {step}, {shards} shards: {told}\n")),
            }
        }
        views = good;
    }
    database.shutdown();
    if !failures.is_empty() {
        failures.push(done.join(";\n"));
    }
    (failures, views.len())
}

#[test]
fn views_of_generated_queries_over_event_time_equal_the_batch_without_late_rows() {
    let runtime = crate::runtime();
    runtime.block_on(async {
        let first = super::from_environment("MILLSTREAM_SEED", SEED);
        let cases = super::from_environment("MILLSTREAM_CASES", u64::try_from(CASES).unwrap());
        let (mut refused, mut failed, mut held) = (BTreeMap::new(), Vec::new(), 0);
        for seed in first..first + cases.div_ceil(u64::try_from(VIEWS).unwrap()) {
            let (failures, compared) = run(seed, &mut refused).await;
            held += compared;
            if !failures.is_empty() {
                failed.push(format!("MILLSTREAM_SEED={seed} MILLSTREAM_CASES={VIEWS}\n{}", failures.join("\n")));
            }
        }
        eprintln!("seed {first}: {held} views held\nrefused:{}", super::told(&refused));
        assert!(failed.is_empty(), "{} cases differ from the batch:\n{}", failed.len(), failed.join("\n"));
        assert!(refused.is_empty(), "views are refused");
    });
}
