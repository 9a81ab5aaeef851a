"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

from itertools import count

USUAL = {
    "ret.cart": {"currency": "USD"},
    "ret.cart_line": {"line_number": count(1), "unit_price": 10},
    "ret.sales_order": {"order_kind": "web", "currency": "USD"},
    "ret.sales_order_line": {
        "line_number": count(1),
        "quantity": 1,
        "unit_price": 10,
        "fulfilment_choice": "ship",
    },
    "ret.order_tax_line": {"tax_target": "shipping", "rate_pct": 10},
    "ret.order_status_event": {"to_state": "confirmed"},
    "ret.sourcing_rule": {"effective_from": "2020-01-01"},
    "ret.stock_reservation": {"quantity": 1, "reservation_kind": "backorder"},
    "ret.fulfilment_order": {"method": "ship"},
    "ret.pick_list_line": {"walk_sequence": count(1), "required_qty": 1},
    "ret.pickup_order": {"pickup_code": "PU{n}"},
    "ret.shipping_zone": {"country_codes": ["US"]},
    "ret.shipment_line": {"line_number": count(1), "quantity": 1},
    "ret.shipment_tracking_event": {"status": "in_transit"},
}
