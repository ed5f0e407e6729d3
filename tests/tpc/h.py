"""TPC-H over Parquet files: the 22 queries on Millstream and on DuckDB give the same rows.

Usage: h.py PATH_OF_MILLSTREAM [SCALE [MODE]]     (scale factor 0.1 where it is not given)
MODE is a runtime mode, batch or streaming; a query that the streaming runtime cannot do is computed in batch, and told.
Needs the Python packages duckdb, psycopg[binary] and tpchgen-cli.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import duckdb

from common import same, start

TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]
HERE = pathlib.Path(__file__).parent


def queries():
    """The statements of h.sql, comments left out."""
    lines = [line for line in (HERE / "h.sql").read_text().splitlines() if not line.startswith("--")]
    return [text.strip() for text in "\n".join(lines).split(";\n") if text.strip(" \n;")]


def generate(directory, scale):
    """Makes one Parquet file for each table."""
    tool = shutil.which("tpchgen-cli") or str(pathlib.Path(sys.executable).parent / "tpchgen-cli")
    subprocess.run([tool, "parquet", "-s", scale, f"--output-dir={directory}"], check=True)


def compare(number, got, want):
    """Fails the run at the first row that differs."""
    if len(got) != len(want):
        sys.exit(f"query {number}: {len(got)} rows, want {len(want)}")
    for row, (left, right) in enumerate(zip(got, want)):
        if len(left) != len(right) or not all(map(same, left, right)):
            sys.exit(f"query {number}, row {row}: got {left!r}, want {right!r}")


def main():
    """Runs all queries on both."""
    binary = str(pathlib.Path(sys.argv[1]).absolute())
    scale = sys.argv[2] if len(sys.argv) > 2 else "0.1"
    mode = sys.argv[3] if len(sys.argv) > 3 else ""
    with tempfile.TemporaryDirectory() as directory:
        generate(directory, scale)
        truth = duckdb.connect()
        server, connection = start(binary, directory)
        notices = []
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        try:
            for table in TABLES:
                path = f"{directory}/{table}.parquet"
                truth.execute(f"CREATE VIEW {table} AS SELECT * FROM '{path}'")
                connection.execute(f"CREATE VIEW {table} AS SELECT * FROM '{path}'")
            if mode:
                connection.execute(f"SET 'execution.runtime-mode' = '{mode}'")
            for number, text in enumerate(queries(), 1):
                notices.clear()
                want = truth.execute(text).fetchall()
                began = time.monotonic()
                got = connection.execute(text).fetchall()
                took = time.monotonic() - began
                compare(number, got, want)
                print(f"query {number:2}: {len(got):5} rows, {took:6.2f} s", *notices, flush=True)
        finally:
            connection.close()
            server.terminate()
            server.wait()
    print(f"{number} passed, 0 failed")


if __name__ == "__main__":
    main()
