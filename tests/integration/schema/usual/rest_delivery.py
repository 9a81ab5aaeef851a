"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

from itertools import count

USUAL = {
    "rest.channel_item_link": {"item_role": "item", "drift_state": "missing_local"},
    "rest.delivery_job": {"provider": "uber_direct"},
    "rest.channel_payout_line": {"line_number": count(1), "line_kind": "order"},
    "rest.channel_order_dispute": {"charged_amount": 10},
}
