#!/usr/bin/env python3
"""Files in object stores, each by a stand-in on this machine (services.py): read as tables, copied, written by sinks, watched.

    python3 tests/object_stores/files.py target/debug/millstream [s3 gs az]

Needs `pip install 'moto[server]' boto3 psycopg[binary]` and `npm install azurite`.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import psycopg

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kill"))

from server import free_port  # noqa: E402
from services import ALL, BUCKET  # noqa: E402

# Where the environment says that a service is.
ENDPOINTS = {"s3": "AWS_ENDPOINT_URL", "gs": "GS_ENDPOINT", "az": "AZURE_STORAGE_ENDPOINT"}
# What each says of a bucket that is not there.
NO_BUCKET = {"s3": "NoSuchBucket", "gs": "NoSuchBucket", "az": "ContainerNotFound"}


class Failed(Exception):
    """What was found is not what was wanted."""


def start(binary, directory, keys):
    """A server on free ports, and a connection to it."""
    ports = [free_port(), free_port()]
    arguments = ["--listen", f"127.0.0.1:{ports[0]}", "--http-listen", f"127.0.0.1:{ports[1]}"]
    command = [binary, "server", *arguments, "--data-dir", f"{directory}/data"]
    server = subprocess.Popen(command, env=os.environ | keys, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            return server, psycopg.connect(f"host=127.0.0.1 port={ports[0]} user=files", autocommit=True)
        except psycopg.OperationalError:
            if server.poll() is not None:
                sys.exit("the server did not start")
            time.sleep(0.1)
    sys.exit("the server does not answer")


class Test:
    """The statements, and what they are to give."""

    def __init__(self, service, connection, endpoint):
        self.service = service
        self.connection = connection
        self.endpoint = endpoint
        self.at = f"{service}://{BUCKET}"

    def do(self, text):
        self.connection.execute(text)

    def write(self, values, path):
        """Puts rows of (id) there, as the ending of the path says; a text as it is."""
        if isinstance(values, str):
            self.do(f"COPY (SELECT '{values}') TO '{self.at}/{path}' (FORMAT text)")
            return
        values = ", ".join(f"({value})" for value in values)
        self.do(f"COPY (SELECT * FROM (VALUES {values}) AS t (id)) TO '{self.at}/{path}'")

    def want(self, text, *rows):
        got = self.connection.execute(text).fetchall()
        if got != list(rows):
            raise Failed(f"{text}\n  gives {got}\n  not   {list(rows)}")

    def refused(self, text, *parts):
        try:
            self.connection.execute(text)
        except psycopg.Error as error:
            told = f"{error.sqlstate} {error}"
            if all(part in told for part in parts):
                return
            raise Failed(f"{text}\n  is refused with {told}") from error
        raise Failed(f"{text}\n  is not refused")

    def eventually(self, text, *rows):
        for _ in range(200):
            got = self.connection.execute(text).fetchall()
            if got == list(rows):
                return
            time.sleep(0.1)
        raise Failed(f"{text}\n  gives {got} at last\n  not   {list(rows)}")

    def run(self):
        for step in [self.copied, self.named, self.partitions, self.declared, self.sink, self.watched, self.wrong]:
            began = time.monotonic()
            step()
            print(f"{self.service} {step.__name__:12} {time.monotonic() - began:5.2f} s", flush=True)

    def copied(self):
        """COPY TO and FROM an object."""
        rows = "SELECT * FROM (VALUES (1, 'Bern'), (2, NULL), (3, 'Köln')) AS t (id, city)"
        for name in ["a.parquet", "b.csv.gz", "c.jsonl", "d.json.zst"]:
            self.do(f"COPY ({rows}) TO '{self.at}/copied/{name}' {'(HEADER)' if 'csv' in name else ''}")
        self.do("CREATE TABLE copies (id INT PRIMARY KEY NOT ENFORCED, city STRING)")
        self.do(f"COPY copies FROM '{self.at}/copied/b.csv.gz' (HEADER)")
        self.want("SELECT count(*), max(city) FROM copies", (3, "Köln"))

    def named(self):
        """Files that a query names."""
        for name in ["a.parquet", "b.csv.gz", "c.jsonl", "d.json.zst"]:
            self.want(f"SELECT sum(id), max(city) FROM '{self.at}/copied/{name}'", (6, "Köln"))
        self.want(f"SELECT count(*) FROM '{self.at}/copied/*.parquet' WHERE id > 1", (2,))
        self.want(f"SELECT a.city FROM '{self.at}/copied/a.parquet' JOIN '{self.at}/copied/c.jsonl' c ON a.id = c.id"
                  " WHERE c.id = 1", ("Bern",))
        settings = f"?endpoint={self.endpoint}"
        self.want(f"SELECT count(city) FROM read_parquet('{self.at}/copied/a.parquet{settings}')", (2,))

    def partitions(self):
        """Directories of partitions, of Parquet."""
        for year, kind, ids in [(2023, "x", [1]), (2023, "y", [2]), (2024, "x", [3, 4])]:
            self.write(ids, f"parts/year={year}/kind={kind}/f.parquet")
        self.write("", "parts/_SUCCESS")
        self.want(f"SELECT year, count(*) FROM '{self.at}/parts' WHERE kind = 'x' GROUP BY year ORDER BY year",
                  (2023, 1), (2024, 2))
        self.write([5], "parts/year=2025/kind=x/f.parquet")
        self.want(f"SELECT max(year) FROM '{self.at}/parts/'", (2025,))

    def declared(self):
        """A declared table, its metadata, a big file in parts, and filters that leave files out."""
        self.do("CREATE TABLE ids (id BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '20000',"
                " 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '20000')")
        self.do(f"COPY (SELECT id, repeat('x', 20) AS text FROM ids) TO '{self.at}/lines/year=1/a.json'")
        self.write([1_000_000], "lines/year=2/b.json.gz")
        self.write("nonsense", "lines/year=3/c.json")
        self.do(
            "CREATE TABLE lines (id BIGINT, text STRING, year INT, file STRING METADATA FROM 'file.name' VIRTUAL,"
            " size BIGINT METADATA FROM 'file.size' VIRTUAL) PARTITIONED BY (year)"
            f" WITH ('connector' = 'filesystem', 'path' = '{self.at}/lines', 'format' = 'json', 'source.split-size' = '200kb')")
        self.want("SELECT count(*), count(DISTINCT id), max(id), min(file), min(size) > 500000 FROM lines WHERE year = 1",
                  (20_000, 20_000, 20_000, "a.json", True))
        self.want("SELECT id FROM lines WHERE file = 'b.json.gz'", (1_000_000,))
        self.refused("SELECT count(*) FROM lines", "c.json line 1")

    def sink(self):
        """Part files come with a checkpoint, under their own names only."""
        self.do("CREATE TABLE written (n BIGINT, half INT) PARTITIONED BY (half) WITH ('connector' = 'filesystem',"
                f" 'path' = '{self.at}/written', 'format' = 'parquet', 'sink.partition-commit.policy.kind' = 'success-file')")
        self.do("SET 'execution.runtime-mode' = 'streaming'")
        self.do("INSERT INTO written SELECT id, CAST(id / 10001 AS INT) FROM ids")
        self.do("RESET 'execution.runtime-mode'")
        self.eventually("SELECT half, count(*), sum(n) FROM written GROUP BY half ORDER BY half",
                        (0, 10_000, 50_005_000), (1, 10_000, 150_005_000))
        if self.service == "s3":
            import boto3

            keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
            client = boto3.client("s3", endpoint_url=self.endpoint, **keys)
            found = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET, Prefix="written/")["Contents"]]
            hidden = [key for key in found if "/." in key]
            if hidden or sum(key.endswith("_SUCCESS") for key in found) != 2:
                raise Failed(f"in the bucket are {found}")

    def watched(self):
        """New objects of a watched directory are read once each."""
        self.write([1, 2], "watched/1.csv")
        self.do(f"CREATE TABLE watched (n INT) WITH ('connector' = 'filesystem', 'path' = '{self.at}/watched/*.csv',"
                " 'format' = 'csv', 'source.monitor-interval' = '200ms')")
        self.do("CREATE MATERIALIZED VIEW seen AS SELECT count(*) AS n, sum(n) AS total FROM watched")
        self.eventually("SELECT * FROM seen", (2, 3))
        self.write([10], "watched/2.csv")
        self.eventually("SELECT * FROM seen", (3, 13))

    def wrong(self):
        """What is not there is told with its place."""
        none = f"{self.service}://no-such-bucket"
        self.refused(f"SELECT * FROM '{self.at}/nowhere/x.parquet'", "58P01", f"{self.at}/nowhere/x.parquet")
        self.refused(f"SELECT * FROM '{none}/x/*.csv'", NO_BUCKET[self.service])
        self.refused(f"COPY copies FROM '{self.at}/nowhere.csv'", "58P01")
        self.refused(f"COPY copies TO '{none}/x.csv'", NO_BUCKET[self.service])
        self.refused(f"SELECT * FROM '{self.service}:///x.csv'", "names no bucket")
        self.write("PAR1 is not all of it", "broken/x.parquet")
        self.refused(f"SELECT * FROM '{self.at}/broken/x.parquet'", "58030", "x.parquet")


def main():
    binary = str(pathlib.Path(sys.argv[1]).absolute())
    for name in [name for name in sys.argv[2:] if name in ALL] or list(ALL):
        with ALL[name]() as (url, keys), tempfile.TemporaryDirectory() as directory:
            endpoint = url.partition("endpoint=")[2]
            process, connection = start(binary, directory, keys | {ENDPOINTS[name]: endpoint})
            try:
                Test(name, connection, endpoint).run()
            except Failed as failed:
                sys.exit(str(failed))
            finally:
                connection.close()
                process.terminate()
                process.wait()
    print("all passed, 0 failed")


if __name__ == "__main__":
    main()
