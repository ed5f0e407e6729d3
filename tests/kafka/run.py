"""A real broker and a real server: what tables over topics read and write.

Starts a broker with scripts/kafka (which needs Java and Maven) and the server, and checks each option of the connectors
`kafka` and `upsert-kafka` against what a client of Kafka's own sees.

Usage: run.py PATH_OF_MILLSTREAM [PART …]
"""

import json
import os
import subprocess
import sys
import tempfile
import time

from confluent_kafka import Consumer, TopicPartition

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "kafka"))

from client import Kafka, fails, rows, table  # noqa: E402
from schema_registry import SchemaRegistry  # noqa: E402
from support import Broker, Server, check, passed, wait_until  # noqa: E402
import faults  # noqa: E402
import formats  # noqa: E402
import protobuf_messages  # noqa: E402
import security  # noqa: E402
import sink  # noqa: E402
import sources  # noqa: E402
import tools  # noqa: E402
import transactions  # noqa: E402


def reading(db, kafka):
    """A topic read by SELECT and by a view: columns, keys, metadata, startup and bounded modes."""
    address = kafka.address
    kafka.create("orders", 3)
    start = 1_700_000_000_000
    kafka.send("orders", [
        (n % 3, json.dumps({"id": n}), {"item": f"i{n}", "price": n * 1.5},
         {"timestamp": start + n * 1000, "headers": [("h", b"\x01\x02"), ("n", None)]}) for n in range(9)
    ])
    earliest = "'scan.startup.mode' = 'earliest-offset'"
    db.execute(table("orders", "item STRING, price DOUBLE", "orders", address, earliest))
    check("SELECT reads to the end of now", rows(db, "SELECT count(*), sum(price) FROM orders"), [(9, 54.0)])
    check("order within a partition", rows(db, "SELECT item FROM orders WHERE item IN ('i0', 'i3', 'i6')"),
          [("i0",), ("i3",), ("i6",)])
    db.execute(table("keyed", "id BIGINT, item STRING", "orders", address,
                     f"{earliest}, 'key.format' = 'json', 'key.fields' = 'id', 'value.fields-include' = 'EXCEPT_KEY'"))
    check("columns of the key", rows(db, "SELECT id, item FROM keyed ORDER BY id LIMIT 2"), [(0, "i0"), (1, "i1")])
    db.execute(table("prefixed", "k_id BIGINT, id BIGINT", "orders", address,
                     f"{earliest}, 'key.format' = 'json', 'key.fields' = 'k_id', 'key.fields-prefix' = 'k_', "
                     "'value.fields-include' = 'EXCEPT_KEY'"))
    check("prefix of key columns", rows(db, "SELECT k_id, id FROM prefixed ORDER BY k_id LIMIT 1"), [(0, None)])
    db.execute(table("meta", """item STRING, t STRING METADATA FROM 'topic', "partition" INT METADATA,
        "offset" BIGINT METADATA VIRTUAL, ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
        tt STRING METADATA FROM 'timestamp-type', headers MAP<STRING, BYTES> METADATA,
        epoch INT METADATA FROM 'leader-epoch'""", "orders", address, earliest))
    check("metadata", rows(db, 'SELECT t, "partition", "offset", extract(epoch FROM ts)::bigint, tt, item, epoch FROM '
                               "meta WHERE item = 'i4'"), [("orders", 1, 1, start // 1000 + 4, "CreateTime", "i4", 0)])
    headers = str(rows(db, "SELECT headers FROM meta LIMIT 1")[0][0])
    check("headers", "h" in headers and "0102" in headers or headers, True)

    def counted(name, more):
        db.execute(table(name, "item STRING", "orders", address, more))
        return sorted(row[0] for row in rows(db, f"SELECT item FROM {name}"))

    check("timestamp", counted("from_time", f"'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = "
                                            f"'{start + 6500}'"), ["i7", "i8"])
    check("specific offsets", counted("from_offsets", "'scan.startup.mode' = 'specific-offsets', 'scan.startup."
          "specific-offsets' = 'partition:0,offset:2;partition:1,offset:3;partition:2,offset:1'"), ["i5", "i6", "i8"])
    check("latest", counted("from_latest", "'scan.startup.mode' = 'latest-offset'"), [])
    group = Consumer({"bootstrap.servers": address, "group.id": "g"})
    group.commit(offsets=[TopicPartition("orders", n, 2) for n in range(2)], asynchronous=False)
    group.close()
    check("group offsets", counted("from_group", "'scan.startup.mode' = 'group-offsets', 'properties.group.id' = 'g'"),
          ["i2", "i5", "i6", "i7", "i8"])
    check("bounded by the group", counted("to_group", f"{earliest}, 'scan.bounded.mode' = 'group-offsets', "
                                          "'properties.group.id' = 'g'"), ["i0", "i1", "i3", "i4"])
    check("bounded by time", counted("to_time", f"{earliest}, 'scan.bounded.mode' = 'timestamp', "
                                     f"'scan.bounded.timestamp-millis' = '{start + 2000}'"), ["i0", "i1"])
    check("bounded by offsets", counted("to_offsets", f"{earliest}, 'scan.bounded.mode' = 'specific-offsets', "
                                        "'scan.bounded.specific-offsets' = 'partition:0,offset:1;partition:2,offset:2'"),
          ["i0", "i2", "i5"])
    kafka.create("orders_more")
    kafka.send("orders_more", [(0, None, {"item": "m"})])
    db.execute(table("several", "item STRING", "orders;orders_more", address, earliest))
    check("several topics", rows(db, "SELECT count(*) FROM several"), [(10,)])
    db.execute(table("pattern", "item STRING", None, address, f"'topic-pattern' = 'orders.*', {earliest}"))
    check("pattern of topics", rows(db, "SELECT count(*) FROM pattern"), [(10,)])


def streaming(db, kafka, broker):
    """A view over a topic goes on: new rows, a broker that restarts, a new partition."""
    address = kafka.address
    kafka.create("live", 1)
    db.execute(table("live", "n BIGINT", "live", address,
                     "'scan.startup.mode' = 'earliest-offset', 'scan.topic-partition-discovery.interval' = '200 ms'"))
    db.execute("CREATE MATERIALIZED VIEW live_view AS SELECT n FROM live")
    kafka.send("live", [(0, None, {"n": n}) for n in range(100)])
    db.execute("FLUSH")
    check("FLUSH waits for what is there", rows(db, "SELECT count(*), sum(n) FROM live_view"), [(100, 4950)])
    kafka.send("live", [(0, None, {"n": 100})])
    db.execute("FLUSH")
    check("and again", rows(db, "SELECT count(*) FROM live_view"), [(101,)])
    broker.stop(keep=True)
    broker.start()
    kafka.send("live", [(0, None, {"n": 101})])
    wait_until("rows after the broker's restart", lambda: rows(db, "SELECT count(*) FROM live_view") == [(102,)])
    kafka.grow("live", 2)
    kafka.send("live", [(1, None, {"n": 1000})])
    wait_until("rows of a new partition", lambda: rows(db, "SELECT max(n) FROM live_view") == [(1000,)])
    db.execute("DROP MATERIALIZED VIEW live_view")


def windows(db, kafka):
    """Event time: a silent partition holds windows back only until the idle timeout."""
    address = kafka.address
    kafka.create("timed", 2)
    db.execute(table("timed", "ts TIMESTAMP(3), v BIGINT, WATERMARK FOR ts AS ts", "timed", address,
                     "'scan.startup.mode' = 'earliest-offset', 'scan.watermark.idle-timeout' = '500 ms'"))
    db.execute("""CREATE MATERIALIZED VIEW timed_view AS SELECT window_start, sum(v) AS total
        FROM TABLE(TUMBLE(TABLE timed, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end""")
    kafka.send("timed", [(0, None, {"ts": f"2024-01-01 00:00:{n:02}", "v": n}) for n in (1, 5, 12, 25)])
    want = [(6,), (12,)]
    wait_until("windows close", lambda: rows(db, "SELECT total FROM timed_view ORDER BY window_start") == want)
    db.execute("DROP MATERIALIZED VIEW timed_view")


def writing(db, kafka):
    """INSERT INTO a topic: values, keys, partitioners, a running job."""
    address = kafka.address
    for topic in ("out", "out_keyed", "out_round", "out_job"):
        kafka.create(topic, 2 if topic == "out_round" else 1)
    db.execute(table("out", "a BIGINT, b STRING", "out", address))
    db.execute("INSERT INTO out VALUES (1, 'x'), (2, NULL)")
    check("values", kafka.read("out"), [(0, None, b'{"a":1,"b":"x"}'), (0, None, b'{"a":2,"b":null}')])
    db.execute(table("out_keyed", "k_a BIGINT, b STRING", "out_keyed", address,
                     "'key.format' = 'json', 'key.fields' = 'k_a', 'key.fields-prefix' = 'k_', "
                     "'value.fields-include' = 'EXCEPT_KEY'"))
    db.execute("INSERT INTO out_keyed VALUES (1, 'x')")
    check("keys", kafka.read("out_keyed"), [(0, b'{"a":1}', b'{"b":"x"}')])
    db.execute(table("out_round", "a BIGINT", "out_round", address, "'sink.partitioner' = 'round-robin'"))
    db.execute("INSERT INTO out_round VALUES (1), (2), (3), (4)")
    check("round-robin", sorted(partition for partition, _, _ in kafka.read("out_round", 2)), [0, 0, 1, 1])
    kafka.create("in_job")
    db.execute(table("in_job", "a BIGINT", "in_job", address, "'scan.startup.mode' = 'earliest-offset'"))
    db.execute(table("out_job", "a BIGINT", "out_job", address))
    db.execute("INSERT INTO out_job SELECT a * 2 FROM in_job WHERE a > 1")
    kafka.send("in_job", [(0, None, {"a": n}) for n in range(5)])
    want = [(0, None, json.dumps({"a": n * 2}).replace(" ", "").encode()) for n in range(2, 5)]
    wait_until("a job from topic to topic", lambda: kafka.read("out_job") == want)


def upserts(db, kafka):
    """upsert-kafka: the last row of each key, deletions, both ways."""
    address = kafka.address
    kafka.create("users", 2)
    json_formats = "'key.format' = 'json', 'value.format' = 'json'"
    columns = "id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED"
    key = lambda n: json.dumps({"id": n})  # noqa: E731
    kafka.send("users", [
        (0, key(1), {"id": 1, "name": "a"}), (0, key(2), {"id": 2, "name": "b"}),
        (0, key(1), {"id": 1, "name": "c"}), (0, key(2), None), (1, key(3), {"id": 3, "name": "d"}), (1, key(9), None),
    ])
    db.execute(table("users", columns, "users", address, connector="upsert-kafka", fmt=json_formats))
    check("SELECT folds", rows(db, "SELECT * FROM users ORDER BY id"), [(1, "c"), (3, "d")])
    check("SELECT count folds", rows(db, "SELECT count(*) FROM users"), [(2,)])
    db.execute("CREATE MATERIALIZED VIEW users_view AS SELECT id, upper(name) AS name FROM users")
    db.execute("FLUSH")
    check("a view folds", rows(db, "SELECT * FROM users_view ORDER BY id"), [(1, "C"), (3, "D")])
    kafka.send("users", [(0, key(1), None), (1, key(3), {"id": 3, "name": "e"})])
    db.execute("FLUSH")
    check("a view follows", rows(db, "SELECT * FROM users_view ORDER BY id"), [(3, "E")])
    kafka.create("clicks_by_name")
    db.execute(table("clicks_by_name", "name STRING, n BIGINT, PRIMARY KEY (name) NOT ENFORCED", "clicks_by_name", address,
                     connector="upsert-kafka", fmt=json_formats))
    kafka.create("clicks")
    db.execute(table("clicks", "name STRING", "clicks", address, "'scan.startup.mode' = 'earliest-offset'"))
    db.execute("INSERT INTO clicks_by_name SELECT name, count(*) FROM clicks GROUP BY name")
    kafka.send("clicks", [(0, None, {"name": n}) for n in ("a", "b", "a")])
    last = lambda: {k: v for _, k, v in kafka.read("clicks_by_name")}  # noqa: E731
    want = {b'{"name":"a"}': b'{"name":"a","n":2}', b'{"name":"b"}': b'{"name":"b","n":1}'}
    wait_until("an aggregate is written as upserts", lambda: last() == want)
    check("no deletion between", [v for _, _, v in kafka.read("clicks_by_name") if v is None], [])
    check("and read back", rows(db, "SELECT * FROM clicks_by_name ORDER BY name"), [("a", 2), ("b", 1)])
    kafka.create("copy")
    db.execute(table("copy", columns, "copy", address, connector="upsert-kafka", fmt=json_formats))
    db.execute("INSERT INTO copy SELECT id, name FROM users")
    copied = lambda: {k: v for _, k, v in kafka.read("copy")}  # noqa: E731
    wait_until("upserts are copied", lambda: copied().get(b'{"id":3}') == b'{"id":3,"name":"e"}')
    kafka.send("users", [(1, key(3), None)])
    wait_until("a deletion is written without a value", lambda: copied().get(b'{"id":3}', b"") is None)


def bad_input(db, kafka):
    """Messages that break their format, and options and brokers that cannot work."""
    address = kafka.address
    kafka.create("bad")
    kafka.send("bad", [(0, None, {"a": 1}), (0, None, '{"a": "x"}'), (0, None, "{broken"), (0, None, {"a": 4})])
    earliest = "'scan.startup.mode' = 'earliest-offset'"
    db.execute(table("bad", "a BIGINT", "bad", address, earliest))
    error = fails(db, "SELECT * FROM bad")
    for part in ('topic "bad"', "partition 0", "offset 1", 'column "a"', "BIGINT", "ignore-parse-errors"):
        check(f"a bad message names {part}", part in error or error, True)
    db.execute(table("skips", "a BIGINT", "bad", address, earliest + ", 'json.ignore-parse-errors' = 'true'"))
    check("bad messages are skipped as declared", rows(db, "SELECT a FROM skips"), [(1,), (None,), (4,)])
    db.execute(table("away", "a BIGINT", "t", "127.0.0.1:1"))
    began = time.monotonic()
    error = fails(db, "SELECT * FROM away")
    check("an unreachable broker is named", "127.0.0.1:1" in error and "refused" in error or error, True)
    check("within seconds", time.monotonic() - began < 15, True)
    error = fails(db, "INSERT INTO away VALUES (1)")
    check("also to write", "127.0.0.1:1" in error or error, True)
    db.execute(table("none", "a BIGINT", "ordes", address))
    error = fails(db, "SELECT * FROM none")
    check("a missing topic is named", '"ordes" does not exist' in error and "orders" in error or error, True)
    for name, more, part in (
        ("e1", "'scan.startup.mode' = 'earlyest'", "earliest-offset"),
        ("e2", "'scan.startup.mode' = 'timestamp'", "scan.startup.timestamp-millis"),
        ("e3", "'key.fields' = 'a'", "key.format"),
        ("e4", "'key.format' = 'json', 'key.fields' = 'b'", '"b"'),
        ("e5", "'scan.startup.specific-offsets' = 'x', 'scan.startup.mode' = 'specific-offsets'", "partition:0"),
    ):
        error = fails(db, table(name, "a BIGINT", "bad", address, more))
        check(f"{more} is refused", part in error or error, True)
    error = fails(db, table("e6", "a BIGINT", "bad", address, connector="upsert-kafka",
                            fmt="'key.format' = 'json', 'value.format' = 'json'"))
    check("upsert-kafka needs a key", "PRIMARY KEY" in error, True)


def topics(db, kafka):
    """The topics that there are."""
    kafka.create("listed", 2)
    kafka.send("listed", [(1, None, {"n": 1}), (1, None, {"n": 2})])
    kafka.cut("listed", 1, 1)
    listed = f"FROM millstream.kafka_topics('{kafka.address}')"
    check("topics are listed", rows(db, f"SELECT * {listed} WHERE topic = 'listed'"),
          [("listed", 0, 1, 1, 1, 0, 0), ("listed", 1, 1, 1, 1, 1, 2)])
    check("and can be counted", rows(db, f"SELECT count(*), sum(latest_offset) {listed} WHERE topic = 'listed'"), [(2, 2)])
    error = fails(db, "SELECT * FROM millstream.kafka_topics('127.0.0.1:1')")
    check("an unreachable broker is named", "127.0.0.1:1" in error and "refused" in error or error, True)
    error = fails(db, f"SELECT * {listed[:-1]}, 'sasl.mechanisme=PLAIN')")
    check("properties are checked", "sasl.mechanisme" in error or error, True)


def nexmark(binary, kafka):
    """Nexmark over a topic: the rows are those of the same events as they are made."""
    queries = ["q0", "q1", "q2", "q5", "q7", "q11", "q15", "q16", "q18", "q20", "q22"]
    done = subprocess.run([binary, "bench", "nexmark", "--source", "kafka", "--brokers", kafka.address, "--queries",
                           ",".join(queries), "--events", "5000", "--check-events", "5000", "--output", "json"],
                          capture_output=True, text=True, timeout=300)
    check("nexmark over a topic is right", (done.returncode, done.stderr), (0, ""))
    check("all of it", [json.loads(line)["query"] for line in done.stdout.splitlines()], queries)


def example(binary):
    """examples/kafka, as its page says."""
    call = [os.path.join(ROOT, "examples", "kafka", "run"), binary]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300)
    check("the example runs", (done.returncode, done.stderr if done.returncode else ""), (0, ""))


def main():
    """Starts a broker and a server, runs all of it, stops both."""
    with tempfile.TemporaryDirectory() as data:
        broker, server = Broker(ROOT, os.path.join(data, "broker")), Server(
            sys.argv[1], os.path.join(data, "server"), "--checkpoint-interval=300ms")
        try:
            kafka = Kafka(broker.start())
            server.start()
            with server.connect() as db, SchemaRegistry() as registry:
                parts = {
                    "reading": lambda: reading(db, kafka),
                    "writing": lambda: writing(db, kafka),
                    "upserts": lambda: upserts(db, kafka),
                    "formats": lambda: formats.run(db, kafka, registry, table, rows, fails),
                    "protobuf": lambda: protobuf_messages.run(db, kafka, data),
                    "bad_input": lambda: bad_input(db, kafka),
                    "sources": lambda: sources.run(db, kafka),
                    "windows": lambda: windows(db, kafka),
                    "streaming": lambda: streaming(db, kafka, broker),
                    "sink": lambda: sink.run(db, kafka, table, rows, fails),
                    "example": lambda: example(sys.argv[1]),
                    "topics": lambda: topics(db, kafka),
                    "nexmark": lambda: nexmark(sys.argv[1], kafka),
                    "tools": lambda: tools.run(db, kafka, ROOT),
                    "security": lambda: security.run(db, ROOT, data),
                    "faults": lambda: faults.run(server, broker, kafka),
                    "transactions": lambda: transactions.run(sys.argv[1], broker, kafka, data, table),
                }
                for name in sys.argv[2:] or parts:
                    parts[name]()
                check("the server still runs", server.process.poll(), None)
        finally:
            server.stop()
            broker.stop()
    print(f"{passed()} passed, 0 failed")


if __name__ == "__main__":
    main()
