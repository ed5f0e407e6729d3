"""psql, asyncpg and psycopg 3 against a real server: each makes a table over a directory of JSON files and a
materialised view with a HOP window, reads it and subscribes to it; then wrong input, after which the server goes on.

Usage: run.py PATH_OF_MILLSTREAM
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta

import asyncpg
import psycopg

ROWS = 600
WINDOWS = """SELECT window_start, window_end, count(*) AS n, sum(price) AS total
FROM TABLE(HOP(TABLE {bids}, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND))
GROUP BY window_start, window_end"""

passed = 0


def check(what, got, want):
    """Fails the run with what was expected."""
    global passed
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")
    passed += 1


def free_port():
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_bids(folder):
    """Two files of bids, one a second, and the windows they give: (start, end) to (count, sum)."""
    start = datetime(2024, 1, 1)
    windows = {}
    for part in range(2):
        with open(os.path.join(folder, f"bids-{part}.json"), "w") as out:
            for row in range(part * ROWS // 2, (part + 1) * ROWS // 2):
                at = start + timedelta(seconds=row)
                out.write(json.dumps({"ts": at.isoformat(sep=" "), "auction": row % 7, "price": row}) + "\n")
                first = start + timedelta(seconds=row - row % 5)
                for begin in (first - timedelta(seconds=5), first):
                    count, total = windows.get((begin, begin + timedelta(seconds=10)), (0, 0))
                    windows[begin, begin + timedelta(seconds=10)] = (count + 1, total + row)
    return windows


def ddl(name, folder):
    """A table over the folder."""
    return f"""CREATE TABLE {name} (ts TIMESTAMP(3), auction BIGINT, price BIGINT,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
WITH ('connector' = 'filesystem', 'path' = '{folder}', 'format' = 'json')"""


def psql(port, *commands, may_fail=False, timeout=60):
    """What psql prints, unaligned, without headers."""
    call = ["psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-p", str(port), "-U", "dev", "-d", "millstream"]
    for command in commands:
        call += ["-c", command]
    done = subprocess.run(call, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0 and not may_fail:
        sys.exit(f"psql {commands}: {done.stderr}")
    return done.stdout + (done.stderr if may_fail else "")


def with_psql(port, folder, windows):
    """The whole way with psql."""
    psql(port, ddl("bids_psql", folder))
    psql(port, f"CREATE MATERIALIZED VIEW hop_psql AS {WINDOWS.format(bids='bids_psql')}", "FLUSH")
    rows = psql(port, "SELECT * FROM hop_psql ORDER BY window_start").split("\n")[:-1]
    want = [f"{a}|{b}|{n}|{total}" for (a, b), (n, total) in sorted(windows.items())]
    check("psql reads the view", rows, want)
    # A subscription to a view that has ended gives the snapshot and ends or is cut by the timeout.
    listing = psql(port, "\\dt")
    check("psql \\dt lists the table", "bids_psql" in listing, True)
    check("psql \\d NAME tells the columns", "price" in psql(port, "\\d bids_psql"), True)
    check("psql \\d lists the view", "hop_psql" in psql(port, "\\d"), True)
    # psql reads a query to its end, so the subscription is cut by the statement timeout; what came before is printed.
    out = psql(
        port,
        "SET statement_timeout = '3s'",
        "\\set FETCH_COUNT 0",
        "SUBSCRIBE TO hop_psql",
        may_fail=True,
    )
    check("psql subscribes", "canceling statement due to statement timeout" in out or "2024-01-01" in out, True)


async def with_asyncpg(port, folder, windows):
    """The whole way with asyncpg: extended protocol, binary."""
    db = await asyncpg.connect(host="127.0.0.1", port=port, user="dev", database="millstream")
    await db.execute(ddl("bids_asyncpg", folder))
    await db.execute(f"CREATE MATERIALIZED VIEW hop_asyncpg AS {WINDOWS.format(bids='bids_asyncpg')}")
    await db.execute("FLUSH")
    rows = await db.fetch("SELECT * FROM hop_asyncpg ORDER BY window_start")
    got = [(r["window_start"], r["window_end"], r["n"], int(r["total"])) for r in rows]
    check("asyncpg reads the view", got, [(a, b, n, t) for (a, b), (n, t) in sorted(windows.items())])
    one = await db.fetch("SELECT n FROM hop_asyncpg WHERE window_start = $1 AND n > $2", sorted(windows)[3][0], 1)
    check("asyncpg passes parameters", [r["n"] for r in one], [windows[sorted(windows)[3]][0]])
    seen = []
    try:
        async with db.transaction():
            async for row in db.cursor("SUBSCRIBE TO hop_asyncpg", prefetch=10):
                seen.append((row["sign"], row["window_start"], row["n"]))
                if len(seen) == len(windows):
                    break
    except asyncpg.PostgresError as error:
        sys.exit(f"asyncpg subscribes: {error}")
    check("asyncpg subscribes", sorted(seen), sorted((1, a, n) for (a, _), (n, _) in windows.items()))
    await db.close()


def with_psycopg(port, folder, windows):
    """The whole way with psycopg 3: text and binary."""
    with psycopg.connect(f"host=127.0.0.1 port={port} user=dev dbname=millstream", autocommit=True) as db:
        db.execute(ddl("bids_psycopg", folder))
        db.execute(f"CREATE MATERIALIZED VIEW hop_psycopg AS {WINDOWS.format(bids='bids_psycopg')}")
        db.execute("FLUSH")
        want = [(a, b, n, t) for (a, b), (n, t) in sorted(windows.items())]
        for binary in (False, True):
            rows = db.execute("SELECT * FROM hop_psycopg ORDER BY window_start", binary=binary).fetchall()
            check(f"psycopg reads the view (binary={binary})", [(a, b, n, int(t)) for a, b, n, t in rows], want)
        at = sorted(windows)[5][0]
        rows = db.execute("SELECT n FROM hop_psycopg WHERE window_start = %s", (at,)).fetchall()
        check("psycopg passes parameters", rows, [(windows[sorted(windows)[5]][0],)])
    with psycopg.connect(f"host=127.0.0.1 port={port} user=dev dbname=millstream", autocommit=True) as db:
        seen = []
        for row in db.cursor().stream("SUBSCRIBE TO hop_psycopg"):
            seen.append(row)
            if len(seen) == len(windows):
                db.cancel()
                break
        check("psycopg subscribes", sorted(r[2] for r in seen), sorted(a for a, _ in windows))


def copies(port, folder):
    """COPY with psql's \\copy and psycopg, in both directions."""
    psql(port, "CREATE TABLE copied (id INT PRIMARY KEY NOT ENFORCED, name STRING, at TIMESTAMP(3))")
    path = os.path.join(folder, "rows.csv")
    with open(path, "w") as out:
        out.write('id,name\n1,one\n2,"two, and\nmore"\n3,\n')
    out = psql(port, f"\\copy copied (id, name) FROM '{path}' WITH (FORMAT csv, HEADER)")
    check("\\copy FROM tells the rows", out, "COPY 3\n")
    out = psql(port, "COPY (SELECT id, name FROM copied ORDER BY id) TO STDOUT")
    check("COPY TO STDOUT is PostgreSQL's text", out, "1\tone\n2\ttwo, and\\nmore\n3\t\\N\n")
    back = os.path.join(folder, "back.csv")
    psql(port, f"\\copy (SELECT id, name FROM copied ORDER BY id) TO '{back}' CSV HEADER")
    with open(back) as text:
        check("\\copy TO gives the same file", text.read(), 'id,name\n1,one\n2,"two, and\nmore"\n3,\n')
    with open(path, "w") as out:
        out.write("4\tfour\n5\n")
    out = psql(port, f"\\copy copied (id, name) FROM '{path}'", may_fail=True)
    check("a short row is refused", "missing data for column" in out and "line 2" in out, True)
    check("nothing of it is inserted", psql(port, "SELECT count(*) FROM copied"), "3\n")
    with psycopg.connect(f"host=127.0.0.1 port={port} user=dev dbname=millstream", autocommit=True) as connection:
        with connection.cursor() as cursor:
            with cursor.copy("COPY copied (id, name, at) FROM STDIN") as copy:
                for row in range(10, 1010):
                    copy.write_row((row, f"row\t{row}" if row % 2 else None, datetime(2024, 1, 1, 0, 0, row % 60)))
            cursor.execute("SELECT count(*), count(name), max(at) FROM copied WHERE id >= 10")
            check("psycopg copies in", cursor.fetchone(), (1000, 500, datetime(2024, 1, 1, 0, 0, 59)))
            with cursor.copy("COPY copied (id, name) TO STDOUT") as copy:
                rows = sorted((int(number), name) for number, name in copy.rows())
            check("psycopg copies out", (len(rows), rows[3], rows[4]), (1003, (10, None), (11, "row\t11")))
            try:
                with cursor.copy("COPY copied FROM STDIN") as copy:
                    copy.write("1\t2\t3\t4\n")
                check("too many values are refused", True, False)
            except psycopg.errors.BadCopyFileFormat:
                cursor.execute("SELECT 1")
                check("the connection goes on after a COPY that failed", cursor.fetchone(), (1,))


def wrong_input(port, folder):
    """Each wrong input is a clear error, or a counted skip where declared; the server goes on."""
    bad = tempfile.mkdtemp()
    with open(os.path.join(bad, "bad.json"), "w") as out:
        out.write('{"ts": "2024-01-01 00:00:00", "auction": 1, "price": 1}\n{"ts": broken\n')
    psql(port, ddl("broken", bad))
    out = psql(port, "SELECT * FROM broken", may_fail=True)
    check("a malformed line names file and line", "bad.json" in out and "line 2" in out, True)
    psql(port, ddl("skipping", bad).rstrip(")") + ", 'json.ignore-parse-errors' = 'true')")
    check("a malformed line is skipped as declared", psql(port, "SELECT count(*) FROM skipping"), "1\n")
    psql(port, ddl("missing", folder + "/no-such-folder"))
    out = psql(port, "SELECT * FROM missing", may_fail=True)
    check("a missing file is named", "no-such-folder" in out, True)
    out = psql(port, "SELECT price FROM nowhere", may_fail=True)
    check("a missing table is named", "nowhere" in out and "LINE 1" in out, True)
    check("the server goes on", psql(port, "SELECT 1"), "1\n")


def main():
    """Starts a server, runs all of it, stops the server."""
    binary = sys.argv[1]
    port, http = free_port(), free_port()
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [binary, "server", "--listen", f"127.0.0.1:{port}", "--http-listen", f"127.0.0.1:{http}", "--data-dir", data]
        )
        try:
            wait_for(port, server)
            windows = write_bids(folder)
            with_psql(port, folder, windows)
            with tempfile.TemporaryDirectory() as scratch:
                copies(port, scratch)
            asyncio.run(asyncio.wait_for(with_asyncpg(port, folder, windows), 60))
            with_psycopg(port, folder, windows)
            wrong_input(port, folder)
            check("the server still runs", server.poll(), None)
        finally:
            server.terminate()
            server.wait(10)
    print(f"{passed} passed, 0 failed")


def wait_for(port, server):
    """Returns when the server takes connections; at most 30 s."""
    for _ in range(300):
        if server.poll() is not None:
            sys.exit(f"the server ended with {server.returncode}")
        done = subprocess.run(["psql", "-X", "-h", "127.0.0.1", "-p", str(port), "-U", "dev", "-c", "SELECT 1", "millstream"],
                              capture_output=True)
        if done.returncode == 0:
            return
        server_wait(server)
    sys.exit("the server did not come up in 30 s")


def server_wait(server):
    """Waits a tenth of a second, or less where the server ends."""
    try:
        server.wait(0.1)
    except subprocess.TimeoutExpired:
        pass


if __name__ == "__main__":
    main()
