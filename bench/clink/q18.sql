-- Last bid: the latest bid of each bidder on each auction.
CREATE TABLE result (
  auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, dateTime BIGINT, extra VARCHAR
) WITH ({sink});

INSERT INTO result
SELECT auction, bidder, price, channel, url, millis, extra
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY millis DESC) AS place FROM bid) AS ranked
WHERE place = 1;
