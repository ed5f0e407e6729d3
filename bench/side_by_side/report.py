"""The figures as a table and as data."""

from dataclasses import asdict, dataclass, field
from math import exp, log
from statistics import median

from .answers import Answer
from .process import Usage

OURS = "millstream"


@dataclass
class Line:
    """One query: what each engine answered and took, or why it did not."""

    query: str
    answers: dict[str, Answer] = field(default_factory=dict)
    usages: dict[str, list[Usage]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Whether the rows that were compared are the same."""
        if len(self.answers) < 2:
            return "not compared"
        answers = [(answer.rows, answer.digest) for answer in self.answers.values()]
        if all(answer == answers[0] for answer in answers):
            return "same"
        return "DIFFERENT " + ", ".join(f"{name} {answer.rows}" for name, answer in self.answers.items())

    def wrong(self, other: str) -> bool:
        """Whether another engine's rows are not ours, so that there is nothing to compare."""
        ours, theirs = self.answers.get(OURS), self.answers.get(other)
        return ours is not None and theirs is not None and ours != theirs

    def rate(self, engine: str, events: int) -> float | None:
        """Events for each CPU second, by the median of the runs."""
        runs = self.usages.get(engine)
        return events / max(median(run.cpu_seconds for run in runs), 0.001) if runs else None

    def peak(self, engine: str) -> float | None:
        """Peak memory in bytes, by the median of the runs."""
        runs = self.usages.get(engine)
        return median(run.peak_bytes for run in runs) if runs else None


class Table:
    """Lines of a table, query by query, and what they come to."""

    def __init__(self, events: int, engines: list[str]) -> None:
        self.events = events
        self.engines = engines
        self.others = [name for name in engines if name != OURS] if OURS in engines else []
        self.lines: list[Line] = []

    @property
    def different(self) -> bool:
        """Whether some query's rows differ."""
        return any(line.verdict.startswith("DIFFERENT") for line in self.lines)

    def head(self) -> str:
        """The names of the columns."""
        cells = [f"{'query':<6}"]
        cells += [f"{name + ' ev/cpu s':>20}" for name in self.engines]
        cells += [f"{'x ' + name:>10}" for name in self.others]
        cells += [f"{name + ' MB':>14}" for name in self.engines]
        cells += [f"{'mem x ' + name:>14}" for name in self.others]
        return " ".join([*cells, f"{'rows':>10}", " result"])

    def line(self, line: Line) -> str:
        """A query's figures."""
        self.lines.append(line)
        cells = [f"{line.query:<6}"]
        cells += [_number(line.rate(name, self.events), 20, ",.0f") for name in self.engines]
        cells += [_number(self._faster(line, name), 10, ".1f") for name in self.others]
        cells += [_number(_megabytes(line.peak(name)), 14, ",.0f") for name in self.engines]
        cells += [_number(self._smaller(line, name), 14, ".1f") for name in self.others]
        answer = next(iter(line.answers.values()), None)
        return " ".join([*cells, _number(answer and answer.rows, 10, ","), " " + line.verdict])

    def foot(self) -> str:
        """Means of the ratios, and what was refused."""
        text = []
        for name in self.others:
            faster = [ratio for line in self.lines if (ratio := self._faster(line, name))]
            smaller = [ratio for line in self.lines if (ratio := self._smaller(line, name))]
            if faster and smaller:
                text.append(
                    f"{OURS} against {name} over {len(faster)} queries: {_mean(faster):.2f} times the events for each CPU "
                    f"second in geometric mean (least {min(faster):.2f}), memory {_mean(smaller):.2f} times smaller "
                    f"(least {min(smaller):.2f})"
                )
        refused = [f"{line.query} in {name}: {why}" for line in self.lines for name, why in line.refused.items()]
        return "\n".join(["", *text, *refused])

    def figures(self) -> list[dict]:
        """All of it as data."""
        return [asdict(line) | {"result": line.verdict} for line in self.lines]

    def _faster(self, line: Line, other: str) -> float | None:
        if line.wrong(other):
            return None
        return _ratio(line.rate(OURS, self.events), line.rate(other, self.events))

    def _smaller(self, line: Line, other: str) -> float | None:
        if line.wrong(other):
            return None
        return _ratio(line.peak(other), line.peak(OURS))


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above and below else None


def _mean(ratios: list[float]) -> float:
    return exp(sum(map(log, ratios)) / len(ratios))


def _megabytes(count: float | None) -> float | None:
    return count / 2**20 if count else None


def _number(value: float | None, width: int, form: str) -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"
