#!/usr/bin/env python3
"""Queries over Parquet files that nobody declared: Millstream against DataFusion itself, on the same files, in the same run.

    pip install datafusion psycopg[binary] tpchgen-cli
    bench/files.py target/release/millstream --scale 1 --runs 7 [--cli datafusion-cli]

Both are warm and read from the page cache. Millstream is asked over the wire, each time on a new connection, as `psql -c` does;
DataFusion in this process, each time with a new context that knows no table, as its command line does. With --cli both are what
a user types: `psql -c` against that program with -c, which are started each time and print their rows to nowhere. The runs of the
two take turns, the median of each counts. Every ratio above --limit is marked, and the run then fails.
"""

import argparse
import math
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import psycopg
from datafusion import SessionConfig, SessionContext

QUERIES = {
    "count": "SELECT count(*) FROM {lineitem}",
    "filter, aggregate": "SELECT sum(l_extendedprice * l_discount) AS revenue FROM {lineitem} WHERE l_shipdate >= DATE '1994-01-01'"
    " AND l_shipdate < DATE '1995-01-01' AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24",
    "few groups": "SELECT l_returnflag, l_linestatus, sum(l_quantity), avg(l_extendedprice), count(*) FROM {lineitem}"
    " GROUP BY l_returnflag, l_linestatus ORDER BY l_returnflag, l_linestatus",
    "many groups": "SELECT count(*), max(n) FROM (SELECT l_orderkey, count(*) AS n FROM {lineitem} GROUP BY l_orderkey)",
    "many groups of text": "SELECT count(*), max(n) FROM (SELECT l_comment, count(*) AS n FROM {lineitem} GROUP BY l_comment)",
    "text filter": "SELECT count(*) FROM {lineitem} WHERE l_comment LIKE '%regular%' AND l_shipmode IN ('AIR', 'MAIL')",
    "join": "SELECT o_orderpriority, count(*), sum(l_extendedprice) FROM {lineitem} JOIN {orders} ON l_orderkey = o_orderkey"
    " WHERE o_orderdate >= DATE '1995-01-01' GROUP BY o_orderpriority ORDER BY o_orderpriority",
    "order by limit": "SELECT l_orderkey, l_linenumber, l_extendedprice FROM {lineitem}"
    " ORDER BY l_extendedprice DESC, l_orderkey, l_linenumber LIMIT 10",
    "select * limit": "SELECT * FROM {lineitem} LIMIT 1000",
    "one order": "SELECT l_linenumber, l_quantity FROM {lineitem} WHERE l_orderkey = 4711 ORDER BY l_linenumber",
}


class Millstream:
    """A server on a free port."""

    def __init__(self, binary, directory):
        ports = [free_port(), free_port()]
        arguments = ["--listen", f"127.0.0.1:{ports[0]}", "--http-listen", f"127.0.0.1:{ports[1]}"]
        command = [str(pathlib.Path(binary).absolute()), "server", *arguments]
        self.server = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"host=127.0.0.1 port={ports[0]} user=bench"
        for _ in range(200):
            try:
                self.query("SELECT 1")
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        sys.exit("the server does not answer")

    def query(self, text):
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(text).fetchall()

    def query_only(self, text):
        """As it, but the rows stay libpq's, as they are for psql: Python's own time is not Millstream's."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            result = connection.pgconn.exec_(text.encode())
            if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
                sys.exit(result.error_message.decode())

    def psql(self, program):
        """What runs a query in psql."""
        command = [program, "-X", "-d", self.url, "-c"]
        return lambda text: subprocess.run([*command, text], check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        self.server.terminate()
        self.server.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def datafusion(text):
    """The rows as DataFusion's command line would compute them."""
    context = SessionContext(SessionConfig()).enable_url_table()
    batches = context.sql(text).collect()
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


def datafusion_only(text):
    """As it, but the rows stay where they are: Python's own time is not DataFusion's."""
    context = SessionContext(SessionConfig()).enable_url_table()
    return context.sql(text).collect()


def command_line(program):
    """What runs a query in DataFusion's command line."""
    return lambda text: subprocess.run([program, "-q", "-c", text], check=True, stdout=subprocess.DEVNULL)


def generate(directory, scale, parts):
    """A folder of files for each table."""
    tool = shutil.which("tpchgen-cli") or str(pathlib.Path(sys.executable).parent / "tpchgen-cli")
    command = [tool, "parquet", "-s", scale, "--tables=lineitem,orders", f"--parts={parts}", f"--output-dir={directory}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def seconds(work, text):
    began = time.perf_counter()
    work(text)
    return time.perf_counter() - began


def alike(left, right):
    """Whether two values are the same; sums of floating point are so to nine digits."""
    try:
        return math.isclose(float(left), float(right), rel_tol=1e-6, abs_tol=1e-9)
    except (TypeError, ValueError):
        return str(left) == str(right)


def same(name, ours, theirs):
    """Ends the run where the rows differ. What a LIMIT without ORDER BY gives is open."""
    if len(ours) != len(theirs):
        sys.exit(f"{name}: {len(ours)} rows, DataFusion has {len(theirs)}")
    if name == "select * limit":
        return
    for left, right in zip(ours, theirs):
        if not all(map(alike, left, right)):
            sys.exit(f"{name}: {left!r}, DataFusion has {right!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--scale", default="1", help="TPC-H's scale factor (default 1: 6 million rows of lineitem)")
    parser.add_argument("--parts", type=int, default=4, help="files for each table")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--limit", type=float, default=1.2, help="the highest ratio that passes")
    parser.add_argument("--cli", help="DataFusion's command line, to be measured beside psql")
    parser.add_argument("--psql", default="psql", help="with --cli; Debian's `psql` is a script around it, which takes 20 ms")
    parser.add_argument("--only", help="queries whose names hold this text")
    parser.add_argument("--directory", help="where the files are or are to be made; else a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(arguments.directory or temporary)
        if not (directory / "lineitem").exists():
            generate(directory, arguments.scale, arguments.parts)
        tables = {table: f"'{directory}/{table}/'" for table in ["lineitem", "orders"]}
        millstream = Millstream(arguments.binary, temporary)
        try:
            over = compare(millstream, tables, arguments)
        finally:
            millstream.stop()
    sys.exit(f"above {arguments.limit}: {', '.join(over)}" if over else 0)


def compare(millstream, tables, arguments):
    """Prints a line for each query, and returns the names of those that took too long."""
    ways = (millstream.psql(arguments.psql), command_line(arguments.cli)) if arguments.cli else (millstream.query_only, datafusion_only)
    over = []
    print(f"{'query':22} {'Millstream':>11} {'DataFusion':>11} {'ratio':>6}")
    for name, text in QUERIES.items():
        if arguments.only and arguments.only not in name:
            continue
        text = text.format(**tables)
        same(name, millstream.query(text), datafusion(text))
        times = [[seconds(way, text) for way in ways] for _ in range(arguments.runs)]
        ours, theirs = (statistics.median(of) for of in zip(*times))
        mark = "  <" if ours / theirs > arguments.limit else ""
        over += [name] if mark else []
        print(f"{name:22} {ours * 1e3:8.1f} ms {theirs * 1e3:8.1f} ms {ours / theirs:6.2f}{mark}", flush=True)
    return over


if __name__ == "__main__":
    main()
