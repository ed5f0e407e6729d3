-- Bounded side input join: each bid with the value that a file has for its auction.
CREATE TABLE side_input (key BIGINT, `value` VARCHAR) WITH (
  'connector' = 'filesystem',
  'path' = '{output}/side_input',
  'format' = 'csv'
);

CREATE TABLE numbers (key BIGINT) WITH (
  'connector' = 'datagen',
  'number-of-rows' = '10000',
  'fields.key.kind' = 'sequence',
  'fields.key.start' = '0',
  'fields.key.end' = '9999'
);

INSERT INTO side_input SELECT key, CAST(key AS VARCHAR) || ' of 10000' FROM numbers;

CREATE TABLE q13 (auction BIGINT, bidder BIGINT, price BIGINT, dateTime TIMESTAMP(3), `value` VARCHAR)
WITH ('connector' = 'blackhole');

INSERT INTO q13
SELECT B.auction, B.bidder, B.price, B.dateTime, S.`value`
FROM (SELECT *, PROCTIME() AS p_time FROM bid) B
JOIN side_input FOR SYSTEM_TIME AS OF B.p_time AS S ON mod(B.auction, 10000) = S.key;
