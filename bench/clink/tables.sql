-- The same files in clink's words: the event time is a column of milliseconds, and a watermark follows it by four seconds.
CREATE TABLE person (
  id BIGINT, name VARCHAR, "emailAddress" VARCHAR, "creditCard" VARCHAR, city VARCHAR, state VARCHAR, millis BIGINT,
  extra VARCHAR
) WITH (connector='file', format='json', path='{person}', event_time_column='millis', watermark_lag_ms='4000');

CREATE TABLE auction (
  id BIGINT, "itemName" VARCHAR, description VARCHAR, "initialBid" BIGINT, reserve BIGINT, millis BIGINT,
  "expiresMillis" BIGINT, seller BIGINT, category BIGINT, extra VARCHAR
) WITH (connector='file', format='json', path='{auction}', event_time_column='millis', watermark_lag_ms='4000');

CREATE TABLE bid (
  auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, millis BIGINT, extra VARCHAR
) WITH (connector='file', format='json', path='{bid}', event_time_column='millis', watermark_lag_ms='4000');
