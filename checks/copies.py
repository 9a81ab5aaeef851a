"""Copies of a relation on the nodes of a cluster, in words and in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from checks.wording import qualified
from harness.catalog.cluster import Copy
from harness.catalog.model import Name

_LISTED = 4
"""So many copies are named."""


def told(copies: Sequence[Copy]) -> str:
    """Where they are: `auto.bay_102008 on w1:5432, auto.bay_102010 on w1:5432 and 2 more`."""
    named = ", ".join(f"{copy.name} on {copy.node}" for copy in copies[:_LISTED])
    more = len(copies) - _LISTED
    return f"{named} and {more} more" if more > 0 else named


def on_shards(table: Name, statement: str) -> str:
    """SQL for the coordinator that runs a statement on every shard of a table, there `{shard}`."""
    command = statement.replace("%", "%%").replace("{shard}", "%s")
    return f"SELECT run_command_on_placements({_literal(qualified(table))}, {_literal(command)});"


def distributing(table: Name, column: str, beside: str) -> str:
    """SQL that distributes a table by a column, beside another table where one is named."""
    arguments = [_literal(qualified(table)), _literal(column)]
    if beside and str(table) != beside:
        arguments.append(f"colocate_with => {_literal(beside)}")
    return f"SELECT create_distributed_table({', '.join(arguments)});"


def _literal(text: str) -> str:
    return sql.Literal(text).as_string(None)
