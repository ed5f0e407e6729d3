"""What rows a query gives, as a count and a digest that do not depend on their order.

Every row is written the same way whatever the engine, hashed with MD5, and the first eight bytes are summed; a retraction
subtracts. So a stream of changes need not be kept to be folded.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal

from .queries import Column

SEPARATOR = "\x1f"
NULL = "\\N"


@dataclass
class Answer:
    """How many rows, and the sum of their hashes."""

    rows: int
    digest: str


class Fold:
    """Adds and retracts rows."""

    def __init__(self, columns: list[Column], determined: list[int]) -> None:
        self.columns = [(at, columns[at].type) for at in determined]
        self.rows = 0
        self.sum = 0

    def add(self, row: list, sign: int = 1) -> None:
        """Adds a row, or retracts it where the sign is -1."""
        text = SEPARATOR.join(cell(row[at], type_) for at, type_ in self.columns)
        self.sum += sign * int.from_bytes(hashlib.md5(text.encode()).digest()[:8], "little")
        self.rows += sign

    def all(self, rows: Iterable[list]) -> "Fold":
        """Adds all rows."""
        for row in rows:
            self.add(row)
        return self

    def answer(self) -> Answer:
        """What is left."""
        return Answer(self.rows, f"{self.sum % 2**64:016x}")


def cell(value: object, type_: str) -> str:
    """A value as text, by the type that the query's sink declares for it."""
    if value is None:
        return NULL
    if type_.startswith("TIMESTAMP"):
        return moment(value)
    if type_.startswith("DECIMAL"):
        number = Decimal(str(value))
        return format(number.normalize(), "f") if number else "0"
    if type_ == "BIGINT":
        # Flink's mean of integers is one, cut; an engine that gives a double is cut in the same way.
        return str(int(value))
    return str(value)


def moment(value: object) -> str:
    """A time to the millisecond, of text or of milliseconds since 1970."""
    if isinstance(value, int):
        seconds, millis = divmod(value, 1000)
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S}.{millis:03}"
    whole, _, fraction = str(value).replace("T", " ").removesuffix("Z").partition(".")
    return f"{whole}.{fraction[:3]:0<3}"
