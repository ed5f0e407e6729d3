-- User sessions: the bids of each bidder between two pauses of 10 seconds.
CREATE TABLE q11 (bidder BIGINT, bid_count BIGINT, starttime TIMESTAMP(3), endtime TIMESTAMP(3))
WITH ('connector' = 'blackhole');

INSERT INTO q11
SELECT b.bidder, count(*) AS bid_count,
       SESSION_START(b.dateTime, INTERVAL '10' SECOND) AS starttime,
       SESSION_END(b.dateTime, INTERVAL '10' SECOND) AS endtime
FROM bid b
GROUP BY b.bidder, SESSION(b.dateTime, INTERVAL '10' SECOND);
