-- Bids with the bidder and the auctions that the bidder opened.
CREATE TABLE q23 (
  bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, bid_extra VARCHAR,
  person_id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR, city VARCHAR, state VARCHAR,
  person_extra VARCHAR, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT,
  auction_dateTime TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, auction_extra VARCHAR
) WITH ('connector' = 'blackhole');

INSERT INTO q23
SELECT bidder, price, channel, url, b.extra AS bid_extra,
       p.id AS person_id, name, emailAddress, creditCard, city, state, p.extra AS person_extra,
       itemName, description, initialBid, reserve, a.dateTime AS auction_dateTime, expires, seller, category,
       a.extra AS auction_extra
FROM bid b JOIN person p ON p.id = b.bidder JOIN auction a ON a.seller = b.bidder;
