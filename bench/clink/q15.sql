-- Bidding statistics of a day: bids, bidders and auctions by level of price; CASE for FILTER, which it has not.
CREATE TABLE result (
  day VARCHAR,
  total_bids BIGINT, rank1_bids BIGINT, rank2_bids BIGINT, rank3_bids BIGINT,
  total_bidders BIGINT, rank1_bidders BIGINT, rank2_bidders BIGINT, rank3_bidders BIGINT,
  total_auctions BIGINT, rank1_auctions BIGINT, rank2_auctions BIGINT, rank3_auctions BIGINT
) WITH ({sink});

INSERT INTO result
SELECT day, COUNT(*) AS total_bids,
       COUNT(r1) AS rank1_bids, COUNT(r2) AS rank2_bids, COUNT(r3) AS rank3_bids,
       COUNT(DISTINCT bidder) AS total_bidders, COUNT(DISTINCT bidder1) AS rank1_bidders,
       COUNT(DISTINCT bidder2) AS rank2_bidders, COUNT(DISTINCT bidder3) AS rank3_bidders,
       COUNT(DISTINCT auction) AS total_auctions, COUNT(DISTINCT auction1) AS rank1_auctions,
       COUNT(DISTINCT auction2) AS rank2_auctions, COUNT(DISTINCT auction3) AS rank3_auctions
FROM (
  SELECT date_format(millis, 'yyyy-MM-dd') AS day, bidder, auction,
         CASE WHEN price < 10000 THEN 1 END AS r1,
         CASE WHEN price >= 10000 AND price < 1000000 THEN 1 END AS r2,
         CASE WHEN price >= 1000000 THEN 1 END AS r3,
         CASE WHEN price < 10000 THEN bidder END AS bidder1,
         CASE WHEN price >= 10000 AND price < 1000000 THEN bidder END AS bidder2,
         CASE WHEN price >= 1000000 THEN bidder END AS bidder3,
         CASE WHEN price < 10000 THEN auction END AS auction1,
         CASE WHEN price >= 10000 AND price < 1000000 THEN auction END AS auction2,
         CASE WHEN price >= 1000000 THEN auction END AS auction3
  FROM bid
) AS leveled
GROUP BY day;
