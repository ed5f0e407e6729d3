#!/usr/bin/env python3
"""Files in an object store: read as tables, copied, written by sinks; against a real S3 server, moto (https://docs.getmoto.org).

    pip install 'moto[server]' boto3 psycopg[binary]
    python3 tests/s3/files.py target/debug/millstream
"""

import gzip
import json
import logging
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import boto3
import psycopg
from moto.server import ThreadedMotoServer

BUCKET = "millstream"


class Failed(Exception):
    """What was found is not what was wanted."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(binary, directory):
    """A server on free ports, and a connection to it."""
    ports = [free_port(), free_port()]
    arguments = ["--listen", f"127.0.0.1:{ports[0]}", "--http-listen", f"127.0.0.1:{ports[1]}"]
    command = [binary, "server", *arguments, "--data-dir", f"{directory}/data"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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

    def __init__(self, connection, client):
        self.connection = connection
        self.client = client

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

    def put(self, key, body):
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def keys(self, prefix):
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [entry["Key"] for entry in found]

    def run(self):
        for step in [self.copied, self.named, self.partitions, self.declared, self.sink, self.watched, self.wrong]:
            began = time.monotonic()
            step()
            print(f"{step.__name__:12} {time.monotonic() - began:5.2f} s", flush=True)

    def copied(self):
        """COPY TO and FROM an object."""
        rows = "SELECT * FROM (VALUES (1, 'Bern'), (2, NULL), (3, 'Köln')) AS t (id, city)"
        for name in ["a.parquet", "b.csv.gz", "c.jsonl", "d.json.zst"]:
            header = "(HEADER)" if "csv" in name else ""
            self.connection.execute(f"COPY ({rows}) TO 's3://{BUCKET}/copied/{name}' {header}")
        packed = self.client.get_object(Bucket=BUCKET, Key="copied/b.csv.gz")["Body"].read()
        if gzip.decompress(packed).decode() != "id,city\n1,Bern\n2,\n3,Köln\n":
            raise Failed(gzip.decompress(packed))
        self.connection.execute("CREATE TABLE copies (id INT PRIMARY KEY NOT ENFORCED, city STRING)")
        self.connection.execute(f"COPY copies FROM 's3://{BUCKET}/copied/b.csv.gz' (HEADER)")
        self.want("SELECT count(*), max(city) FROM copies", (3, "Köln"))

    def named(self):
        """Files that a query names."""
        for name in ["a.parquet", "b.csv.gz", "c.jsonl", "d.json.zst"]:
            self.want(f"SELECT sum(id), max(city) FROM 's3://{BUCKET}/copied/{name}'", (6, "Köln"))
        self.want(f"SELECT count(*) FROM 's3://{BUCKET}/copied/*.parquet' WHERE id > 1", (2,))
        self.want(f"SELECT a.city FROM 's3://{BUCKET}/copied/a.parquet' JOIN 's3://{BUCKET}/copied/c.jsonl' c ON a.id = c.id"
                  " WHERE c.id = 1", ("Bern",))
        url = os.environ.pop("AWS_ENDPOINT_URL_TEST")
        self.want(f"SELECT count(city) FROM read_parquet('s3://{BUCKET}/copied/a.parquet?endpoint={url}')", (2,))

    def partitions(self):
        """Directories of partitions, of Parquet and of lines."""
        for year, kind, ids in [(2023, "x", [1]), (2023, "y", [2]), (2024, "x", [3, 4])]:
            values = ", ".join(f"({id})" for id in ids)
            directory = f"s3://{BUCKET}/parts/year={year}/kind={kind}"
            self.connection.execute(f"COPY (SELECT * FROM (VALUES {values}) AS t (id)) TO '{directory}/f.parquet'")
        self.put("parts/_SUCCESS", b"")
        self.want(f"SELECT year, count(*) FROM 's3://{BUCKET}/parts' WHERE kind = 'x' GROUP BY year ORDER BY year",
                  (2023, 1), (2024, 2))
        self.put("parts/year=2025/kind=x/f.parquet",
                 self.client.get_object(Bucket=BUCKET, Key="parts/year=2023/kind=x/f.parquet")["Body"].read())
        self.want(f"SELECT max(year) FROM 's3://{BUCKET}/parts/'", (2025,))

    def declared(self):
        """A declared table, its metadata, and a big file in parts."""
        lines = "".join(json.dumps({"id": number, "text": "x" * 50}) + "\n" for number in range(20_000))
        self.put("lines/year=1/a.json", lines.encode())
        self.put("lines/year=2/b.json.gz", gzip.compress(b'{"id": 1000000}\n'))
        self.put("lines/year=3/c.json", b"nonsense\n")
        self.connection.execute(
            "CREATE TABLE lines (id BIGINT, text STRING, year INT, file STRING METADATA FROM 'file.name' VIRTUAL,"
            " size BIGINT METADATA FROM 'file.size' VIRTUAL) PARTITIONED BY (year)"
            f" WITH ('connector' = 'filesystem', 'path' = 's3://{BUCKET}/lines', 'format' = 'json', 'source.split-size' = '100kb')")
        self.want("SELECT count(*), count(DISTINCT id), max(id), min(file), min(size) FROM lines WHERE year = 1",
                  (20_000, 20_000, 19_999, "a.json", len(lines)))
        self.want("SELECT id FROM lines WHERE file = 'b.json.gz'", (1_000_000,))
        self.refused("SELECT count(*) FROM lines", "c.json line 1")

    def sink(self):
        """Part files come with a checkpoint, under their own names only."""
        self.connection.execute(
            "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '1000',"
            " 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000')")
        self.connection.execute(
            "CREATE TABLE written (n BIGINT, half INT) PARTITIONED BY (half) WITH ('connector' = 'filesystem',"
            f" 'path' = 's3://{BUCKET}/written', 'format' = 'parquet', 'sink.partition-commit.policy.kind' = 'success-file')")
        self.connection.execute("SET 'execution.runtime-mode' = 'streaming'")
        self.connection.execute("INSERT INTO written SELECT n, CAST(n / 501 AS INT) FROM numbers")
        self.connection.execute("RESET 'execution.runtime-mode'")
        self.eventually("SELECT half, count(*), sum(n) FROM written GROUP BY half ORDER BY half",
                        (0, 500, 125_250), (1, 500, 375_250))
        hidden = [key for key in self.keys("written/") if "/." in key]
        marks = [key for key in self.keys("written/") if key.endswith("_SUCCESS")]
        if hidden or len(marks) != 2:
            raise Failed(f"in the bucket are {self.keys('written/')}")

    def watched(self):
        """New objects of a watched directory are read once each."""
        self.put("watched/1.csv", b"1\n2\n")
        self.connection.execute(
            f"CREATE TABLE watched (n INT) WITH ('connector' = 'filesystem', 'path' = 's3://{BUCKET}/watched/*.csv',"
            " 'format' = 'csv', 'source.monitor-interval' = '200ms')")
        self.connection.execute("CREATE MATERIALIZED VIEW seen AS SELECT count(*) AS n, sum(n) AS total FROM watched")
        self.eventually("SELECT * FROM seen", (2, 3))
        self.put("watched/2.csv", b"10\n")
        self.eventually("SELECT * FROM seen", (3, 13))

    def wrong(self):
        """What is not there is told with its place."""
        self.refused(f"SELECT * FROM 's3://{BUCKET}/nowhere/x.parquet'", "58P01", f"s3://{BUCKET}/nowhere/x.parquet")
        self.refused("SELECT * FROM 's3://no-such-bucket/x/*.csv'", "NoSuchBucket")
        self.refused(f"COPY copies FROM 's3://{BUCKET}/nowhere.csv'", "58P01")
        self.refused("COPY copies TO 's3://no-such-bucket/x.csv'", "NoSuchBucket")
        self.refused("SELECT * FROM 's3:///x.csv'", "names no bucket")
        self.refused("SELECT * FROM 'ftp://host/x.csv'", "ftp")
        self.put("broken/x.parquet", b"PAR1 is not all of it")
        self.refused(f"SELECT * FROM 's3://{BUCKET}/broken/x.parquet'", "58030", "x.parquet")


def main():
    binary = str(pathlib.Path(sys.argv[1]).absolute())
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION="us-east-1",
                      AWS_ENDPOINT_URL=url, AWS_ENDPOINT_URL_TEST=url)
    client = boto3.client("s3", endpoint_url=url)
    client.create_bucket(Bucket=BUCKET)
    with tempfile.TemporaryDirectory() as directory:
        process, connection = start(binary, directory)
        try:
            Test(connection, client).run()
        except Failed as failed:
            sys.exit(str(failed))
        finally:
            connection.close()
            process.terminate()
            process.wait()
            server.stop()
    print("7 passed, 0 failed")


if __name__ == "__main__":
    main()
