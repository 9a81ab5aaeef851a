"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

from itertools import count

USUAL = {
    "rest.check_item": {"unit_price": 10, "line_number": count(1)},
    "rest.check_item_modifier": {"free_text": "No salt"},
    "rest.check_adjustment": {"adjustment_kind": "rounding", "amount": 0.01},
    "rest.check_payment": {"tender": "card", "amount": 5},
    "rest.gift_card": {"card_last4": "1234"},
    "rest.loyalty_entry": {"balance_after": 0},
    "rest.gift_card_entry": {"balance_after": 0},
    "rest.cash_drawer_event": {"running_balance": 0, "amount": 10},
    "rest.cash_deposit": {"amount": 100},
}
