-- Local items: who sells in Oregon, Idaho or California in category 10, and what.
CREATE TABLE result (name VARCHAR, city VARCHAR, state VARCHAR, id BIGINT) WITH ({sink});

INSERT INTO result
SELECT p.name AS name, p.city AS city, p.state AS state, a.id AS id
FROM auction AS a JOIN person AS p ON a.seller = p.id
WHERE a.category = 10 AND (p.state = 'OR' OR p.state = 'ID' OR p.state = 'CA');
