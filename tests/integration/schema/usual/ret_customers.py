"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

USUAL = {
    "ret.customer_consent": {"wording_version": "v1"},
    "ret.wish_list_item": {"desired_qty": 2},
}
