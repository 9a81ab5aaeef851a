"""What could not be filled, told in one line, and what ends a fill instead."""

from __future__ import annotations

import re

import psycopg

from datagen.plan import TablePlan
from harness.db import is_lost, one_line

_COLUMN = re.compile(r"^COPY .*, line \d+, column (.*?)(?:: |$)", re.MULTILINE)
RECIPE = "give it a recipe (--recipes)"


def ends_the_fill(error: Exception) -> bool:
    """Whether it concerns more than a table: no server, one that is read-only (25006), no space
    (class 53), an interruption (class 57)."""
    if not isinstance(error, psycopg.Error):
        return False
    return is_lost(error) or (error.sqlstate or "").startswith(("25006", "53", "57"))


def of_table(table: TablePlan, error: Exception) -> str:
    """Why a table could not be filled, and where a recipe for it would stand."""
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"{table.name}: {brief(error)}; grant it to the loader's role"
    if isinstance(error, psycopg.Error):
        place = f"see {table.recipe.source}" if table.recipe.source else RECIPE
        return f"{table.name}: {brief(error)}; {place}"
    return str(error)


def brief(error: psycopg.Error) -> str:
    """What the server said, without the call stack; a failing row may be long."""
    told = error.diag.message_primary or one_line(error)
    if (place := _COLUMN.search(error.diag.context or "")) is not None:
        told = f"column {place[1]}: {told}"
    detail = error.diag.message_detail
    if detail is None or detail.startswith("Failing row"):
        return told
    return f"{told} ({detail[:200]})"
