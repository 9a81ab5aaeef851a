"""Statements of marketplaces are matched line by line and proven before they are closed."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row

PAYOUT = {
    "imported": {"matching"},
    "matching": {"reconciled", "disputed"},
    "reconciled": {"matching", "disputed", "closed"},
    "disputed": {"matching", "closed"},
    "closed": set(),
}
PAYOUT_PATHS: dict[str, tuple[str, ...]] = {
    "imported": (),
    "matching": ("matching",),
    "reconciled": ("matching", "reconciled"),
    "disputed": ("matching", "disputed"),
    "closed": ("matching", "disputed", "closed"),
}
DISPUTE = {
    "open": {"submitted", "expired"},
    "submitted": {"won", "lost", "expired"},
    "won": set(),
    "lost": set(),
    "expired": set(),
}
DISPUTE_PATHS: dict[str, tuple[str, ...]] = {
    "open": (),
    "submitted": ("submitted",),
    "won": ("submitted", "won"),
    "lost": ("submitted", "lost"),
    "expired": ("expired",),
}


@pytest.fixture
def listing(app: Connection) -> UUID:
    place = row(app, "rest.location", timezone="UTC")
    return row(
        app, "rest.channel_store_link", location_id=place, commission_pct=20, marketing_fee_pct=5
    )


@pytest.fixture
def payout(app: Connection, listing: UUID) -> UUID:
    """A statement of the week of 4 May of the listing's channel."""
    found = app.execute("SELECT sales_channel_id FROM rest.channel_store_link").fetchone()
    assert found
    return row(
        app,
        "rest.channel_payout",
        sales_channel_id=found[0],
        period_start="2026-05-04",
        period_end="2026-05-10",
    )


def deliver(connection: Connection, listing: UUID, name: str) -> UUID:
    """A delivered order of 40: 8 of commission and 2 of marketing are held back."""
    made = row(
        connection,
        "rest.channel_order",
        channel_store_link_id=listing,
        external_order_id=name,
        items_subtotal=40,
        commission_estimate=8,
        guest_tip=3,
        placed_at="2026-05-05 18:00+00",
        accept_deadline_at="2026-05-05 18:10+00",
    )
    placed = row(connection, "rest.guest_order")
    moment = "2026-05-05 18:01+00"
    connection.execute(
        "UPDATE rest.channel_order SET state = 'accepted', accepted_at = %s, guest_order_id = %s"
        " WHERE channel_order_id = %s",
        [moment, placed, made],
    )
    for state in ("ready", "picked_up", "delivered"):
        connection.execute(
            "UPDATE rest.channel_order SET state = %s, ready_at = %s WHERE channel_order_id = %s",
            [state, moment, made],
        )
    return made


def line(connection: Connection, payout: UUID, name: str, **given: Any) -> UUID:
    """What the statement says of an order: 40 less 8 and 2."""
    usual = {"food_sales": 40, "commission_amount": 8, "marketing_fee": 2, "net_amount": 30}
    return row(
        connection,
        "rest.channel_payout_line",
        channel_payout_id=payout,
        external_order_id=name,
        **{**usual, **given},
    )


def total(connection: Connection) -> None:
    """The statement's totals, as its lines make them."""
    connection.execute(
        "UPDATE rest.channel_payout AS p SET gross_sales = n.sales, commission_total = n.fees,"
        " marketing_total = n.ads, adjustment_total = n.other, tips_total = n.tips,"
        " net_payout = n.net FROM (SELECT sum(food_sales) AS sales, sum(commission_amount) AS fees,"
        " sum(marketing_fee) AS ads, sum(adjustment_amount) AS other, sum(net_amount) AS net,"
        " coalesce(sum(net_amount) FILTER (WHERE line_kind = 'tip'), 0) AS tips"
        " FROM rest.channel_payout_line) AS n"
    )


def reconcile(connection: Connection, payout: UUID) -> Any:
    return connection.execute("SELECT * FROM rest.reconcile_payout(%s)", [payout]).fetchone()


def exceptions(connection: Connection) -> Any:
    return connection.execute(
        "SELECT external_order_id, match_state, variance_amount FROM rest.v_payout_exceptions"
        " ORDER BY external_order_id"
    ).fetchall()


def test_a_statement_that_agrees_is_reconciled(
    app: Connection, listing: UUID, payout: UUID
) -> None:
    deliver(app, listing, "X1")
    line(app, payout, "X1")
    tip = {"food_sales": 0, "commission_amount": 0, "marketing_fee": 0}
    line(app, payout, "X1", line_kind="tip", **tip, net_amount=3)
    total(app)
    assert reconcile(app, payout) == (2, 0)
    assert exceptions(app) == []
    found = app.execute("SELECT state, net_payout FROM rest.channel_payout").fetchone()
    assert found == ("reconciled", Decimal("33.00"))


def test_what_does_not_agree_is_an_exception(app: Connection, listing: UUID, payout: UUID) -> None:
    for name in ("X1", "X2"):
        deliver(app, listing, name)
    line(app, payout, "X1", adjustment_amount=4, net_amount=26)
    line(app, payout, "X9")
    total(app)
    assert reconcile(app, payout) == (0, 3)
    assert exceptions(app) == [
        ("X1", "amount_variance", Decimal("-4.00")),
        ("X2", "missing_in_payout", Decimal("-30.00")),
        ("X9", "missing_in_pos", Decimal("30.00")),
    ]
    assert reconcile(app, payout) == (0, 3)
    assert app.execute("SELECT state FROM rest.channel_payout").fetchone() == ("matching",)


@pytest.mark.parametrize(("tolerance", "state"), [("0.05", "amount_variance"), ("0.06", "matched")])
def test_the_tenant_says_how_much_is_too_much(
    app: Connection, listing: UUID, payout: UUID, tolerance: str, state: str
) -> None:
    deliver(app, listing, "X1")
    line(app, payout, "X1", adjustment_amount=0.06, net_amount=29.94)
    app.execute("UPDATE rest.channel_payout SET tolerance_amount = %s", [tolerance])
    total(app)
    reconcile(app, payout)
    found = app.execute("SELECT match_state FROM rest.channel_payout_line").fetchone()
    assert found == (state,)


def test_a_refund_should_have_cost_nothing(app: Connection, listing: UUID, payout: UUID) -> None:
    deliver(app, listing, "X1")
    line(app, payout, "X1")
    held = {"commission_amount": 0, "marketing_fee": 0}
    line(app, payout, "X1", line_kind="refund", food_sales=-9, **held, net_amount=-9)
    total(app)
    assert reconcile(app, payout) == (1, 1)
    assert exceptions(app) == [("X1", "amount_variance", Decimal("-9.00"))]


@pytest.mark.parametrize(
    ("column", "figures"),
    [
        ("gross_sales", ["gross_sales", "net of totals"]),
        ("commission_total", ["commission_total", "net of totals"]),
        ("delivery_fee_total", ["delivery_fee_total", "net of totals"]),
        ("tips_total", ["net of totals", "tips_total"]),
        ("tax_remitted_total", ["tax_remitted_total"]),
        ("net_payout", ["net of totals", "net_payout"]),
    ],
)
def test_a_total_that_is_not_the_sum_of_its_lines_is_found(
    app: Connection, payout: UUID, column: str, figures: list[str]
) -> None:
    line(app, payout, "X1")
    total(app)
    differences = "SELECT figure FROM rest.payout_differences() ORDER BY figure"
    assert app.execute(differences.encode()).fetchall() == []
    app.execute(f"UPDATE rest.channel_payout SET {column} = {column} + 1".encode())
    assert [f for (f,) in app.execute(differences.encode()).fetchall()] == figures
    app.execute("UPDATE rest.channel_payout SET state = 'matching'")
    with pytest.raises(errors.CheckViolation, match="its lines say"):
        app.execute("UPDATE rest.channel_payout SET state = 'reconciled'")


def test_a_closed_statement_is_not_reconciled_again(app: Connection, payout: UUID) -> None:
    for state in PAYOUT_PATHS["closed"]:
        app.execute("UPDATE rest.channel_payout SET state = %s", [state])
    with pytest.raises(errors.CheckViolation, match="no open statement"):
        reconcile(app, payout)


@pytest.mark.parametrize(("before", "after"), list(permutations(PAYOUT, 2)))
def test_a_statement_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    row(app, "rest.channel_payout")
    change = b"UPDATE rest.channel_payout SET state = %s"
    for step in PAYOUT_PATHS[before]:
        app.execute(change, [step])
    if after in PAYOUT[before]:
        app.execute(change, [after])
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            app.execute(change, [after])


@pytest.mark.parametrize(("before", "after"), list(permutations(DISPUTE, 2)))
def test_a_dispute_goes_through_its_states(app: Connection, before: str, after: str) -> None:
    row(app, "rest.channel_order_dispute", evidence_note="Photo", claimed_at="2026-05-04")
    change = (
        b"UPDATE rest.channel_order_dispute SET state = %(to)s,"
        b" resolved_at = CASE WHEN %(to)s IN ('won', 'lost', 'expired') THEN now() END,"
        b" recovered_amount = CASE WHEN %(to)s = 'won' THEN 5 ELSE 0 END"
    )
    for step in DISPUTE_PATHS[before]:
        app.execute(change, {"to": step})
    if after in DISPUTE[before]:
        app.execute(change, {"to": after})
    else:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            app.execute(change, {"to": after})


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("channel_payout", {"period_end": "2026-05-03"}, "ends_after_start"),
        ("channel_payout", {"deposited_on": "2026-05-03"}, "deposited_after_period"),
        ("channel_payout", {"tolerance_amount": -1}, "tolerance_not_negative"),
        ("channel_payout_line", {"net_amount": 1}, "net_is_its_parts"),
        ("channel_payout_line", {"line_kind": "tip", "food_sales": 1}, "tip_is_only_tip"),
        ("channel_payout_line", {"match_state": "ignored"}, "matched_has_time"),
        (
            "channel_payout_line",
            {"match_state": "matched", "matched_at": "2026-05-04"},
            "matched_is_ours",
        ),
        ("channel_order_dispute", {"recovered_amount": 11}, "recovers_at_most_all|when_won"),
        ("channel_order_dispute", {"resolved_at": "2036-01-01"}, "resolved_has_time"),
        ("channel_order_dispute", {"evidence_due_at": "2020-01-01"}, "due_after_claim"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*({truth})"):
        row(app, f"rest.{table}", **columns)


def test_one_dispute_of_a_kind_is_open(app: Connection) -> None:
    order = row(app, "rest.channel_order")
    row(app, "rest.channel_order_dispute", channel_order_id=order, dispute_kind="late")
    row(app, "rest.channel_order_dispute", channel_order_id=order, dispute_kind="quality")
    with pytest.raises(errors.UniqueViolation, match="dispute_open"):
        row(app, "rest.channel_order_dispute", channel_order_id=order, dispute_kind="late")


def test_a_dispute_is_about_a_line_of_its_order(
    app: Connection, listing: UUID, payout: UUID
) -> None:
    order = deliver(app, listing, "X1")
    paid = line(app, payout, "X1")
    dispute = {"channel_order_id": order, "channel_payout_line_id": paid}
    with (
        app.transaction(force_rollback=True),
        pytest.raises(errors.CheckViolation, match="not about the order"),
    ):
        row(app, "rest.channel_order_dispute", **dispute)
    reconcile(app, payout)
    row(app, "rest.channel_order_dispute", **dispute)
    found = app.execute("SELECT count(*) FROM rest.channel_order_dispute").fetchone()
    assert found == (1,)


def test_a_statement_that_is_not_proven_stays_open(
    app: Connection, listing: UUID, payout: UUID
) -> None:
    deliver(app, listing, "X1")
    line(app, payout, "X1")
    assert reconcile(app, payout) == (1, 0)
    assert app.execute("SELECT state FROM rest.channel_payout").fetchone() == ("matching",)
