-- New users: persons that opened an auction in the 10 seconds in which they entered.
CREATE TABLE result (id BIGINT, name VARCHAR, stime BIGINT) WITH ({sink});

INSERT INTO result
SELECT entered.id AS id, entered.name AS name, entered.starttime AS stime
FROM (
  SELECT id, name, window_start AS starttime, COUNT(*) AS events
  FROM person
  GROUP BY TUMBLE(millis, INTERVAL '10' SECOND), id, name
) AS entered
JOIN (
  SELECT seller, window_start AS starttime, COUNT(*) AS events
  FROM auction
  GROUP BY TUMBLE(millis, INTERVAL '10' SECOND), seller
) AS opened
ON entered.id = opened.seller
WHERE entered.starttime = opened.starttime;
