//! TPC-H's 22 queries as materialized views over tables that are filled by shuffled insertions in 100 batches and then
//! changed by 1,000 updates and deletions: at each tenth step some views in turn, and after some hundreds all of them, have
//! the rows of the batch. With `MILLSTREAM_TPCH=full` it is all of them at each tenth step, which takes minutes.
//!
//! The queries are those of the benchmark, in `queries.sql`, with parameters that fit the small data.

mod data;

use std::collections::HashMap;

use millstream_server::config::Config;
use millstream_server::session::{Database, Session};

use self::data::{TABLES, keys, row};
use super::generated::random::Random;
use super::generated::rows;

const SEED: u64 = 22;
const BATCHES: usize = 100;
const CHANGES: usize = 1_000;
/// Steps from one comparison of some views to the next, and of all views.
const EACH: usize = 10;
const EACH_ALL: usize = 250;
/// How many views are compared at a tenth step.
const IN_TURN: usize = 4;

const REVENUE: &str = "CREATE VIEW revenue0 (supplier_no, total_revenue) AS
SELECT l_suppkey, SUM(l_extendedprice * (1 - l_discount)) FROM lineitem
WHERE l_shipdate >= DATE '1996-01-01' AND l_shipdate < DATE '1996-01-01' + INTERVAL '3' MONTH
GROUP BY l_suppkey";

/// Rows that are there: the table's number, and the row's key.
type Keys = Vec<(usize, Vec<usize>)>;

/// The queries with their names.
fn queries() -> Vec<(&'static str, &'static str)> {
    let parts = include_str!("queries.sql").split("-- ").skip(1);
    let split = |part: &'static str| part.split_once('\n').unwrap();
    parts.map(split).map(|(name, text)| (name, text.trim().trim_end_matches(';'))).collect()
}

async fn run(session: &mut Session, sql: &str) -> Vec<String> {
    rows(session, sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}"))
}

fn column_names(table: usize) -> Vec<&'static str> {
    let columns = TABLES[table].columns.split(", ").filter(|column| column.contains('_'));
    columns.map(|column| column.trim().split(' ').next().unwrap()).collect()
}

/// The condition on the key of a row.
fn of_key(table: usize, key: &[usize]) -> String {
    let names = column_names(table);
    let parts = TABLES[table].key.iter().zip(key).map(|(column, value)| format!("{} = {value}", names[*column]));
    parts.collect::<Vec<_>>().join(" AND ")
}

/// Insertions of rows, one statement a table.
fn insertions(batch: &[(usize, Vec<usize>)], random: &mut Random) -> Vec<String> {
    let mut of_table: HashMap<usize, Vec<String>> = HashMap::new();
    for (table, key) in batch {
        of_table.entry(*table).or_default().push(format!("({})", row(*table, key, random).join(", ")));
    }
    let mut statements: Vec<String> = of_table
        .into_iter()
        .map(|(table, rows)| format!("INSERT INTO {} VALUES {}", TABLES[table].name, rows.join(", ")))
        .collect();
    statements.sort();
    statements
}

/// An update of one column or a deletion, mostly of orders and line items.
fn change(there: &mut Keys, random: &mut Random) -> String {
    let at = random.below(there.len());
    let (table, key) = there[at].clone();
    let name = TABLES[table].name;
    if random.chance(20) && table > 1 {
        there.swap_remove(at);
        return format!("DELETE FROM {name} WHERE {}", of_key(table, &key));
    }
    let names = column_names(table);
    let column = loop {
        let column = random.below(names.len());
        if !TABLES[table].key.contains(&column) {
            break column;
        }
    };
    let value = &row(table, &key, random)[column];
    format!("UPDATE {name} SET {} = {value} WHERE {}", names[column], of_key(table, &key))
}

/// Compares the views whose turn it is with the batch, and counts the rows that were compared.
async fn compare(session: &mut Session, step: usize, seen: &mut HashMap<&'static str, usize>) {
    let all = step.is_multiple_of(EACH_ALL)
        || step == BATCHES
        || step == BATCHES + CHANGES
        || std::env::var_os("MILLSTREAM_TPCH").is_some();
    let (first, count) = (step / EACH * IN_TURN, queries().len());
    for (number, (name, query)) in queries().into_iter().enumerate() {
        if !all && (number + count - first % count) % count >= IN_TURN {
            continue;
        }
        let want = run(session, query).await;
        let got = run(session, &format!("SELECT * FROM {name}")).await;
        assert_eq!(want, got, "{name}, after step {step}");
        *seen.entry(name).or_default() += want.iter().filter(|row| *row != "NULL").count();
    }
}

#[test]
fn all_queries_follow_insertions_updates_and_deletions() {
    let runtime = crate::runtime();
    runtime.block_on(async {
        let database = Database::start(Config { shards: 2, ..Config::standard() }).unwrap();
        let mut session = database.session();
        for table in &TABLES {
            let names = column_names(TABLES.iter().position(|other| other.name == table.name).unwrap());
            let key: Vec<&str> = table.key.iter().map(|&column| names[column]).collect();
            let key = key.join(", ");
            let (name, columns) = (table.name, table.columns);
            run(&mut session, &format!("CREATE TABLE {name} ({columns}, PRIMARY KEY ({key}) NOT ENFORCED)")).await;
        }
        run(&mut session, REVENUE).await;
        for (name, query) in queries() {
            run(&mut session, &format!("CREATE MATERIALIZED VIEW {name} AS {query}")).await;
        }
        let (mut random, mut seen) = (Random::new(SEED), HashMap::new());
        let mut there = keys(&mut random);
        random.shuffle(&mut there);
        for (number, batch) in there.chunks(there.len().div_ceil(BATCHES)).enumerate() {
            for statement in insertions(batch, &mut random) {
                run(&mut session, &statement).await;
            }
            if (number + 1).is_multiple_of(EACH) {
                compare(&mut session, number + 1, &mut seen).await;
            }
        }
        for number in 1..=CHANGES {
            run(&mut session, &change(&mut there, &mut random)).await;
            if number.is_multiple_of(EACH) {
                compare(&mut session, BATCHES + number, &mut seen).await;
            }
        }
        for (name, _) in queries() {
            assert!(seen[name] > 0, "{name} never had a row");
        }
        database.shutdown();
    });
}
