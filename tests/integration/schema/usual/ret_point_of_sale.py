"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

from itertools import count

USUAL = {
    "ret.cash_movement": {"movement_kind": "paid_in", "amount": 10, "running_balance": 0},
    "ret.cash_count": {
        "denominations_doc": '[{"value": 20, "count": 5}]',
        "counted_total": 100,
    },
    "ret.pos_transaction": {"transaction_kind": "return", "receipt_number": "R-{n}"},
    "ret.pos_journal_event": {"event_kind": "drawer_open"},
    "ret.layaway": {"total_amount": 100, "deposit_amount": 10, "balance_amount": 90},
    "ret.layaway_instalment": {"due_amount": 30, "instalment_no": count(1)},
    "ret.order_adjustment": {"adjustment_kind": "fee", "amount": 2},
    "ret.payment_token": {"method": "wallet", "token_ref": "tok_{n}"},
    "ret.payment": {"tender": "bank_transfer", "amount": 5, "payment_number": "P{n}"},
    "ret.payment_dispute": {"disputed_amount": 5},
    "ret.processor_payout": {"payout_reference": "po_{n}"},
    "ret.processor_payout_entry": {"entry_number": "{n}"},
    "ret.tax_filing": {
        "period_start": "2026-04-01",
        "period_end": "2026-04-30",
        "due_on": "2026-05-20",
    },
    "ret.return_line": {"line_number": count(1), "quantity": 1},
    "ret.refund": {
        "refund_method": "bank_transfer",
        "reason": "shipping",
        "amount": 5,
        "refund_number": "F{n}",
    },
}
