"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

from itertools import count

USUAL = {
    "ret.purchase_order": {"po_number": "PO-{n}"},
    "ret.purchase_order_line": {"line_number": count(1), "ordered_qty": 10, "unit_cost": 4},
    "ret.advance_ship_notice": {"asn_number": "ASN-{n}"},
    "ret.asn_package": {"sscc": "000000000000000000"},
    "ret.asn_line": {"line_number": count(1), "shipped_qty": 1},
    "ret.goods_receipt": {
        "receipt_number": "GR-{n}",
        "state": "checking",
        "arrived_at": "2026-05-04 08:00+00",
        "started_at": "2026-05-04 09:00+00",
    },
    "ret.goods_receipt_line": {"line_number": count(1), "expected_qty": 1},
    "ret.landed_cost": {"amount": 10},
    "ret.supplier_invoice": {"invoice_number": "I-{n}"},
    "ret.supplier_invoice_line": {"line_number": count(1)},
    "ret.supplier_return": {"rtv_number": "RTV-{n}", "requested_at": "2026-05-04 08:00+00"},
    "ret.supplier_return_line": {"line_number": count(1)},
}
