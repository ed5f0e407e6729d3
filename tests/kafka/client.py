"""A client of Kafka's own, and the statements of the checks."""

import json
import sys
import threading

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic


class Kafka:
    """Makes, fills and reads topics."""

    def __init__(self, address, **more):
        self.address = address
        self.config = {"bootstrap.servers": address, **more}
        self.admin = AdminClient(self.config)

    def create(self, topic, partitions=1, config=None, replicas=1):
        """A topic."""
        new = NewTopic(topic, num_partitions=partitions, replication_factor=replicas, config=config or {})
        for done in self.admin.create_topics([new]).values():
            done.result(30)

    def grow(self, topic, partitions):
        """More partitions."""
        for done in self.admin.create_partitions([NewPartitions(topic, partitions)]).values():
            done.result(30)

    def delete(self, topic):
        """No topic any more."""
        for done in self.admin.delete_topics([topic]).values():
            done.result(30)

    def cut(self, topic, offset, partition=0):
        """Messages before an offset go, as retention does it."""
        for done in self.admin.delete_records([TopicPartition(topic, partition, offset)]).values():
            done.result(30)

    def send(self, topic, messages):
        """Sends (partition, key, value) or (partition, key, value, extra arguments)."""
        producer, pause = Producer({**self.config, "linger.ms": 0}), threading.Event()
        for partition, key, value, *extra in messages:
            value = json.dumps(value) if isinstance(value, (dict, list)) else value
            more = extra[0] if extra else {}
            for _ in range(100):
                error = self.send_one(producer, topic, value=value, key=key, partition=partition, **more)
                if error is None or error.code() not in (KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART):
                    break
                # A broker may hear of a new partition later than whoever has made it, and a producer does not ask again soon.
                pause.wait(0.1)
                producer = Producer({**self.config, "linger.ms": 0})
            if error is not None:
                sys.exit(f"a message to {topic}/{partition} did not arrive: {error}")

    def send_one(self, producer, topic, **message):
        """Sends a message and waits for it. Its error, where it has one."""
        answers = []
        try:
            producer.produce(topic, on_delivery=lambda error, _: answers.append(error), **message)
        except KafkaException as refused:
            return refused.args[0]
        producer.flush(30)
        return answers[0] if answers else KafkaError(KafkaError._TIMED_OUT)

    def read(self, topic, partitions=1):
        """All messages of a topic: partition, key, value; in the order of partitions and offsets."""
        consumer = Consumer({
            **self.config, "group.id": "check", "enable.auto.commit": False,
            "isolation.level": "read_committed", "auto.offset.reset": "earliest", "enable.partition.eof": True,
        })
        found = []
        for partition in range(partitions):
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
            while True:
                message = consumer.poll(30)
                if message is not None and message.error() and message.error().code() == KafkaError._PARTITION_EOF:
                    break
                if message is None or message.error():
                    sys.exit(f"{topic}/{partition} cannot be read: {message and message.error()}")
                found.append((partition, message.key(), message.value()))
        consumer.close()
        return found


def table(name, columns, topic, address, more="", connector="kafka", fmt="'format' = 'json'"):
    """The text of a table."""
    topic = f"'topic' = '{topic}', " if topic else ""
    return (f"CREATE TABLE {name} ({columns}) WITH ('connector' = '{connector}', {topic}"
            f"'properties.bootstrap.servers' = '{address}', {fmt}{', ' + more if more else ''})")


def rows(db, query, *args):
    """The rows of a query."""
    return db.execute(query, *args).fetchall()


def fails(db, query):
    """The error of a statement: message, detail and hint."""
    try:
        db.execute(query).fetchall()
    except psycopg.Error as error:
        return " ".join(filter(None, [str(error), error.diag.message_hint]))
    except psycopg.ProgrammingError:
        pass
    sys.exit(f"no error: {query}")
