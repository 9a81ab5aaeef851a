"""Usual rows of claims, billing and collision: what is billed is a fee, what is paid was taken."""

from itertools import count

USUAL = {
    "auto.tax_rate": {"rate_pct": 8, "effective_on": "2020-01-01"},
    "auto.invoice": {"invoice_number": "I{n}"},
    "auto.invoice_line": {"line_kind": "fee", "line_no": count(1), "description": "Fee {n}"},
    "auto.payment": {
        "payment_number": "P{n}",
        "amount": 100,
        "method": "card",
        "status": "captured",
        "paid_at": "2026-05-04 10:00+00",
    },
    "auto.warranty_claim_line": {"line_kind": "tax", "line_no": count(1)},
    "auto.damage_estimate_line": {"line_no": count(1)},
    "auto.claim_payment": {"remittance_ref": "R{n}", "payer_name": "Prairie Mutual"},
}
