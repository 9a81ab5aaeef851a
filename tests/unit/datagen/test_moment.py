"""Statements that leave times to the server's clock are given the moment of the data."""

from __future__ import annotations

import pytest

from datagen.moment import dated
from harness.catalog.model import Catalog, Column, Name, Table

MOMENT = "%(as_of)s::timestamptz"
NOTE = Table(
    name=Name("a", "note"),
    columns={
        "id": Column("id", "integer"),
        "text": Column("text", "text", default="now()::text"),
        "created_at": Column("created_at", "timestamp with time zone", default="now()"),
        "seen_at": Column("seen_at", "timestamp with time zone", default="clock_timestamp()"),
    },
)
CATALOG = Catalog(tables={NOTE.name: NOTE})


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "INSERT INTO a.note (id, seen_at) SELECT n %% 2, now() FROM x",
            f'INSERT INTO a.note ("created_at", id, seen_at) SELECT {MOMENT}, n %% 2, now() FROM x',
        ),
        (
            "SELECT %(as_of)s; INSERT INTO a.note (id) WITH x AS (SELECT 'ä%%') "
            "SELECT DISTINCT 1 UNION SELECT 2",
            """SELECT %(as_of)s; INSERT INTO a.note ("created_at", "seen_at", id) """
            f"WITH x AS (SELECT 'ä%%') SELECT DISTINCT {MOMENT}, {MOMENT}, 1 "
            f"UNION SELECT {MOMENT}, {MOMENT}, 2",
        ),
    ],
    ids=["one column of two", "both sides of a union"],
)
def test_an_insert_gives_the_moment_to_what_it_left_to_the_clock(
    statement: str, expected: str
) -> None:
    assert dated(f"{statement}; SELECT 1", CATALOG) == f"{expected}; SELECT 1"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO a.note (created_at, seen_at) SELECT now(), now()",
        "INSERT INTO b.note (id) SELECT 1",
        "UPDATE a.note SET id = 2",
        "SELECT what is no statement",
    ],
)
def test_other_statements_stay_as_they_are(statement: str) -> None:
    assert dated(statement, CATALOG) == statement
