"""What a practitioner would say must hold of filled data, schema by schema.

`datagen/truths/<schema>/<area>.toml` states each truth as a query of the rows that break it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg

import datagen
from datagen.fill import fill
from datagen.plan import FillSettings
from harness.config import Settings
from harness.db import Target

DIRECTORY = Path(datagen.__file__).parent / "truths"
TRUTHS = {
    f"{path.parent.name}: {truth}": violations
    for path in sorted(DIRECTORY.glob("*/*.toml"))
    for truth, violations in tomllib.loads(path.read_text(encoding="utf-8")).items()
}


def test_nothing_breaks_a_truth_of_a_filled_database(
    deployed: Target, copy_of: Callable[[Target], Target], settings: Settings
) -> None:
    target = copy_of(deployed)
    wanted = FillSettings(2, 0.05, 7, datetime(2026, 6, 1, 12, tzinfo=UTC))
    assert fill(target, settings, wanted).unmet == ()
    with psycopg.connect(target.admin) as connection:
        broken = {
            truth: connection.execute(violations.encode()).fetchmany(5)
            for truth, violations in TRUTHS.items()
        }
    assert {truth: rows for truth, rows in broken.items() if rows} == {}
