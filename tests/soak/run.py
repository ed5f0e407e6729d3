"""Memory and idleness over minutes: the generator at full speed into five views, then the same views with silent sources.

    python tests/soak/run.py target/release/millstream [--seconds 600]

Prints the resident memory through the run. Fails where it grows by more than a tenth after the first fifth of the time, where
the views stand still, or where the idle server uses 1 % of a core or more. Needs psql; Linux only.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time

EVENTS = """CREATE TABLE events (
  event_type INT,
  person ROW<id BIGINT, dateTime TIMESTAMP(3)>,
  auction ROW<id BIGINT, dateTime TIMESTAMP(3)>,
  bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, dateTime TIMESTAMP(3)>,
  dateTime AS CASE event_type WHEN 0 THEN person.dateTime WHEN 1 THEN auction.dateTime ELSE bid.dateTime END,
  WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND
) WITH ('connector' = 'nexmark', 'first-event.rate' = '10000000', 'next-event.rate' = '10000000'{options})"""

VIEWS = [
    "CREATE MATERIALIZED VIEW total AS SELECT COUNT(bid.price) AS bids, SUM(bid.price) AS volume FROM events",
    "CREATE MATERIALIZED VIEW channels AS SELECT bid.channel AS channel, COUNT(*) AS bids FROM events "
    "WHERE bid.channel IN ('Google', 'Facebook', 'Baidu', 'Apple') GROUP BY bid.channel",
    "CREATE MATERIALIZED VIEW levels AS SELECT bid.price / 1000000 AS level, COUNT(*) AS bids, MAX(bid.price) AS most "
    "FROM events GROUP BY bid.price / 1000000",
    "CREATE MATERIALIZED VIEW minutes AS SELECT window_start, COUNT(*) AS bids, COUNT(DISTINCT bid.channel) AS channels "
    "FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(dateTime), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end",
    "CREATE MATERIALIZED VIEW sliding AS SELECT window_end, MAX(bid.price) AS most "
    "FROM TABLE(HOP(TABLE events, DESCRIPTOR(dateTime), INTERVAL '10' SECOND, INTERVAL '1' MINUTE)) "
    "GROUP BY window_start, window_end",
]


class Server:
    """A server of its own on a free port."""

    def __init__(self, binary: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = tempfile.TemporaryDirectory()
        arguments = ["server", "--listen", f"127.0.0.1:{self.port}", "--http-listen", "127.0.0.1:0",
                     "--data-dir", self.folder.name]
        self.process = subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        sys.exit("the server does not answer")

    def sql(self, text: str) -> str:
        command = ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "soak", "-d", "millstream", "-X", "-At",
                   "-v", "ON_ERROR_STOP=1", "-c", text]
        return self.checked(subprocess.run(command, capture_output=True, text=True))

    @staticmethod
    def checked(done: subprocess.CompletedProcess) -> str:
        if done.returncode != 0:
            sys.exit(done.stderr)
        return done.stdout.strip()

    def resident_mb(self) -> float:
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def cpu_seconds(self) -> float:
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()


def busy(binary: str, seconds: int) -> None:
    server = Server(binary)
    server.sql(EVENTS.format(options=""))
    for view in VIEWS:
        server.sql(view)
    start, samples, before = time.monotonic(), [], 0
    while (elapsed := time.monotonic() - start) < seconds:
        time.sleep(min(5.0, seconds / 20))
        samples.append((elapsed, server.resident_mb()))
        if len(samples) % 6 == 0:
            bids = int(server.sql("SELECT bids FROM total"))
            print(f"{elapsed:6.0f} s  {samples[-1][1]:7.1f} MB  {bids:>14,} events", flush=True)
            if bids <= before:
                sys.exit("the views stand still")
            before = bids
    warm = [mb for at, mb in samples if at >= seconds / 5]
    head, tail = warm[: len(warm) // 4], warm[-(len(warm) // 4):]
    first, last = sum(head) / len(head), sum(tail) / len(tail)
    print(f"after warm-up {first:.1f} MB, at the end {last:.1f} MB")
    server.stop()
    if last > first * 1.1:
        sys.exit("memory grows")


def idle(binary: str) -> None:
    server = Server(binary)
    server.sql(EVENTS.format(options=", 'events.num' = '1'"))
    server.sql("CREATE TABLE silent (bid ROW<auction BIGINT, price BIGINT>)")
    server.sql("CREATE MATERIALIZED VIEW quiet AS SELECT COUNT(*) AS rows FROM silent")
    for view in VIEWS:
        server.sql(view)
    time.sleep(3)
    before = server.cpu_seconds()
    time.sleep(10)
    used = (server.cpu_seconds() - before) / 10 * 100
    print(f"idle: {used:.2f} % of a core")
    server.stop()
    if used >= 1.0:
        sys.exit("the idle server is busy")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=int, default=600)
    given = parser.parse_args()
    idle(given.binary)
    busy(given.binary, given.seconds)
