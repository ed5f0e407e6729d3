"""A broker, a server, and checks."""

import os
import socket
import subprocess
import sys
import threading
import time

import psycopg

count = 0


def passed():
    """How many checks have held."""
    return count


def check(what, got, want):
    """Fails the run with what was expected."""
    global count
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")
    count += 1
    print(f"ok {what}", flush=True)


def wait_until(what, holds, seconds=30):
    """Checks until it holds."""
    pause, end = threading.Event(), time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {seconds} s")
        pause.wait(0.1)
    check(what, True, True)


def free_port():
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A broker of scripts/kafka."""

    def __init__(self, root, folder):
        self.script, self.folder = os.path.join(root, "scripts", "kafka"), folder

    def call(self, *args):
        """Runs the script; ends the run where it fails."""
        done = subprocess.run([self.script, *args, "--dir", self.folder], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"scripts/kafka {' '.join(args)} failed")
        return done.stdout.strip()

    def start(self):
        """Its host:port."""
        return self.call("start")

    def stop(self, keep=False):
        """Stops it; its data stay with `keep`."""
        self.call("stop", *(["--keep"] if keep else []))


class Server:
    """A server of Millstream."""

    def __init__(self, binary, folder, *options):
        self.binary, self.folder, self.port, self.process = binary, folder, free_port(), None
        self.options = options

    def start(self):
        """Returns when it takes connections."""
        http = f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen([self.binary, "server", "--listen", f"127.0.0.1:{self.port}",
                                         "--http-listen", http, "--data-dir", self.folder, *self.options])
        def up():
            if self.process.poll() is not None:
                sys.exit(f"the server ended with {self.process.returncode}")
            try:
                self.connect().close()
                return True
            except psycopg.Error:
                return False
        wait_until("the server comes up", up)

    def connect(self):
        """A connection."""
        return psycopg.connect(f"host=127.0.0.1 port={self.port} user=dev dbname=millstream", autocommit=True)

    def kill(self):
        """It is gone at once."""
        self.process.kill()
        self.process.wait(20)

    def stop(self):
        """Stops it."""
        if self.process:
            self.process.terminate()
            self.process.wait(20)
