-- Calculation: the time of day of bids within a range of prices, and a count of a letter in their text.
CREATE TABLE result (
  auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), bidTimeType VARCHAR, dateTime BIGINT, extra VARCHAR,
  c_counts BIGINT
) WITH ({sink});

INSERT INTO result
SELECT auction, bidder, price,
       CASE
         WHEN hour >= 8 AND hour <= 18 THEN 'dayTime'
         WHEN hour <= 6 OR hour >= 20 THEN 'nightTime'
         ELSE 'otherTime'
       END AS bidtimetype,
       millis, extra, CHAR_LENGTH(extra) - CHAR_LENGTH(REPLACE(extra, 'c', '')) AS c_counts
FROM (
  SELECT auction, bidder, 0.908 * price AS price, EXTRACT(HOUR FROM millis) AS hour, millis, extra
  FROM bid
) AS priced
WHERE price > 1000000 AND price < 50000000;
