"""What rows of the gradebook and of credentials usually hold."""

from __future__ import annotations

from itertools import count
from typing import Any

BANDS = (
    '[{"letter": "F", "from": 0, "to": 60, "points": 0},'
    ' {"letter": "C", "from": 60, "to": 80, "points": 2},'
    ' {"letter": "B", "from": 80, "to": 90, "points": 3},'
    ' {"letter": "A", "from": 90, "to": 100, "points": 4}]'
)

USUAL: dict[str, dict[str, Any]] = {
    "courses.grading_scheme": {"name": "scheme {n}", "bands": BANDS},
    "courses.grade_category": {"name": "category {n}"},
    "courses.rubric": {"title": "rubric {n}"},
    "courses.rubric_criterion": {"sort_order": count(1), "max_points": 10},
    "courses.rubric_rating": {"sort_order": count(1), "points": 5},
    "courses.grade_item": {"item_kind": "manual", "title": "item {n}", "max_points": 100},
    "courses.certificate_template": {
        "name": "template {n}",
        "body_template": "{learner} completed {title}",
        "open_badge_profile": '{"id": "https://example.com/issuer", "name": "Example School"}',
        "status": "active",
        "activated_at": "2026-01-02 10:00+00",
    },
    "courses.certification": {"status": "active", "validity_months": 24},
    "courses.certification_requirement": {"requirement_kind": "manual_review"},
    "courses.continuing_education_credit": {
        "credit_kind": "pdu",
        "hours": 2,
        "credits": 2,
        "proof_file_object_id": ...,
    },
}
