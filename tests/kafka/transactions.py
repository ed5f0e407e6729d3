"""Exactly once, with crashes between each two steps: what a consumer sees that reads only what is committed."""

import glob
import json
import os
import shutil
import signal
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from support import Server, check, wait_until

ONCE = "'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'test'"
EARLIEST = "'scan.startup.mode' = 'earliest-offset'"


class Stage:
    """A broker, and servers that copy a topic into another."""

    def __init__(self, binary, broker, kafka, folder, table):
        self.binary, self.broker, self.kafka, self.folder, self.table = binary, broker, kafka, folder, table
        self.sent, self.count = 0, 0

    def server(self, name, *options, interval="1 s", shards=2):
        """A server; checkpoints are rare enough to act between two of them."""
        folder = os.path.join(self.folder, name)
        return Server(self.binary, folder, "--checkpoint-interval", interval, "--shards", str(shards), *options)

    def copy(self, server, more=""):
        """A job from a new topic to a new topic. Gives their names."""
        self.count += 1
        source, target = f"tx_in{self.count}", f"tx_out{self.count}"
        self.kafka.create(source, 2)
        self.kafka.create(target, 2)
        self.sent = 0
        with server.connect() as db:
            db.execute(self.table(source, "a BIGINT, t STRING", source, self.kafka.address, EARLIEST))
            db.execute(self.table(target, "a BIGINT, t STRING", target, self.kafka.address, ONCE + more))
            db.execute(f"INSERT INTO {target} SELECT a, t FROM {source}")
        return source, target

    def send(self, topic, count):
        """More rows, numbered."""
        producer, errors = Producer({"bootstrap.servers": self.kafka.address}), []
        for number in range(self.sent, self.sent + count):
            producer.produce(topic, value=json.dumps({"a": number, "t": "x"}), partition=number % 2,
                             on_delivery=lambda error, _: error and errors.append(error))
            producer.poll(0)
        left = producer.flush(60)
        if left or errors:
            sys.exit(f"{left} messages to {topic} are not sent: {errors[:1]}")
        self.sent += count

    def numbers(self, topic):
        """What is committed in a topic, in order."""
        return sorted(json.loads(value)["a"] for _, _, value in self.kafka.read(topic, 2))

    def is_whole(self, topic):
        """Each row that was sent is there once. One that is there twice will not go away."""
        found = self.numbers(topic)
        if len(found) != len(set(found)):
            check(f"{topic} has nothing twice", len(found), len(set(found)))
        return found == list(range(self.sent))

    def hold(self, server, state, source, rows):
        """Rows that are in a checkpoint that is written, but not in the topic: the broker is away."""
        with server.connect() as db:
            before = self.read_rows(db)
            self.send(source, rows)
            wait_until("the job has read them", lambda: self.read_rows(db) >= before + rows)
        self.broker.stop(keep=True)
        wait_until("a checkpoint names what is not committed", lambda: pending(state))

    def read_rows(self, db):
        """Rows that the only running job has read."""
        cursor = db.execute("SHOW JOBS")
        names = [column.name for column in cursor.description]
        jobs = [dict(zip(names, row)) for row in cursor.fetchall()]
        return sum(job["rows_in"] for job in jobs if job["state"] == "RUNNING")


def pending(state):
    """Whether the last checkpoint in a state directory names messages that are still kept."""
    manifests = sorted(glob.glob(os.path.join(state, "manifests", "*.json")))
    kept = glob.glob(os.path.join(state, "sinks", "**", "*"), recursive=True)
    names = [os.path.basename(path) for path in kept if os.path.isfile(path)]
    if not manifests or not names:
        return False
    with open(manifests[-1]) as file:
        text = file.read()
    return any(name in text for name in names)


def crashes(stage):
    """A server dies between manifest and commit, and between commit and clean-up; then with another number of shards."""
    server = stage.server("crashes", interval="3 s")
    state = os.path.join(server.folder, "checkpoints")
    server.start()
    source, target = stage.copy(server)
    stage.send(source, 100)
    with server.connect() as db:
        db.execute("FLUSH")
    check("FLUSH waits for the transaction", stage.is_whole(target), True)
    stage.hold(server, state, source, 50)
    server.kill()
    before = server.folder + ".before"
    shutil.copytree(server.folder, before)
    stage.broker.start()
    check("the rows are not there", len(stage.numbers(target)), 100)
    server.start()
    wait_until("what was prepared is committed after the restart", lambda: stage.is_whole(target))
    wait_until("and no longer kept", lambda: not pending(state))
    server.kill()
    # The server died after the commit, before it could delete what it kept.
    shutil.rmtree(server.folder)
    shutil.copytree(before, server.folder)
    server.start()
    wait_until("the ledger tells what is committed", lambda: not pending(state))
    stage.send(source, 10)
    wait_until("nothing is written again", lambda: stage.is_whole(target))
    stage.hold(server, state, source, 50)
    server.kill()
    stage.broker.start()
    server.options = ("--checkpoint-interval", "3 s", "--shards", "1")
    server.start()
    wait_until("with fewer shards", lambda: stage.is_whole(target), 60)
    server.kill()
    server.options = ("--checkpoint-interval", "3 s", "--shards", "4")
    server.start()
    stage.send(source, 50)
    wait_until("with more shards", lambda: stage.is_whole(target), 60)
    with server.connect() as db:
        job = db.execute("SHOW JOBS").fetchall()[0][0]
        db.execute(f"STOP JOB {job} WITH SAVEPOINT 'parked'")
        stage.send(source, 20)
        check("nothing moves while the job is stopped", len(stage.numbers(target)), stage.sent - 20)
        db.execute(f"START JOB {job} FROM SAVEPOINT 'parked'")
        wait_until("it goes on from its savepoint", lambda: stage.is_whole(target))
        db.execute(f"CANCEL JOB {job}")
    server.stop()


def zombie(stage):
    """A server hangs with a transaction to commit; another one takes over its state; the first one wakes up."""
    state = os.path.join(stage.folder, "zombie-state")
    first = stage.server("zombie", "--state-url", state, interval="3 s")
    first.start()
    source, target = stage.copy(first)
    stage.send(source, 100)
    with first.connect() as db:
        db.execute("FLUSH")
    stage.hold(first, state, source, 50)
    first.process.send_signal(signal.SIGSTOP)
    second = stage.server("heir", "--state-url", state, interval="1 s")
    shutil.copytree(first.folder, second.folder)
    stage.broker.start()
    second.start()
    wait_until("the heir commits what the other had prepared", lambda: stage.is_whole(target))
    stage.send(source, 50)
    wait_until("and goes on", lambda: stage.is_whole(target))
    first.process.send_signal(signal.SIGCONT)
    stage.send(source, 50)
    wait_until("the zombie changes nothing", lambda: stage.is_whole(target), 60)
    first.kill()
    stage.send(source, 50)
    wait_until("the heir lives", lambda: stage.is_whole(target), 60)
    second.stop()


def fenced(stage):
    """Somebody else takes the transactional id: a clear error, and the job comes back."""
    server = stage.server("fenced")
    server.start()
    source, target = stage.copy(server)
    stage.send(source, 10)
    wait_until("rows arrive", lambda: stage.is_whole(target))
    lane = {path.split(os.sep)[-2] for path in glob.glob(os.path.join(server.folder, "checkpoints", "sinks", "*", "*"))}
    check("one job writes", len(lane), 1)
    sink = os.listdir(os.path.join(server.folder, "checkpoints", "sinks", *lane))[0]
    for shard in range(2):
        thief = Producer({"bootstrap.servers": stage.kafka.address,
                          "transactional.id": f"test-{next(iter(lane))}-{sink}-{shard}"})
        thief.init_transactions(30)
    stage.send(source, 10)
    errors = []

    def failed():
        with server.connect() as db:
            errors.extend(str(row) for row in db.execute("SHOW JOBS").fetchall())
        return any("has taken over transactional id" in error for error in errors)

    wait_until("the error names the transactional id", failed)
    wait_until("the job starts again, and its rows arrive once", lambda: stage.is_whole(target), 60)
    server.stop()


def timed_out(stage):
    """A transaction takes longer than its timeout, and the broker aborts it: it is sent again."""
    server = stage.server("timed_out", interval="5 s")
    server.start()
    source, target = stage.copy(server, ", 'properties.transaction.timeout.ms' = '3000', 'properties.linger.ms' = '1'")
    ends = {level: Consumer({"bootstrap.servers": stage.kafka.address, "group.id": "ends", "isolation.level": level})
            for level in ("read_committed", "read_uncommitted")}
    end = lambda level: sum(  # noqa: E731
        ends[level].get_watermark_offsets(TopicPartition(target, partition), timeout=30)[1] for partition in range(2))
    open_transaction = lambda: end("read_committed") < end("read_uncommitted")  # noqa: E731
    # A transaction may be over before its process is stopped: then there are more rows, and it is tried again.
    for _ in range(10):
        stage.send(source, 150_000)
        deadline = time.monotonic() + 60
        while not open_transaction() and time.monotonic() < deadline:
            pass
        server.process.send_signal(signal.SIGSTOP)
        caught = open_transaction()
        if caught:
            break
        server.process.send_signal(signal.SIGCONT)
    check("it hangs in the midst of a transaction", caught, True)
    wait_until("the broker aborts it", lambda: end("read_committed") == end("read_uncommitted"), 60)
    check("nothing of it is seen", len(stage.numbers(target)) < stage.sent, True)
    server.process.send_signal(signal.SIGCONT)
    wait_until("the rows are sent again, once", lambda: stage.is_whole(target), 90)
    server.stop()


def faults(stage):
    """The broker restarts, a message is too large for its topic, the topic is deleted: other jobs go on."""
    server = stage.server("faults")
    server.start()
    with server.connect() as db:
        db.execute("CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10')")
        db.execute("CREATE MATERIALIZED VIEW other AS SELECT count(*) AS n FROM ticks")
    source, target = stage.copy(server)
    stage.send(source, 1_000)
    stage.broker.stop(keep=True)
    with server.connect() as db:
        ticks = lambda: db.execute("SELECT n FROM other").fetchall()[0][0]  # noqa: E731
        count = ticks()
        wait_until("another job goes on while the broker is away", lambda: ticks() > count + 20)
    stage.broker.start()
    stage.send(source, 1_000)
    wait_until("rows of before and after the broker's restart", lambda: stage.is_whole(target), 60)

    def limit(size):
        entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, target, incremental_configs=[entry])
        for done in stage.kafka.admin.incremental_alter_configs([resource]).values():
            done.result(30)

    limit(1_000)
    producer = Producer({"bootstrap.servers": stage.kafka.address})
    producer.produce(source, value=json.dumps({"a": stage.sent, "t": "y" * 5_000}))
    producer.flush(30)
    stage.sent += 1
    errors = []

    def failed():
        with server.connect() as db:
            errors.extend(str(row) for row in db.execute("SHOW JOBS").fetchall())
        return any("too large" in error or "size" in error for error in errors)

    wait_until("a message that the topic refuses is told", failed)
    limit(1_000_000)
    wait_until("its row arrives when the topic takes it", lambda: stage.is_whole(target), 90)
    for done in stage.kafka.admin.delete_topics([target]).values():
        done.result(30)
    stage.send(source, 10)
    late = set(range(stage.sent - 10, stage.sent))
    wait_until("rows go into a topic that was deleted and is made again",
               lambda: late <= {json.loads(value)["a"] for _, _, value in stage.kafka.read(target, 1)}, 90)
    with server.connect() as db:
        count = ticks_of(db)
        wait_until("the other job has not been touched", lambda: ticks_of(db) > count)
    server.stop()


def ticks_of(db):
    """What the other job has counted."""
    return db.execute("SELECT n FROM other").fetchall()[0][0]


def run(binary, broker, kafka, folder, table):
    """All of it."""
    stage = Stage(binary, broker, kafka, folder, table)
    for part in (crashes, zombie, fenced, timed_out, faults):
        part(stage)
