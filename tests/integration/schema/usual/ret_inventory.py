"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

from itertools import count

USUAL = {
    "ret.supplier_product": {"supplier_sku": "S-{n}"},
    "ret.supplier_cost": {"unit_cost": 10, "approved_at": "2026-01-01"},
    "ret.supplier_agreement": {
        "agreement_number": "AG-{n}",
        "effective_from": "2026-01-01",
        "effective_to": "2026-12-31",
    },
    "ret.consignment_agreement": {"commission_pct": 30, "state": "active"},
    "ret.stock_lot": {"lot_number": "L-{n}", "received_on": "2026-05-01"},
    "ret.serial_unit": {"serial_number": "SN-{n}"},
    "ret.stock_movement": {"to_state": "available", "quantity": 1},
    "ret.stock_adjustment": {"reason": "data_error", "entered_at": "2026-05-04 10:00+00"},
    "ret.stock_adjustment_line": {"quantity_delta": -1, "unit_cost": 2, "line_number": count(1)},
    "ret.stock_transfer_line": {"requested_qty": 5, "unit_cost": 2, "line_number": count(1)},
    "ret.cycle_count_line": {"line_number": count(1)},
    "ret.replenishment_rule": {"min_qty": 4, "max_qty": 10},
    "ret.replenishment_suggestion": {"suggested_qty": 1, "run_at": "2026-05-04 10:00+00"},
}
