"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

USUAL = {
    "ret.product_attribute_value": {"text_value": "text {n}"},
}
