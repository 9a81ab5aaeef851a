"""Fill of the median table against a loader of 30 lines that calls Faker for every value and sends
rows with psycopg's COPY, everything on; one connection, by rates: the factors are stated.

`python -m benchmarks.fill_peers SCALE`; 1000 makes 300,000 rows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from faker import Faker
from psycopg import sql

from benchmarks.fill import TABLE, Ground, in_mode_fast, on_ground
from benchmarks.measure import benchmark_server, compare, seconds
from datagen.loading import load
from datagen.values import Values

ROWS = 5_000
"""That the loader of 30 lines makes."""


def main(scale: float = 1000.0) -> None:
    """Times the peer beside both modes of the fill."""
    with (
        benchmark_server() as (settings, fresh),
        on_ground(fresh("fill"), settings, scale) as ground,
    ):
        rows = ground.frame().rows

        def live() -> None:
            load(ground.connection, ground.frame())

        _tell(ground, "live", live, rows)
        _tell(ground, "fast, indexes and keys included", lambda: in_mode_fast(ground, live), rows)


def _tell(ground: Ground, mode: str, fill_in: Callable[[], object], rows: int) -> None:
    """Times a mode and the peer in turn, and prints the factor."""

    def timed(action: Callable[[], object], rows: int) -> float:
        _empty(ground)
        return seconds(action) / rows

    took, theirs = compare(
        lambda: timed(fill_in, rows), lambda: timed(lambda: _faker_loader(ground), ROWS), 2
    )
    print(
        f"mode {mode}, against Faker for every value: {1 / took:,.0f} rows/s against "
        f"{1 / theirs:,.0f} rows/s: factor {theirs / took:.0f}"
    )


def _faker_loader(ground: Ground) -> None:
    """Rows of the median table, every value from Faker, sent with COPY."""
    names = [c.name for c in ground.table.columns]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        TABLE.identifier, sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with ground.connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in _faker_rows(ground):
            copy.write_row([row[name] for name in names])


def _faker_rows(ground: Ground) -> Iterator[dict[str, Any]]:
    fake, seen = Faker(), set[object]()
    users, types = (_keys(ground, name) for name in ("user_account", "entity_type"))
    while len(seen) < ROWS:
        muted = fake.boolean(20)
        row = {
            "business_id": str(ground.tenant.id),
            "activity_subscription_id": fake.uuid4(),
            "entity_type_id": fake.random_element(types),
            "user_account_id": fake.random_element(users),
            "entity_id": fake.uuid4(),
            "follow_level": "muted" if muted else fake.random_element(("all", "status_only")),
            "reason": fake.random_element(("created", "assigned", "commented", "manual")),
            "notify_in_app": fake.boolean(),
            "notify_email": fake.boolean(),
            "last_seen_at": fake.date_time_this_year(),
            "muted_until": fake.future_datetime() if muted else None,
            "created_at": fake.date_time_this_year(),
            "updated_at": fake.date_time_this_year(),
        }
        seen.add(row["activity_subscription_id"])
        yield row


def _keys(ground: Ground, table: str) -> list[str]:
    (frame,) = [f for name, f in ground.parents.items() if name.name == table]
    ids: Values = frame.column(f"{table}_id")
    return [bytes(key).hex() for key in ids.data]


def _empty(ground: Ground) -> None:
    ground.connection.execute(sql.SQL("TRUNCATE {}").format(TABLE.identifier))


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))
