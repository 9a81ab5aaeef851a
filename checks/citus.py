"""Whether a schema is made for Citus: what Citus refuses is no fault of another schema."""

from __future__ import annotations

from harness.catalog.source import Source
from harness.config import Checks


def is_meant(source: Source, checks: Checks) -> bool:
    """What the settings say; where they say nothing, whether the database has the extension, or a
    function sets one of Citus' settings, as one must that names the tenant there."""
    if checks.citus is not None:
        return checks.citus
    return source.has_citus or any(
        setting.startswith("citus.")
        for function in source.catalog.functions
        for setting in function.settings
    )
