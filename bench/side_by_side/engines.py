"""The engines, each at the settings that its authors recommend for such work on one machine."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from . import data, install, process, queries
from .answers import Answer, Fold
from .process import Refused, Usage

CLINK = Path(__file__).resolve().parents[1] / "clink"

# The settings of the Nexmark benchmark's own configuration of Flink, with state on the heap, which is faster than RocksDB.
FLINK_SETTINGS = {
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "2 s",
    "table.exec.mini-batch.size": "50000",
    "table.optimizer.distinct-agg.split.enabled": "true",
    "pipeline.object-reuse": "true",
    "state.backend.type": "hashmap",
}

# What Flink's own scripts open to it.
FLINK_OPENS = [
    "java.lang", "java.net", "java.io", "java.nio", "java.lang.reflect", "java.text", "java.time", "java.util",
    "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks",
]

# Keys of the queries for which clink gives the aggregate so far after every row, without retractions.
CLINK_RUNNING = {"q4": ["category"], "q15": ["day"], "q16": ["channel", "day"], "q17": ["auction", "day"]}


@dataclass
class Place:
    """Where and how queries run: the input, the parallelism, the time limit of one process."""

    input: queries.Input
    parallelism: int
    timeout_s: float


class Millstream:
    """A fresh process for each run: the figures are those of the whole process, its start included."""

    name = "millstream"

    def __init__(self, place: Place, program: str) -> None:
        self.place = place
        self.program = program

    def answer(self, name: str) -> Answer:
        """The rows of a query, computed as a stream."""
        with tempfile.TemporaryDirectory() as directory:
            query = queries.read(name, self.place.input, Path(directory))
            rows = str(Path(directory) / "rows.json")
            self._run(directory, [*query.before, query.select], ["--output", "json"], rows)
            fold = Fold(query.columns, query.determined)
            return fold.all(_json_rows(rows)).answer()

    def measure(self, name: str, runs: int) -> list[Usage]:
        """What runs of a query take."""
        return [self._measure(name) for _ in range(runs)]

    def _measure(self, name: str) -> Usage:
        with tempfile.TemporaryDirectory() as directory:
            query = queries.read(name, self.place.input, Path(directory))
            return self._run(directory, [*query.before, query.insert], [])

    def _run(self, directory: str, statements: list[str], options: list[str], output: str | None = None) -> Usage:
        settings = ["SET 'execution.runtime-mode' = 'streaming'", "SET 'sql.semantics' = 'flink'"]
        script = Path(directory) / "query.sql"
        script.write_text(";\n".join(settings + statements) + ";\n")
        command = [self.program, "--shards", str(self.place.parallelism), "sql", *options, "-f", str(script)]
        return process.run(command, self.place.timeout_s, output, directory).usage


class Flink:
    """A JVM for each query, with a cluster in it that runs the query some times before it counts."""

    name = "flink"

    def __init__(self, place: Place, cache: Path, heap: str, warmups: int) -> None:
        self.place = place
        self.heap = heap
        self.warmups = warmups
        self.class_path = install.flink(cache)

    def answer(self, name: str) -> Answer:
        """The rows of a query, folded."""
        with tempfile.TemporaryDirectory() as directory:
            query = queries.read(name, self.place.input, Path(directory))
            numbers = ",".join(str(at) for at in query.determined)
            told, _ = self._run(directory, [*query.before, query.select], "rows", numbers)
            return Answer(told["rows"], told["digest"])

    def measure(self, name: str, runs: int) -> list[Usage]:
        """What runs of a query take, each in the warm JVM; peak memory is that of the JVM."""
        with tempfile.TemporaryDirectory() as directory:
            query = queries.read(name, self.place.input, Path(directory))
            told, usage = self._run(directory, [*query.before, query.insert], "time", f"{self.warmups},{runs}")
        return [Usage(run["seconds"], run["cpu_seconds"], usage.peak_bytes) for run in told]

    def _run(self, directory: str, statements: list[str], mode: str, numbers: str) -> tuple:
        # Functions that Flink cannot declare in SQL are the launcher's.
        statements = [statement for statement in statements if not statement.startswith("CREATE FUNCTION")]
        script = Path(directory) / "query.sql"
        script.write_text("\n;;\n".join(statements))
        opens = [part for name in FLINK_OPENS for part in ("--add-opens", f"java.base/{name}=ALL-UNNAMED")]
        java = ["java", f"-Xmx{self.heap}", f"-Xms{self.heap}", "-XX:+UseG1GC", *opens]
        settings = [f"{key}={value}" for key, value in FLINK_SETTINGS.items()]
        arguments = [str(script), mode, str(self.place.parallelism), numbers, *settings]
        command = [*java, "-cp", ":".join(self.class_path), "Launcher", *arguments]
        finished = process.run(command, self.place.timeout_s, cwd=directory)
        return json.loads(finished.output.strip().splitlines()[-1]), finished.usage


class Pyclink:
    """A Python process for each run, measured from the first statement to the end of the job.

    Its file source reads a whole file in every subtask, so that it runs with a parallelism of one.
    """

    name = "pyclink"

    def __init__(self, place: Place, cache: Path) -> None:
        self.place = place
        self.python = install.pyclink(cache)

    def answer(self, name: str) -> Answer:
        """The rows of a query, folded."""
        with tempfile.TemporaryDirectory() as directory:
            text = _clink(name)
            rows = str(Path(directory) / "rows.json")
            self._run(directory, text.replace("{sink}", "connector='collect', changelog='true'"), "rows", rows)
            query = queries.read(name, self.place.input, Path(directory))
            written = {column.name: at for at, column in enumerate(queries.columns(queries.split(text)[0]))}
            order = [written.get(column.name) for column in query.columns]
            missing = [query.columns[at].name for at in query.determined if order[at] is None]
            if missing:
                raise Refused(f"gives no column {', '.join(missing)}")
            fold = Fold(query.columns, query.determined)
            for sign, row in _last_of_keys(_json_rows(rows), [written[key] for key in CLINK_RUNNING.get(name, [])]):
                fold.add([None if at is None else row[at] for at in order], sign)
            return fold.answer()

    def measure(self, name: str, runs: int) -> list[Usage]:
        """What runs of a query take."""
        measures = []
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as directory:
                text = _clink(name).replace("{sink}", "connector='blackhole'")
                finished = self._run(directory, text, "time")
            told = json.loads(finished.output.strip().splitlines()[-1])
            measures.append(Usage(told["seconds"], told["cpu_seconds"], finished.usage.peak_bytes))
        return measures

    def _run(self, directory: str, text: str, mode: str, output: str | None = None) -> process.Finished:
        tables = (CLINK / "tables.sql").read_text()
        for table in data.TABLES:
            tables = tables.replace(f"{{{table}}}", str(data.file_of(self.place.input.files, table)))
        script = Path(directory) / "query.sql"
        script.write_text(tables + text)
        command = [self.python, str(CLINK / "run.py"), str(script), mode]
        return process.run(command, self.place.timeout_s, output, directory)


def _clink(name: str) -> str:
    """A query in clink's words; a file without statements says why there are none."""
    text = (CLINK / f"{name}.sql").read_text()
    if not queries.split(text):
        raise Refused(" ".join(line.removeprefix("-- ") for line in text.splitlines()))
    return text


def _last_of_keys(changes: Iterator[list], keys: list[int]) -> Iterator[tuple[int, list]]:
    """Signs and rows; where there are keys, only the last row of each."""
    if not keys:
        yield from ((sign, row) for sign, *row in changes)
        return
    last = {tuple(row[key] for key in keys): row for _, *row in changes}
    yield from ((1, row) for row in last.values())


def _json_rows(path: str) -> Iterator[list]:
    """The rows of a file that has one JSON object or array a line; other lines are passed over."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(("{", "[")):
                # Two columns of an object may have one name.
                yield json.loads(line, parse_float=Decimal, object_pairs_hook=lambda pairs: [value for _, value in pairs])
