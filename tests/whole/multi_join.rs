//! Which joins `EXPLAIN` shows as one; their rows are in `sqllogictest/multi_join.slt`.

use millstream_server::config::Config;
use millstream_server::session::Database;

use crate::nexmark::run;

/// The tables of the tests.
const TABLES: &str = "
CREATE TABLE bid (bidder BIGINT, kind INT, price BIGINT) WITH ('connector' = 'datagen');
CREATE TABLE person (id BIGINT, kind INT, name STRING) WITH ('connector' = 'datagen');
CREATE TABLE auction (id BIGINT, seller BIGINT, kind INT, item STRING) WITH ('connector' = 'datagen');
CREATE TABLE changed (id BIGINT PRIMARY KEY NOT ENFORCED, name STRING);
";

const ONE_KEY: &str =
    "SELECT price, name, item FROM bid b JOIN person p ON p.id = b.bidder JOIN auction a ON a.seller = p.id";

#[test]
fn joins_on_one_key_of_inputs_that_only_grow_are_one() {
    let one = [
        (ONE_KEY.to_owned(), "MultiJoin inner on bidder = id = seller"),
        (
            "SELECT price, item, name FROM bid b JOIN person p ON p.id = b.bidder AND p.kind = b.kind \
             JOIN auction a ON a.kind = b.kind AND a.seller = p.id"
                .to_owned(),
            "MultiJoin inner on bidder = id = seller and kind = kind = kind",
        ),
        (
            ONE_KEY.replace("price, name", "price, q.name") + " JOIN person q ON q.id = a.seller",
            "MultiJoin inner on bidder = id = seller = id",
        ),
    ];
    let several = [
        // Another key; rows that are taken back; rows that are forgotten; rows without a partner.
        "SELECT price, item FROM bid b JOIN person p ON p.id = b.bidder JOIN auction a ON a.id = b.price".to_owned(),
        "SELECT price, item FROM bid b JOIN changed c ON c.id = b.bidder JOIN auction a ON a.seller = b.bidder"
            .to_owned(),
        ONE_KEY.replacen("SELECT", "SELECT /*+ STATE_TTL('b' = '1 d', 'p' = '1 d') */", 1),
        ONE_KEY.replace("b JOIN", "b LEFT JOIN"),
    ];
    crate::runtime().block_on(async {
        let database = Database::start(Config { shards: 2, ..Config::standard() }).unwrap();
        let mut session = database.session();
        run(&mut session, TABLES).await;
        let explained = |query: &str| format!("EXPLAIN CREATE MATERIALIZED VIEW v AS {query}");
        for (query, said) in one {
            let plan = run(&mut session, &explained(&query)).await.join("\n");
            assert!(plan.contains(said) && !plan.contains(" Join inner"), "\"{said}\" is not in\n{plan}");
        }
        for query in several {
            let plan = run(&mut session, &explained(&query)).await.join("\n");
            assert!(plan.contains(" Join ") && !plan.contains("MultiJoin"), "one join in\n{plan}");
        }
        database.shutdown();
    });
}
