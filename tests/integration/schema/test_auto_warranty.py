"""A warranty claim keeps the rules of its program, and asks for what its lines ask for."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import (
    add_job,
    add_order,
    add_part,
    imported,
    refused,
)
from tests.integration.schema.test_hs_organization import one

CLAIM = {
    "draft": ("preauthorized", "submitted"),
    "preauthorized": ("draft", "submitted"),
    "submitted": ("queried", "approved", "partly_approved", "denied"),
    "queried": ("submitted", "denied"),
    "approved": ("paid",),
    "partly_approved": ("paid", "appealed"),
    "denied": ("appealed",),
    "appealed": ("approved", "partly_approved", "denied"),
    "paid": (),
}
COVERAGE = {
    "pending": ("active", "cancelled"),
    "active": ("expired", "exhausted", "cancelled"),
    "expired": ("active",),
    "exhausted": ("active",),
    "cancelled": (),
}
WHOLE = {
    "submitted_at": "2026-05-05 10:00+00",
    "authorization_number": "A1",
    "decided_on": "2026-05-10",
    "denial_code": "NO",
}
"""What a claim of any state may have."""


def program(connection: Connection, **given: Any) -> UUID:
    return row(connection, "auto.warranty_program", **given)


@pytest.fixture
def job(app: Connection) -> UUID:
    """A warranty job that was done on May 4th."""
    return add_job(app, add_order(app), "warranty")


def claim(connection: Connection, job: UUID, **given: Any) -> UUID:
    """A draft of a claim, or what is given."""
    return row(connection, "auto.warranty_claim", repair_job_id=job, **given)


def labor_of(connection: Connection, job: UUID) -> UUID:
    found: UUID = one(
        connection, "SELECT labor_line_id FROM auto.labor_line WHERE repair_job_id = %s", job
    )
    return found


def claim_line(connection: Connection, of_claim: UUID, amount: int, **given: Any) -> UUID:
    return row(connection, "auto.warranty_claim_line", warranty_claim_id=of_claim,
               claimed_amount=amount, **given)  # fmt: skip


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"program_kind": "emissions_federal", "term_months": 95, "term_distance": 80000},
         "emissions_term"),
        ({"program_kind": "emissions_federal", "term_months": 96, "term_distance": 79999},
         "emissions_term"),
        ({"program_kind": "emissions_federal", "term_months": 96}, "emissions_term"),
        ({"filing_window_days": 0}, "filing_window_positive"),
        ({"max_claim_amount": 0}, "cap_positive"),
        ({"labor_rate_amount": -1}, "rates_not_negative"),
    ],
)  # fmt: skip
def test_a_program_is_what_it_says(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        program(app, **given)


@pytest.mark.parametrize("kind", ["shop_labor", "goodwill"])
def test_the_shop_bills_nobody_for_its_own_promise(app: Connection, kind: str) -> None:
    with pytest.raises(errors.CheckViolation, match="shop_pays_itself"):
        program(app, program_kind=kind, payer_customer_id=row(app, "auto.customer"))


def test_federal_law_is_met_exactly(app: Connection) -> None:
    program(app, program_kind="emissions_federal", term_months=96, term_distance=80000)
    assert one(app, "SELECT count(*) FROM auto.warranty_program") == 1


@pytest.mark.parametrize(
    ("category", "name", "is_covered"),
    [
        ("engine", "Piston", True),
        ("engine", "Timing Belt", False),
        ("tires", "Tire", False),
        ("glass", "Windshield", False),
    ],
)
def test_the_terms_say_what_is_covered(
    app: Connection, category: str, name: str, is_covered: bool
) -> None:
    terms = (
        '{"groups": [{"category": "engine"}, {"category": "tires", "covered": false}],'
        ' "exclusions": ["timing belt"]}'
    )
    kind = row(app, "auto.part_type", category=category, name=name)
    found = program(app, terms_document=terms)
    assert one(app, "SELECT auto.warranty_covers(%s, %s)", found, kind) is is_covered


def test_a_program_without_terms_covers_nothing(app: Connection) -> None:
    kind = row(app, "auto.part_type", category="engine")
    assert one(app, "SELECT auto.warranty_covers(%s, %s)", program(app), kind) is False


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"ends_on": "2026-05-04"}, "ends_after_start"),
        ({"starts_odometer": 10, "ends_odometer": 10}, "odometer_rises"),
        ({"verification_ref": "V1"}, "verified_has_time"),
        ({"remaining_liability_amount": -1}, "liability_not_negative"),
    ],
)
def test_coverage_is_whole(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.vehicle_coverage", **given)


def test_what_is_exhausted_pays_nothing_more(app: Connection) -> None:
    row(app, "auto.vehicle_coverage", remaining_liability_amount=10)
    with pytest.raises(errors.CheckViolation, match="exhausted_has_nothing_left"):
        app.execute("UPDATE auto.vehicle_coverage SET status = 'exhausted'")


def test_the_shop_stands_for_the_work_of_a_job(app: Connection, job: UUID) -> None:
    own = program(app, program_kind="shop_labor")
    granted = {"warranty_program_id": own, "granted_by_repair_job_id": job}
    row(app, "auto.vehicle_coverage", **granted)
    with pytest.raises(errors.CheckViolation, match="of the shop's own labor names no job"):
        app.execute("UPDATE auto.vehicle_coverage SET granted_by_repair_job_id = NULL")


@pytest.mark.parametrize(("before", "after"), refused(COVERAGE))
def test_coverage_moves_only_as_its_machine_says(app: Connection, before: str, after: str) -> None:
    imported(app, "auto.vehicle_coverage", status=before)
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        app.execute("UPDATE auto.vehicle_coverage SET status = %s", [after])


def of_state(status: str) -> dict[str, Any]:
    """Figures and days of a claim in a state."""
    approved = {"approved": 100, "partly_approved": 50, "paid": 100}.get(status, 0)
    paid = {"paid_on": "2026-05-20"} if status == "paid" else {}
    return {**WHOLE, "claimed_amount": 100, "approved_amount": approved, **paid}


@pytest.mark.parametrize(("before", "after"), refused(CLAIM))
def test_a_claim_moves_only_as_its_machine_says(
    app: Connection, job: UUID, before: str, after: str
) -> None:
    imported(app, "auto.warranty_claim", repair_job_id=job, status=before, **of_state(before))
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        app.execute("UPDATE auto.warranty_claim SET status = %s", [after])


@pytest.mark.parametrize(
    ("before", "after"), [(b, a) for b, allowed in CLAIM.items() for a in allowed]
)
def test_a_claim_moves_as_its_machine_says(
    app: Connection, job: UUID, before: str, after: str
) -> None:
    imported(app, "auto.warranty_claim", repair_job_id=job, status=before, **of_state(before))
    app.execute(
        "UPDATE auto.warranty_claim SET status = %s, approved_amount = %s, paid_on = %s",
        [after, of_state(after)["approved_amount"], of_state(after).get("paid_on")],
    )
    assert one(app, "SELECT status FROM auto.warranty_claim") == after


@pytest.mark.parametrize(
    ("status", "given", "truth"),
    [
        ("submitted", {"submitted_at": None}, "submitted_has_time"),
        ("preauthorized", {"authorization_number": None}, "preauthorized_has_number"),
        ("approved", {"decided_on": None}, "decided_has_day"),
        ("approved", {"approved_amount": 99}, "approved_is_whole"),
        ("partly_approved", {"approved_amount": 0}, "partly_approved_is_part"),
        ("partly_approved", {"approved_amount": 100}, "partly_approved_is_part"),
        ("denied", {"denial_code": None}, "denied_pays_nothing"),
        ("denied", {"approved_amount": 1}, "denied_pays_nothing"),
        ("paid", {"paid_on": None}, "paid_has_day"),
        ("paid", {"paid_on": "2026-05-09"}, "paid_after_decision"),
        ("approved", {"approved_amount": 101}, "amounts_bounded"),
    ],
)
def test_a_claim_is_whole(
    app: Connection, job: UUID, status: str, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        imported(app, "auto.warranty_claim", repair_job_id=job, status=status,
                 **{**of_state(status), **given})  # fmt: skip


def submit(connection: Connection, at: str = "2026-05-05 10:00+00", **given: Any) -> None:
    connection.execute(
        "UPDATE auto.warranty_claim SET status = 'submitted', submitted_at = %s,"
        " authorization_number = %s",
        [at, given.get("authorization")],
    )


@pytest.mark.parametrize(
    ("at", "is_late"), [("2026-06-03 14:59+00", False), ("2026-06-03 15:01+00", True)]
)
def test_a_claim_is_filed_within_its_window(
    app: Connection, job: UUID, at: str, is_late: bool
) -> None:
    claim(app, job, warranty_program_id=program(app, filing_window_days=30))
    if is_late:
        with pytest.raises(errors.CheckViolation, match="is filed within 30 days of the repair"):
            submit(app, at)
    else:
        submit(app, at)
        assert one(app, "SELECT status FROM auto.warranty_claim") == "submitted"


def test_a_claim_is_authorized_where_the_program_demands_it(app: Connection, job: UUID) -> None:
    claim(app, job, warranty_program_id=program(app, requires_preauthorization=True))
    with pytest.raises(errors.CheckViolation, match="authorizes before"), app.transaction():
        submit(app)
    submit(app, authorization="A1")
    assert one(app, "SELECT status FROM auto.warranty_claim") == "submitted"


@pytest.mark.parametrize("amount", [100, 101])
def test_a_program_pays_up_to_its_cap(app: Connection, job: UUID, amount: int) -> None:
    found = claim(app, job, warranty_program_id=program(app, max_claim_amount=100))
    claim_line(app, found, amount)
    if amount > 100:
        with pytest.raises(errors.CheckViolation, match=r"asks for 101.00 of program"):
            submit(app)
    else:
        submit(app)
        assert one(app, "SELECT claimed_amount FROM auto.warranty_claim") == 100


def test_a_claim_is_on_coverage_of_the_vehicle(app: Connection, job: UUID) -> None:
    other = row(app, "auto.vehicle_coverage")
    own = one(app, "SELECT warranty_program_id FROM auto.vehicle_coverage")
    with pytest.raises(errors.CheckViolation, match="is of another vehicle or program"):
        claim(app, job, vehicle_coverage_id=other, warranty_program_id=own)


def test_a_claim_sums_its_lines(app: Connection, job: UUID) -> None:
    found = claim(app, job)
    labor = claim_line(app, found, 200, line_kind="labor", labor_line_id=labor_of(app, job))
    claim_line(
        app, found, 50, line_kind="part", part_line_id=add_part(app, job), approved_amount=40
    )
    sums = "SELECT (claimed_amount, approved_amount)::text FROM auto.warranty_claim"
    assert one(app, sums) == "(250.00,40.00)"
    app.execute("UPDATE auto.warranty_claim_line SET approved_amount = claimed_amount")
    assert one(app, sums) == "(250.00,250.00)"
    app.execute("DELETE FROM auto.warranty_claim_line WHERE warranty_claim_line_id = %s", [labor])
    assert one(app, sums) == "(50.00,50.00)"


def test_a_line_is_of_the_job_of_its_claim(app: Connection, job: UUID) -> None:
    found = claim(app, job)
    other = add_job(app, add_order(app), "warranty")
    with pytest.raises(errors.CheckViolation, match="is of another job"):
        claim_line(app, found, 1, line_kind="labor", labor_line_id=labor_of(app, other))


def test_one_part_caused_the_failure(app: Connection, job: UUID) -> None:
    found = claim(app, job)
    for number in (1, 2):
        claim_line(app, found, 50, line_kind="part", part_line_id=add_part(app, job, number),
                   is_causal_part=number == 1)  # fmt: skip
    with pytest.raises(errors.UniqueViolation, match="causal"):
        app.execute("UPDATE auto.warranty_claim_line SET is_causal_part = true")


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"line_kind": "labor"}, "names_its_source"),
        ({"line_kind": "part"}, "names_its_source"),
        ({"line_kind": "sublet"}, "names_its_source"),
        ({"is_causal_part": True}, "causal_is_part"),
        ({"approved_amount": 11}, "amounts_bounded"),
        ({"claimed_qty": 1, "approved_qty": 2}, "qty_bounded"),
        ({"part_tag": "T1"}, "only_parts_are_kept"),
    ],
)
def test_a_line_is_of_its_kind(
    app: Connection, job: UUID, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        claim_line(app, claim(app, job), 10, **given)


def test_tax_names_no_line_of_the_job(app: Connection, job: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="names_its_source"):
        claim_line(app, claim(app, job), 10, labor_line_id=labor_of(app, job))
