"""Whether a schema is made for Citus: what Citus refuses is no fault of another schema."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.catalog.model import Table
from harness.catalog.source import Source

_CALLS = re.compile(r"\bcreate_(?:distributed|reference)_table\b")


def is_used(source: Source) -> bool:
    """Whether a function sets one of Citus' settings or distributes tables."""
    functions = source.catalog.functions
    settings = (setting for function in functions for setting in function.settings)
    return any(setting.startswith("citus.") for setting in settings) or any(
        _CALLS.search(text) for text in source.definitions.values()
    )


def tables(source: Source) -> Iterator[Table]:
    """The tables of a schema that is made for Citus; none of another."""
    if is_used(source):
        yield from source.catalog.tables.values()
