"""A loss moves as its estimates and remittances allow; the desk sees what is still short."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import add_job, add_order, imported, refused
from tests.integration.schema.test_hs_organization import one

CLAIM = {
    "assigned": ("estimating", "withdrawn"),
    "estimating": ("estimate_submitted", "total_loss", "withdrawn"),
    "estimate_submitted": ("approved", "estimating", "total_loss", "denied", "withdrawn"),
    "approved": ("supplement_submitted", "total_loss", "settled"),
    "supplement_submitted": ("approved", "total_loss"),
    "total_loss": ("settled",),
    "settled": (),
    "denied": (),
    "withdrawn": (),
}
ENDED = ("settled", "denied", "withdrawn")
GUARDED = {
    *((before, "total_loss") for before in CLAIM),
    ("approved", "supplement_submitted"),
    ("approved", "settled"),
}
EDGES = [(before, after) for before, allowed in CLAIM.items() for after in allowed]
SHORT_PAY = {
    "none": ("open",),
    "open": ("recovered", "written_off"),
    "recovered": (),
    "written_off": ("recovered",),
}


def claim_of(connection: Connection, status: str = "approved", **given: Any) -> UUID:
    """A claim in a state."""
    times = {"assigned_at": "2026-05-04 10:00+00"}
    if status in ENDED:
        times["closed_at"] = "2026-05-20 10:00+00"
    return imported(connection, "auto.insurance_claim", status=status, **{**times, **given})


def estimate(
    connection: Connection, claim: UUID, total: int = 1000, number: int = 0, **given: Any
) -> UUID:
    """A version of one line, approved where nothing else is given."""
    usual = {
        "status": "approved",
        "estimate_kind": "supplement" if number else "original",
        "written_at": "2026-05-05 10:00+00",
        "submitted_at": "2026-05-05 11:00+00",
        "decided_at": "2026-05-06 10:00+00",
    }
    found = imported(connection, "auto.damage_estimate", insurance_claim_id=claim,
                     supplement_no=number, **{**usual, **given})  # fmt: skip
    imported(connection, "auto.damage_estimate_line", damage_estimate_id=found, line_total=total,
             decision="approved", change_kind="added" if number else "original")  # fmt: skip
    return found


def move(connection: Connection, status: str) -> None:
    connection.execute("UPDATE auto.insurance_claim SET status = %s", [status])


def status_of(connection: Connection) -> Any:
    return one(connection, "SELECT status FROM auto.insurance_claim")


@pytest.fixture
def claim(app: Connection) -> UUID:
    """A claim that was approved, with 100 to be borne by the customer."""
    return claim_of(app, deductible_amount=100)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"is_drp": True}, "program_has_start"),
        ({"drp_starts_on": "2026-01-02", "drp_ends_on": "2026-01-01"}, "program_ends_after"),
        ({"total_loss_threshold_pct": 49}, "threshold_bounded"),
        ({"total_loss_threshold_pct": 101}, "threshold_bounded"),
        ({"parts_discount_pct": 31}, "discount_bounded"),
        ({"naic_code": "12"}, "naic_code_is_digits"),
    ],
)
def test_an_insurer_keeps_its_bounds(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.insurer", **given)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"loss_at": "2026-05-02", "reported_at": "2026-05-01"}, "reported_after_loss"),
        ({"reported_at": "2026-05-05"}, "assigned_after_report"),
        ({"loss_at": "2026-05-05"}, "assigned_after_loss"),
        ({"closed_at": "2026-05-20"}, "ended_has_time"),
        ({"deductible_amount": -1}, "deductible_not_negative"),
        ({"airbags_deployed": True, "is_drivable": True}, "airbags_stop_driving"),
    ],
)
def test_a_claim_is_whole(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.insurance_claim", **{"assigned_at": "2026-05-04", **given})


@pytest.mark.parametrize(("before", "after"), refused(CLAIM))
def test_a_claim_moves_only_as_its_machine_says(app: Connection, before: str, after: str) -> None:
    claim_of(app, before)
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        move(app, after)


@pytest.mark.parametrize(("before", "after"), [e for e in EDGES if e not in GUARDED])
def test_a_claim_moves_as_its_machine_says(app: Connection, before: str, after: str) -> None:
    claim_of(app, before)
    move(app, after)
    ended = one(app, "SELECT closed_at IS NOT NULL FROM auto.insurance_claim")
    assert (status_of(app), ended) == (after, after in ENDED)


@pytest.mark.parametrize(("before", "after"), [e for e in EDGES if e in GUARDED])
def test_a_claim_without_proof_stays(app: Connection, before: str, after: str) -> None:
    claim_of(app, before)
    with pytest.raises(errors.CheckViolation, match=f"cannot be {after}: no "):
        move(app, after)


@pytest.mark.parametrize("status", [s for s in CLAIM if s != "assigned"])
def test_a_new_claim_is_assigned(app: Connection, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        row(app, "auto.insurance_claim", status=status, closed_at="2199-01-01"
            if status in ENDED else None)  # fmt: skip


@pytest.mark.parametrize(
    ("number", "status", "is_proof"),
    [(1, "submitted", True), (1, "draft", False), (2, "submitted", False)],
)
def test_a_supplement_with_the_next_number_is_submitted_first(
    app: Connection, claim: UUID, number: int, status: str, is_proof: bool
) -> None:
    first = estimate(app, claim)
    estimate(app, claim, 1200, number, status=status, previous_estimate_id=first)
    if is_proof:
        move(app, "supplement_submitted")
        assert status_of(app) == "supplement_submitted"
    else:
        with pytest.raises(errors.CheckViolation, match="no supplement with the next number"):
            move(app, "supplement_submitted")


def pay(connection: Connection, claim: UUID, gross: int, **given: Any) -> UUID:
    """A remittance of the insurer."""
    return row(connection, "auto.claim_payment", insurance_claim_id=claim, gross_amount=gross,
               **given)  # fmt: skip


@pytest.mark.parametrize(
    ("gross", "given", "objection"),
    [
        (1000, {"deductible_deducted_amount": 100}, None),
        (999, {"deductible_deducted_amount": 100}, r"999\.00 of 1000\.00 are paid"),
        (1000, {"deductible_deducted_amount": 100, "betterment_deducted_amount": 50}, None),
        (
            1000,
            {
                "deductible_deducted_amount": 100,
                "rate_cut_amount": 50,
                "short_pay_status": "open",
                "short_pay_reason": "rate",
            },
            "a short pay is open",
        ),
    ],
)
def test_what_was_approved_is_paid_before_it_is_settled(
    app: Connection, claim: UUID, gross: int, given: dict[str, Any], objection: str | None
) -> None:
    estimate(app, claim)
    pay(app, claim, gross, **given)
    if objection:
        with pytest.raises(errors.CheckViolation, match=objection):
            move(app, "settled")
    else:
        move(app, "settled")
        assert status_of(app) == "settled"


@pytest.mark.parametrize("end", ["written_off", "recovered"])
def test_a_short_pay_is_written_off_or_recovered(app: Connection, claim: UUID, end: str) -> None:
    estimate(app, claim)
    pay(app, claim, 1000, deductible_deducted_amount=100, rate_cut_amount=50,
        short_pay_status="open", short_pay_reason="rate")  # fmt: skip
    if end == "recovered":
        pay(app, claim, 50)
    app.execute(
        "UPDATE auto.claim_payment SET short_pay_status = %s WHERE short_pay_status = 'open'",
        [end],
    )
    move(app, "settled")
    assert status_of(app) == "settled"


def test_history_is_not_asked_for_proof(app: Connection, claim: UUID) -> None:
    app.execute("RESET ROLE")
    move(app, "settled")
    assert status_of(app) == "settled"


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"short_pay_status": "open"}, "short_pay_has_reason"),
        ({"short_pay_status": "open", "short_pay_reason": " "}, "short_pay_has_reason"),
        ({"rate_cut_amount": 1001}, "net_not_negative"),
        ({"betterment_deducted_amount": -1}, "deductions_not_negative"),
        ({"matched_at": "2026-05-05"}, "matched_has_payment"),
        ({"insurance_claim_id": None}, "for_one_claim"),
    ],
)
def test_a_remittance_is_whole(
    app: Connection, claim: UUID, given: dict[str, Any], truth: str
) -> None:
    usual = {"insurance_claim_id": claim, "gross_amount": 1000}
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.claim_payment", **{**usual, **given})


@pytest.mark.parametrize(("before", "after"), refused(SHORT_PAY))
def test_a_short_pay_moves_only_as_its_machine_says(
    app: Connection, claim: UUID, before: str, after: str
) -> None:
    imported(app, "auto.claim_payment", insurance_claim_id=claim, short_pay_status=before,
             short_pay_reason="rate")  # fmt: skip
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        app.execute("UPDATE auto.claim_payment SET short_pay_status = %s", [after])


def open_claims(connection: Connection) -> list[Any]:
    return connection.execute(
        "SELECT claim_kind, status, claimed_amount, approved_amount, paid_amount, short_amount"
        " FROM auto.v_open_claims ORDER BY claim_kind, status"
    ).fetchall()


def test_open_claims_say_what_is_short(app: Connection, claim: UUID) -> None:
    first = estimate(app, claim)
    estimate(app, claim, 1200, 1, status="submitted", previous_estimate_id=first)
    pay(app, claim, 700, deductible_deducted_amount=100)
    for status in ENDED:
        claim_of(app, status)
    assert open_claims(app) == [("insurance", "approved", 1200, 1000, 600, 300)]


def test_warranty_claims_are_open_until_they_are_paid(app: Connection) -> None:
    job = add_job(app, add_order(app), "warranty")
    program = row(app, "auto.warranty_program", filing_window_days=30)
    usual = {"repair_job_id": job, "warranty_program_id": program, "claimed_amount": 80,
             "submitted_at": "2026-05-05 10:00+00", "decided_on": "2026-05-10"}  # fmt: skip
    imported(app, "auto.warranty_claim", status="draft", **usual)
    imported(app, "auto.warranty_claim", status="approved", approved_amount=80, **usual)
    imported(app, "auto.warranty_claim", status="denied", denial_code="NO", **usual)
    assert open_claims(app) == [
        ("warranty", "approved", 80, 80, 0, 80),
        ("warranty", "draft", 80, 0, 0, 0),
    ]
    assert one(
        app, "SELECT next_deadline_at = '2026-06-03 15:00+00' FROM auto.v_open_claims"
        " WHERE status = 'draft'",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "deadline"),
    [
        ("assigned", "2026-05-06 10:00+00"),
        ("estimate_submitted", "2026-05-07 11:00+00"),
        ("approved", "2026-05-14 10:00+00"),
    ],
)
def test_a_claim_tells_what_is_due_next(app: Connection, status: str, deadline: str) -> None:
    insurer = row(app, "auto.insurer", supplement_approval_hours=48, cycle_time_target_days=10)
    claim = claim_of(app, status, insurer_id=insurer)
    if status == "estimate_submitted":
        estimate(app, claim, status="submitted")
    due = "SELECT next_deadline_at = %s::timestamptz FROM auto.v_open_claims"
    assert one(app, due, deadline) is True
