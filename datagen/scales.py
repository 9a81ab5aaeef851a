"""How much a fill makes, as one asks for it: a factor, or a preset by its total of rows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from datagen.plan import RowCount
from harness.catalog.model import Name
from harness.errors import UsageError

TENANTS = 5
"""Where nobody says how many."""
_ROWS = re.compile(r"(?P<table>[^=]+)=(?:(?P<exactly>\d+)|\*(?P<factor>\d+(\.\d+)?))")


@dataclass(frozen=True, slots=True)
class Preset:
    """So many rows, for so many tenants unless somebody says how many."""

    tenants: int
    rows: int
    per_tenant: bool = False
    """Whether each tenant has so many rows on average, rather than all together."""


PRESETS = {
    "small": Preset(tenants=TENANTS, rows=100_000, per_tenant=True),
    "medium": Preset(tenants=20, rows=10_000_000),
    "large": Preset(tenants=50, rows=100_000_000),
}


@dataclass(frozen=True, slots=True)
class Size:
    """How many tenants, and either the scale or the total that it is found for."""

    tenants: int
    scale: float
    total: int | None = None


def size(scale: str, tenants: int | None = None) -> Size:
    """What `--scale` and `--tenants` ask for; UsageError for a scale that is none."""
    preset = PRESETS.get(scale)
    if preset is None:
        return Size(tenants or TENANTS, _factor(scale))
    count = tenants or preset.tenants
    return Size(count, 1.0, preset.rows * count if preset.per_tenant else preset.rows)


def row_count(text: str) -> RowCount:
    """`schema.table=1000` or `schema.table=*2.5`; UsageError for anything else."""
    found = _ROWS.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"--rows {text}: write schema.table=1000 or schema.table=*2.5")
    exactly = found["exactly"]
    return RowCount(
        Name.parse(found["table"].strip()),
        exactly=None if exactly is None else int(exactly),
        factor=float(found["factor"] or 1),
    )


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0.0001 <= factor <= 1e6:
        names = ", ".join(PRESETS)
        raise UsageError(f"--scale {text}: write a factor from 0.0001 on, or one of {names}")
    return factor
