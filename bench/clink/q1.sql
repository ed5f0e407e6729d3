-- Currency conversion: the price of every bid, exactly.
CREATE TABLE result (
  auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), dateTime BIGINT, extra VARCHAR
) WITH ({sink});

INSERT INTO result
SELECT auction, bidder, 0.908 * price AS price, millis, extra FROM bid;
