"""What rows of retention and outreach usually hold."""

from __future__ import annotations

from typing import Any

USUAL: dict[str, dict[str, Any]] = {
    "courses.nudge_campaign": {"starts_on": "2026-01-01", "ends_on": "2026-12-31"},
}
