-- An auction house into topics; windows and a join over them into another, exactly once; a view over that: see README.md.
CREATE TABLE events (
  event_type INT,
  auction ROW<id BIGINT, itemName VARCHAR, category BIGINT>,
  bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, dateTime TIMESTAMP(3)>
) WITH ('connector' = 'nexmark', 'first-event.rate' = '1000', 'next-event.rate' = '1000', 'base-time' = 'now');

CREATE TABLE bids (
  auction BIGINT,
  price BIGINT,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = 'bids',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'scan.startup.mode' = 'earliest-offset',
  'key.format' = 'json',
  'key.fields' = 'auction',
  'value.format' = 'json'
);

CREATE TABLE auctions (id BIGINT, item VARCHAR, category BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'auctions',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'key.format' = 'json',
  'value.format' = 'json'
);

-- What consumers with isolation.level = read_committed see of it is there once, whatever dies on the way.
CREATE TABLE sales (
  window_start TIMESTAMP(3),
  auction BIGINT,
  item VARCHAR,
  bids BIGINT,
  high BIGINT,
  PRIMARY KEY (window_start, auction) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'sales',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'key.format' = 'json',
  'value.format' = 'json',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'auctions'
);

INSERT INTO auctions SELECT auction.id, auction.itemName, auction.category FROM events WHERE event_type = 1;

INSERT INTO bids SELECT bid.auction, bid.price, bid.dateTime FROM events WHERE event_type = 2;

INSERT INTO sales
SELECT w.window_start, w.auction, a.item, w.bids, w.high
FROM (
  SELECT window_start, auction, count(*) AS bids, max(price) AS high
  FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' SECOND))
  GROUP BY window_start, window_end, auction
) AS w
JOIN auctions AS a ON a.id = w.auction;

CREATE MATERIALIZED VIEW latest AS
SELECT window_start, count(*) AS auctions, sum(bids) AS bids, max(high) AS high FROM sales GROUP BY window_start;
