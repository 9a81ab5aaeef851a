"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

USUAL = {
    "ret.price_book": {"state": "active", "effective_from": "2026-01-01"},
    "ret.price_book_entry": {"price": 10, "effective_from": "2026-01-01"},
    "ret.price_book_assignment": {"effective_from": "2026-01-01"},
    "ret.price_change": {
        "old_price": 10,
        "new_price": 12,
        "requested_at": "2026-05-01 10:00+00",
        "effective_at": "2026-05-04 10:00+00",
    },
    "ret.promotion": {"starts_at": "2026-01-01 00:00+00"},
    "ret.promotion_rule": {"rule_kind": "first_order"},
    "ret.promotion_reward": {"reward_kind": "percent", "applies_to": "each_target"},
}
