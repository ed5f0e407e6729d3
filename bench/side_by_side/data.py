"""Makes the files that all engines read, once for each number of events."""

import shutil
from pathlib import Path

from . import process, queries
from .queries import Input

# The sink writes one file for each shard, however long it is: an engine must not read a later part of the events with the
# first, or rows come late.
SINK = "'sink.rolling-policy.file-size' = '1TB', 'sink.rolling-policy.rollover-interval' = '1 d'"

MILLIS = "CAST(EXTRACT(EPOCH FROM {}) * 1000 AS BIGINT)"

TABLES = {
    "person": (
        "id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR, city VARCHAR, state VARCHAR, millis BIGINT, "
        "extra VARCHAR",
        f"SELECT id, name, emailAddress, creditCard, city, state, {MILLIS.format('dateTime')}, extra FROM person",
    ),
    "auction": (
        "id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT, millis BIGINT, "
        "expiresMillis BIGINT, seller BIGINT, category BIGINT, extra VARCHAR",
        f"SELECT id, itemName, description, initialBid, reserve, {MILLIS.format('dateTime')}, "
        f"{MILLIS.format('expires')}, seller, category, extra FROM auction",
    ),
    "bid": (
        "auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, millis BIGINT, extra VARCHAR",
        f"SELECT auction, bidder, price, channel, url, {MILLIS.format('dateTime')}, extra FROM bid",
    ),
}


def prepare(millstream: str, cache: Path, kind: str, events: int, files: int) -> Input:
    """An input, its files written where they are not there.

    `events`: all events as rows of one table, in so many files that share the events evenly. `tables`: a file for each of
    person, auction and bid. `generator`: no files.
    """
    files = files if kind == "events" else 1
    folder = cache / f"nexmark-{kind}-{events}-{files}"
    prepared = Input(kind, events, folder)
    if kind == "generator" or (folder / "complete").exists():
        return prepared
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    script = folder / "prepare.sql"
    generator = queries.sources(Input("generator", events, folder))
    script.write_text(generator + (_events(folder) if kind == "events" else _tables(folder)))
    process.run([millstream, "--shards", str(files), "sql", "-f", str(script)], timeout_s=3600, cwd=str(folder))
    for made in folder.glob("*/part-*"):
        made.rename(made.with_name(f"{made.parent.name}-{made.name}.json".replace(".json.json", ".json")))
    (folder / "complete").touch()
    return prepared


def file_of(folder: Path, table: str) -> Path:
    """The one file of a table."""
    return next((folder / table).glob("*.json"))


def _events(folder: Path) -> str:
    columns = queries.columns_of_events()
    return (
        f"CREATE TABLE kept (\n{columns}) WITH ('connector' = 'filesystem', 'path' = '{folder}/events', "
        f"'format' = 'json', {SINK});\nINSERT INTO kept SELECT event_type, person, auction, bid FROM events;"
    )


def _tables(folder: Path) -> str:
    return "".join(
        f"CREATE TABLE kept_{name} ({columns}) WITH ('connector' = 'filesystem', 'path' = '{folder}/{name}', "
        f"'format' = 'json', {SINK});\nINSERT INTO kept_{name} {select};\n"
        for name, (columns, select) in TABLES.items()
    )
