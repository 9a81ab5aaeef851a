"""What rows of play, talk and care of the school usually hold."""

from __future__ import annotations

from itertools import count
from typing import Any

USUAL: dict[str, dict[str, Any]] = {
    "courses.badge": {"status": "active"},
    "courses.learner_streak": {"started_on": "2026-05-04", "last_active_on": "2026-05-04"},
    "courses.challenge": {"ends_at": "2026-05-11 10:00+00", "goal_value": 10},
    "courses.reward_item": {"reward_kind": "donation", "cost_points": 100},
    "courses.survey_question": {"sort_order": count(1)},
}
