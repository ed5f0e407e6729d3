"""What checkpoints cost, and how long a recovery takes: of a real server, on this machine.

    python tests/recovery/run.py target/release/millstream [--checkpoints 2] [--state-events 20000000] [--interval '10 s'] [--rounds 2]
        [--only increments|recovery|cost]

1. The CPU seconds that an event of Nexmark q4 and q18 costs at full speed, as views and as inserts into a blackhole, which is the
   form in which Nexmark is published: until so many checkpoints are complete, and over as many events without, in turns. How long
   the system takes to give out memory for the first time is the machine's affair, and on a virtual one differs by a factor of five
   from one minute to the next, so that it stands beside the process's own time.
2. What a checkpoint writes when one row in a hundred has changed, as part of what the whole state takes.
3. A large state (q18 over --state-events), killed with SIGKILL: bytes of its checkpoint, seconds until the server answers again.

Linux only. Times are of this machine as it is now: compare within one run.
"""

import argparse
import dataclasses
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kill"))
from wire import Connection, Gone  # noqa: E402


EVENTS = """
CREATE TABLE nexmark (
  event_type INT,
  person ROW<id BIGINT, name STRING, emailAddress STRING, creditCard STRING, city STRING, state STRING,
             dateTime TIMESTAMP(3), extra STRING>,
  auction ROW<id BIGINT, itemName STRING, description STRING, initialBid BIGINT, reserve BIGINT, dateTime TIMESTAMP(3),
              expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra STRING>,
  bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, dateTime TIMESTAMP(3), extra STRING>,
  dateTime AS CASE WHEN event_type = 0 THEN person.dateTime WHEN event_type = 1 THEN auction.dateTime ELSE bid.dateTime END,
  WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND
) WITH ('connector' = 'nexmark', {pace}, 'materialize' = 'all');
CREATE VIEW auction AS SELECT auction.id, auction.dateTime, auction.expires, auction.category FROM nexmark WHERE event_type = 1;
CREATE VIEW bid AS SELECT bid.auction, bid.bidder, bid.price, bid.channel, bid.url, dateTime, bid.extra
  FROM nexmark WHERE event_type = 2;
"""

# More than any machine takes: as fast as the query goes. An INSERT from input that ends is a statement that somebody waits for,
# of which there are no checkpoints.
ENDLESS = "'first-event.rate' = '20000000', 'next-event.rate' = '20000000'"

QUERIES = {
    "q4": """SELECT Q.category, AVG(Q.final) AS average FROM (
               SELECT MAX(B.price) AS final, A.category FROM auction A, bid B
               WHERE A.id = B.auction AND B.dateTime BETWEEN A.dateTime AND A.expires GROUP BY A.id, A.category) Q
             GROUP BY Q.category""",
    "q18": """SELECT auction, bidder, price, channel, url, dateTime, extra FROM (
                SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY dateTime DESC) AS rank_number FROM bid)
              WHERE rank_number <= 1""",
}


# What a query fills, and the statements that make it of the query.
BLACKHOLES = {
    "q4": "CREATE TABLE out (category BIGINT, mean DECIMAL(38, 6)) WITH ('connector' = 'blackhole')",
    "q18": "CREATE TABLE out (auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, dateTime TIMESTAMP(3), "
           "extra STRING) WITH ('connector' = 'blackhole')",
}
FORMS = {
    "view": lambda query: [f"CREATE MATERIALIZED VIEW v AS {QUERIES[query]}"],
    "insert": lambda query: [BLACKHOLES[query], f"INSERT INTO out {QUERIES[query]}"],
}


@dataclasses.dataclass
class Cpu:
    """Seconds in the process itself, and in the system for it."""

    user: float
    system: float

    def __add__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.user + other.user, self.system + other.system)

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.user - other.user, self.system - other.system)

    def all(self) -> float:
        return self.user + self.system


TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A server over a data directory."""

    def __init__(self, binary: str, folder: str, interval: str):
        self.arguments = [binary, "server", "--http-listen", "127.0.0.1:0", "--data-dir", os.path.join(folder, "data"),
                          "--checkpoint-interval", interval]
        self.folder = folder
        self.log = open(os.path.join(folder, "server.log"), "ab")

    def start(self) -> Connection:
        """Gives a connection when the server answers."""
        port = free_port()
        arguments = [*self.arguments, "--listen", f"127.0.0.1:{port}"]
        self.process = subprocess.Popen(arguments, stdout=self.log, stderr=self.log)
        while True:
            if self.process.poll() is not None:
                sys.exit(f"the server ended by itself; see {self.log.name}")
            try:
                connection = Connection(port)
                connection.socket.settimeout(None)
                return connection
            except Gone:
                time.sleep(0.005)

    def cpu(self, thread: str = "") -> Cpu:
        """Of the process, or of its threads whose names begin so."""
        name = f"/proc/{self.process.pid}"
        if not thread:
            return cpu(f"{name}/stat")[1]
        threads = [cpu(f"{name}/task/{task}/stat") for task in os.listdir(f"{name}/task")]
        return sum((of for comm, of in threads if comm.startswith(thread)), Cpu(0, 0))

    def resident_mb(self) -> float:
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def checkpoint_mb(self) -> float:
        runs = os.path.join(self.folder, "data", "checkpoints", "runs")
        # Those of a job that has ended for good go with it.
        names = os.listdir(runs) if os.path.isdir(runs) else []
        return sum(os.path.getsize(os.path.join(runs, name)) for name in names) / 1e6


def cpu(stat: str) -> tuple[str, Cpu]:
    """Whose it is, and what it has used, of a file of the system."""
    with open(stat) as file:
        head, tail = file.read().rsplit(")", 1)
    fields = tail.split()
    return head.split("(", 1)[1], Cpu(int(fields[11]) / TICKS, int(fields[12]) / TICKS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_finished(connection: Connection) -> None:
    while any(job[3] != "FINISHED" for job in sound_jobs(connection)):
        time.sleep(0.1)


def sound_jobs(connection: Connection) -> list:
    """The lines of SHOW JOBS. Ends the program where a job has failed."""
    jobs = connection.sql("SHOW JOBS")
    failed = [job for job in jobs if job[3] in ("FAILED", "RESTARTING")]
    if failed:
        sys.exit(f"a job failed: {failed}")
    return jobs


@dataclasses.dataclass
class Run:
    """What an endless query has done: events, what they have cost in all and in the threads that write checkpoints, seconds, and
    MB in its last checkpoint."""

    events: int
    cpu: Cpu
    writers: Cpu
    seconds: float
    size: float

    def for_a_million(self, seconds: float) -> float:
        return 1e6 * seconds / self.events


def run(binary: str, form: str, query: str, interval: str, checkpoints: int = 0, events: int = 0) -> Run:
    """An endless query, until it has read so many events and made so many checkpoints."""
    folder = tempfile.mkdtemp(prefix="millstream-recovery-")
    server = Server(binary, folder, interval)
    connection = server.start()
    connection.sql(EVENTS.format(pace=ENDLESS))
    began, before = time.monotonic(), server.cpu()
    for statement in FORMS[form](query):
        connection.sql(statement)
    read, made, size = 0, 0, 0
    while read < events or made < checkpoints:
        time.sleep(0.1)
        sound_jobs(connection)
        # One job reads them, whatever it is called.
        read = max(int(line[0]) for line in connection.sql("SELECT rows_in FROM millstream.jobs"))
        for line in connection.sql("SHOW CHECKPOINTS"):
            made, size = int(line[3]), int(line[5] or 0)
    writers, seconds, used = server.cpu("checkpoints"), time.monotonic() - began, server.cpu() - before
    server.kill()
    shutil.rmtree(folder)
    return Run(read, used, writers, seconds, size / 1e6)


def cost(binary: str, form: str, query: str, checkpoints: int, interval: str, rounds: int) -> None:
    """In turns, of which every second one begins without checkpoints: what comes later on a machine is not always slower. A virtual
    machine that has been idle gives out memory at several times the price, so that one run that does not count comes first."""
    pairs, events = [], run(binary, form, query, interval, checkpoints=checkpoints).events
    for turn in range(rounds):
        without = run(binary, form, query, "0", events=events) if turn % 2 else None
        with_them = run(binary, form, query, interval, checkpoints=checkpoints, events=events)
        events = with_them.events
        pairs.append((with_them, without or run(binary, form, query, "0", events=events)))
    used = {"CPU": Cpu.all, "of the process": lambda of: of.user, "of the system": lambda of: of.system}
    for name, seconds in used.items():
        million = [[one.for_a_million(seconds(one.cpu)) for one in pair] for pair in pairs]
        more, less = (statistics.median(of) for of in zip(*million))
        ratios = [more / less for more, less in million]
        print(f"{query} as {form}, {name}: {less:.3f} s for a million events without checkpoints, {more:.3f} with one every "
              f"{interval}: {100 * (statistics.median(ratios) - 1):+.1f} % "
              f"(rounds: {', '.join(f'{100 * (ratio - 1):+.1f}' for ratio in ratios)})", flush=True)
    writers = statistics.median(of.writers.all() / of.cpu.all() for of, _ in pairs)
    last, _ = pairs[-1]
    print(f"{query} as {form}: their own threads take {100 * writers:.1f} %; {last.events / last.seconds / 1e6:.1f} million events a "
          f"second, {last.size:.0f} MB in the last", flush=True)


def increments(binary: str, rows: int) -> None:
    """The bytes of a checkpoint after one key in a hundred has changed."""
    folder = tempfile.mkdtemp(prefix="millstream-recovery-")
    server = Server(binary, folder, "1 h")
    connection = server.start()
    connection.sql("CREATE TABLE t (id BIGINT, v BIGINT)")
    connection.sql("CREATE MATERIALIZED VIEW sums AS SELECT id, COUNT(*) AS n, SUM(v) AS s, MAX(v) AS m FROM t GROUP BY id")
    job = connection.sql("SHOW JOBS")[0][0]
    for name, count in (("all_", rows), ("some", rows // 100)):
        connection.sql(f"CREATE TABLE {name} (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '{count}', "
                       f"'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{count}')")
    connection.sql("INSERT INTO t SELECT n, n * 7 FROM all_")
    sizes = []
    for name in ("whole", "changed"):
        connection.sql(f"CREATE SAVEPOINT '{name}' FOR JOB {job}")
        sizes.append(next(int(line[5]) for line in connection.sql("SHOW CHECKPOINTS") if line[0] == job))
        connection.sql("INSERT INTO t SELECT n * 100, 1 FROM some")
    print(f"{rows} keys: {sizes[0] / 1e6:.1f} MB; after one key in 100 has changed: {sizes[1] / 1e6:.2f} MB, "
          f"{100 * sizes[1] / sizes[0]:.1f} %", flush=True)
    server.kill()
    shutil.rmtree(folder)


def recovery(binary: str, events: int) -> None:
    folder = tempfile.mkdtemp(prefix="millstream-recovery-")
    server = Server(binary, folder, "1 h")
    connection = server.start()
    connection.sql(EVENTS.format(pace=f"'events.num' = '{events}'"))
    connection.sql(f"CREATE MATERIALIZED VIEW v AS {QUERIES['q18']}")
    wait_until_finished(connection)
    rows, resident = connection.sql("SELECT COUNT(*) FROM v")[0][0], server.resident_mb()
    server.kill()
    began = time.monotonic()
    connection = server.start()
    again = connection.sql("SELECT COUNT(*) FROM v")[0][0]
    seconds = time.monotonic() - began
    if again != rows:
        sys.exit(f"{rows} rows before, {again} after")
    print(f"recovery of {rows} rows, {server.checkpoint_mb():.0f} MB of checkpoint, {resident:.0f} MB of memory: "
          f"{seconds:.1f} s until they are read", flush=True)
    server.kill()
    shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--checkpoints", type=int, default=2)
    parser.add_argument("--state-events", type=int, default=3_000_000)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--interval", default="10 s")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=["increments", "recovery", "cost"])
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    measures = {
        "increments": lambda: increments(binary, arguments.keys),
        "recovery": lambda: recovery(binary, arguments.state_events),
        "cost": lambda: [cost(binary, form, query, arguments.checkpoints, arguments.interval, arguments.rounds)
                         for query in QUERIES for form in FORMS],
    }
    for name, measure in measures.items():
        if arguments.only in (None, name):
            measure()


if __name__ == "__main__":
    main()
