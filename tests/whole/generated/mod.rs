//! Random queries over random tables: each is a materialized view that must have, after every step of insertions, updates
//! and deletions, the rows that the batch gives for its text.
//!
//! `MILLSTREAM_SEED` is the seed of the first case (each has tables of its own and 20 views) and `MILLSTREAM_CASES` says how
//! many views there are in all. A case that fails is made small and printed as it should stand in
//! `sqllogictest/generated.slt`.

mod case;
mod expr;
mod query;
pub(crate) mod random;
mod shrink;
mod timed;
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use self::case::{Case, Report, VIEWS};

pub(crate) use self::case::rows;

/// The seed of every run in CI.
const SEED: u64 = 20_260_101;
const CASES: usize = 1_000;
/// Cases that run at the same time.
const AT_ONCE: usize = 2;
/// How many cases that fail are made small.
const SHRUNK_MAX: usize = 8;
/// How many of a hundred views may be refused.
const REFUSED_PERCENT_MAX: usize = 3;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn told(counts: &BTreeMap<String, usize>) -> String {
    counts.iter().fold(String::new(), |mut text, (words, count)| {
        write!(text, "\n{count:5} × {words}").unwrap();
        text
    })
}

async fn reports(seed: u64, worlds: u64) -> Vec<(u64, Report)> {
    let mut running = tokio::task::JoinSet::new();
    let mut done = Vec::new();
    for seed in seed..seed + worlds {
        if running.len() == AT_ONCE {
            done.push(running.join_next().await.unwrap().unwrap());
        }
        running.spawn(async move { (seed, Case::new(seed).run().await) });
    }
    done.extend(running.join_all().await);
    done.sort_by_key(|(seed, _)| *seed);
    done
}

#[test]
fn views_of_generated_queries_equal_the_batch() {
    let runtime = crate::runtime();
    runtime.block_on(async {
        let seed = from_environment("MILLSTREAM_SEED", SEED);
        let cases = usize::try_from(from_environment("MILLSTREAM_CASES", u64::try_from(CASES).unwrap())).unwrap();
        let worlds = u64::try_from(cases.div_ceil(VIEWS)).unwrap();
        let (mut refused, mut unanswered) = (BTreeMap::new(), BTreeMap::new());
        let (mut held, mut shrunk, mut failed) = (0, 0, String::new());
        for (seed, report) in reports(seed, worlds).await {
            held += report.held;
            for (sum, part) in [(&mut refused, report.refused), (&mut unanswered, report.unanswered)] {
                part.into_iter().for_each(|(words, count)| *sum.entry(words).or_default() += count);
            }
            if let Some(failure) = report.failures.first() {
                let views = report.failures.len();
                write!(failed, "\nMILLSTREAM_SEED={seed} MILLSTREAM_CASES={VIEWS}: {views} views\n").unwrap();
                // Making small takes time: whoever breaks much sees the first ones.
                shrunk += 1;
                if shrunk <= SHRUNK_MAX {
                    failed += &shrink::smallest(Case::new(seed), failure.clone()).await;
                }
            }
        }
        eprintln!("seed {seed}: {held} views held in {worlds} databases");
        eprintln!("refused:{}\nwithout a batch answer:{}", told(&refused), told(&unanswered));
        assert!(failed.is_empty(), "views differ from the batch:\n{failed}");
        let share = refused.values().sum::<usize>() * 100;
        assert!(share <= cases * REFUSED_PERCENT_MAX, "too many views are refused");
        let lost = unanswered.values().sum::<usize>() * 100;
        assert!(lost <= cases * REFUSED_PERCENT_MAX, "too many queries have no answer");
    });
}
