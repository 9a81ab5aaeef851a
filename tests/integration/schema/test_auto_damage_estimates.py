"""An estimate sums what is paid, and a supplement says what it changes of what was approved."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import refused
from tests.integration.schema.test_auto_collision import claim_of, estimate
from tests.integration.schema.test_hs_organization import one

ESTIMATE = {
    "draft": ("submitted", "superseded"),
    "submitted": ("approved", "partly_approved", "rejected", "superseded"),
    "approved": ("superseded",),
    "partly_approved": ("superseded",),
    "rejected": ("superseded",),
    "superseded": (),
}


@pytest.fixture
def claim(app: Connection) -> UUID:
    """A claim that was approved."""
    return claim_of(app)


@pytest.mark.parametrize(("before", "after"), refused(ESTIMATE))
def test_an_estimate_moves_only_as_its_machine_says(
    app: Connection, claim: UUID, before: str, after: str
) -> None:
    estimate(app, claim, status=before)
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        app.execute("UPDATE auto.damage_estimate SET status = %s", [after])


def test_an_estimate_is_dated_as_it_moves(app: Connection, claim: UUID) -> None:
    row(app, "auto.damage_estimate", insurance_claim_id=claim)
    for status in ("submitted", "approved"):
        app.execute("UPDATE auto.damage_estimate SET status = %s", [status])
    dated = "SELECT decided_at >= submitted_at AND submitted_at >= written_at"
    assert one(app, f"{dated} FROM auto.damage_estimate") is True


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"supplement_no": 1}, "original_is_zero"),
        ({"estimate_kind": "final_bill"}, "original_is_zero"),
        ({"estimate_kind": "supplement", "supplement_no": 1}, "supplement_names_previous"),
        ({"submitted_at": "2020-01-01"}, "submitted_after_writing"),
    ],
)
def test_an_estimate_is_whole(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.damage_estimate", **given)


def test_one_version_of_a_number_stands(app: Connection, claim: UUID) -> None:
    estimate(app, claim, status="superseded")
    estimate(app, claim)
    with pytest.raises(errors.UniqueViolation, match="damage_estimate_number"):
        estimate(app, claim)


def test_an_estimate_sums_what_is_paid(app: Connection, claim: UUID) -> None:
    found = row(app, "auto.damage_estimate", insurance_claim_id=claim, paint_material_amount=50,
                tax_amount=20)  # fmt: skip
    whole = {"damage_estimate_id": found}
    for given in (
        {"labor_kind": "aluminum", "labor_hours": 2, "line_total": 100},
        {"labor_kind": "structural", "labor_hours": 3, "line_total": 200, "betterment_pct": 10},
        {"labor_kind": "mechanical", "labor_hours": 1, "line_total": 60},
        {"labor_kind": "refinish", "labor_hours": 1, "refinish_hours": 2, "line_total": 70},
        {"part_source": "oem", "part_price": 30, "qty": 2, "line_total": 60},
        {"labor_hours": 9, "line_total": 900, "decision": "denied"},
        {"labor_hours": 9, "prior_damage": True},
    ):
        row(app, "auto.damage_estimate_line", **whole, **given)
    sums = app.execute(
        "SELECT body_hours, frame_hours, mechanical_hours, refinish_hours, parts_amount,"
        " lines_amount, betterment_amount, total_amount FROM auto.damage_estimate"
    ).fetchone()
    assert sums == (2, 3, 1, 3, 60, 490, 20, 540)
    app.execute("UPDATE auto.damage_estimate_line SET decision = 'denied'")
    assert one(app, "SELECT total_amount FROM auto.damage_estimate") == 70


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"prior_damage": True, "line_total": 1}, "prior_damage_unpaid"),
        ({"betterment_pct": 101}, "betterment_bounded"),
        ({"part_price": 5}, "part_has_source"),
        ({"operation": "overlap_deduct", "labor_hours": 1}, "sign_follows_operation"),
        ({"line_total": -1}, "sign_follows_operation"),
    ],
)
def test_a_line_is_whole(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        row(app, "auto.damage_estimate_line", **given)


def supplement(connection: Connection, of_estimate: UUID) -> UUID:
    """Builds the next version."""
    found: UUID = one(
        connection,
        "SELECT damage_estimate_id FROM auto.build_supplement(%s)",
        of_estimate,
    )
    return found


def kinds(connection: Connection, version: UUID) -> list[Any]:
    """What the lines of a version say that they are."""
    return connection.execute(
        "SELECT change_kind, line_total, decision FROM auto.damage_estimate_line"
        " WHERE damage_estimate_id = %s ORDER BY line_no",
        [version],
    ).fetchall()


def test_a_supplement_copies_the_last_approved_version(app: Connection, claim: UUID) -> None:
    first = estimate(app, claim)
    second = estimate(app, claim, 1500, 1, previous_estimate_id=first)
    estimate(app, claim, 9000, 2, previous_estimate_id=second, status="rejected")
    third = supplement(app, first)
    found = app.execute(
        "SELECT supplement_no, previous_estimate_id, status, total_amount"
        " FROM auto.damage_estimate WHERE damage_estimate_id = %s",
        [third],
    ).fetchone()
    assert found == (3, second, "draft", 1500)
    assert kinds(app, third) == [("unchanged", 1500, "approved")]


def test_a_supplement_marks_what_it_changes(app: Connection, claim: UUID) -> None:
    version = supplement(app, estimate(app, claim))
    app.execute(
        "UPDATE auto.damage_estimate_line SET line_total = 1100 WHERE damage_estimate_id = %s",
        [version],
    )
    row(app, "auto.damage_estimate_line", damage_estimate_id=version, change_kind="added",
        line_total=50)  # fmt: skip
    assert kinds(app, version) == [("changed", 1100, "pending"), ("added", 50, "pending")]


@pytest.mark.parametrize("change", ["line_total = 900", "change_kind = 'removed', line_total = 0"])
def test_what_was_approved_is_lowered_with_a_reason(
    app: Connection, claim: UUID, change: str
) -> None:
    version = supplement(app, estimate(app, claim))
    update = f"UPDATE auto.damage_estimate_line SET {change}"
    where = " WHERE damage_estimate_id = %s"
    with pytest.raises(errors.CheckViolation, match="lowered_has_reason"), app.transaction():
        app.execute(f"{update}{where}".encode(), [version])
    app.execute(f"{update}, change_reason = 'recycled part'{where}".encode(), [version])
    assert one(app, f"SELECT total_amount FROM auto.damage_estimate{where}", version) < 1000


def test_what_was_approved_is_marked_not_deleted(app: Connection, claim: UUID) -> None:
    version = supplement(app, estimate(app, claim))
    with pytest.raises(errors.RestrictViolation, match="it is marked, not deleted"):
        app.execute(
            "DELETE FROM auto.damage_estimate_line WHERE damage_estimate_id = %s", [version]
        )


def test_a_draft_goes_with_its_lines(app: Connection, claim: UUID) -> None:
    version = supplement(app, estimate(app, claim))
    app.execute("DELETE FROM auto.damage_estimate WHERE damage_estimate_id = %s", [version])
    assert kinds(app, version) == []


@pytest.mark.parametrize(("number", "kind"), [(0, "added"), (1, "original")])
def test_lines_of_the_original_alone_are_original(
    app: Connection, claim: UUID, number: int, kind: str
) -> None:
    version = estimate(app, claim, status="draft")
    if number:
        app.execute("UPDATE auto.damage_estimate SET status = 'submitted'")
        app.execute("UPDATE auto.damage_estimate SET status = 'approved'")
        version = supplement(app, version)
    with pytest.raises(errors.CheckViolation, match=f"is marked {kind}"):
        row(app, "auto.damage_estimate_line", damage_estimate_id=version, change_kind=kind)


def test_of_what_was_submitted_only_the_decision_changes(app: Connection, claim: UUID) -> None:
    estimate(app, claim, status="submitted")
    app.execute("UPDATE auto.damage_estimate_line SET decision = 'negotiated'")
    with pytest.raises(errors.RestrictViolation, match="only its decision changes"):
        app.execute("UPDATE auto.damage_estimate_line SET line_total = 1")


@pytest.mark.parametrize(
    ("status", "of_estimate", "message"),
    [
        ("estimate_submitted", "approved", "is supplemented when it is approved"),
        ("approved", "submitted", "supplement 0 of claim .* is not decided yet"),
        ("approved", "rejected", "has no approved estimate"),
    ],
)
def test_only_what_was_approved_is_supplemented(
    app: Connection, status: str, of_estimate: str, message: str
) -> None:
    found = estimate(app, claim_of(app, status), status=of_estimate)
    with pytest.raises(errors.CheckViolation, match=message):
        supplement(app, found)


def test_there_must_be_an_estimate(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no damage estimate"):
        supplement(app, tenant)


def test_messages_of_two_versions_are_compared(app: Connection, claim: UUID) -> None:
    first = estimate(app, claim, bms_document='{"lines": [{"line_no": 1, "operation": "repair",'
                     ' "total": 100}, {"line_no": 2, "operation": "scan", "total": 60},'
                     ' {"line_no": 3, "operation": "align", "total": 90}]}')  # fmt: skip
    second = estimate(app, claim, 1200, 1, previous_estimate_id=first,
                      bms_document='{"lines": [{"line_no": 1, "operation": "replace",'
                      ' "total": 300}, {"line_no": 2, "operation": "scan", "total": 60},'
                      ' {"line_no": 4, "operation": "blend", "total": 40}]}')  # fmt: skip
    changes = app.execute("SELECT * FROM auto.estimate_changes(%s)", [second]).fetchall()
    assert changes == [
        (1, "changed", "replace", 100, 300),
        (3, "removed", "align", 90, None),
        (4, "added", "blend", None, 40),
    ]


def test_two_who_supplement_at_once_build_one(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "desk")
        become_app(connection, tenant)
        first = estimate(connection, claim_of(connection))

    def build(number: int) -> bool:
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            try:
                supplement(connection, first)
            except errors.CheckViolation:
                connection.rollback()
                return False
            return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(build, range(4))) == [False, False, False, True]
