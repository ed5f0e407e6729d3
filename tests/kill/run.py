"""A real server under load, killed with SIGKILL at random moments: nothing that it answered is lost, nothing is doubled.

    python tests/kill/run.py target/release/millstream [--kills 200] [--seed 1] [--keep] [--files-out]

While the server is killed and started again, files arrive in a directory that it reads, and statements change its tables and
its catalog, and stop jobs and start them again. After each start every statement that was answered must be there; one that was cut off may be or not, and is said
again. At the end the rows of all tables and views (with --files-out also those of a written directory) are compared with those
of a second server that got the same files and statements and was never interrupted. Linux only.
"""

import argparse
import collections
import glob
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from wire import Connection, Gone, Refused

STATES = ["SELECT * FROM accounts", "SELECT * FROM journal", "SELECT * FROM per_minute", "SELECT * FROM by_owner",
          "SELECT * FROM busiest", "SELECT * FROM balances", "SELECT * FROM chained", "SHOW TABLES"]

SETUP = """
CREATE TABLE accounts (id INT PRIMARY KEY NOT ENFORCED, owner STRING, balance BIGINT);
CREATE TABLE journal (id BIGINT, line STRING);
CREATE TABLE events (id BIGINT, account INT, amount BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '5' SECOND)
  WITH ('connector' = 'filesystem', 'path' = '{folder}/in', 'format' = 'json', 'source.monitor-interval' = '50 ms');
CREATE MATERIALIZED VIEW per_minute AS
  SELECT window_start, account, COUNT(*) AS n, SUM(amount) AS total
  FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(at), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, account;
CREATE MATERIALIZED VIEW by_owner AS
  SELECT a.owner, COUNT(*) AS n, SUM(e.amount) AS total FROM events e JOIN accounts a ON e.account = a.id GROUP BY a.owner;
CREATE MATERIALIZED VIEW busiest AS
  SELECT account, COUNT(DISTINCT id) AS n, MAX(amount) AS most FROM events GROUP BY account;
CREATE MATERIALIZED VIEW balances AS SELECT owner, SUM(balance) AS balance, COUNT(*) AS n FROM accounts GROUP BY owner;
CREATE MATERIALIZED VIEW chained AS SELECT COUNT(*) AS owners, SUM(balance) AS balance FROM balances;
"""

FILES_OUT = """
CREATE TABLE copies (id BIGINT, account INT, amount BIGINT)
  WITH ('connector' = 'filesystem', 'path' = '{folder}/out', 'format' = 'json',
        'sink.rolling-policy.rollover-interval' = '200 ms', 'sink.rolling-policy.check-interval' = '100 ms');
INSERT INTO copies SELECT id, account, amount FROM events;
CREATE TABLE owners (id BIGINT, account INT, line STRING)
  WITH ('connector' = 'filesystem', 'path' = '{folder}/owners', 'format' = 'json',
        'sink.rolling-policy.rollover-interval' = '200 ms', 'sink.rolling-policy.check-interval' = '100 ms');
INSERT INTO owners SELECT e.id, e.account, j.line FROM events e JOIN journal j ON e.id = j.id;
"""

# Jobs that are stopped now and then; one of them reads a table besides files, another one writes files from a view.
STOPPED = ["by_owner", "busiest"]
STOPPED_FILES_OUT = [*STOPPED, "insert into copies", "insert into owners"]

ACCOUNTS = 40
EVENTS_PER_FILE = 200


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server over a data directory, started and killed again and again."""

    def __init__(self, binary: str, folder: str, options: list):
        self.binary, self.folder, self.options = binary, folder, options
        self.log = open(os.path.join(folder, "server.log"), "ab")
        self.process = None
        self.port = 0

    def start(self) -> None:
        self.port = free_port()
        arguments = ["server", "--listen", f"127.0.0.1:{self.port}", "--http-listen", "127.0.0.1:0",
                     "--data-dir", os.path.join(self.folder, "data"), "--shards", "2", *self.options]
        self.process = subprocess.Popen([self.binary, *arguments], stdout=self.log, stderr=self.log)

    def connect(self) -> Connection:
        """Waits until the server answers; a server that ends by itself is a failure."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                sys.exit(f"the server ended by itself with {self.process.returncode}; see {self.log.name}")
            try:
                return Connection(self.port)
            except Gone:
                time.sleep(0.02)
        sys.exit(f"the server does not answer; see {self.log.name}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def write_file(folder: str, number: int, seed: int) -> None:
    """File `number` of the input: the same rows whoever writes it, there in one step."""
    chance = random.Random(seed * 1_000_003 + number)
    lines = []
    for row in range(EVENTS_PER_FILE):
        event = number * EVENTS_PER_FILE + row
        seconds = event // 4 + chance.randrange(3)
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(1_700_000_000 + seconds))
        lines.append(json.dumps({"id": event, "account": chance.randrange(ACCOUNTS + 5),
                                 "amount": chance.randrange(-500, 1_000), "at": at}))
    hidden = os.path.join(folder, f".{number}.json")
    with open(hidden, "w") as file:
        file.write("\n".join(lines) + "\n")
    os.rename(hidden, os.path.join(folder, "in", f"{number:08}.json"))


class Statements:
    """The statements of the load in their order, each said until it is known to have happened once."""

    def __init__(self, seed: int, jobs: list):
        self.chance = random.Random(seed)
        self.jobs = jobs
        self.stopped = set()
        self.next = 0
        self.journal = 0
        self.tables = []
        self.pending = None
        self.acknowledged = 0

    def step(self, connection: Connection) -> None:
        """Says the next statement, or the one that was cut off."""
        if self.pending is None:
            self.pending = self.made()
            self.next += 1
            text, _ = self.pending
        else:
            text, check = self.pending
            if check is not None and connection.sql(check)[0][0] != "0":
                self.done()
                return
        if text.startswith(("STOP JOB", "START JOB")):
            self.control(connection, *text.split(" JOB "))
        else:
            connection.sql(text)
        self.done()

    def control(self, connection: Connection, verb: str, name: str) -> None:
        """Stops or starts a job; one that was cut off may have done so already."""
        number = next(job[0] for job in connection.sql("SHOW JOBS") if job[1] == name)
        try:
            connection.sql(f"{verb} JOB {number}")
        except Refused as refused:
            if refused.code != "55000" or "stopped" not in str(refused):
                raise

    def start_all(self, connection: Connection) -> None:
        """No job stays stopped."""
        for name in sorted(self.stopped):
            self.control(connection, "START", name)
        self.stopped.clear()

    def done(self) -> None:
        self.pending = None
        self.acknowledged += 1

    def made(self) -> tuple:
        """A statement, and a query that counts its effect where saying it twice would do more than once."""
        kind, account = self.chance.randrange(22), self.chance.randrange(ACCOUNTS)
        if kind == 0:
            name = f"extra_{self.next}"
            self.tables.append(name)
            return f"CREATE TABLE IF NOT EXISTS {name} (a INT)", None
        if kind == 1 and self.tables:
            name = self.tables.pop(self.chance.randrange(len(self.tables)))
            return f"DROP TABLE IF EXISTS {name}", None
        if kind < 8:
            self.journal += 1
            line = self.journal
            return f"INSERT INTO journal VALUES ({line}, 'line {line}')", f"SELECT COUNT(*) FROM journal WHERE id = {line}"
        if kind < 14:
            owner = f"owner {self.chance.randrange(7)}"
            balance = self.chance.randrange(10_000)
            return (f"INSERT INTO accounts VALUES ({account}, '{owner}', {balance}) "
                    f"ON CONFLICT (id) DO UPDATE SET owner = '{owner}', balance = {balance}"), None
        if kind < 18:
            return f"UPDATE accounts SET balance = {self.chance.randrange(10_000)} WHERE id = {account}", None
        if kind < 20:
            return f"DELETE FROM accounts WHERE id = {account}", None
        name = self.chance.choice(self.jobs)
        self.stopped ^= {name}
        return f"{'STOP' if name in self.stopped else 'START'} JOB {name}", None

    def check(self, connection: Connection) -> None:
        """What was answered is there, once."""
        rows = connection.sql("SELECT COUNT(*), COUNT(DISTINCT id), MAX(id) FROM journal")[0]
        count, distinct = int(rows[0]), int(rows[1])
        said = self.journal
        cut_off = self.pending is not None and "journal" in self.pending[0]
        least = said - 1 if cut_off else said
        if not least <= count <= said or distinct != count:
            sys.exit(f"{said} lines were said, {least} answered, and {count} ({distinct} different) are there")


def statements_of(arguments) -> Statements:
    return Statements(arguments.seed, STOPPED_FILES_OUT if arguments.files_out else STOPPED)


class Load(threading.Thread):
    """Files and statements until it is told to stop."""

    def __init__(self, server: Server, arguments):
        super().__init__(daemon=True)
        self.server, self.seed = server, arguments.seed
        self.statements = statements_of(arguments)
        self.files = 0
        self.rows_per_second = 0
        self.stopping = threading.Event()
        self.paused = threading.Event()
        self.idle = threading.Event()
        self.error = None

    def run(self) -> None:
        connection = None
        while not self.stopping.is_set():
            if self.paused.is_set():
                self.idle.set()
                time.sleep(0.005)
                continue
            self.idle.clear()
            try:
                connection = connection or Connection(self.server.port)
                self.statements.step(connection)
                if self.statements.next % 10 == 0:
                    write_file(self.server.folder, self.files, self.seed)
                    self.files += 1
            except Gone:
                connection = None
                time.sleep(0.01)
            except Refused as refused:
                # A server that is being killed may say so.
                if refused.code not in ("57P01", "57014", "08006"):
                    self.error = f"{refused} in {self.statements.pending}"
                    return
        self.idle.set()

    def pause(self) -> None:
        self.idle.clear()
        self.paused.set()
        self.idle.wait(60)

    def go_on(self) -> None:
        self.paused.clear()


def killed_run(binary: str, folder: str, arguments, options: list) -> Load:
    chance = random.Random(arguments.seed)
    server = Server(binary, folder, options)
    os.makedirs(os.path.join(folder, "in"))
    server.start()
    setup(server.connect(), folder, arguments)
    load = Load(server, arguments)
    load.start()
    slowest = 0.0
    for kill in range(arguments.kills):
        # Some kills meet the start itself.
        early = chance.random() < 0.15
        time.sleep(chance.uniform(0.0, 0.1) if early else chance.uniform(0.2, arguments.longest))
        server.kill()
        load.pause()
        started = time.monotonic()
        server.start()
        if load.error:
            sys.exit(load.error)
        if not early:
            connection = server.connect()
            slowest = max(slowest, time.monotonic() - started)
            load.statements.check(connection)
            connection.close()
        load.go_on()
        if (kill + 1) % 10 == 0:
            print(f"{kill + 1} kills, {load.statements.acknowledged} statements, {load.files} files, "
                  f"slowest start {slowest:.1f} s", flush=True)
    connection = server.connect()
    load.pause()
    while load.statements.pending is not None:
        load.statements.step(connection)
    load.stopping.set()
    load.join()
    if load.error:
        sys.exit(load.error)
    load.statements.check(connection)
    load.statements.start_all(connection)
    load.server = server
    return load


def setup(connection: Connection, folder: str, arguments) -> None:
    connection.sql(SETUP.format(folder=folder))
    if arguments.files_out:
        connection.sql(FILES_OUT.format(folder=folder))


def undisturbed_run(binary: str, folder: str, arguments, options: list, load: Load) -> Server:
    server = Server(binary, folder, options)
    os.makedirs(os.path.join(folder, "in"))
    server.start()
    connection = server.connect()
    setup(connection, folder, arguments)
    for file in range(load.files):
        write_file(folder, file, arguments.seed)
    statements = statements_of(arguments)
    while statements.acknowledged < load.statements.acknowledged:
        statements.step(connection)
    statements.start_all(connection)
    return server


def files_out(folder: str) -> collections.Counter:
    """The rows of the finished files of the written directories; hidden ones are not finished."""
    rows = collections.Counter()
    written = [os.path.join(folder, name, "**", "*") for name in ("out", "owners")]
    for path in [path for name in written for path in glob.glob(name, recursive=True)]:
        if os.path.isfile(path):
            with open(path) as file:
                rows.update(line.strip() for line in file if line.strip())
    return rows


def rows_of(server: Server, arguments) -> dict:
    """All states of a server when it has read everything."""
    connection = server.connect()
    connection.sql("FLUSH")
    states = {query: collections.Counter(connection.sql(query)) for query in STATES}
    if arguments.files_out:
        states["files"] = files_out(server.folder)
    return states


def compare(killed: Server, undisturbed: Server, arguments) -> bool:
    """Whether both end with the same rows; files and watermarks take their time."""
    deadline = time.monotonic() + 120
    expected = rows_of(undisturbed, arguments)
    while True:
        found = rows_of(killed, arguments)
        wrong = [query for query in found if found[query] != expected[query]]
        if not wrong or time.monotonic() > deadline:
            break
        time.sleep(0.5)
        expected = rows_of(undisturbed, arguments)
    for query, rows in expected.items():
        lost, doubled = rows - found[query], found[query] - rows
        state = "same" if not lost and not doubled else "DIFFERENT"
        print(f"{query}: {sum(rows.values())} rows, {sum(lost.values())} lost, {sum(doubled.values())} too many: {state}")
        for name, some in (("lost", lost), ("too many", doubled)):
            for row in list(some.elements())[:5]:
                print(f"    {name}: {row}")
    return not wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=1.5, help="the longest time between two kills, in seconds")
    parser.add_argument("--files-out", action="store_true", help="write files as well, which needs checkpoints")
    parser.add_argument("--option", action="append", default=[], help="a further flag of the server, as --option=--x=y")
    parser.add_argument("--keep", action="store_true", help="keep the directory")
    arguments = parser.parse_args()
    binary, root = os.path.abspath(arguments.binary), tempfile.mkdtemp(prefix="millstream-kill-")
    folders = [os.path.join(root, name) for name in ("killed", "undisturbed")]
    for folder in folders:
        os.makedirs(folder)
    print(f"{arguments.kills} kills, seed {arguments.seed}, in {root}", flush=True)
    load = killed_run(binary, folders[0], arguments, arguments.option)
    undisturbed = undisturbed_run(binary, folders[1], arguments, arguments.option, load)
    same = compare(load.server, undisturbed, arguments)
    for server in (load.server, undisturbed):
        server.kill()
    if not same:
        sys.exit(f"rows differ; everything is in {root}")
    if not arguments.keep:
        shutil.rmtree(root)
    print(f"0 lost, 0 doubled after {arguments.kills} kills")


if __name__ == "__main__":
    main()
