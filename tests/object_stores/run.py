#!/usr/bin/env python3
"""A real server with its checkpoints in object stores: S3, Google Cloud Storage and Azure, each by a stand-in on this machine.

    python3 tests/object_stores/run.py target/debug/millstream [s3 gs az]
    python3 tests/object_stores/run.py --promises [s3 gs az]    # the tests of the client alone, by cargo

The same in each: checkpoints are made, the server is killed with SIGKILL and goes on from them, a savepoint is made and gone back to,
one is copied into the store and started from, a server with another data directory is refused, and one with a copy of the first
one's shuts that out. What is read is removed in between, so that it can only come from the store. Needs `pip install 'moto[server]' boto3` and `npm install azurite`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kill"))

from server import Server  # noqa: E402
from services import ALL  # noqa: E402

SETUP = """
CREATE TABLE events (id BIGINT, account INT) WITH ('connector' = 'filesystem', 'path' = '{folder}/in', 'format' = 'json',
  'source.monitor-interval' = '50 ms');
CREATE MATERIALIZED VIEW sums AS SELECT account, COUNT(*) AS n, SUM(id) AS total FROM events GROUP BY account;
"""

def write(folder: str, number: int) -> None:
    """File `number`: ten rows, there in one step."""
    lines = [json.dumps({"id": number * 10 + row, "account": row % 2}) for row in range(10)]
    hidden = os.path.join(folder, f".{number}")
    with open(hidden, "w") as file:
        file.write("\n".join(lines) + "\n")
    os.rename(hidden, os.path.join(folder, "in", f"{number}.json"))


def sums(files: int) -> list:
    """What the view shows of so many files."""
    of = lambda account: [id for id in range(files * 10) if id % 2 == account]
    return [(str(account), str(len(of(account))), str(sum(of(account)))) for account in range(2)]



def scenario(binary: str, folder: str, url: str, keys: dict) -> None:
    os.mkdir(os.path.join(folder, "in"))
    path, _, settings = url.partition("?")
    server = Server(binary, folder, "first", url, keys)
    server.sql(SETUP.format(folder=folder))
    write(folder, 0)
    server.becomes("SELECT * FROM sums", sums(1))
    job = server.sql("SHOW JOBS")[0][0]
    server.sql(f"CREATE SAVEPOINT 'one' FOR JOB {job}")
    for restart in range(3):
        server.kill()
        os.remove(os.path.join(folder, "in", f"{restart}.json"))
        server = Server(binary, folder, "first", url, keys)
        server.becomes("SELECT * FROM sums", sums(restart + 1))
        write(folder, restart + 1)
        server.becomes("SELECT * FROM sums", sums(restart + 2))
        saved_with = f"after-{restart}"
        server.sql(f"CREATE SAVEPOINT '{saved_with}' FOR JOB {job}")
    copy = f"{path}-copy?{settings}"
    server.sql(f"CREATE SAVEPOINT '{copy}' FOR JOB {job}")
    for savepoint in ["after-2", copy]:
        server.sql(f"STOP JOB {job}")
        server.sql(f"START JOB {job} FROM SAVEPOINT '{savepoint}'")
        server.becomes("SELECT * FROM sums", sums(4))
    write(folder, 4)
    server.becomes("SELECT * FROM sums", sums(5))
    server.sql("DROP SAVEPOINT 'one'")
    command = [binary, "server", "--data-dir", os.path.join(folder, "other"), "--state-url", url]
    other = subprocess.run(command, env=os.environ | keys, capture_output=True, text=True, timeout=60, check=False)
    if "belong to another data directory" not in other.stderr:
        sys.exit(f"a server with another data directory starts: {other.stderr}")
    shutil.copytree(os.path.join(folder, "first"), os.path.join(folder, "second"))
    second = Server(binary, folder, "second", url, keys)
    write(folder, 5)
    server.becomes("SELECT * FROM sums", sums(6))
    shut_out = lambda rows: rows and "another server has opened it since" in (rows[0][7] or "")
    server.becomes("SHOW CHECKPOINTS", shut_out)
    second.kill()
    server.kill()


def main() -> int:
    names = [name for name in sys.argv[2:] if name in ALL] or list(ALL)
    for name in names:
        began = time.monotonic()
        with ALL[name]() as (url, keys):
            if sys.argv[1] == "--promises":
                environment = os.environ | keys | {"MILLSTREAM_TEST_STATE_URL": url}
                command = ["cargo", "test", "-p", "millstream-connectors", "--lib", "remote"]
                if subprocess.run(command, env=environment, check=False).returncode:
                    return 1
                continue
            with tempfile.TemporaryDirectory() as folder:
                scenario(os.path.abspath(sys.argv[1]), folder, url, keys)
        print(f"{name}: checkpoints, three kills, savepoints, a second server: {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
