"""What a row of shops, customers, appointments and conversations usually holds."""

USUAL = {
    "auto.customer_contact": {"mobile_phone": "+13125550100"},
    "auto.labor_rate": {"hourly_rate_amount": 150},
    "auto.price_matrix": {"multiplier": 2},
    "auto.appointment": {"ends_at": "2026-05-04 11:00+00", "planned_hours": 0},
    "auto.loaner_agreement": {"due_at": "2026-05-06 17:00+00"},
    "auto.service_reminder": {"due_on": "2026-07-01"},
    "auto.customer_review": {"star_rating": 5},
}
