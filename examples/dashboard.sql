-- Live auctions: windows and totals kept up to date. Run it in psql, then read the views again and again.
CREATE TABLE events (
  event_type INT,
  bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, dateTime TIMESTAMP(3)>,
  ts AS bid.dateTime,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH ('connector' = 'nexmark', 'first-event.rate' = '1000', 'next-event.rate' = '1000', 'base-time' = 'now');

CREATE VIEW bids AS
SELECT bid.auction, bid.bidder, bid.price, bid.channel, ts FROM events WHERE event_type = 2;

CREATE MATERIALIZED VIEW revenue AS
SELECT window_start, window_end, count(*) AS bids, sum(price) AS revenue
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' SECOND))
GROUP BY window_start, window_end;

CREATE MATERIALIZED VIEW channels AS
SELECT channel, count(*) AS bids, count(DISTINCT bidder) AS bidders, max(price) AS high FROM bids GROUP BY channel;

SELECT * FROM revenue ORDER BY window_start DESC LIMIT 5;
SELECT * FROM channels ORDER BY bids DESC LIMIT 5;
