"""What the runs of TPC-H and TPC-DS share: a server, and when two values are equal."""

import decimal
import math
import socket
import subprocess
import sys
import time

import psycopg


def start(binary, data):
    """A server on a free port, and a connection to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        http = probe.getsockname()[1]
    arguments = [binary, "server", "--listen", f"127.0.0.1:{port}", "--http-listen", f"127.0.0.1:{http}"]
    server = subprocess.Popen(arguments, cwd=data, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            return server, psycopg.connect(f"host=127.0.0.1 port={port} user=tpc", autocommit=True)
        except psycopg.OperationalError:
            if server.poll() is not None:
                sys.exit("the server did not start")
            time.sleep(0.05)
    sys.exit("the server does not answer")


def same(left, right):
    """Whether two values are equal; numbers to ten digits, as the engines divide decimals to different scales."""
    numbers = (int, float, decimal.Decimal)
    if isinstance(left, numbers) and isinstance(right, numbers):
        return math.isclose(float(left), float(right), rel_tol=1e-6, abs_tol=1e-4)
    return str(left) == str(right)
