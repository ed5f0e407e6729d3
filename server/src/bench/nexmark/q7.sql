-- Highest bid: the bids with the greatest price of each 10 seconds.
CREATE TABLE q7 (auction BIGINT, bidder BIGINT, price BIGINT, dateTime TIMESTAMP(3), extra VARCHAR)
WITH ('connector' = 'blackhole');

INSERT INTO q7
SELECT b.auction, b.bidder, b.price, b.dateTime, b.extra
FROM bid b
JOIN (
  SELECT max(price) AS most, window_end AS ended
  FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
  GROUP BY window_start, window_end
) highest
ON b.price = highest.most
WHERE b.dateTime BETWEEN highest.ended - INTERVAL '10' SECOND AND highest.ended;
