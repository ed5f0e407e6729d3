"""A real server with its checkpoints at a URL: started, asked, killed."""

import os
import signal
import socket
import subprocess
import sys
import time

from wire import Connection, Gone, Refused

# Seconds until what should come counts as not coming.
PATIENCE = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

class Server:
    """A server whose checkpoints are at a URL."""

    def __init__(self, binary: str, folder: str, data: str, url: str, keys: dict):
        self.command = [binary, "server", "--http-listen", "127.0.0.1:0", "--data-dir", os.path.join(folder, data),
                        "--shards", "2", "--state-url", url, "--checkpoint-interval", "200ms"]
        self.environment = os.environ | keys
        self.log = open(os.path.join(folder, f"{data}.log"), "ab")
        self.start()

    def start(self) -> None:
        self.port = free_port()
        command = [*self.command, "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(command, env=self.environment, stdout=self.log, stderr=self.log)
        self.connection = self.connect()

    def connect(self) -> Connection:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                sys.exit(f"the server ended by itself: {open(self.log.name).read()}")
            try:
                return Connection(self.port)
            except Gone:
                time.sleep(0.02)
        sys.exit("the server does not answer")

    def sql(self, text: str) -> list:
        return self.connection.sql(text)

    def becomes(self, query: str, wanted) -> None:
        """Asks until `wanted` likes the rows, or they are equal to it."""
        deadline, rows = time.monotonic() + PATIENCE, None
        while time.monotonic() < deadline:
            try:
                rows = sorted(self.sql(query))
            except Refused as error:
                rows = str(error)
            if (wanted(rows) if callable(wanted) else rows == wanted):
                return
            time.sleep(0.02)
        sys.exit(f"{query} stays {rows}; see {self.log.name}")

    def until(self, happens, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not happens():
            if time.monotonic() > deadline:
                sys.exit(f"{what}: not what they should be after {PATIENCE} s; see {self.log.name}")
            time.sleep(0.02)

    def restart(self) -> None:
        """Kills it and starts it again."""
        self.kill()
        self.start()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
