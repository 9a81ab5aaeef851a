"""Room on the server's disk: how much a fill needs, how much is free, and stopping before it ends.

The free space is seen where the server runs on this machine and shows its data directory.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from datagen import volume
from datagen.generators import base_type
from datagen.plan import FillPlan, TablePlan
from harness.catalog.model import Catalog, Column
from harness.db import Connection, Target, connect
from harness.errors import DatabaseError, UsageError

RESERVE = 512 << 20
"""Bytes that a fill leaves free, for the server's log and what it sorts."""
NEAR = 0.8
"""Share of the free bytes from which on a fill says that there is little room."""
EVERY = 1.0
"""Seconds between two looks at the free space."""
WIDTHS = {
    "uuid": 16,
    "text": 18,
    "timestamp with time zone": 8,
    "numeric": 6,
    "integer": 4,
    "smallint": 2,
    "boolean": 1,
    "date": 4,
    "jsonb": 130,
    "bigint": 8,
    "double precision": 8,
    "bytea": 34,
    "inet": 7,
}
"""Bytes of a value by type, as pg_stats.avg_width has them over the filled reference schema; a
text with its alignment."""
OTHER = 24
"""Bytes of a value of any other type: arrays, ranges, times."""
ROW = 28
"""Bytes of a row's header and line pointer."""
ENTRY = 20
"""Bytes of an index entry without its values: header, line pointer, and 90 % full pages."""
PAGES = 8192
"""Bytes at the least for each table and index that gets rows."""
_LOCAL = ("", "localhost", "127.0.0.1", "::1")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Room:
    """Where the server keeps its data."""

    directory: Path

    def free(self) -> int:
        """Bytes that are free there now."""
        return shutil.disk_usage(self.directory).free


def room(database: Target) -> Room | None:
    """Where the server's data are; None where that cannot be seen from here."""
    with connect(database.admin, autocommit=True) as connection:
        host = connection.info.host or ""
        if host not in _LOCAL and not host.startswith("/"):
            return None
        shown = (
            "SELECT current_setting('data_directory')"
            " WHERE pg_has_role(current_user, 'pg_read_all_settings', 'USAGE')"
        )
        row = connection.execute(shown).fetchone()
    return _visible(Path(row[0])) if row and row[0] else None


def _visible(directory: Path) -> Room | None:
    try:
        shutil.disk_usage(directory)
    except OSError:  # of a container, or behind a directory that may not be searched
        return None
    return Room(directory)


def require(needed: int, place: Room | None, say: Callable[[str], None]) -> None:
    """UsageError where so many bytes do not fit; says where that is not sure."""
    if place is None:
        say(f"the fill needs about {_size(needed)} on the server, whose disk is not seen from here")
        return
    free = place.free() - RESERVE
    if needed > free:
        raise UsageError(
            f"the fill needs about {_size(needed)}, and {_size(max(free, 0))} may be filled in "
            f"{place.directory}: make room, or fill with a smaller --scale"
        )
    if needed > NEAR * free:
        say(
            f"the fill needs about {_size(needed)} of the {_size(free)} that may be filled in "
            f"{place.directory}"
        )


def watched(items: Iterator[Item], place: Room | None) -> Generator[Item, None, None]:
    """The same items; DatabaseError as soon as too little is free."""
    due = 0.0
    for item in items:
        yield item
        if place is not None and time.monotonic() >= due:
            due = time.monotonic() + EVERY
            if (free := place.free()) < RESERVE:
                raise DatabaseError(
                    f"stopped before the disk is full: {_size(free)} are free in "
                    f"{place.directory}; what was filled is there, make room and run it again"
                )


def estimate(the_plan: FillPlan) -> int:
    """Bytes that all rows take with their indexes."""
    rows = volume.by_table(the_plan)
    catalog = the_plan.catalog
    return round(sum(_bytes(table, rows[table.name], catalog) for table in the_plan.tables))


def remaining(the_plan: FillPlan, connection: Connection) -> int:
    """Bytes of the rows that are not there yet, as far as the ledger knows."""
    expected = volume.total(the_plan)
    count = "SELECT coalesce(sum(row_count), 0)::bigint FROM harness.fill_unit"
    row = connection.execute(count).fetchone()
    share = row[0] / expected if row and expected else 0.0
    return round(estimate(the_plan) * max(0.0, 1 - share))


def _bytes(table: TablePlan, rows: float, catalog: Catalog) -> float:
    if not rows:
        return 0.0
    width = {column.name: _width(column, catalog) for column in table.table.columns.values()}
    keys = [c.columns for c in table.table.constraints if c.kind in ("primary key", "unique")]
    keys += [index.columns for index in table.table.indexes]
    entries = sum(ENTRY + sum(width.get(name, OTHER) for name in key) for key in keys)
    return rows * (ROW + sum(width.values()) + entries) + PAGES * (1 + len(keys))


def _width(column: Column, catalog: Catalog) -> float:
    width = WIDTHS.get(base_type(column.type, catalog), OTHER)
    return width if column.not_null else width * 0.85


def _size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
