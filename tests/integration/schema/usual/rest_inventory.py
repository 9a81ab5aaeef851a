"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

from itertools import count

USUAL = {
    "rest.unit_of_measure": {"factor_to_base": 1},
    "rest.inventory_item": {"item_kind": "ingredient", "storage_temp_class": "chilled"},
    "rest.stock_lot": {"initial_qty": 10},
    "rest.stock_transfer_line": {"line_number": count(1)},
    "rest.inventory_count_line": {"sequence_no": count(1)},
}
