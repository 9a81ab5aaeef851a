"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

USUAL = {
    "ret.web_event": {"page_path": "/", "session_key": "s-1"},
    "ret.store_traffic_count": {"counted_at": "2026-05-04 15:00+00", "sensor_code": "D{n}"},
    "ret.inventory_day_snapshot": {"snapshot_date": "2026-05-04", "available_qty": 0},
    "ret.demand_forecast": {
        "week_start": "2026-05-04",
        "model_name": "model {n}",
        "low_qty": 8,
        "forecast_qty": 10,
        "high_qty": 12,
        "baseline_qty": 10,
    },
    "ret.rfm_snapshot": {"frequency_count": 1, "monetary_total": 10},
    "ret.shrink_event": {"cause": "unknown", "units_lost": 2, "cost_value": 8, "retail_value": 20},
    "ret.basket_affinity": {
        "window_start": "2026-05-01",
        "window_end": "2026-06-01",
        "basket_count": 10,
        "pair_count": 4,
        "confidence": 0.5,
    },
    "ret.merchandise_plan": {
        "plan_month": "2026-05-01",
        "planned_sales": 1000,
        "planned_markdown": 100,
        "opening_stock_plan": 3000,
        "closing_stock_plan": 3200,
    },
}
