"""Formats of messages: what databases say of their changes, Avro."""

from support import check, wait_until


def run(db, kafka, registry, table, rows, fails):
    """All formats."""
    changes(db, kafka, table, rows, fails)


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
