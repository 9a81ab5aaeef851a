"""What an error means for a fill."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from datagen import unmet
from harness.catalog.model import Name

TABLE: Any = SimpleNamespace(
    name=Name("shop", "item"), recipe=SimpleNamespace(source="recipes/shop.toml")
)


def test_a_missing_right_is_not_the_recipes_fault() -> None:
    error = psycopg.errors.InsufficientPrivilege("permission denied for table item")
    told = "shop.item: permission denied for table item; grant it to the loader's role"
    assert unmet.of_table(TABLE, error) == told


def test_a_broken_rule_is_told_with_the_place_of_the_recipe() -> None:
    error = psycopg.errors.CheckViolation("breaks a check")
    assert unmet.of_table(TABLE, error) == "shop.item: breaks a check; see recipes/shop.toml"


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (psycopg.errors.DiskFull, True),
        (psycopg.errors.ReadOnlySqlTransaction, True),
        (psycopg.errors.AdminShutdown, True),
        (psycopg.errors.QueryCanceled, True),
        (psycopg.errors.UniqueViolation, False),
        (psycopg.errors.InsufficientPrivilege, False),
    ],
)
def test_what_concerns_more_than_a_table_ends_the_fill(
    error: type[psycopg.Error], ends: bool
) -> None:
    assert unmet.ends_the_fill(error("told")) is ends
