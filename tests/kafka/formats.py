"""Formats of messages: what databases say of their changes, Avro. fastavro is the other side of the Avro formats."""

import io
import json
import struct
from datetime import datetime, timezone
from decimal import Decimal

import fastavro

from support import check, wait_until


def run(db, kafka, registry, table, rows, fails):
    """All formats."""
    changes(db, kafka, table, rows, fails)
    avro(db, kafka, registry, table, rows, fails)
    avro_changes(db, kafka, registry, table, rows, fails)


def changes(db, kafka, table, rows, fails):
    """debezium-json, canal-json, maxwell-json, read and written."""
    columns = "id BIGINT, name STRING"
    streams = {
        "debezium": [
            {"before": None, "after": {"id": 1, "name": "a"}, "op": "c", "source": {"db": "x"}, "ts_ms": 1},
            {"before": None, "after": {"id": 2, "name": "b"}, "op": "r"},
            {"before": {"id": 1, "name": "a"}, "after": {"id": 1, "name": "c"}, "op": "u"},
            {"before": {"id": 2, "name": "b"}, "after": None, "op": "d"},
            None,
        ],
        "canal": [
            {"data": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}], "old": None, "type": "INSERT", "isDdl": False},
            {"data": [{"id": "1", "name": "c"}], "old": [{"name": "a"}], "type": "UPDATE"},
            {"data": [{"id": "2", "name": "b"}], "old": None, "type": "DELETE"},
            {"data": None, "type": "CREATE", "sql": "CREATE TABLE x"},
        ],
        "maxwell": [
            {"database": "x", "table": "t", "type": "insert", "data": {"id": 1, "name": "a"}},
            {"type": "insert", "data": {"id": 2, "name": "b"}},
            {"type": "update", "data": {"id": 1, "name": "c"}, "old": {"name": "a"}},
            {"type": "delete", "data": {"id": 2, "name": "b"}},
        ],
    }
    for name, messages in streams.items():
        fmt = f"'format' = '{name}-json'"
        kafka.create(f"{name}_in")
        kafka.send(f"{name}_in", [(0, None, message) for message in messages])
        earliest = "'scan.startup.mode' = 'earliest-offset'"
        db.execute(table(f"{name}_in", columns, f"{name}_in", kafka.address, earliest, fmt=fmt))
        check(f"{name}-json folds", rows(db, f"SELECT * FROM {name}_in"), [(1, "c")])
        kafka.create(f"{name}_out")
        db.execute(table(f"{name}_out", columns, f"{name}_out", kafka.address, earliest, fmt=fmt))
        db.execute(f"INSERT INTO {name}_out SELECT id, name FROM {name}_in")
        wait_until(f"{name}-json is written and read back",
                   lambda: rows(db, f"SELECT * FROM {name}_out") == [(1, "c")])
        kinds = [b'"op":"d"', b'"type":"DELETE"', b'"type":"delete"']
        deletes = [v for _, _, v in kafka.read(f"{name}_out") if any(kind in v for kind in kinds)]
        check(f"{name}-json tells of deletions", len(deletes), 2)
    kafka.create("debezium_bad")
    kafka.send("debezium_bad", [(0, None, {"before": None, "after": {"id": 1, "name": "c"}, "op": "u"})])
    db.execute(table("debezium_bad", columns, "debezium_bad", kafka.address,
                     "'scan.startup.mode' = 'earliest-offset'", fmt="'format' = 'debezium-json'"))
    error = fails(db, "SELECT * FROM debezium_bad")
    check("an update without the old row says why", "REPLICA IDENTITY FULL" in error or error, True)


def binary(schema, value, number=None):
    """A value in Avro's encoding, behind the id of its schema where there is one."""
    out = io.BytesIO()
    if number is not None:
        out.write(b"\0" + struct.pack(">I", number))
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def avro(db, kafka, registry, table, rows, fails):
    """avro and avro-confluent, read and written, with schemas that change."""
    earliest = "'scan.startup.mode' = 'earliest-offset'"
    fmt = f"'format' = 'avro-confluent', 'avro-confluent.url' = '{registry.url}'"
    first = {"type": "record", "name": "P", "fields": [
        {"name": "id", "type": "long"}, {"name": "name", "type": ["null", "string"]},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ]}
    second = {"type": "record", "name": "P", "fields": [
        {"name": "extra", "type": {"type": "map", "values": "double"}}, {"name": "id", "type": "int"},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 1}},
        {"name": "name", "type": "string"},
    ]}
    numbers = [registry.register("avro_in-value", schema) for schema in (first, second)]
    at = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
    kafka.create("avro_in")
    kafka.send("avro_in", [
        (0, None, binary(first, {"id": 1, "name": None, "price": Decimal("-1.25"), "at": at, "tags": ["x"]}, numbers[0])),
        (0, None, binary(second, {"extra": {"k": 1.0}, "id": 2, "price": Decimal("7.5"), "name": "b"}, numbers[1])),
    ])
    columns = "id BIGINT, name STRING, price DECIMAL(10, 2), `at` TIMESTAMP(3), tags ARRAY<STRING>"
    db.execute(table("avro_in", columns, "avro_in", kafka.address, earliest, fmt=fmt))
    check("avro-confluent is read", rows(db, "SELECT id, name, price, `at` FROM avro_in"),
          [(1, None, Decimal("-1.25"), datetime(2024, 1, 1, 12)), (2, "b", Decimal("7.50"), None)])
    check("each schema is asked for once", sum(path.startswith("/schemas/ids/") for _, path in registry.calls) <= 4, True)
    kafka.create("avro_out")
    db.execute(table("avro_out", columns, "avro_out", kafka.address, earliest, fmt=fmt))
    db.execute("INSERT INTO avro_out SELECT 5, 'ü', CAST(-2.50 AS DECIMAL(10, 2)), TIMESTAMP '2024-01-01 12:00:00', NULL")
    value = kafka.read("avro_out")[0][2]
    check("the schema is registered", "avro_out-value" in registry.subjects, True)
    magic, number = struct.unpack(">bI", value[:5])
    schema = fastavro.parse_schema(json.loads(registry.schemas[number - 1]))
    check("avro-confluent is written", (magic, fastavro.schemaless_reader(io.BytesIO(value[5:]), schema)),
          (0, {"id": 5, "name": "ü", "price": Decimal("-2.50"), "at": at, "tags": None}))
    check("and read back", rows(db, "SELECT id, name, price FROM avro_out"), [(5, "ü", Decimal("-2.50"))])
    kafka.send("avro_in", [(0, None, b"\0" + struct.pack(">I", 99) + b"x")])
    error = fails(db, "SELECT * FROM avro_in")
    check("an unknown schema is named", "id" in error and "Schema not found" in error and "offset 2" in error or error, True)
    kafka.create("avro_plain")
    db.execute(table("avro_plain", "a BIGINT NOT NULL, b STRING", "avro_plain", kafka.address, earliest,
                     fmt="'format' = 'avro'"))
    plain = {"type": "record", "name": "R", "fields": [
        {"name": "a", "type": "long"}, {"name": "b", "type": ["null", "string"]}]}
    kafka.send("avro_plain", [(0, None, binary(plain, {"a": 1, "b": "x"}))])
    db.execute("INSERT INTO avro_plain VALUES (2, NULL)")
    check("avro is read and written", rows(db, "SELECT * FROM avro_plain"), [(1, "x"), (2, None)])
    check("as fastavro does", kafka.read("avro_plain")[1][2], binary(plain, {"a": 2, "b": None}))


def avro_changes(db, kafka, registry, table, rows, fails):
    """debezium-avro-confluent: envelopes as Debezium writes them are read, and what is written fastavro reads."""
    row = {"type": "record", "name": "Value", "fields": [
        {"name": "id", "type": "long"}, {"name": "name", "type": ["null", "string"], "default": None}]}
    envelope = {"type": "record", "name": "Envelope", "namespace": "server.public.people", "fields": [
        {"name": "before", "type": ["null", row], "default": None},
        {"name": "after", "type": ["null", "Value"], "default": None},
        {"name": "source", "type": {"type": "record", "name": "Source", "fields": [
            {"name": "db", "type": "string"}, {"name": "lsn", "type": ["null", "long"]}]}},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": ["null", "long"], "default": None},
    ]}
    number = registry.register("people-value", envelope)
    a, b, c = ({"id": n, "name": name} for n, name in ((1, "a"), (2, None), (1, "c")))
    source = {"db": "x", "lsn": 5}
    changes = [{"before": old, "after": new, "source": source, "op": op, "ts_ms": 1} for old, new, op in (
        (None, a, "c"), (None, b, "r"), (a, c, "u"), (b, None, "d"))]
    kafka.create("people")
    kafka.send("people", [(0, None, binary(envelope, change, number)) for change in changes] + [(0, None, None)])
    earliest = "'scan.startup.mode' = 'earliest-offset'"
    fmt = f"'format' = 'debezium-avro-confluent', 'debezium-avro-confluent.url' = '{registry.url}'"
    db.execute(table("people", "id BIGINT, name STRING", "people", kafka.address, earliest, fmt=fmt))
    check("debezium-avro-confluent folds", rows(db, "SELECT * FROM people"), [(1, "c")])
    check("with the columns that are asked for", rows(db, "SELECT name FROM people"), [("c",)])
    kafka.create("people_out")
    db.execute(table("people_out", "id BIGINT, name STRING", "people_out", kafka.address, earliest, fmt=fmt))
    db.execute("INSERT INTO people_out SELECT id, name FROM people")
    wait_until("debezium-avro-confluent is written and read back",
               lambda: rows(db, "SELECT * FROM people_out") == [(1, "c")])

    def told():
        for _, _, value in kafka.read("people_out"):
            schema = fastavro.parse_schema(json.loads(registry.schemas[struct.unpack(">I", value[1:5])[0] - 1]))
            yield fastavro.schemaless_reader(io.BytesIO(value[5:]), schema)

    deletions = [change for change in told() if change["op"] == "d"]
    check("and fastavro reads it", {"before": b, "after": None, "op": "d"} in deletions, True)
    kafka.send("people", [(0, None, binary(envelope, {**changes[2], "before": None}, number))])
    error = fails(db, "SELECT * FROM people")
    check("an update without the old row says why", "REPLICA IDENTITY FULL" in error and "offset 5" in error or error, True)
