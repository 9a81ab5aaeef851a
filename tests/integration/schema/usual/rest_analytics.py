"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

USUAL = {
    "rest.sales_forecast": {
        "model_name": "model {n}",
        "low_sales": 80,
        "forecast_sales": 100,
        "high_sales": 120,
    },
    "rest.food_cost_variance": {"period_start": "2026-05-04", "period_end": "2026-05-11"},
    "rest.guest_rfm_snapshot": {"r_score": 3, "f_score": 3, "m_score": 3},
    "rest.loss_prevention_alert": {
        "window_start_at": "2026-05-04 00:00+00",
        "window_end_at": "2026-05-11 00:00+00",
        "state": "open",
    },
}
