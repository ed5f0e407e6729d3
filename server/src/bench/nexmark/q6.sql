-- Average selling price of a seller: over the winning bids of the last ten auctions before each.
CREATE TABLE q6 (seller BIGINT, mean DECIMAL(38, 6)) WITH ('connector' = 'blackhole');

INSERT INTO q6
SELECT won.seller,
       avg(won.price) OVER (PARTITION BY won.seller ORDER BY won.dateTime, won.id ROWS BETWEEN 10 PRECEDING AND CURRENT ROW)
FROM (
  SELECT *
  FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY id, seller ORDER BY price DESC, dateTime) AS place
    FROM (
      SELECT a.id, a.seller, b.price, b.dateTime
      FROM auction AS a, bid AS b
      WHERE a.id = b.auction AND b.dateTime BETWEEN a.dateTime AND a.expires
    )
  )
  WHERE place <= 1
) AS won;
