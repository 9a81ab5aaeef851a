"""What rows of the school's catalog, enrollment and commerce usually hold."""

from __future__ import annotations

from typing import Any

USUAL: dict[str, dict[str, Any]] = {
    "courses.class_meeting": {
        "ends_at": "2026-05-04 11:00+00",
        "join_url_ref": "vault:meeting/{n}",
    },
    "courses.enrollment": {"course_section_id": ...},
    "courses.learner": {"user_account_id": ...},
    "courses.coupon": {"percent_off": 10},
    "courses.instructor_payout": {"period_month": "2026-05-01", "basis": "flat"},
    "courses.learner_accommodation": {"time_multiplier": 1.5},
    "courses.scholarship_award": {"percent": 100},
}
