"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

USUAL = {
    "rest.safety_checklist": {
        "items_doc": '[{"item_no": 1, "text": "Clean?", "answer_kind": "bool", "critical": true}]',
    },
    "rest.food_label": {
        "prepared_at": "2026-05-04 10:00+00",
        "use_by_at": "2026-05-04 13:00+00",
    },
    "rest.food_safety_incident": {"reported_at": "2026-05-04 11:00+00"},
    "rest.inspection_violation": {"due_on": "2026-05-14"},
    "rest.traceability_event": {
        "cte_kind": "shipping",
        "occurred_at": "2026-05-04 10:00+00",
        "quantity": 5,
        "retain_until": "2028-05-04",
    },
}
