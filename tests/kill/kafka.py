"""A real server between topics of a real broker, both killed again and again: each row is in the target once.

    ~/.cache/millstream/clients/bin/python tests/kill/kafka.py target/release/millstream [--kills 100] [--restarts 20] [--seed 1]

While rows arrive in a topic, the server gets SIGKILL at random moments and is started again, and the broker is stopped or
killed and started again. Three jobs write exactly once: the rows themselves, windows over them, and counts by key as upserts.
At the end a consumer that sees what is committed reads the targets, and everything is compared with what went in. Needs Java
and the package confluent-kafka. Linux only.
"""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from run import Server
from wire import Gone, Refused

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PARTITIONS = {"events": 4, "copies": 3, "windows": 1, "counts": 2}
ACCOUNTS = 50

SETUP = """
CREATE TABLE events (id BIGINT, account INT, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '5' SECOND) WITH ({kafka},
  'topic' = 'events', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
CREATE TABLE copies (id BIGINT, account INT) WITH ({kafka}, 'topic' = 'copies', 'format' = 'json', {once});
CREATE TABLE windows (window_start TIMESTAMP(3), n BIGINT, ids BIGINT)
  WITH ({kafka}, 'topic' = 'windows', 'format' = 'json', {once});
CREATE TABLE counts (account INT, n BIGINT, PRIMARY KEY (account) NOT ENFORCED) WITH ({upsert},
  'topic' = 'counts', 'key.format' = 'json', 'value.format' = 'json', {once});
INSERT INTO copies SELECT id, account FROM events;
INSERT INTO windows SELECT window_start, COUNT(*), SUM(id)
  FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(at), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
INSERT INTO counts SELECT account, COUNT(*) FROM events GROUP BY account;
"""


def statements(address: str) -> list:
    """The statements of the set-up."""
    brokers = f"'properties.bootstrap.servers' = '{address}'"
    text = SETUP.format(kafka=f"'connector' = 'kafka', {brokers}", upsert=f"'connector' = 'upsert-kafka', {brokers}",
                        once="'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'kill'")
    return [statement for statement in text.split(";") if statement.strip()]


def said(connection, statement: str) -> None:
    """Says a statement; topics that were made just now may have no leader yet."""
    for _ in range(20):
        try:
            connection.sql(statement)
            return
        except Refused as refused:
            if refused.code != "58030":
                raise
            time.sleep(0.5)
    sys.exit(f"not accepted: {statement}")


class Broker:
    """A broker of scripts/kafka, stopped in either way and started over its data."""

    def __init__(self, folder: str):
        self.script, self.folder = os.path.join(ROOT, "scripts", "kafka"), os.path.join(folder, "broker")

    def call(self, *arguments: str) -> str:
        done = subprocess.run([self.script, *arguments, "--dir", self.folder], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"scripts/kafka {' '.join(arguments)} failed")
        return done.stdout.strip()

    def restart(self, kill: bool) -> None:
        if kill:
            with open(os.path.join(self.folder, "pid")) as file:
                os.kill(int(file.read()), signal.SIGKILL)
        self.call("stop", "--keep")
        self.call("start")


class Load(threading.Thread):
    """Rows into the topic, each once, whatever happens to the broker."""

    def __init__(self, address: str, rate: int):
        super().__init__(daemon=True)
        self.producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 5,
                                  "message.timeout.ms": 600_000, "reconnect.backoff.max.ms": 500, "log_level": 0})
        self.rate, self.stopping, self.sent, self.lost = rate, threading.Event(), 0, 0

    def delivered(self, error, _message) -> None:
        self.lost += error is not None

    def row(self, number: int) -> dict:
        """Row `number`; event time goes on with the rows, a little disordered."""
        seconds = number // 200 + number * 7919 % 4
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(1_700_000_000 + seconds))
        return {"id": number, "account": number * 31 % ACCOUNTS, "at": at}

    def send(self, number: int) -> None:
        self.producer.produce("events", value=json.dumps(self.row(number)), partition=number % PARTITIONS["events"],
                              on_delivery=self.delivered)

    def run(self) -> None:
        began = time.monotonic()
        while not self.stopping.wait(0.02):
            self.producer.poll(0)
            due = int((time.monotonic() - began) * self.rate)
            while self.sent < due and len(self.producer) < 50_000:
                self.send(self.sent)
                self.sent += 1
        # The end of event time closes the windows of all that came before.
        for partition in range(PARTITIONS["events"]):
            late = {"id": -1, "account": -1, "at": "2030-01-01 00:00:00"}
            self.producer.produce("events", value=json.dumps(late), partition=partition, on_delivery=self.delivered)
        if self.producer.flush(120) > 0 or self.lost:
            sys.exit("the rows of the load did not get into the topic")


def committed(address: str, topic: str) -> list:
    """What a consumer sees that waits for transactions: key and value of each message."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "reader", "enable.auto.commit": False,
                         "isolation.level": "read_committed", "enable.partition.eof": True, "log_level": 0})
    found = []
    for partition in range(PARTITIONS[topic]):
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
        while True:
            message = consumer.poll(60)
            if message is None:
                sys.exit(f"{topic}/{partition} cannot be read to its end")
            if message.error():
                if message.error().code() == KafkaError._PARTITION_EOF:
                    break
                sys.exit(f"{topic}/{partition}: {message.error()}")
            key = message.key() and json.loads(message.key())
            found.append((key, message.value() and json.loads(message.value())))
    consumer.close()
    return found


def differences(address: str, load: Load) -> list:
    """What is lost and what is doubled in each target."""
    rows = [load.row(number) for number in range(load.sent)]
    expected, windows = collections.Counter(row["id"] for row in rows), collections.defaultdict(lambda: [0, 0])
    for row in rows:
        start = row["at"][:-1] + "0"
        windows[start] = [windows[start][0] + 1, windows[start][1] + row["id"]]
    found = collections.Counter(value["id"] for _, value in committed(address, "copies") if value["id"] >= 0)
    told = collections.Counter((value["window_start"].replace("T", " ")[:19], value["n"], value["ids"])
                               for _, value in committed(address, "windows"))
    wanted = collections.Counter((start, n, ids) for start, (n, ids) in windows.items())
    told = collections.Counter({row: n for row, n in told.items() if not row[0].startswith("2030")})
    counts = {key["account"]: value["n"] for key, value in committed(address, "counts") if key["account"] >= 0}
    by_account = collections.Counter(row["account"] for row in rows)
    kinds = [("rows", expected, found), ("windows", wanted, told),
             ("counts", collections.Counter(by_account.items()), collections.Counter(counts.items()))]
    return [(name, sum(want.values()), want - got, got - want) for name, want, got in kinds]


def started(server: Server) -> None:
    """The jobs run, whatever the broker was doing when the server came up."""
    connection = server.connect()
    connection.close()


def disturb(arguments, server: Server, broker: Broker, load: Load) -> None:
    """All kills and restarts, in a random order."""
    chance = random.Random(arguments.seed)
    acts = ["kill"] * arguments.kills + ["restart"] * arguments.restarts
    chance.shuffle(acts)
    for number, act in enumerate(acts):
        time.sleep(chance.uniform(0.0, 0.3) if chance.random() < 0.15 else chance.uniform(0.3, arguments.longest))
        if act == "kill":
            server.kill()
            server.start()
        else:
            broker.restart(kill=chance.random() < 0.5)
        if chance.random() < 0.7:
            started(server)
        if (number + 1) % 10 == 0:
            print(f"{number + 1} of {len(acts)} disturbances, {load.sent} rows", flush=True)


def settle(server: Server, address: str, load: Load) -> bool:
    """Waits until everything has arrived, and compares."""
    deadline = time.monotonic() + 180
    while True:
        connection = server.connect()
        try:
            connection.sql("FLUSH")
        except (Gone, Refused) as error:
            print(f"FLUSH: {error}", flush=True)
        found = differences(address, load)
        doubled = any(too_many for name, _, _, too_many in found if name != "counts")
        if not any(lost or too_many for _, _, lost, too_many in found) or doubled or time.monotonic() > deadline:
            break
        time.sleep(1)
    for name, count, lost, too_many in found:
        print(f"{name}: {count} expected, {sum(lost.values())} lost, {sum(too_many.values())} too many")
        for what, some in (("lost", lost), ("too many", too_many)):
            for row in sorted(some.elements())[:5]:
                print(f"    {what}: {row}")
    if any(lost or too_many for _, _, lost, too_many in found):
        print(connection.sql("SHOW JOBS"))
        return False
    return True


def main() -> None:
    """Runs all of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs of the server")
    parser.add_argument("--restarts", type=int, default=20, help="restarts of the broker, every other one by SIGKILL")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=int, default=2_000, help="rows a second")
    parser.add_argument("--longest", type=float, default=3.0, help="the longest time between two of them, in seconds")
    parser.add_argument("--option", action="append", default=["--checkpoint-interval=300ms"], help="a flag of the server")
    parser.add_argument("--keep", action="store_true", help="keep the directory")
    arguments = parser.parse_args()
    root = tempfile.mkdtemp(prefix="millstream-kill-kafka-")
    print(f"{arguments.kills} kills, {arguments.restarts} restarts, seed {arguments.seed}, in {root}", flush=True)
    broker = Broker(root)
    address = broker.call("start")
    server = Server(os.path.abspath(arguments.binary), root, arguments.option)
    try:
        topics = [NewTopic(name, num_partitions=count, replication_factor=1) for name, count in PARTITIONS.items()]
        admin = AdminClient({"bootstrap.servers": address})
        for made in admin.create_topics(topics).values():
            made.result(30)
        server.start()
        connection = server.connect()
        for statement in statements(address):
            said(connection, statement)
        connection.close()
        load = Load(address, arguments.rate)
        load.start()
        disturb(arguments, server, broker, load)
        load.stopping.set()
        load.join()
        same = settle(server, address, load)
    finally:
        if server.process:
            server.kill()
        broker.call("stop")
    if not same:
        sys.exit(f"rows differ; the server's directory is {root}")
    if not arguments.keep:
        shutil.rmtree(root)
    print(f"0 lost, 0 doubled after {arguments.kills} kills and {arguments.restarts} restarts of the broker")


if __name__ == "__main__":
    main()
