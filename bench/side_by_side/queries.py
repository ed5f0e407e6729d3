"""The Nexmark queries as `millstream bench` has them, read from the same files, for engines that read Flink SQL.

Nothing is rewritten: the source tables are declared over the input that the engines share, and two names are quoted that
Flink reserves.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "server/src/bench/nexmark"
HERE = Path(__file__).resolve().parent

NAMES = [f"q{number}" for number in range(24)]

# Names that the queries use and Flink reserves.
RESERVED = re.compile(r"\b(dateTime|each)\b")

# Columns that a query determines, where ties leave the others open: which of two bids of one bidder in one millisecond is
# the last, which of two equal bids has the better place.
DETERMINED = {
    "q9": [
        "id", "itemName", "description", "initialBid", "reserve", "dateTime", "expires", "seller", "category", "extra",
        "auction", "price", "bid_dateTime",
    ],
    "q18": ["auction", "bidder", "dateTime"],
    "q19": ["auction", "price", "place"],
}

# Queries whose rows depend on the clock.
BY_THE_CLOCK = {"q12"}

EVENT_TIME = """,
  dateTime AS CASE WHEN event_type = 0 THEN person.dateTime WHEN event_type = 1 THEN auction.dateTime
                   ELSE bid.dateTime END,
  WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND"""


@dataclass
class Column:
    """A column of a query's result, with the type its sink declares."""

    name: str
    type: str


@dataclass
class Query:
    """One query: statements that come before it, its INSERT, and the columns it writes."""

    name: str
    before: list[str]
    insert: str
    columns: list[Column]

    @property
    def select(self) -> str:
        """The query without the table that it fills."""
        return self.insert[self.insert.index("SELECT") :]

    @property
    def determined(self) -> list[int]:
        """Positions of the columns whose values the query leaves no choice about."""
        wanted = DETERMINED.get(self.name)
        return [at for at, column in enumerate(self.columns) if wanted is None or column.name in wanted]


@dataclass
class Input:
    """What all engines read: its kind, how many events it has, and the folder of its files where there are files."""

    kind: str
    events: int
    files: Path


def read(name: str, given: Input, output: Path) -> Query:
    """The query over an input; what it writes itself goes below `output`."""
    text = sources(given) + _text(f"{name}.sql").replace("{output}", str(output))
    *before, insert = split(text)
    created = next(statement for statement in reversed(before) if statement.startswith(f"CREATE TABLE {name} "))
    return Query(name, [quoted(statement) for statement in before], quoted(insert), columns(created))


def sources(given: Input) -> str:
    """Declares `person`, `auction` and `bid` over an input."""
    if given.kind == "tables":
        return (HERE / "tables.sql").read_text().replace("{data}", str(given.files))
    if given.kind == "events":
        options = f"'connector' = 'filesystem', 'path' = '{given.files}/events', 'format' = 'json'"
    else:
        options = (
            f"'connector' = 'nexmark', 'events.num' = '{given.events}', 'person.proportion' = '2', "
            "'auction.proportion' = '6', 'bid.proportion' = '92', 'materialize' = 'all'"
        )
    return f"CREATE TABLE events (\n{_text('columns.sql').rstrip()}{EVENT_TIME}\n) WITH ({options});\n{_text('views.sql')}"


def columns_of_events() -> str:
    """The columns of a table that holds all events."""
    return _text("columns.sql")


def split(text: str) -> list[str]:
    """The statements of a script without its comments; none of these scripts has a semicolon within quotes."""
    text = re.sub(r"(?m)^\s*--.*\n", "", text)
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def quoted(statement: str) -> str:
    """The statement with quotes around what Flink reserves."""
    return RESERVED.sub(r"`\1`", statement)


def columns(create: str) -> list[Column]:
    """The columns of a CREATE TABLE of plain types."""
    body = create[create.index("(") + 1 :].split("WITH (")[0].split("PARTITIONED BY")[0]
    found = re.findall(r"`?(\w+)`?\s+(BIGINT|DOUBLE|VARCHAR|STRING|TIMESTAMP\(3\)|DECIMAL\(\d+, ?\d+\))", body)
    return [Column(name, type_) for name, type_ in found]


def _text(name: str) -> str:
    return (FOLDER / name).read_text()
