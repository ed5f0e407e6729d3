//! Nexmark's statements as it publishes them for Flink, and the catalog queries of PostgreSQL's tools.

use crate::ast::{ColumnKind, Statement};

use super::one;

const DATAGEN: &str = "CREATE TABLE datagen (
    event_type int,
    person ROW<
        id  BIGINT,
        name  VARCHAR,
        dateTime TIMESTAMP(3),
        extra  VARCHAR>,
    bid ROW<
        auction  BIGINT,
        dateTime  TIMESTAMP(3),
        extra  VARCHAR>,
    dateTime AS
        CASE
            WHEN event_type = 0 THEN person.dateTime
            WHEN event_type = 1 THEN auction.dateTime
            ELSE bid.dateTime
        END,
    WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND
) WITH (
    'connector' = 'nexmark',
    'first-event.rate' = '10000000',
    'events.num' = '0'
);";

#[test]
fn the_tables_parse() {
    let Statement::CreateTable(table) = one(DATAGEN) else { panic!("no table") };
    let names: Vec<_> = table.columns.iter().map(|column| column.name.value.as_str()).collect();
    assert_eq!(names, ["event_type", "person", "bid", "dateTime"]);
    assert!(matches!(table.columns[3].kind, ColumnKind::Computed(_)));
    assert_eq!(table.watermark.unwrap().expr.to_string(), "dateTime - INTERVAL '4' SECOND");
    assert_eq!(table.options[0].0, "connector");
    let sink = "CREATE TABLE nexmark_q10 (auction BIGINT, `value` VARCHAR, dt STRING, hm STRING)
        PARTITIONED BY (dt, hm) WITH ('connector' = 'filesystem', 'partition.time-extractor.timestamp-pattern' = '$dt $hm:00')";
    let Statement::CreateTable(table) = one(sink) else { panic!("no table") };
    assert_eq!(table.partitioned_by.len(), 2);
    assert_eq!(table.columns[1].name.value, "value");
}

#[test]
fn the_queries_parse() {
    let queries = [
        "CREATE VIEW person AS SELECT person.id, person.name, dateTime, person.extra FROM datagen WHERE event_type = 0",
        "CREATE VIEW B AS SELECT *, PROCTIME() as p_time FROM bid;",
        "INSERT INTO q1 SELECT auction, bidder, 0.908 * price as price, dateTime, extra FROM bid",
        "INSERT INTO q2 SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0",
        "INSERT INTO q5 SELECT AuctionBids.auction, AuctionBids.num
         FROM (
           SELECT auction, count(*) AS num, window_start AS starttime, window_end AS endtime
           FROM TABLE(HOP(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
           GROUP BY auction, window_start, window_end
         ) AS AuctionBids
         JOIN (SELECT max(CountBids.num) AS maxn, CountBids.starttime, CountBids.endtime
           FROM (
             SELECT count(*) AS num, window_start AS starttime, window_end AS endtime
             FROM TABLE(HOP(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
             GROUP BY auction, window_start, window_end) AS CountBids
           GROUP BY CountBids.starttime, CountBids.endtime) AS MaxBids
         ON AuctionBids.starttime = MaxBids.starttime AND AuctionBids.endtime = MaxBids.endtime
            AND AuctionBids.num >= MaxBids.maxn",
        "INSERT INTO q7 SELECT B.auction, B.price FROM bid B JOIN (
           SELECT MAX(price) AS maxprice, window_end as dateTime
           FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
           GROUP BY window_start, window_end) B1
         ON B.price = B1.maxprice
         WHERE B.dateTime BETWEEN B1.dateTime - INTERVAL '10' SECOND AND B1.dateTime",
        "INSERT INTO q9 SELECT id, `value` FROM (SELECT A.*, B.auction,
           ROW_NUMBER() OVER (PARTITION BY A.id ORDER BY B.price DESC, B.dateTime ASC) AS rownum
           FROM auction A, bid B WHERE A.id = B.auction AND B.dateTime BETWEEN A.dateTime AND A.expires)
         WHERE rownum <= 1",
        "INSERT INTO q10 SELECT auction, DATE_FORMAT(dateTime, 'yyyy-MM-dd'), DATE_FORMAT(dateTime, 'HH:mm') FROM bid",
        "INSERT INTO q11 SELECT B.bidder, count(*) as bid_count,
           SESSION_START(B.dateTime, INTERVAL '10' SECOND) as starttime,
           SESSION_END(B.dateTime, INTERVAL '10' SECOND) as endtime
         FROM bid B GROUP BY B.bidder, SESSION(B.dateTime, INTERVAL '10' SECOND)",
        "INSERT INTO q13 SELECT B.auction, S.`value` FROM (SELECT *, PROCTIME() as p_time FROM bid) B
         JOIN side_input FOR SYSTEM_TIME AS OF B.p_time AS S ON mod(B.auction, 10000) = S.key",
        "INSERT INTO q14 SELECT auction, 0.908 * price as price,
           CASE WHEN HOUR(dateTime) >= 8 AND HOUR(dateTime) <= 18 THEN 'dayTime' ELSE 'otherTime' END AS bidTimeType,
           count_char(extra, 'c') AS c_counts FROM bid WHERE 0.908 * price > 1000000",
        "INSERT INTO q16 SELECT channel, DATE_FORMAT(dateTime, 'yyyy-MM-dd') as `day`,
           max(DATE_FORMAT(dateTime, 'HH:mm')) as `minute`, count(*) filter (where price < 10000) AS rank1_bids,
           count(distinct bidder) filter (where price >= 10000 and price < 1000000) AS rank2_bidders
         FROM bid GROUP BY channel, DATE_FORMAT(dateTime, 'yyyy-MM-dd')",
        "INSERT INTO q21 SELECT auction, CASE WHEN lower(channel) = 'apple' THEN '0'
           ELSE REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) END AS channel_id FROM bid
         where REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) is not null or lower(channel) in ('apple', 'google')",
        "INSERT INTO q22 SELECT auction, SPLIT_INDEX(url, '/', 3) as dir1 FROM bid",
        "SELECT * FROM TABLE(SESSION(DATA => TABLE bid PARTITION BY bidder, TIMECOL => DESCRIPTOR(ts), GAP => INTERVAL '5' MINUTES))",
        "SELECT * FROM TABLE(CUMULATE(TABLE bid, DESCRIPTOR(ts), INTERVAL '2' MINUTES, INTERVAL '10' MINUTES))",
        "CREATE FUNCTION count_char(s STRING, c STRING) RETURNS BIGINT
         RETURN CHAR_LENGTH(s) - CHAR_LENGTH(REPLACE(s, c, ''))",
    ];
    for query in queries {
        one(query);
    }
}

#[test]
fn the_tools_parse() {
    let queries = [
        "SELECT n.nspname as \"Schema\", c.relname as \"Name\",
           CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' END as \"Type\",
           pg_catalog.pg_get_userbyid(c.relowner) as \"Owner\"
         FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r','p','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast'
           AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2;",
        "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c
           LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relname OPERATOR(pg_catalog.~) '^(bid)$' COLLATE pg_catalog.default
           AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3;",
        "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
           (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d
            WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), a.attnotnull
         FROM pg_catalog.pg_attribute a WHERE a.attrelid = '16384' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;",
        "SELECT 'bid'::pg_catalog.regclass::oid, relname::name, x::\"char\" FROM pg_class",
        "SELECT ARRAY(SELECT unnest(a.attoptions)) FROM pg_attribute a",
        "select current_user, version(), current_setting('server_version_num')::int / 100",
    ];
    for query in queries {
        assert!(matches!(one(query), Statement::Query(_)), "{query}");
    }
}
