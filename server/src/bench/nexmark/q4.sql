-- Average price of a category: the mean of the winning bids of its auctions.
CREATE TABLE q4 (category BIGINT, mean DECIMAL(38, 6)) WITH ('connector' = 'blackhole');

INSERT INTO q4
SELECT won.category, avg(won.final)
FROM (
  SELECT max(b.price) AS final, a.category
  FROM auction a, bid b
  WHERE a.id = b.auction AND b.dateTime BETWEEN a.dateTime AND a.expires
  GROUP BY a.id, a.category
) won
GROUP BY won.category;
