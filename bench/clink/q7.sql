-- Highest bid: the bids with the greatest price of each 10 seconds.
CREATE TABLE result (auction BIGINT, bidder BIGINT, price BIGINT, dateTime BIGINT, extra VARCHAR) WITH ({sink});

INSERT INTO result
SELECT b.auction AS auction, b.bidder AS bidder, b.price AS price, b.millis AS millis, b.extra AS extra
FROM bid AS b
JOIN (
  SELECT MAX(price) AS most, window_end AS ended
  FROM bid
  GROUP BY TUMBLE(millis, INTERVAL '10' SECOND)
) AS highest
ON b.price = highest.most
WHERE b.millis >= highest.ended - 10000 AND b.millis <= highest.ended;
