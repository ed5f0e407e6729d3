#!/usr/bin/env python3
"""Holds the instructions that Nexmark queries take for an event to those written down in gate.json.

    bench/gate.py target/debug/millstream            # fails where a query takes more than the tolerance allows
    bench/gate.py target/debug/millstream --record   # writes down what it takes now

Instructions are counted by valgrind on one shard without epochs between, so that a count is the same to a thousandth
whatever else the machine does. Each query runs over two numbers of events; the difference is what events cost, without the
start of the process. Debug and release builds have figures of their own, told apart by the folder of the binary.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from side_by_side import queries

FIGURES = Path(__file__).resolve().parent / "gate.json"

# One for each kind of work: passing through, windows, distinct counts, Top-N, joins.
QUERIES = ["q0", "q5", "q16", "q19", "q20"]
EVENTS = (4_000, 8_000)
TOLERANCE = 0.10


def main() -> int:
    """See the module; 1 where a query takes more than it may."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("millstream", type=Path, help="the binary")
    parser.add_argument("--record", action="store_true", help="writes down what queries take now")
    parser.add_argument("--queries", default=",".join(QUERIES), help="separated by commas [%(default)s]")
    given = parser.parse_args()
    build = given.millstream.resolve().parent.name
    names = given.queries.split(",")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [(name, events) for name in names for events in EVENTS]
        counts = dict(zip(runs, pool.map(lambda run: instructions(given.millstream.resolve(), *run), runs)))
    taken = {name: (counts[name, EVENTS[1]] - counts[name, EVENTS[0]]) // (EVENTS[1] - EVENTS[0]) for name in names}
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if given.record:
        figures.setdefault(build, {}).update(taken)
        FIGURES.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    return 0 if all([told(name, now, figures.get(build, {}).get(name)) for name, now in taken.items()]) else 1


def told(name: str, now: int, allowed: int | None) -> bool:
    """Prints what a query takes; whether it may."""
    if allowed is None:
        print(f"{name:<5} {now:>9,} instructions for an event; nothing is written down for this build")
        return False
    change = now / allowed - 1
    right = change <= TOLERANCE
    word = "TOO MANY" if not right else "write it down: --record" if change < -TOLERANCE else ""
    print(f"{name:<5} {now:>9,} instructions for an event, {change:+7.1%} of {allowed:,} {word}".rstrip())
    return right


def instructions(millstream: Path, name: str, events: int) -> int:
    """Instructions of a whole process that runs a query."""
    with tempfile.TemporaryDirectory() as directory:
        query = queries.read(name, queries.Input("generator", events, Path(directory)), Path(directory))
        script = Path(directory) / "query.sql"
        script.write_text(";\n".join(["SET 'execution.runtime-mode' = 'streaming'", *query.before, query.insert]))
        valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        command = [*valgrind, str(millstream), "--shards", "1", "--epoch-interval", "1h", "sql", "-f", str(script)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=directory)
        collected = re.search(r"Collected : (\d+)", done.stderr)
        if done.returncode != 0 or not collected:
            sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
        return int(collected[1])


if __name__ == "__main__":
    sys.exit(main())
