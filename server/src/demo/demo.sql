CREATE TABLE events (
  event_type INT,
  person ROW<id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR, city VARCHAR, state VARCHAR,
             dateTime TIMESTAMP(3), extra VARCHAR>,
  auction ROW<id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT,
              dateTime TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra VARCHAR>,
  bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR,
          dateTime TIMESTAMP(3), extra VARCHAR>,
  dateTime AS CASE WHEN event_type = 0 THEN person.dateTime WHEN event_type = 1 THEN auction.dateTime
              ELSE bid.dateTime END,
  WATERMARK FOR dateTime AS dateTime
) WITH (
  'connector' = 'nexmark', 'first-event.rate' = '1000', 'next-event.rate' = '1000', 'base-time' = 'now'
);

CREATE VIEW bid AS
SELECT bid.auction, bid.bidder, bid.price, bid.channel, dateTime FROM events WHERE event_type = 2;

CREATE MATERIALIZED VIEW bids_per_second AS
SELECT window_start, window_end, count(*) AS bids, sum(price) AS revenue, avg(price) AS average
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '1' SECOND))
GROUP BY window_start, window_end;

CREATE MATERIALIZED VIEW hot_auctions AS
SELECT auction, window_start, window_end, count(*) AS bids, max(price) AS high
FROM TABLE(HOP(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '1' SECOND, INTERVAL '10' SECOND))
GROUP BY auction, window_start, window_end;

CREATE MATERIALIZED VIEW channels AS
SELECT channel, count(*) AS bids, count(DISTINCT bidder) AS bidders, max(price) AS high
FROM bid
GROUP BY channel;
