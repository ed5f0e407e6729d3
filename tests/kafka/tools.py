"""The stock tools: what Kafka's console producer and kcat write is read, and what we write they read."""

import subprocess

from client import rows, table
from support import check, wait_until

EARLIEST = "'scan.startup.mode' = 'earliest-offset'"


def run(db, kafka, root):
    """Each tool with each format that it knows: lines of text, whatever stands in them."""
    formats = {
        "json": ("id BIGINT, name STRING", "'format' = 'json'", '{"id":7,"name":"ü"}', "7, 'ü'"),
        "csv": ("id BIGINT, name STRING", "'format' = 'csv'", '7,"a,b"', "7, 'a,b'"),
        "raw": ("line STRING", "'format' = 'raw'", "any text", "'any text'"),
        "debezium": ("id BIGINT, name STRING", "'format' = 'debezium-json'",
                     '{"before":null,"after":{"id":7,"name":"x"},"op":"c"}', "7, 'x'"),
    }
    for tool in (Console(root, kafka.address), Kcat(kafka.address)):
        for name, (columns, fmt, line, values) in formats.items():
            topic = f"{tool.name}_{name}"
            kafka.create(topic)
            tool.write(topic, line)
            db.execute(table(topic, columns, topic, kafka.address, EARLIEST, fmt=fmt))
            expected = tuple(int(value) if value.isdigit() else value.strip("'") for value in values.split(", "))
            check(f"{tool.name} writes {name}, it is read", rows(db, f"SELECT * FROM {topic}"), [expected])
            db.execute(f"INSERT INTO {topic} VALUES ({values})")
            wait_until(f"{name} is written, {tool.name} reads it", lambda: tool.read(topic, 2) == [line, line])
        topic = f"{tool.name}_keys"
        kafka.create(topic)
        tool.write(topic, 'k1:{"n":1}', keys=True)
        db.execute(table(topic, "k STRING, n BIGINT, PRIMARY KEY (k) NOT ENFORCED", topic, kafka.address,
                         connector="upsert-kafka",
                         fmt="'key.format' = 'raw', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY'"))
        check(f"{tool.name} writes a key, it is read", rows(db, f"SELECT * FROM {topic}"), [("k1", 1)])
        db.execute(f"INSERT INTO {topic} VALUES ('k2', 2)")
        check(f"a key is written, {tool.name} reads it", tool.read(topic, 2, keys=True), ['k1:{"n":1}', 'k2:{"n":2}'])


class Console:
    """Kafka's own, in Java."""

    name = "console"

    def __init__(self, root, address):
        self.tool, self.address = [f"{root}/scripts/kafka", "tool"], address

    def write(self, topic, line, keys=False):
        """Sends a line."""
        split = ["--property", "parse.key=true", "--property", "key.separator=:"] if keys else []
        subprocess.run([*self.tool, "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", self.address, "--topic",
                        topic, *split], input=line + "\n", text=True, check=True, capture_output=True, timeout=60)

    def read(self, topic, count, keys=False):
        """So many messages from the start."""
        shown = ["--property", "print.key=true", "--property", "key.separator=:"] if keys else []
        done = subprocess.run([*self.tool, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server",
                               self.address, "--topic", topic, "--from-beginning", "--max-messages", str(count), *shown],
                              text=True, capture_output=True, check=True, timeout=60)
        return done.stdout.splitlines()


class Kcat:
    """kcat, with librdkafka."""

    name = "kcat"

    def __init__(self, address):
        self.tool = ["kcat", "-q", "-b", address]

    def write(self, topic, line, keys=False):
        """Sends a line."""
        subprocess.run([*self.tool, "-P", "-t", topic, *(["-K", ":"] if keys else [])], input=line + "\n", text=True,
                       check=True, timeout=60)

    def read(self, topic, count, keys=False):
        """So many messages from the start."""
        done = subprocess.run([*self.tool, "-C", "-t", topic, "-o", "beginning", "-c", str(count), "-e",
                               *(["-K", ":"] if keys else [])], text=True, capture_output=True, check=True, timeout=60)
        return done.stdout.splitlines()
