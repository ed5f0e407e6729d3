-- Pass through: every bid as it is.
CREATE TABLE result (auction BIGINT, bidder BIGINT, price BIGINT, dateTime BIGINT, extra VARCHAR) WITH ({sink});

INSERT INTO result
SELECT auction, bidder, price, millis, extra FROM bid;
