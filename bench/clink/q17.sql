-- Auction statistics of a day: bids by level of price, and the prices; the mean as a double.
CREATE TABLE result (
  auction BIGINT, day VARCHAR,
  total_bids BIGINT, rank1_bids BIGINT, rank2_bids BIGINT, rank3_bids BIGINT,
  min_price BIGINT, max_price BIGINT, avg_price DOUBLE, sum_price BIGINT
) WITH ({sink});

INSERT INTO result
SELECT auction, day,
       COUNT(*) AS total_bids, COUNT(r1) AS rank1_bids, COUNT(r2) AS rank2_bids, COUNT(r3) AS rank3_bids,
       MIN(price) AS min_price, MAX(price) AS max_price, AVG(price) AS avg_price, SUM(price) AS sum_price
FROM (
  SELECT auction, date_format(millis, 'yyyy-MM-dd') AS day, price,
         CASE WHEN price < 10000 THEN 1 END AS r1,
         CASE WHEN price >= 10000 AND price < 1000000 THEN 1 END AS r2,
         CASE WHEN price >= 1000000 THEN 1 END AS r3
  FROM bid
) AS leveled
GROUP BY auction, day;
