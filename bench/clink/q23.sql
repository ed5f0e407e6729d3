-- Bids with the bidder and the auctions that the bidder opened.
CREATE TABLE result (
  bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, bid_extra VARCHAR,
  person_id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR, city VARCHAR, state VARCHAR,
  person_extra VARCHAR, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT,
  auction_dateTime BIGINT, expires BIGINT, seller BIGINT, category BIGINT, auction_extra VARCHAR
) WITH ({sink});

INSERT INTO result
SELECT b.bidder AS bidder, b.price AS price, b.channel AS channel, b.url AS url, b.extra AS bid_extra,
       p.id AS person_id, p.name AS name, p."emailAddress" AS email, p."creditCard" AS card, p.city AS city,
       p.state AS state, p.extra AS person_extra, a."itemName" AS item, a.description AS description,
       a."initialBid" AS initial, a.reserve AS reserve, a.millis AS auction_millis, a."expiresMillis" AS expires,
       a.seller AS seller, a.category AS category, a.extra AS auction_extra
FROM bid AS b JOIN person AS p ON p.id = b.bidder JOIN auction AS a ON a.seller = b.bidder;
