"""Fill of the whole schema, everything on, against the server's own limit: the same rows kept as
prepared binary COPY streams, in the same order with the same transactions, one connection. Rows
that only statements make do not count. Promise: 0.85 of its rate.

`python -m benchmarks.fill_whole SCALE ROUNDS`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any

from psycopg import sql

from benchmarks.measure import Conninfo, any_server, target_of
from datagen import encode, fill, loading
from datagen.frame import Frame
from datagen.plan import FillSettings, TablePlan
from harness.config import Settings, load
from harness.db import Connection, Target, connect
from harness.deploy.deploy import deploy
from harness.server import database

NAME = "harness_bench_fill_whole"
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
Stream = tuple[TablePlan, bytes | list[Any], int]
"""A table, its rows in binary or, where a type has no encoding, as they are; and how many."""


class LoadedError(Exception):
    """All rows are loaded: what settles after them is not measured."""


def main(scale: float, rounds: int) -> None:
    """Times both in turn, each on a copy of the deployed database."""
    settings = load()
    wanted = FillSettings(1, scale, 1, AS_OF)
    with any_server() as conninfo, _database(conninfo("postgres"), NAME, "template0"):
        deploy(target_of(conninfo(NAME), settings.roles), settings)

        def copy_of(name: str) -> AbstractContextManager[Target]:
            return _copied(conninfo, name, settings)

        with copy_of("kept") as target:
            streams = _kept(target, settings, wanted)
        ours, files = [], []
        for _ in range(rounds):
            with copy_of("ours") as target:
                ours.append(_fill(target, settings, wanted))
            with copy_of("files") as target:
                files.append(_replay(target, streams))
    rows = sum(count for *_, count in streams)
    took, limit = statistics.median(ours), statistics.median(files)
    print(
        f"fill of the whole schema: {rows:,} rows of {len(streams)} tables, {took:.1f} s against "
        f"{limit:.1f} s of prepared files: rate {limit / took:.2f} (at least 0.85)"
    )


@contextmanager
def _copied(conninfo: Conninfo, name: str, settings: Settings) -> Iterator[Target]:
    """A copy of the deployed database."""
    with _database(conninfo("postgres"), f"{NAME}_{name}", NAME) as made:
        yield target_of(conninfo(made), settings.roles)


@contextmanager
def _database(maintenance: str, name: str, template: str) -> Iterator[str]:
    database.drop(maintenance, name)
    with connect(maintenance, autocommit=True) as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield name
    finally:
        database.drop(maintenance, name)


def _fill(target: Target, settings: Settings, wanted: FillSettings) -> float:
    """Seconds of the fill from its first row to its last."""
    began = 0.0

    def begin(*_: object) -> Mapping[str, str]:
        nonlocal began
        began = time.perf_counter()
        return {}

    def end(*_: object) -> Mapping[str, str]:
        raise LoadedError

    try:
        fill.fill(target, settings, wanted, before=[begin], after=[end])
    except LoadedError:
        return time.perf_counter() - began
    raise AssertionError("the fill did not come to its end")


def _kept(target: Target, settings: Settings, wanted: FillSettings) -> list[Stream]:
    """What a fill sends to the server, table by table."""
    kept: list[Stream] = []
    load_in = loading.load

    def keeping(connection: Connection, frame: Frame, frozen: bool = False) -> None:
        load_in(connection, frame, frozen)
        kept.append(_stream(frame))

    loading.load = keeping
    try:
        _fill(target, settings, wanted)
    finally:
        loading.load = load_in
    return kept


def _stream(frame: Frame) -> Stream:
    columns = [(c, frame.column(c.name)) for c in frame.table.columns]
    binary = all(encode.is_binary(column, frame.plan.catalog) for column, _ in columns)
    make = encode.encode if binary else encode.rows
    made = make(columns, frame.plan.catalog)
    return frame.table, made if isinstance(made, bytes) else list(made), frame.rows


def _replay(target: Target, streams: list[Stream]) -> float:
    """Seconds that the server takes for the same rows; a table a transaction, as the fill has."""
    with connect(target.loader, autocommit=True) as connection:
        connection.execute("SET TimeZone = 'UTC'; SET synchronous_commit = off")
        began = time.perf_counter()
        for table, data, _ in streams:
            with connection.transaction():
                _copy(connection, table, data)
        return time.perf_counter() - began


def _copy(connection: Connection, table: TablePlan, data: bytes | list[Any]) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT {})").format(
        table.name.identifier,
        sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns),
        sql.SQL("binary" if isinstance(data, bytes) else "text"),
    )
    with connection.cursor() as cursor, cursor.copy(statement) as stream:
        if isinstance(data, bytes):
            stream.write(data)
            return
        for row in data:
            stream.write_row(row)


if __name__ == "__main__":
    main(float((sys.argv[1:] or ["0.05"])[0]), int((sys.argv[2:] or ["2"])[0]))
