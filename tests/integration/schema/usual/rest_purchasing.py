"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

from itertools import count

USUAL = {
    "rest.recipe": {"recipe_kind": "menu", "yield_qty": 1},
    "rest.recipe_line": {"line_number": count(1)},
    "rest.recipe_usage": {"quantity": 1, "usage_kind": "item"},
    "rest.yield_test": {"as_purchased_qty": 10, "usable_qty": 8},
    "rest.production_batch": {"batch_number": "B{n}"},
    "rest.vendor_item": {"vendor_sku": "SKU{n}"},
    "rest.purchase_order": {"po_number": "PO{n}"},
    "rest.purchase_order_line": {"line_number": count(1)},
    "rest.goods_receipt": {"receipt_number": "R{n}"},
    "rest.goods_receipt_line": {
        "line_number": count(1),
        "received_packs": 1,
        "accepted_packs": 1,
        "stock_qty": 1,
    },
    "rest.vendor_invoice": {"invoice_number": "V{n}"},
    "rest.vendor_invoice_line": {"line_number": count(1)},
}
