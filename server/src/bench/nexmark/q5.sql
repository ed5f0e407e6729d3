-- Hot items: the auctions with the most bids in the last 10 seconds, every 2 seconds.
CREATE TABLE q5 (auction BIGINT, num BIGINT) WITH ('connector' = 'blackhole');

INSERT INTO q5
SELECT counted.auction, counted.num
FROM (
  SELECT auction, count(*) AS num, window_start AS starttime, window_end AS endtime
  FROM TABLE(HOP(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
  GROUP BY auction, window_start, window_end
) AS counted
JOIN (
  SELECT max(each.num) AS maxn, each.starttime, each.endtime
  FROM (
    SELECT count(*) AS num, window_start AS starttime, window_end AS endtime
    FROM TABLE(HOP(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
    GROUP BY auction, window_start, window_end
  ) AS each
  GROUP BY each.starttime, each.endtime
) AS most
ON counted.starttime = most.starttime AND counted.endtime = most.endtime AND counted.num >= most.maxn;
