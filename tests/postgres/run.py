"""The postgres connector against a PostgreSQL server of its own: reading a table, lookups by one and by two keys of several types,
caches, and a server that goes away and comes back.

Usage: run.py PATH_OF_MILLSTREAM
"""

import glob
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

PAUSE = threading.Event()
count = 0


def check(what, got, want):
    """Fails the run with what was expected."""
    global count
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")
    count += 1
    print(f"ok {what}", flush=True)


def free_port():
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def program(name):
    """A program of the PostgreSQL server."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}")) or [shutil.which(name)]
    return found[-1] or sys.exit(f"missing: {name} (Debian package postgresql)")


class Cluster:
    """A PostgreSQL server that lives in a folder. It does not run as root."""

    def __init__(self, folder):
        self.data, self.port, self.user = os.path.join(folder, "cluster"), free_port(), None
        os.mkdir(self.data, 0o700)
        if os.getuid() == 0:
            known = {entry.pw_name for entry in pwd.getpwall()}
            self.user = "postgres" if "postgres" in known else "nobody"
            os.chmod(folder, 0o755)
            shutil.chown(self.data, self.user)
        self.call("initdb", "-D", self.data, "-U", "dev", "-A", "trust", "-N")

    def call(self, name, *args):
        """Runs a program as the cluster's user."""
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": self.data}
        done = subprocess.run([program(name), *args], env=env, cwd=self.data, user=self.user,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"{name}: {done.stderr}")

    def start(self):
        """Returns when it takes connections."""
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -c unix_socket_directories={self.data} -c fsync=off"
        log = os.path.join(self.data, "log")
        self.call("pg_ctl", "-D", self.data, "-w", "-l", log, "-o", options, "start")

    def stop(self):
        """Stops it at once."""
        self.call("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")


def psql(port, database, *commands):
    """What psql prints, unaligned, without headers, as sorted lines."""
    call = ["psql", "-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p", str(port), "-U", "dev", "-d", database]
    for command in commands:
        call += ["-c", command]
    done = subprocess.run(call, capture_output=True, text=True, timeout=90)
    if done.returncode != 0:
        sys.exit(f"psql {commands}: {done.stderr}")
    return sorted(done.stdout.splitlines())


def start_server(binary, folder):
    """A server of Millstream: its process and port."""
    port = free_port()
    process = subprocess.Popen([binary, "server", "--listen", f"127.0.0.1:{port}", "--http-listen",
                                f"127.0.0.1:{free_port()}", "--data-dir", os.path.join(folder, "data")])
    end = time.monotonic() + 30
    while True:
        if process.poll() is not None or time.monotonic() > end:
            sys.exit("the server did not start")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process, port
        except OSError:
            PAUSE.wait(0.1)


FILL = """
CREATE TABLE people (id INT, region VARCHAR(10), name TEXT, score NUMERIC(10, 2), born DATE, seen TIMESTAMPTZ, at TIMESTAMP(3),
  ok BOOLEAN, raw BYTEA, ratio DOUBLE PRECISION, PRIMARY KEY (id, region));
INSERT INTO people VALUES
  (1, 'eu', 'ann', 12.50, '1990-01-02', '2024-01-01 12:00:00+02', '2024-01-01 00:00:00.123', true, '\\x01ff', 0.5),
  (1, 'us', 'amy', -1, NULL, NULL, NULL, NULL, NULL, NULL),
  (2, 'eu', 'bo "b"', 0, '2000-02-29', '1969-12-31 23:59:59Z', '1970-01-01', false, '', 'NaN');
CREATE TABLE tags (id UUID PRIMARY KEY, tag TEXT);
INSERT INTO tags VALUES ('00000000-0000-0000-0000-000000000001', 'first');
"""

COLUMNS = """id INT, region STRING, name STRING, score DECIMAL(10, 2), born DATE, seen TIMESTAMP_LTZ(3), at TIMESTAMP(3),
  ok BOOLEAN, raw BYTES, ratio DOUBLE"""


def options(cluster, table, more=""):
    """The options of a table on the cluster."""
    return (f"WITH ('connector' = 'postgres', 'url' = 'postgresql://127.0.0.1:{cluster.port}/postgres', 'user' = 'dev', "
            f"'table-name' = '{table}'{more})")


def reads(port, cluster):
    """A table as a whole, of every type, in batch and as a view."""
    retried = ", 'lookup.max-retries' = '100'"
    psql(port, "millstream", f"CREATE TABLE people ({COLUMNS}) {options(cluster, 'public.people', retried)}")
    rows = psql(port, "millstream", "SELECT id, region, name, score, born, seen, at, ok, raw, ratio FROM people")
    check("a table of all types", rows, [
        "1|eu|ann|12.50|1990-01-02|2024-01-01 10:00:00+00|2024-01-01 00:00:00.123|t|\\x01ff|0.5",
        "1|us|amy|-1.00|||||||"[:-1],
        "2|eu|bo \"b\"|0.00|2000-02-29|1969-12-31 23:59:59+00|1970-01-01 00:00:00|f|\\x|NaN"])
    psql(port, "millstream", "CREATE MATERIALIZED VIEW copied AS SELECT region, COUNT(*) AS n FROM people GROUP BY region",
         "FLUSH")
    check("a view over a table", psql(port, "millstream", "SELECT * FROM copied"), ["eu|2", "us|1"])
    jdbc = (f"WITH ('connector' = 'jdbc', 'url' = 'jdbc:postgresql://127.0.0.1:{cluster.port}/postgres', "
            "'username' = 'dev', 'table-name' = 'tags', 'lookup.max-retries' = '100')")
    psql(port, "millstream", f"CREATE TABLE tags (id STRING, tag STRING) {jdbc}")
    check("a table named as Flink does", psql(port, "millstream", "SELECT tag FROM tags"), ["first"])


def lookups(port, cluster):
    """Lookups by one and by two keys; what changes is seen by later rows."""
    cached = ", 'lookup.max-retries' = '100', 'lookup.cache' = 'PARTIAL', 'lookup.cache.max-rows' = '1000'"
    whole = ", 'lookup.cache' = 'FULL'"
    psql(port, "millstream", f"CREATE TABLE cached ({COLUMNS}) {options(cluster, 'people', cached)}",
         f"CREATE TABLE whole ({COLUMNS}) {options(cluster, 'people', whole)}",
         "CREATE TABLE facts (k BIGINT, region STRING, tag STRING, at_ AS PROCTIME())",
         """CREATE MATERIALIZED VIEW by_one AS SELECT f.k, p.name FROM facts f
            LEFT JOIN people FOR SYSTEM_TIME AS OF f.at_ AS p ON f.k = p.id""",
         """CREATE MATERIALIZED VIEW by_two AS SELECT f.k, p.name, p.seen FROM facts f
            JOIN people FOR SYSTEM_TIME AS OF f.at_ AS p ON f.k = p.id AND f.region = p.region AND p.score > 0""",
         """CREATE MATERIALIZED VIEW from_cache AS SELECT f.k, p.name FROM facts f
            LEFT JOIN cached FOR SYSTEM_TIME AS OF f.at_ AS p ON f.k = p.id AND p.region = 'eu'""",
         """CREATE MATERIALIZED VIEW from_whole AS SELECT f.k, p.name FROM facts f
            LEFT JOIN whole FOR SYSTEM_TIME AS OF f.at_ AS p ON f.k = p.id AND f.region = p.region""",
         """CREATE MATERIALIZED VIEW by_uuid AS SELECT f.k, t.tag FROM facts f
            JOIN tags FOR SYSTEM_TIME AS OF f.at_ AS t ON f.tag = t.id""",
         "INSERT INTO facts VALUES (1, 'eu', '00000000-0000-0000-0000-000000000001'), (2, 'us', 'x'), (3, NULL, NULL), "
         "(NULL, 'eu', NULL), (99999999999, 'eu', 'x')",
         "FLUSH")
    check("lookups by one key", psql(port, "millstream", "SELECT * FROM by_one"),
          ["1|amy", "1|ann", "2|bo \"b\"", "3|", "99999999999|", "|"])
    check("lookups by two keys", psql(port, "millstream", "SELECT * FROM by_two"), ["1|ann|2024-01-01 10:00:00+00"])
    check("a uuid as text", psql(port, "millstream", "SELECT * FROM by_uuid"), ["1|first"])
    check("lookups in the whole table", psql(port, "millstream", "SELECT * FROM from_whole"),
          ["1|ann", "2|", "3|", "99999999999|", "|"])
    psql(cluster.port, "postgres", "UPDATE people SET name = 'bob' WHERE id = 2",
         "INSERT INTO people (id, region, name, score) VALUES (3, 'eu', 'cid', 1)")
    psql(port, "millstream", "INSERT INTO facts VALUES (2, 'eu', NULL), (3, 'eu', NULL)", "FLUSH")
    check("later rows see the change", psql(port, "millstream", "SELECT * FROM by_one WHERE k IN (2, 3)"),
          ["2|bo \"b\"", "2|bob", "3|", "3|cid"])
    check("a cache does not", psql(port, "millstream", "SELECT * FROM from_cache WHERE k IN (2, 3)"),
          ["2|bo \"b\"", "2|bo \"b\"", "3|", "3|"])
    check("nor does the whole table", psql(port, "millstream", "SELECT * FROM from_whole WHERE k IN (2, 3)"),
          ["2|", "2|bo \"b\"", "3|", "3|"])
    plan = "\n".join(psql(port, "millstream", """EXPLAIN SELECT f.k FROM facts f
        JOIN cached FOR SYSTEM_TIME AS OF f.at_ AS p ON f.k = p.id"""))
    check("EXPLAIN tells of the cache", "LookupJoin inner cached" in plan and "at most 1000 rows" in plan, True)
    check("EXPLAIN tells no secret", "dev" in plan, False)


def retries(port, cluster):
    """A server that is away for a moment is asked again; others do not wait for it."""
    cluster.stop()
    waiting = threading.Thread(target=lambda: psql(port, "millstream", "INSERT INTO facts VALUES (1, 'us', NULL)"))
    waiting.start()
    check("another statement meanwhile", psql(port, "millstream", "SELECT 1"), ["1"])
    cluster.start()
    waiting.join()
    psql(port, "millstream", "FLUSH")
    check("the rows after the break", psql(port, "millstream", "SELECT * FROM by_one WHERE k = 1"),
          ["1|amy", "1|amy", "1|ann", "1|ann"])


def main():
    """Runs everything."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(folder)
        cluster.start()
        process = None
        try:
            psql(cluster.port, "postgres", FILL)
            process, port = start_server(sys.argv[1], folder)
            reads(port, cluster)
            lookups(port, cluster)
            retries(port, cluster)
            print(f"{count} checks passed")
        finally:
            if process is not None:
                process.terminate()
                process.wait(20)
            cluster.stop()


main()
