"""TPC-DS over Parquet files: the 99 queries on Millstream and on DuckDB give the same rows.

Usage: ds.py PATH_OF_MILLSTREAM [SCALE [QUERY …]]     (scale factor 0.01 where it is not given; all queries)
Needs the Python packages psycopg[binary] and duckdb 1.0.0, whose wheel has the generator and the texts of the queries in it; later
ones load them from elsewhere. Where that version must not replace another, PYTHONPATH names the folder that has it.
"""

import pathlib
import sys
import tempfile
import time

import duckdb

from common import same, start

# Rows that the order of a query leaves open are compared in this one.
PLACES = 2


def order(row):
    """A key to sort rows of one query by: nulls last, numbers by what they are rounded to."""
    key = []
    for value in row:
        try:
            key.append((value is None, 0.0 if value is None else round(float(value), PLACES), ""))
        except (TypeError, ValueError):
            key.append((False, 0.0, str(value)))
    return key


def equal(left, right):
    """Whether two rows are equal; blanks at the ends of texts, which CHAR has, do not count."""
    bare = lambda value: value.rstrip() if isinstance(value, str) else value
    return len(left) == len(right) and all(same(bare(a), bare(b)) for a, b in zip(left, right))


def compare(number, got, want):
    """Fails the run at the first row that differs."""
    if len(got) != len(want):
        sys.exit(f"query {number}: {len(got)} rows, want {len(want)}")
    for left, right in zip(sorted(got, key=order), sorted(want, key=order)):
        if not equal(left, right):
            sys.exit(f"query {number}: got {left!r}, want {right!r}")


def main():
    """Runs all queries on both."""
    binary = str(pathlib.Path(sys.argv[1]).absolute())
    scale = float(sys.argv[2]) if len(sys.argv) > 2 else 0.01
    chosen = {int(number) for number in sys.argv[3:]}
    truth = duckdb.connect()
    truth.execute("LOAD tpcds")
    truth.execute(f"CALL dsdgen(sf = {scale})")
    with tempfile.TemporaryDirectory() as directory:
        server, connection = start(binary, directory)
        passed, rows = 0, 0
        try:
            for (table,) in truth.execute("SHOW TABLES").fetchall():
                path = f"{directory}/{table}.parquet"
                truth.execute(f"COPY {table} TO '{path}' (FORMAT parquet)")
                connection.execute(f"CREATE VIEW {table} AS SELECT * FROM '{path}'")
            for number, text in truth.execute("SELECT query_nr, query FROM tpcds_queries() ORDER BY 1").fetchall():
                if chosen and number not in chosen:
                    continue
                want = truth.execute(text).fetchall()
                began = time.monotonic()
                got = connection.execute(text.strip().rstrip(";")).fetchall()
                took = time.monotonic() - began
                compare(number, got, want)
                print(f"query {number:2}: {len(got):5} rows, {took:6.2f} s", flush=True)
                passed, rows = passed + 1, rows + len(got)
        finally:
            connection.close()
            server.terminate()
            server.wait()
    if not passed or not rows:
        sys.exit("nothing was compared")
    print(f"{passed} passed, 0 failed")


if __name__ == "__main__":
    main()
