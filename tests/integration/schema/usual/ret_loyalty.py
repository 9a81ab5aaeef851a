"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

USUAL = {
    "ret.loyalty_program": {"state": "active", "effective_from": "2020-01-01"},
    "ret.loyalty_tier": {"rank_no": 1},
    "ret.loyalty_earn_rule": {
        "unit_amount": 1,
        "points_per_unit": 1,
        "starts_at": "2020-01-01",
    },
    "ret.loyalty_reward": {
        "reward_value": 5,
        "points_cost": 100,
        "starts_at": "2020-01-01",
    },
    "ret.reward_issue": {"issue_reason": "service"},
    "ret.gift_card": {"card_number_hash": "hash {n}", "card_last4": "0042"},
    "ret.store_credit": {"credit_number": "SC-{n}"},
}
