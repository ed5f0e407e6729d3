#!/usr/bin/env python3
"""Runs the same Nexmark queries over the same files in Millstream, Apache Flink and pyclink, and compares what they take.

For each query all engines first give their rows, which must be the same, and then run with a sink that keeps nothing. Printed
are events for each CPU second, peak memory, and how many times better Millstream is. See README.md beside this file.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from side_by_side import data, install, queries, report
from side_by_side.engines import Flink, Millstream, Place, Pyclink
from side_by_side.process import Refused

# Those that all three engines or two of them can run and whose rows do not depend on the clock; q6 and q13 need what Flink's
# SQL over files has not.
USUAL = [name for name in queries.NAMES if name not in ("q6", "q13")]


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "millstream/bench"
    parser.add_argument("--millstream", default="target/release/millstream", help="the binary [%(default)s]")
    parser.add_argument("--events", type=int, default=1_000_000, help="how many events [%(default)s]")
    parser.add_argument("--queries", default=",".join(USUAL), help="separated by commas [all but q6 and q13]")
    parser.add_argument("--engines", default="millstream,flink", help="of millstream, flink, pyclink [%(default)s]")
    parser.add_argument(
        "--input",
        choices=["events", "tables", "generator"],
        help="files with all events in one table of ROWs, files with person, auction and bid apart, which pyclink needs, "
        "or each engine's own generator of the same events [tables with pyclink, else events]",
    )
    parser.add_argument("--parallelism", type=int, default=os.cpu_count(), help="shards, slots [number of cores]")
    parser.add_argument("--runs", type=int, default=3, help="measured runs, of which the median counts [%(default)s]")
    parser.add_argument("--warmups", type=int, default=1, help="runs in a JVM before those [%(default)s]")
    parser.add_argument("--flink-heap", default="4g", help="heap of the JVM [%(default)s]")
    parser.add_argument("--no-rows", action="store_true", help="leave out the comparison of the rows")
    parser.add_argument("--timeout", type=float, default=1_800, help="seconds for one process [%(default)s]")
    parser.add_argument("--json", help="a file for the figures")
    parser.add_argument("--cache", type=Path, default=cache, help="folder of engines and files [%(default)s]")
    return parser.parse_args()


def main() -> int:
    """See the module; 1 where rows differ."""
    given = arguments()
    names = given.engines.split(",")
    kind = given.input or ("tables" if "pyclink" in names else "events")
    if "pyclink" in names and kind != "tables":
        sys.exit("pyclink reads --input tables only")
    millstream = str(Path(given.millstream).resolve())
    given.cache.mkdir(parents=True, exist_ok=True)
    shared = data.prepare(millstream, given.cache, kind, given.events, given.parallelism)
    place = Place(shared, given.parallelism, given.timeout)
    makers = {
        "millstream": lambda: Millstream(place, millstream),
        "flink": lambda: Flink(place, given.cache, given.flink_heap, given.warmups),
        "pyclink": lambda: Pyclink(place, given.cache),
    }
    engines = [makers[name]() for name in names]
    table = report.Table(given.events, names)
    print(f"{machine()}; {given.events} events, input {kind}, parallelism {given.parallelism}, {given.runs} runs")
    print(table.head())
    for query in given.queries.split(","):
        print(table.line(compare(engines, query, given)), flush=True)
    print(table.foot())
    if given.json:
        about = {
            **{key: value for key, value in vars(given).items() if isinstance(value, (int, float, str))},
            "machine": machine(),
            "input": kind,
            "flink": install.FLINK_VERSION,
            "pyclink": install.PYCLINK_VERSION,
        }
        Path(given.json).write_text(json.dumps({"about": about, "queries": table.figures()}, indent=1) + "\n")
    return 1 if table.different else 0


def compare(engines: list, query: str, given: argparse.Namespace) -> report.Line:
    """One query in all engines."""
    line = report.Line(query)
    for engine in engines:
        try:
            if not given.no_rows and query not in queries.BY_THE_CLOCK:
                line.answers[engine.name] = engine.answer(query)
            line.usages[engine.name] = engine.measure(query, given.runs)
        except Refused as refused:
            line.refused[engine.name] = str(refused)
    return line


def machine() -> str:
    """The processor and how many of it."""
    try:
        info = Path("/proc/cpuinfo").read_text()
        model = next(line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.machine()
    return f"{os.cpu_count()} x {model}"


if __name__ == "__main__":
    sys.exit(main())
