"""Runs a script with pyclink, in a process of its own: tells what its job took, or what rows its table `result` gives.

Arguments: the script; `time` for one JSON object, `rows` for one JSON array a row, its sign first.
"""

import json
import resource
import sys
import time
from datetime import datetime
from decimal import Decimal

import pyclink

ADDED = {"insert": 1, "update_after": 1, "delete": -1, "update_before": -1}


def main() -> None:
    """See the module."""
    script, mode = open(sys.argv[1]).read(), sys.argv[2]
    before, start = cpu_seconds(), time.monotonic()
    with pyclink.Engine(parallelism=1) as engine:
        engine.execute(script)
        if mode == "rows":
            for batch in engine.collect("result"):
                for row in batch.to_pylist():
                    kind, *cells = row.values()
                    print(json.dumps([ADDED[kind], *cells], default=plain))
        engine.await_all()
        if mode == "time":
            seconds = time.monotonic() - start
            print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds() - before}))


def cpu_seconds() -> float:
    """CPU seconds of this process, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def plain(value: object) -> str:
    """A value that JSON has no form for."""
    assert isinstance(value, (datetime, Decimal)), type(value)
    return str(value)


main()
