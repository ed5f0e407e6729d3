-- One file for each kind of event, with the event time in milliseconds: the form that every engine here can read.
CREATE TABLE persons (
  id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR, city VARCHAR, state VARCHAR, millis BIGINT,
  extra VARCHAR,
  dateTime AS CAST(TO_TIMESTAMP_LTZ(millis, 3) AS TIMESTAMP(3)),
  WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND
) WITH ('connector' = 'filesystem', 'path' = '{data}/person', 'format' = 'json');

CREATE TABLE auctions (
  id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT, millis BIGINT,
  expiresMillis BIGINT, seller BIGINT, category BIGINT, extra VARCHAR,
  dateTime AS CAST(TO_TIMESTAMP_LTZ(millis, 3) AS TIMESTAMP(3)),
  WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND
) WITH ('connector' = 'filesystem', 'path' = '{data}/auction', 'format' = 'json');

CREATE TABLE bids (
  auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, millis BIGINT, extra VARCHAR,
  dateTime AS CAST(TO_TIMESTAMP_LTZ(millis, 3) AS TIMESTAMP(3)),
  WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND
) WITH ('connector' = 'filesystem', 'path' = '{data}/bid', 'format' = 'json');

CREATE VIEW person AS
SELECT id, name, emailAddress, creditCard, city, state, dateTime, extra FROM persons;

CREATE VIEW auction AS
SELECT id, itemName, description, initialBid, reserve, dateTime,
       CAST(TO_TIMESTAMP_LTZ(expiresMillis, 3) AS TIMESTAMP(3)) AS expires, seller, category, extra
FROM auctions;

CREATE VIEW bid AS
SELECT auction, bidder, price, channel, url, dateTime, extra FROM bids;
