"""What goes wrong in front of a source: servers and brokers that end, messages, partitions and topics that come and go."""

import os
import tempfile
import threading
import time

from client import Kafka, fails, rows, table
from support import Broker, check, free_port, wait_until

EARLIEST = "'scan.startup.mode' = 'earliest-offset'"
QUICK = "'scan.topic-partition-discovery.interval' = '200 ms'"


def run(server, broker, kafka):
    """All of them. Ends and starts the server and the broker."""
    recovery(server, kafka)
    upserts(server, kafka)
    retention(server, kafka)
    restarts(server, broker, kafka)
    with server.connect() as db:
        deleted(db, kafka)
        poison(db, kafka)
        unreachable(db)
        leader(db, broker)


def job(db, name):
    """State and error of a job."""
    return rows(db, f"SELECT state, error FROM millstream.jobs WHERE name = '{name}'")[0]


def view(db, name, query):
    """A view, when it is first seen."""
    db.execute(f"CREATE MATERIALIZED VIEW {name} AS {query}")
    db.execute("FLUSH")


def settle(db):
    """A checkpoint of everything that was there."""
    db.execute("FLUSH")
    completed = lambda: {name: n for _, name, _, n, *_ in rows(db, "SHOW CHECKPOINTS")}  # noqa: E731
    before = completed()
    # The first of two may have begun before the flush was over. A job at rest has no epochs, and needs none.
    pause, end = threading.Event(), time.monotonic() + 2
    while time.monotonic() < end and any(n < before[name] + 2 for name, n in completed().items()):
        pause.wait(0.1)


def again(server):
    """The server is killed and started; a connection to it."""
    server.kill()
    server.start()
    return server.connect()


def recovery(server, kafka):
    """A server that is killed goes on where its checkpoint was, with the partitions that have come meanwhile."""
    kafka.create("safe", 2)
    with server.connect() as db:
        db.execute(table("safe", "n BIGINT", "safe", kafka.address, f"{EARLIEST}, {QUICK}"))
        kafka.send("safe", [(n % 2, None, {"n": n}) for n in range(100)])
        view(db, "safe_view", "SELECT count(*) AS c, sum(n) AS s FROM safe")
        settle(db)
        kafka.grow("safe", 3)
        kafka.send("safe", [(2, None, {"n": 1000})])
        wait_until("a new partition is read", lambda: rows(db, "SELECT c FROM safe_view") == [(101,)])
        settle(db)
        kafka.send("safe", [(n % 3, None, {"n": 1}) for n in range(9)])
    server.kill()
    kafka.send("safe", [(n % 3, None, {"n": 1}) for n in range(6)])
    kafka.grow("safe", 4)
    kafka.send("safe", [(3, None, {"n": 10_000})])
    server.start()
    with server.connect() as db:
        db.execute("FLUSH")
        check("after a kill all messages count once", rows(db, "SELECT * FROM safe_view"),
              [(101 + 15 + 1, 4950 + 1000 + 15 + 10_000)])
        kafka.send("safe", [(partition, None, {"n": 1}) for partition in range(4)])
        db.execute("FLUSH")
        check("and those that come then", rows(db, "SELECT c FROM safe_view"), [(121,)])
        db.execute("DROP MATERIALIZED VIEW safe_view")


def upserts(server, kafka):
    """The rows that messages replace are known after a kill."""
    kafka.create("replaced", config={"cleanup.policy": "compact"})
    columns = "id STRING, n BIGINT, PRIMARY KEY (id) NOT ENFORCED"
    with server.connect() as db:
        db.execute(table("replaced", columns, "replaced", kafka.address, connector="upsert-kafka",
                         fmt="'key.format' = 'raw', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY'"))
        kafka.send("replaced", [(0, key, {"n": n}) for key, n in (("a", 1), ("b", 2), ("c", 4))])
        view(db, "replaced_sum", "SELECT sum(n) AS s, count(*) AS c FROM replaced")
        settle(db)
    with again(server) as db:
        kafka.send("replaced", [(0, "a", {"n": 10}), (0, "b", None)])
        db.execute("FLUSH")
        check("after a kill upserts retract what was there", rows(db, "SELECT * FROM replaced_sum"), [(14, 2)])
        db.execute("DROP MATERIALIZED VIEW replaced_sum")


def retention(server, kafka):
    """Messages that are gone before they were read: an error, or what the table declares."""
    kafka.create("short")
    send = lambda *ns: kafka.send("short", [(0, None, {"n": n}) for n in ns])  # noqa: E731
    with server.connect() as db:
        for name, more in (("short", ""), ("short_early", "'properties.auto.offset.reset' = 'earliest'"),
                           ("short_late", "'properties.auto.offset.reset' = 'latest'")):
            more = ", ".join(filter(None, [EARLIEST, more]))
            db.execute(table(name, "n BIGINT", "short", kafka.address, more))
        send(1, 2)
        for name in ("short", "short_early", "short_late"):
            view(db, f"{name}_view", f"SELECT n FROM {name}")
        settle(db)
        checkpointed = rows(db, "SELECT count(*) FROM short_view")
        check("read so far", checkpointed, [(2,)])
    server.kill()
    send(3, 4, 5)
    kafka.cut("short", 4)
    server.start()
    with server.connect() as db:
        wait_until("a job whose next message is gone tells so", lambda: (job(db, "short_view")[1] or "").find(
            "was read to offset 2, but has messages from 4") > 0)
        seen = lambda name: rows(db, f"SELECT n FROM {name} ORDER BY n")  # noqa: E731
        wait_until("or goes on with the first that is there", lambda: seen("short_early_view") == [(1,), (2,), (5,)])
        send(6)
        wait_until("or with what comes from now on", lambda: seen("short_late_view") == [(1,), (2,), (6,)])
        wait_until("nothing is passed over", lambda: seen("short_early_view") == [(1,), (2,), (5,), (6,)])
        for name in ("short", "short_early", "short_late"):
            db.execute(f"DROP MATERIALIZED VIEW {name}_view")


def restarts(server, broker, kafka):
    """A broker that ends and starts while messages are read: nothing is lost, nothing comes twice."""
    kafka.create("long", 2)
    with server.connect() as db:
        db.execute(table("long", "n BIGINT", "long", kafka.address, EARLIEST))
        view(db, "long_view", "SELECT count(*) AS c, sum(n) AS s FROM long")
        for round in range(2):
            kafka.send("long", [(n % 2, None, {"n": 1}) for n in range(50)])
            broker.stop(keep=True)
            broker.start()
            kafka.send("long", [(n % 2, None, {"n": 1}) for n in range(50)])
            wait_until("messages before and after the broker's restart count once",
                       lambda: rows(db, "SELECT c FROM long_view") == [(100 * (round + 1),)])
        check("the job did not fail", (job(db, "long_view"),
              rows(db, "SELECT restarts FROM millstream.jobs WHERE name = 'long_view'")), (("RUNNING", None), [(0,)]))
        db.execute("DROP MATERIALIZED VIEW long_view")


def deleted(db, kafka):
    """A topic that is deleted while it is read."""
    kafka.create("doomed")
    kafka.send("doomed", [(0, None, {"n": 1})])
    db.execute(table("doomed", "n BIGINT", "doomed", kafka.address, EARLIEST))
    view(db, "doomed_view", "SELECT n FROM doomed")
    settle(db)
    kafka.delete("doomed")
    wait_until("a job whose topic is deleted tells so", lambda: "doomed" in (job(db, "doomed_view")[1] or ""))
    error = job(db, "doomed_view")[1]
    check("in words", "does not exist" in error or error, True)
    check("its rows can be read", rows(db, "SELECT n FROM doomed_view"), [(1,)])
    db.execute("DROP MATERIALIZED VIEW doomed_view")


def poison(db, kafka):
    """Messages that break their format: the job fails, or they are skipped, or kept with their place."""
    kafka.create("poison", 2)
    kafka.send("poison", [(0, None, {"n": 1}), (1, "k", "{poison"), (1, None, {"n": "many"}), (1, None, {"n": 2})])
    for name, policy in (("poison_fails", "fail"), ("poison_skips", "skip"), ("poison_kept", "table")):
        db.execute(table(name, "n BIGINT", "poison", kafka.address, f"{EARLIEST}, 'on-error' = '{policy}'"))
    check("bad messages are skipped", rows(db, "SELECT sum(n) FROM poison_skips"), [(3,)])
    view(db, "poison_view", "SELECT n FROM poison_kept")
    check("good messages pass", rows(db, "SELECT n FROM poison_view ORDER BY n"), [(1,), (2,)])
    check("bad ones are kept with their place", rows(
        db, "SELECT relation, place, row FROM millstream.bad_rows WHERE job = 'poison_view' ORDER BY place"), [
        ("poison_kept", 'topic "poison" partition 1 offset 0', "{poison"),
        ("poison_kept", 'topic "poison" partition 1 offset 1', '{"n": "many"}')])
    reasons = [reason for reason, in rows(
        db, "SELECT reason FROM millstream.bad_rows WHERE job = 'poison_view' ORDER BY place")]
    check("and the reason", "BIGINT" in reasons[1] and len(reasons[0]) > 0 or reasons, True)
    check("and counted", rows(db, "SELECT bad_rows FROM millstream.jobs WHERE name = 'poison_view'"), [(2,)])
    db.execute("CREATE MATERIALIZED VIEW poison_ends AS SELECT n FROM poison_fails")
    wait_until("or the job fails", lambda: 'partition 1 offset 0' in (job(db, "poison_ends")[1] or ""))
    for name in ("view", "ends"):
        db.execute(f"DROP MATERIALIZED VIEW poison_{name}")


def unreachable(db):
    """Brokers that nobody can reach: an error within seconds, with their address."""
    address = f"127.0.0.1:{free_port()}"
    db.execute(table("nobody", "n BIGINT", "t", address, EARLIEST))
    for statement in ("CREATE MATERIALIZED VIEW nobody_view AS SELECT n FROM nobody", "SELECT * FROM nobody",
                      "INSERT INTO nobody VALUES (1)"):
        began = time.monotonic()
        error = fails(db, statement)
        check(f"no broker: {statement.split()[0]} tells where", address in error and "refused" in error or error, True)
        check("within seconds", time.monotonic() - began < 10, True)


def nodes(broker, folder):
    """Two brokers of one cluster: the first decides as well."""
    controller, ports = free_port(), (free_port(), free_port())
    made = []
    for number, port in enumerate(ports, 1):
        listeners, lines = f"PLAINTEXT://127.0.0.1:{port}", [f"controller.quorum.voters=1@127.0.0.1:{controller}"]
        if number == 1:
            lines.append(f"listeners={listeners},CONTROLLER://127.0.0.1:{controller}")
        else:
            lines += ["node.id=2", "process.roles=broker", f"listeners={listeners}"]
        properties = os.path.join(folder, f"node{number}.properties")
        with open(properties, "w") as out:
            out.write("\n".join(lines) + "\n")
        node = Broker(os.path.dirname(os.path.dirname(broker.script)), os.path.join(folder, f"node{number}"))
        node.call("start", "--port", str(port), "--properties", properties)
        made.append(node)
    return made, ",".join(f"127.0.0.1:{port}" for port in ports)


def leader(db, broker):
    """The leader of a partition ends, another broker takes its place: reading and writing go on."""
    with tempfile.TemporaryDirectory() as folder:
        (first, second), address = nodes(broker, folder)
        try:
            kafka = Kafka(address)
            wait_until("two brokers are a cluster", lambda: len(kafka.admin.list_topics(timeout=10).brokers) == 2)
            for topic in ("led", "led_out"):
                kafka.create(topic, 2, replicas=2)
                db.execute(table(topic, "n BIGINT", topic, address, EARLIEST))
            view(db, "led_view", "SELECT count(*) AS c, sum(n) AS s FROM led")
            db.execute("INSERT INTO led_out SELECT n FROM led")
            kafka.send("led", [(n % 2, None, {"n": 1}) for n in range(10)])
            leaders = f"SELECT DISTINCT leader FROM millstream.kafka_topics('{address}') WHERE topic = 'led' ORDER BY 1"
            check("each broker leads a partition", rows(db, leaders), [(1,), (2,)])
            second.stop(keep=True)
            wait_until("the leader moves", lambda: rows(db, leaders) == [(1,)])
            kafka.send("led", [(n % 2, None, {"n": 1}) for n in range(10)])
            wait_until("what comes then is read", lambda: rows(db, "SELECT * FROM led_view") == [(20, 20)])
            second.start()
            wait_until("and written", lambda: len(kafka.read("led_out", 2)) >= 20)
            check("no job failed", rows(db, "SELECT DISTINCT state, restarts FROM millstream.jobs WHERE name LIKE '%led%'"),
                  [("RUNNING", 0)])
            for (number,) in rows(db, "SELECT id FROM millstream.jobs WHERE name LIKE 'insert into led%'"):
                db.execute(f"STOP JOB '{number}'")
            db.execute("DROP MATERIALIZED VIEW led_view")
        finally:
            second.stop()
            first.stop()
