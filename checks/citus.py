"""Whether a schema is made for Citus: what Citus refuses is no fault of another schema."""

from __future__ import annotations

from collections.abc import Iterator

from harness.catalog.model import Table
from harness.catalog.source import Source


def is_used(source: Source) -> bool:
    """Whether a function sets one of Citus' settings, as one must that names the tenant there."""
    return any(
        setting.startswith("citus.")
        for function in source.catalog.functions
        for setting in function.settings
    )


def tables(source: Source) -> Iterator[Table]:
    """The tables of a schema that is made for Citus; none of another."""
    if is_used(source):
        yield from source.catalog.tables.values()
