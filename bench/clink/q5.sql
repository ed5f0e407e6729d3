-- Hot items: the auctions with the most bids in the last 10 seconds, every 2 seconds; a rank instead of the join.
CREATE TABLE result (auction BIGINT, num BIGINT) WITH ({sink});

INSERT INTO result
SELECT auction, num
FROM (
  SELECT *, RANK() OVER (PARTITION BY starttime ORDER BY num DESC) AS place
  FROM (
    SELECT auction, COUNT(*) AS num, window_start AS starttime
    FROM bid
    GROUP BY HOP(millis, INTERVAL '10' SECOND, INTERVAL '2' SECOND), auction
  ) AS counted
) AS ranked
WHERE place <= 1;
