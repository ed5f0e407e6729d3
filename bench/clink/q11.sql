-- User sessions: the bids of each bidder between two pauses of 10 seconds.
CREATE TABLE result (bidder BIGINT, bid_count BIGINT, starttime BIGINT, endtime BIGINT) WITH ({sink});

INSERT INTO result
SELECT bidder, COUNT(*) AS bid_count, window_start AS starttime, window_end AS endtime
FROM bid
GROUP BY SESSION(millis, INTERVAL '10' SECOND), bidder;
