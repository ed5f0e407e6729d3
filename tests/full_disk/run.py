#!/usr/bin/env python3
"""A real server whose disks fill up: what needs the disk fails, with the file in the error; everything else goes on, and so does
what failed when there is room again.

    python3 tests/full_disk/run.py target/debug/millstream

The disks are small file systems in memory, mounted in a namespace of their own that ends with the script. Linux only.

- a full disk under a file sink: its job fails and is tried again, a view on the same shards goes on; afterwards every row is there once;
- under the checkpoints: they fail, jobs go on; the next ones succeed, and a server that is killed goes on from them;
- under the catalog and the tables: statements fail with 53100 and nothing changes, a view that was to be replaced stays.
"""

import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "kill")]

from server import Server  # noqa: E402
from wire import Refused  # noqa: E402

SETUP = """
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '1000000';
SET 'restart-strategy.fixed-delay.delay' = '100 ms';
CREATE TABLE events (id BIGINT, account INT, line STRING) WITH ('connector' = 'filesystem', 'path' = '{folder}/in',
  'format' = 'json', 'source.monitor-interval' = '50 ms');
CREATE TABLE copies (id BIGINT, line STRING) WITH ('connector' = 'filesystem', 'path' = '{folder}/out', 'format' = 'csv');
CREATE MATERIALIZED VIEW sums AS SELECT account, COUNT(*) AS n FROM events GROUP BY account;
CREATE TABLE kept (n INT PRIMARY KEY NOT ENFORCED);
INSERT INTO kept VALUES (1);
CREATE MATERIALIZED VIEW many AS SELECT COUNT(*) AS n FROM kept;
"""

ROWS = 2_000


def mount(path: str, megabytes: int) -> None:
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", path], check=True)


class Filler:
    """Fills a file system to its last byte, until it is let go."""

    def __init__(self, folder: str):
        self.path = os.path.join(folder, ".filler")
        with open(self.path, "wb", buffering=0) as file:
            for size in (65_536, 4_096, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def remove(self) -> None:
        os.remove(self.path)


def write(folder: str, number: int) -> None:
    """File `number`, there in one step."""
    lines = [json.dumps({"id": number * ROWS + row, "account": row % 2, "line": "x" * 50}) for row in range(ROWS)]
    hidden = os.path.join(folder, f".{number}")
    with open(hidden, "w") as file:
        file.write("\n".join(lines) + "\n")
    os.rename(hidden, os.path.join(folder, "in", f"{number}.json"))


def sums(files: int) -> list:
    return [(str(account), str(files * ROWS // 2)) for account in range(2)]


def refused(server: Server, statement) -> None:
    """Carries out statements, by number, until one is refused: what is left of a page of a file may still be written."""
    for number in range(1_000):
        try:
            server.sql(statement(number))
        except Refused as error:
            if error.code != "53100":
                sys.exit(f"{statement(number)}: {error}, not 53100")
            return
    sys.exit(f"{statement(0)} and the like succeed on a full disk")


def copied(folder: str) -> list:
    """The ids in the finished files."""
    ids = []
    for name in os.listdir(folder):
        if not name.startswith("."):
            with open(os.path.join(folder, name)) as file:
                ids += [int(line.split(",")[0]) for line in file]
    return sorted(ids)


def sink(server: Server, folder: str) -> None:
    out = os.path.join(folder, "out")
    filler = Filler(out)
    server.sql("INSERT INTO copies SELECT id, line FROM events")
    write(folder, 0)
    error = f"SELECT error FROM millstream.jobs WHERE name = 'insert into copies' AND state IN ('RESTARTING', 'FAILED')"
    server.becomes(error, lambda rows: rows and "No space left" in (rows[0][0] or "") and out in rows[0][0])
    # The view reads the same files on the same shards.
    server.becomes("SELECT * FROM sums", sums(1))
    write(folder, 1)
    server.becomes("SELECT * FROM sums", sums(2))
    filler.remove()
    server.becomes("SELECT state FROM millstream.jobs WHERE name = 'insert into copies'", [("RUNNING",)])
    write(folder, 2)
    server.becomes("SELECT * FROM sums", sums(3))
    server.until(lambda: copied(out) == list(range(3 * ROWS)), "the rows of the written directory")
    print("a full disk under a sink: its job stops, goes on, and has written every row once")


def checkpoints(server: Server, folder: str) -> None:
    filler = Filler(os.path.join(folder, "checkpoints"))
    write(folder, 3)
    full = lambda row: "No space left" in (row[7] or "") and os.path.join(folder, "checkpoints") in row[7]
    server.becomes("SHOW CHECKPOINTS", lambda rows: any(full(row) for row in rows))
    server.becomes("SELECT * FROM sums", sums(4))
    failed = max(int(row[2]) for row in server.sql("SHOW CHECKPOINTS") if full(row))
    filler.remove()
    server.becomes("SHOW CHECKPOINTS", lambda rows: any(full(row) and int(row[2]) > failed for row in rows))
    server.until(lambda: copied(os.path.join(folder, "out")) == list(range(4 * ROWS)), "the rows of the written directory")
    server.restart()
    server.becomes("SELECT * FROM sums", sums(4))
    print("a full disk under the checkpoints: they fail and jobs go on; the next ones succeed")


def catalog(server: Server, folder: str) -> None:
    filler = Filler(os.path.join(folder, "data"))
    refused(server, lambda number: f"INSERT INTO kept VALUES ({number + 2})")
    refused(server, lambda number: f"CREATE TABLE more_{number} (n INT)")
    before = server.sql("SELECT n FROM many")
    text = server.sql("SHOW CREATE MATERIALIZED VIEW sums")
    most = "ALTER MATERIALIZED VIEW sums AS SELECT account, MAX(id) AS n FROM events WHERE line <> 'of another length' GROUP BY account"
    try:
        server.sql(most)
        sys.exit("a view is replaced on a full disk")
    except Refused as error:
        if error.code != "53100":
            sys.exit(f"{most}: {error}, not 53100")
    if server.sql("SHOW CREATE MATERIALIZED VIEW sums") != text or server.sql("SELECT n FROM many") != before:
        sys.exit("a statement that failed has changed something")
    write(folder, 4)
    server.becomes("SELECT * FROM sums", sums(5))
    filler.remove()
    server.sql("INSERT INTO kept VALUES (-1)")
    server.restart()
    server.becomes("SELECT * FROM sums", sums(5))
    server.becomes("SELECT n FROM many", [(str(int(before[0][0]) + 1),)])
    print("a full disk under the catalog: statements fail and change nothing, and succeed when there is room")


def main() -> int:
    if os.environ.get("MILLSTREAM_OWN_MOUNTS") is None:
        flags = ["-m"] if os.geteuid() == 0 else ["-Urm"]
        os.environ["MILLSTREAM_OWN_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])
    with tempfile.TemporaryDirectory() as folder:
        for name, megabytes in [("out", 4), ("checkpoints", 8), ("data", 4)]:
            mount(os.path.join(folder, name), megabytes)
        os.mkdir(os.path.join(folder, "in"))
        try:
            server = Server(os.path.abspath(sys.argv[1]), folder, "data", os.path.join(folder, "checkpoints"), {})
            server.sql(SETUP.format(folder=folder))
            sink(server, folder)
            checkpoints(server, folder)
            catalog(server, folder)
            server.kill()
        finally:
            for name in ["out", "checkpoints", "data"]:
                subprocess.run(["umount", "-l", os.path.join(folder, name)], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
