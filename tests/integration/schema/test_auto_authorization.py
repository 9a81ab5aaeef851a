"""An estimate stands as it was shown, and every decision on it has its proof."""

from __future__ import annotations

from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_billing import imported
from tests.integration.schema.test_auto_repair_orders import order_in
from tests.integration.schema.test_hs_organization import one

ESTIMATE: dict[str, set[str]] = {
    "draft": {"sent", "superseded"},
    "sent": {"viewed", "approved", "partly_approved", "declined", "expired", "superseded"},
    "viewed": {"approved", "partly_approved", "declined", "expired", "superseded"},
    "approved": {"superseded"},
    "partly_approved": {"approved", "superseded"},
    "declined": {"superseded"},
    "expired": {"superseded"},
    "superseded": set(),
}
SENT = {"prepared_at": "2026-05-04 09:00+00", "sent_at": "2026-05-04 09:30+00"}
RECORD = "SELECT (auto.record_authorization(%s, %s, %s, %s, %s, %s)).authorized_total"


def offer_of(connection: Connection, order: UUID, status: str = "sent", **given: Any) -> UUID:
    return imported(connection, "auto.estimate", repair_order_id=order, status=status,
                    **{**SENT, **given})  # fmt: skip


def job_for(connection: Connection, order: UUID, price: int = 100) -> UUID:
    job = row(connection, "auto.repair_job", repair_order_id=order)
    row(connection, "auto.labor_line", repair_job_id=job, sold_hours=1, rate_amount=price)
    return job


@pytest.mark.parametrize(("before", "after"), list(permutations(ESTIMATE, 2)))
def test_an_estimate_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    offer = offer_of(app, order_in(app, "diagnosis"), before)
    change = "UPDATE auto.estimate SET status = %s WHERE estimate_id = %s"
    if after in ESTIMATE[before]:
        app.execute(change, [after, offer])
    else:
        with pytest.raises(errors.CheckViolation, match=rf"{before}.*{after}"):
            app.execute(change, [after, offer])


def test_what_was_shown_stands(app: Connection) -> None:
    offer_of(app, order_in(app, "diagnosis"), version_no=1)
    app.execute("UPDATE auto.estimate SET viewed_at = now(), status = 'viewed'")
    with pytest.raises(errors.CheckViolation, match="version 1 of the estimate was sent"):
        app.execute("UPDATE auto.estimate SET labor_amount = 7")


def test_a_new_version_supersedes(app: Connection) -> None:
    order = order_in(app, "diagnosis")
    first = row(app, "auto.estimate", repair_order_id=order)
    row(app, "auto.estimate", repair_order_id=order)
    former = "SELECT status FROM auto.estimate WHERE estimate_id = %s"
    assert one(app, former, first) == "superseded"


def test_approving_decides_and_moves_on(app: Connection) -> None:
    order = order_in(app, "awaiting_authorization")
    offer, job = offer_of(app, order), job_for(app, order)
    assert one(app, RECORD, order, offer, [job], "approved", "signature", "{}") == 100
    found = "SELECT status, authorized_amount FROM auto.repair_order"
    assert app.execute(found).fetchone() == ("authorized", 100)
    assert one(app, "SELECT status FROM auto.estimate") == "approved"
    assert one(app, "SELECT status FROM auto.repair_job") == "approved"


def test_approving_a_part_of_it(app: Connection) -> None:
    order = order_in(app, "awaiting_authorization")
    offer, job, _ = offer_of(app, order), job_for(app, order, 100), job_for(app, order, 50)
    assert one(app, RECORD, order, offer, [job], "approved", "sms_link", "{}") == 100
    assert one(app, "SELECT status FROM auto.estimate") == "partly_approved"


def test_declining_is_proven_too(app: Connection) -> None:
    order = order_in(app, "awaiting_authorization")
    offer, job = offer_of(app, order), job_for(app, order)
    assert one(app, RECORD, order, offer, [job], "declined", "sms_link", "{}") == 0
    assert one(app, "SELECT status FROM auto.estimate") == "declined"
    assert one(app, "SELECT status FROM auto.repair_job") == "declined"
    assert one(app, "SELECT status FROM auto.repair_order") == "awaiting_authorization"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"status": "superseded"}, "is superseded"),
        ({"status": "expired"}, "is expired"),
        ({"expires_at": "2026-05-05"}, "is expired"),
    ],
)
def test_only_what_counts_is_decided(app: Connection, given: dict[str, Any], told: str) -> None:
    order = order_in(app, "awaiting_authorization")
    offer, job = offer_of(app, order, **given), job_for(app, order)
    with pytest.raises(errors.CheckViolation, match=told):
        app.execute(RECORD, [order, offer, [job], "approved", "sms_link", "{}"])


def test_a_call_names_its_number_and_person(app: Connection) -> None:
    order = order_in(app, "awaiting_authorization")
    offer, job = offer_of(app, order), job_for(app, order)
    told = '{"called_number": "+13125550100", "name": "Ada Park"}'
    with pytest.raises(errors.CheckViolation, match="phone_is_told"), app.transaction():
        app.execute(RECORD, [order, offer, [job], "approved", "phone", "{}"])
    assert one(app, RECORD, order, offer, [job], "approved", "phone", told) == 100


@pytest.mark.parametrize(("limit", "fits"), [(100, True), (99, False), (None, False)])
def test_a_standing_limit_covers_what_it_is(app: Connection, limit: int | None, fits: bool) -> None:
    fleet = imported(app, "auto.fleet_account", pre_authorized_limit=limit, status="active")
    order = order_in(app, "awaiting_authorization", fleet_account_id=fleet)
    asked = [order, offer_of(app, order), [job_for(app, order)], "approved"]
    if fits:
        assert one(app, RECORD, *asked, "standing_limit", "{}") == 100
    else:
        with pytest.raises(errors.CheckViolation, match="does not cover 100"):
            app.execute(RECORD, [*asked, "standing_limit", "{}"])


@pytest.mark.parametrize("status", ["prospect", "suspended", "ended"])
def test_only_an_active_fleet_has_a_standing_limit(app: Connection, status: str) -> None:
    fleet = imported(app, "auto.fleet_account", pre_authorized_limit=500, status=status)
    order = order_in(app, "awaiting_authorization", fleet_account_id=fleet)
    asked = [order, offer_of(app, order), [job_for(app, order)], "approved", "standing_limit"]
    with pytest.raises(errors.CheckViolation, match=f"is {status}"):
        app.execute(RECORD, [*asked, "{}"])


def test_what_was_declined_is_approved_after_all(app: Connection) -> None:
    order = order_in(app, "awaiting_authorization")
    offer, jobs = offer_of(app, order), [job_for(app, order), job_for(app, order, 900)]
    app.execute(RECORD, [order, offer, jobs[1:], "declined", "sms_link", "{}"])
    app.execute(RECORD, [order, offer, jobs[:1], "approved", "sms_link", "{}"])
    assert one(app, RECORD, order, offer, jobs[1:], "approved", "sms_link", "{}") == 1000
    assert one(app, "SELECT authorized_amount FROM auto.repair_order") == 1000


@pytest.mark.parametrize("change", ["UPDATE {} SET reason_text = 'x'", "DELETE FROM {}"])
def test_a_proof_stands(app: Connection, change: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="customer_authorization"):
        app.execute(change.format("auto.customer_authorization").encode())


def test_a_version_tells_what_it_changed(app: Connection) -> None:
    order = order_in(app, "diagnosis")
    for jobs in [
        {"Oil": 80, "Brakes": 400, "Wipers": 30},
        {"Oil": 80, "Brakes": 450, "Tires": 700},
    ]:
        shown = {"jobs": [{"name": name, "labor": total} for name, total in jobs.items()]}
        last = offer_of(app, order, lines_document=Jsonb(shown))
    found = app.execute("SELECT * FROM auto.version_changes(%s)", [last]).fetchall()
    assert found == [
        ("Brakes", "dearer", 400, 450),
        ("Tires", "added", None, 700),
        ("Wipers", "removed", 30, None),
    ]
