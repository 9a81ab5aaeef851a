"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

USUAL = {
    "ret.location": {
        "floor_area_sqm": 400,
        "address_line": "1 Main Street",
        "city": "Chicago",
        "region_code": "IL",
        "postal_code": "60601",
        "status": "open",
    },
    "ret.location_hours": {"weekday": 1, "opens_time": "09:00", "closes_time": "20:00"},
    "ret.sales_channel": {"order_prefix": "P{x}"},
    "ret.product": {"status": "active"},
    "ret.product_variant": {
        "sku": "SKU-{n}",
        "standard_cost": 5,
        "average_cost": 5,
        "list_price": 10,
    },
    "ret.variant_barcode": {"symbology": "in_store", "barcode": "20000{n}"},
    "ret.bundle_component": {"quantity": 1},
}
