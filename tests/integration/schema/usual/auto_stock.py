"""What a row of purchasing and stock usually holds."""

USUAL = {
    "auto.goods_receipt": {"received_qty": 1},
    "auto.parts_demand_forecast": {"forecast_week_on": "2026-05-04"},
    "auto.parts_quote": {"requested_at": "2026-05-04 10:00+00"},
    "auto.purchase_order": {"order_kind": "stock"},
    "auto.stock_movement": {"movement_kind": "receipt", "idempotency_ref": "receipt:{n}"},
}
