"""What the sink writes and refuses: metadata, partitioners, messages that are too large, exactly once by statement and by key."""

import json
import time

from support import check, wait_until

ONCE = "'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'sink'"
EARLIEST = "'scan.startup.mode' = 'earliest-offset'"


def metadata(db, kafka, table, rows, fails):
    """Timestamps and headers are written; other metadata are not."""
    address = kafka.address
    kafka.create("out_meta")
    columns = ("a BIGINT, ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', b STRING, headers MAP<STRING, BYTES> METADATA, "
               "o BIGINT METADATA FROM 'offset' VIRTUAL")
    db.execute(table("out_meta", columns, "out_meta", address, EARLIEST))
    db.execute("""INSERT INTO out_meta SELECT 1, TO_TIMESTAMP_LTZ(1700000000123, 3), 'x',
        MAP['h', CAST('v' AS BYTES), 'n', CAST(NULL AS BYTES)]""")
    db.execute("INSERT INTO out_meta (a, b) VALUES (2, 'y')")
    found = rows(db, "SELECT a, extract(epoch FROM ts), b, o FROM out_meta ORDER BY a")
    check("a timestamp is written", (found[0][0], float(found[0][1]), *found[0][2:]), (1, 1700000000.123, "x", 0))
    check("without one it is the time of sending", abs(float(found[1][1]) - time.time()) < 60, True)
    headers = str(rows(db, "SELECT headers FROM out_meta ORDER BY a")[0][0])
    check("headers are written", ("h" in headers and "76" in headers and "n" in headers) or headers, True)
    check("values leave metadata out", [value for _, _, value in kafka.read("out_meta")],
          [b'{"a":1,"b":"x"}', b'{"a":2,"b":"y"}'])
    db.execute(table("out_topic", "a BIGINT, t STRING METADATA FROM 'topic'", "out_meta", address))
    error = fails(db, "INSERT INTO out_topic VALUES (1, 't')")
    check("metadata that can only be read is refused", "can only be read" in error and "VIRTUAL" in error or error, True)


def refused(db, kafka, table, rows, fails):
    """Options that cannot work, at CREATE; brokers that are not there, at INSERT; rows that are too large."""
    address = kafka.address
    error = fails(db, table("bad1", "a BIGINT", "out_meta", address, "'sink.delivery-guarantee' = 'exactly-once'"))
    check("exactly-once needs a prefix", "sink.transactional-id-prefix" in error or error, True)
    error = fails(db, table("bad2", "a BIGINT", "out_meta", address, "'sink.partitioner' = 'org.example.Mine'"))
    check("a class is refused as partitioner", "round-robin" in error or error, True)
    db.execute(table("bad3", "a BIGINT", "t", "127.0.0.1:1", ONCE))
    began = time.monotonic()
    error = fails(db, "INSERT INTO bad3 VALUES (1)")
    check("an unreachable broker is named", "127.0.0.1:1" in error or error, True)
    check("within seconds", time.monotonic() - began < 15, True)
    kafka.create("out_large")
    db.execute(table("out_large", "t STRING", "out_large", address, ONCE))
    error = fails(db, "INSERT INTO out_large SELECT repeat('x', 2000000)")
    check("a message that is too large is told", "too large" in error and "max.message.bytes" in error or error, True)
    db.execute(table("out_skips", "t STRING", "out_large", address, ONCE + ", 'sink.on-error' = 'skip'"))
    db.execute("INSERT INTO out_skips SELECT repeat('x', n) FROM (VALUES (1), (2000000), (2)) AS v(n)")
    check("or skipped as declared", sorted(len(value) for _, _, value in kafka.read("out_large")), [9, 10])


def once(db, kafka, table, rows, fails):
    """Exactly once: EXPLAIN says so; the rows of a statement together; upserts and deletions."""
    address = kafka.address
    for topic in ("once_in", "once_out", "once_by_name", "once_users", "once_copy"):
        kafka.create(topic)
    db.execute(table("once_in", "name STRING", "once_in", address, EARLIEST))
    db.execute(table("once_out", "name STRING", "once_out", address, ONCE))
    plan = str(rows(db, "EXPLAIN INSERT INTO once_out SELECT name FROM once_in"))
    check("EXPLAIN says the guarantee", "guarantee exactly-once" in plan or plan, True)
    db.execute("INSERT INTO once_out VALUES ('a'), ('b')")
    check("a statement is one transaction", len(kafka.read("once_out")), 2)
    error = fails(db, "INSERT INTO once_out SELECT CAST(1 / (3 - n) AS STRING) FROM (VALUES (1), (2), (3)) AS v(n)")
    check("one that fails writes nothing", (len(kafka.read("once_out")), "zero" in error or error), (2, True))
    formats = "'key.format' = 'json', 'value.format' = 'json'"
    upsert = {"connector": "upsert-kafka", "fmt": formats}
    db.execute(table("once_by_name", "name STRING, n BIGINT, PRIMARY KEY (name) NOT ENFORCED", "once_by_name", address,
                     ONCE, **upsert))
    db.execute("INSERT INTO once_by_name SELECT name, count(*) FROM once_in GROUP BY name")
    kafka.send("once_in", [(0, None, {"name": name}) for name in ("a", "b", "a")])
    db.execute("FLUSH")
    want = {b'{"name":"a"}': b'{"name":"a","n":2}', b'{"name":"b"}': b'{"name":"b","n":1}'}
    last = lambda topic: {key: value for _, key, value in kafka.read(topic)}  # noqa: E731
    check("upserts are there after FLUSH", last("once_by_name"), want)
    columns = "id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED"
    db.execute(table("once_users", columns, "once_users", address, **upsert))
    db.execute(table("once_copy", columns, "once_copy", address, ONCE, **upsert))
    db.execute("INSERT INTO once_copy SELECT id, name FROM once_users")
    key = json.dumps({"id": 1})
    kafka.send("once_users", [(0, key, {"id": 1, "name": "c"}), (0, json.dumps({"id": 2}), {"id": 2, "name": "d"})])
    db.execute("FLUSH")
    check("upserts are copied", sorted(last("once_copy")), [b'{"id":1}', b'{"id":2}'])
    kafka.send("once_users", [(0, key, None)])
    db.execute("FLUSH")
    wait_until("a deletion is a tombstone", lambda: last("once_copy").get(b'{"id":1}', b"") is None)


def run(db, kafka, table, rows, fails):
    """All of it."""
    for part in (metadata, refused, once):
        part(db, kafka, table, rows, fails)
