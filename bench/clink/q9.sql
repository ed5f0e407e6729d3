-- Winning bids: each auction with its highest bid, the first of equal ones.
CREATE TABLE result (
  id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT, dateTime BIGINT,
  expires BIGINT, seller BIGINT, category BIGINT, extra VARCHAR,
  auction BIGINT, bidder BIGINT, price BIGINT, bid_dateTime BIGINT, bid_extra VARCHAR
) WITH ({sink});

INSERT INTO result
SELECT id, item, description, initial, reserve, opened, expires, seller, category, extra,
       auction, bidder, price, bid_millis, bid_extra
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY price DESC, bid_millis ASC) AS place
  FROM (
    SELECT a.id AS id, a."itemName" AS item, a.description AS description, a."initialBid" AS initial,
           a.reserve AS reserve, a.millis AS opened, a."expiresMillis" AS expires, a.seller AS seller,
           a.category AS category, a.extra AS extra, b.auction AS auction, b.bidder AS bidder, b.price AS price,
           b.millis AS bid_millis, b.extra AS bid_extra
    FROM auction AS a JOIN bid AS b ON a.id = b.auction
    WHERE b.millis >= a.millis AND b.millis <= a."expiresMillis"
  ) AS joined
) AS ranked
WHERE place <= 1;
