"""What a practitioner would say must hold of filled data, schema by schema.

The data are of noon: nothing in a truth may depend on the fill's moment being a midnight.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from datagen.audit import audit
from datagen.fill import fill
from datagen.plan import FillSettings
from harness.config import Settings
from harness.db import Target


def test_nothing_breaks_a_truth_of_a_filled_database(
    deployed: Target, copy_of: Callable[[Target], Target], settings: Settings
) -> None:
    target = copy_of(deployed)
    wanted = FillSettings(2, 0.05, 7, datetime(2026, 6, 1, 12, tzinfo=UTC))
    assert fill(target, settings, wanted).unmet == ()
    found = audit(target, settings, wanted.as_of)
    assert found.broken == ()
    assert found.checked >= 1000
    assert found.skipped == 0
