"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

from itertools import count

USUAL = {
    "ret.scorecard_criterion": {
        "weight_pct": 100,
        "target_value": 90,
        "floor_value": 50,
    },
    "ret.supplier_chargeback": {
        "chargeback_number": "CB-{n}",
        "amount": 10,
        "raised_at": "2026-05-04 10:00+00",
    },
    "ret.supplier_rebate": {"basis_amount": 1000, "rebate_pct": 2},
    "ret.consignment_settlement": {"settlement_number": "CS-{n}"},
    "ret.consignment_settlement_line": {"line_number": count(1)},
}
