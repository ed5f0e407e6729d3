-- Bids with their auction, of category 10.
CREATE TABLE result (
  auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, bid_dateTime BIGINT,
  bid_extra VARCHAR, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT,
  auction_dateTime BIGINT, expires BIGINT, seller BIGINT, category BIGINT, auction_extra VARCHAR
) WITH ({sink});

INSERT INTO result
SELECT b.auction AS auction, b.bidder AS bidder, b.price AS price, b.channel AS channel, b.url AS url,
       b.millis AS bid_millis, b.extra AS bid_extra, a."itemName" AS item, a.description AS description,
       a."initialBid" AS initial, a.reserve AS reserve, a.millis AS auction_millis, a."expiresMillis" AS expires,
       a.seller AS seller, a.category AS category, a.extra AS auction_extra
FROM bid AS b JOIN auction AS a ON b.auction = a.id
WHERE a.category = 10;
