"""Scorecards come of what happened, failures are charged once, rebates and settlements add up."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_ret_purchasing import Order, one, post
from tests.integration.schema.test_ret_supplier_invoices import bill, match


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("scorecard_criterion", {"weight_pct": 101}, "weight_bounded"),
        ("scorecard_criterion", {"floor_value": 95}, "target_beyond_floor"),
        ("scorecard_criterion", {"higher_is_better": False}, "target_beyond_floor"),
        ("scorecard_criterion", {"chargeback_rate": -1}, "chargeback_rate_bounded"),
        ("supplier_scorecard", {"period_end": "2026-05-03"}, "period_in_order"),
        ("supplier_scorecard", {"fill_rate_pct": 101}, "percentages_bounded"),
        (
            "supplier_scorecard",
            {"otif_pct": 90, "on_time_pct": 95, "fill_rate_pct": 80},
            "otif_is_both",
        ),
        ("supplier_scorecard", {"po_count": -1}, "counts_not_negative"),
        ("supplier_scorecard", {"measures_doc": "[]"}, "measures_are_an_object"),
        ("supplier_chargeback", {"amount": 0}, "amount_positive"),
        ("supplier_chargeback", {"units_affected": -1}, "units_not_negative"),
        ("supplier_chargeback", {"settled_amount": 11}, "settles_at_most_amount"),
        ("supplier_chargeback", {"settled_at": "2026-06-01"}, "settled_has_time"),
        ("supplier_chargeback", {"disputed_at": "2026-05-01"}, "times_in_order"),
        ("supplier_rebate", {"period_end": "2026-05-03"}, "period_in_order"),
        ("supplier_rebate", {"rebate_pct": 101}, "pct_bounded"),
        ("supplier_rebate", {"basis_amount": -1}, "basis_not_negative"),
        ("supplier_rebate", {"claimed_amount": 21}, "claimed_has_time|claims_at_most_accrued"),
        ("supplier_rebate", {"received_amount": 1}, "receives_at_most_claimed"),
        ("supplier_rebate", {"received_on": "2026-06-01"}, "received_has_day"),
        ("supplier_rebate", {"claimed_at": "2026-06-01"}, "claimed_has_time"),
        ("consignment_settlement", {"period_end": "2026-05-03"}, "period_in_order"),
        ("consignment_settlement", {"sold_units": -1}, "units_not_negative"),
        ("consignment_settlement", {"commission_amount": 1}, "commission_within_sales"),
        ("consignment_settlement", {"paid_on": "2026-06-01"}, "paid_has_day"),
        ("consignment_settlement_line", {"sold_units": -1}, "units_not_negative"),
        ("consignment_settlement_line", {"commission_amount": 1}, "commission_within_sales"),
        ("consignment_settlement_line", {"unit_payout": -1}, "payout_not_negative"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    known = of_one_supplier(app, table)
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*({truth})"):
        row(app, f"ret.{table}", **known, **columns)


def of_one_supplier(connection: Connection, table: str) -> dict[str, UUID]:
    """The parents of a row, where it says twice whose it is."""
    supplier = row(connection, "ret.supplier")
    if table == "supplier_rebate":
        agreement = row(connection, "ret.supplier_agreement", supplier_id=supplier)
        return {"supplier_id": supplier, "supplier_agreement_id": agreement}
    if table == "consignment_settlement":
        agreement = row(connection, "ret.consignment_agreement", supplier_id=supplier)
        return {"supplier_id": supplier, "consignment_agreement_id": agreement}
    if table == "consignment_settlement_line":
        known = of_one_supplier(connection, "consignment_settlement")
        made = row(connection, "ret.consignment_settlement", **known)
        return {"consignment_settlement_id": made}
    return {}


MACHINES = {
    "supplier_chargeback": {
        "raised": ["disputed", "waived", "settled"],
        "disputed": ["upheld", "reduced", "waived"],
        "upheld": ["settled"],
        "reduced": ["settled"],
        "waived": [],
        "settled": [],
    },
    "supplier_rebate": {
        "accruing": ["claimed", "written_off"],
        "claimed": ["received", "disputed", "written_off"],
        "disputed": ["claimed", "received", "written_off"],
        "received": [],
        "written_off": [],
    },
    "consignment_settlement": {
        "draft": ["approved", "disputed"],
        "disputed": ["draft", "approved"],
        "approved": ["paid", "disputed"],
        "paid": [],
    },
}


def times(table: str, state: str) -> dict[str, Any]:
    """What a row has when it is in a state; NULL where it has nothing."""
    if table == "supplier_chargeback":
        return {
            "disputed_at": None if state in ("raised", "waived") else "2026-05-05 10:00+00",
            "settled_at": "2026-05-06 10:00+00" if state == "settled" else None,
        }
    if table == "supplier_rebate":
        return {
            "claimed_at": None if state == "accruing" else "2026-05-05 10:00+00",
            "received_on": "2026-05-06" if state == "received" else None,
        }
    return {"paid_on": "2026-05-06" if state == "paid" else None}


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        (table, old, new)
        for table, machine in MACHINES.items()
        for old in machine
        for new in machine
        if old != new
    ],
)
def test_states_follow_their_paths(
    admin: Connection, tenant: UUID, app: Connection, table: str, old: str, new: str
) -> None:
    admin.execute("RESET ROLE")
    made = row(app, f"ret.{table}", state=old, **of_one_supplier(app, table), **times(table, old))
    become_app(app, tenant)
    changes = {"state": new, **times(table, new)}
    change = f"UPDATE ret.{table} SET {' = %s, '.join(changes)} = %s WHERE {table}_id = %s"
    values = [*changes.values(), made]
    if new in MACHINES[table][old]:
        assert app.execute(change.encode(), values).rowcount == 1
    else:
        with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
            app.execute(change.encode(), values)


def criterion(connection: Connection, measure: str, weight: float = 100, **given: Any) -> UUID:
    return row(connection, "ret.scorecard_criterion", measure=measure, weight_pct=weight, **given)


def test_the_weights_of_active_criteria_add_up(app: Connection) -> None:
    criterion(app, "fill_rate", 60)
    criterion(app, "on_time", 40)
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(errors.CheckViolation, match="add up to 60"):
        app.execute("UPDATE ret.scorecard_criterion SET is_active = measure = 'fill_rate'")


def test_a_measure_has_one_active_criterion(app: Connection) -> None:
    criterion(app, "fill_rate")
    criterion(app, "fill_rate", is_active=False)
    with pytest.raises(errors.UniqueViolation, match="scorecard_criterion_active_idx"):
        criterion(app, "fill_rate")


class TestChargeback:
    """A delivery that is posted is charged what went wrong with it, once."""

    @pytest.mark.parametrize(
        ("measure", "failure", "came", "units"),
        [
            ("fill_rate", "short", {"received_qty": 6, "discrepancy": "short"}, 4),
            ("fill_rate", "over", {"expected_qty": 9, "discrepancy": "over"}, 1),
            (
                "defect_rate",
                "damaged",
                {"accepted_qty": 7, "damaged_qty": 2, "rejected_qty": 1, "discrepancy": "damaged"},
                3,
            ),
            ("label_compliance", "label", {"discrepancy": "unlabelled"}, 10),
            ("label_compliance", "packing", {"discrepancy": "wrong_item"}, 10),
        ],
    )
    def test_what_is_wrong_with_a_line(
        self, app: Connection, measure: str, failure: str, came: dict[str, Any], units: float
    ) -> None:
        made = criterion(app, measure, chargeback_rate=50)
        order = Order(app, 10).send()
        receipt = order.receipt()
        given = {"accepted_qty": came.get("received_qty", 10), **came}
        order.receive(receipt, 0, 10, **given)
        post(app, receipt)
        found = app.execute(
            "SELECT failure_kind, units_affected, amount, scorecard_criterion_id, supplier_id"
            " FROM ret.supplier_chargeback"
        ).fetchall()
        assert found == [(failure, units, units * 2, made, order.supplier)]

    @pytest.mark.parametrize(
        ("window", "failure"),
        [
            ({"ship_window_end": "2026-05-03"}, "late"),
            ({"ship_window_start": "2026-05-05"}, "early"),
        ],
    )
    def test_what_comes_at_the_wrong_time(
        self, app: Connection, window: dict[str, str], failure: str
    ) -> None:
        criterion(app, "on_time", chargeback_rate=10)
        order = Order(app, 10, **window).send()
        receipt = order.receipt()
        order.receive(receipt, 0, 10)
        post(app, receipt)
        found = app.execute("SELECT failure_kind, amount FROM ret.supplier_chargeback").fetchall()
        assert found == [(failure, 4)]

    @pytest.mark.parametrize(("edi", "charged"), [(True, 1), (False, 0)])
    def test_who_can_announce_does(self, app: Connection, edi: bool, charged: int) -> None:
        criterion(app, "asn_timeliness", chargeback_rate=10)
        order = Order(app, 10).send()
        app.execute("UPDATE ret.supplier SET edi_enabled = %s", [edi])
        receipt = order.receipt()
        order.receive(receipt, 0, 10)
        post(app, receipt)
        assert one(app, "SELECT count(*) FROM ret.supplier_chargeback") == charged

    def test_it_is_raised_once(self, app: Connection) -> None:
        criterion(app, "label_compliance", chargeback_rate=50)
        order = Order(app, 10).send()
        receipt = order.receipt()
        order.receive(receipt, 0, 10, discrepancy="unlabelled")
        assert one(app, "SELECT ret.raise_chargebacks(%s)", receipt) == 1
        assert one(app, "SELECT ret.raise_chargebacks(%s)", receipt) == 0

    def test_without_a_rate_nothing_is_charged(self, app: Connection) -> None:
        criterion(app, "label_compliance")
        order = Order(app, 10).send()
        receipt = order.receipt()
        order.receive(receipt, 0, 10, discrepancy="unlabelled")
        assert one(app, "SELECT ret.raise_chargebacks(%s)", receipt) == 0


class TestScorecard:
    """A month is what was due in it; points rise from floor to target."""

    SCORE = "SELECT ret.score_suppliers('2026-05-01', '2026-05-31')"

    @pytest.fixture
    def order(self, app: Connection) -> Order:
        made = Order(app, 10, 30, ship_window_end="2026-05-10").send()
        receipt = made.receipt()
        made.receive(receipt, 0, 10, accepted_qty=8, damaged_qty=2, discrepancy="damaged")
        made.receive(receipt, 1, 30)
        post(app, receipt)
        return made

    def card(self, connection: Connection, columns: str) -> Any:
        return connection.execute(
            f"SELECT {columns} FROM ret.supplier_scorecard".encode()
        ).fetchone()

    def test_it_counts_what_was_due(self, app: Connection, order: Order) -> None:
        assert one(app, self.SCORE) == 1
        found = self.card(
            app,
            "po_count, ordered_units, received_units, fill_rate_pct, on_time_pct, otif_pct,"
            " defect_rate_pct, round(lead_days_mean, 2)",
        )
        assert found == (1, 40, 38, 95, 95, 75, 5, Decimal("2.92"))

    def test_what_comes_late_fills_but_is_not_on_time(self, app: Connection) -> None:
        order = Order(app, 10, ship_window_end="2026-05-03").send()
        receipt = order.receipt()
        order.receive(receipt, 0, 10)
        post(app, receipt)
        app.execute(self.SCORE)
        assert self.card(app, "fill_rate_pct, on_time_pct, otif_pct") == (100, 0, 0)

    def test_notices_and_invoices_count(self, app: Connection, order: Order) -> None:
        order.notice(received_at="2026-05-04")
        order.notice(received_at="2026-05-04", error_count=1)
        match(app, bill(order, 8, invoice_date="2026-05-06", due_date="2026-05-06"))
        match(app, bill(order, 8, invoice_date="2026-05-06", due_date="2026-05-06"))
        app.execute(self.SCORE)
        assert self.card(app, "asn_accuracy_pct, invoice_accuracy_pct") == (50, 50)

    @pytest.mark.parametrize(
        ("floor", "target", "score", "standing"),
        [
            (0, 95, 100, "preferred"),
            (75, 100, 80, "approved"),
            (80, 100, 75, "approved"),
            (85, 100, 66.6667, "watch"),
            (90, 100, 50, "probation"),
            (96, 100, 0, "probation"),
        ],
    )
    def test_points_rise_from_floor_to_target(
        self, app: Connection, order: Order, floor: int, target: int, score: float, standing: str
    ) -> None:
        criterion(app, "fill_rate", floor_value=floor, target_value=target)
        app.execute(self.SCORE)
        assert self.card(app, "composite_score::float, standing") == (score, standing)

    def test_less_is_better_the_other_way_round(self, app: Connection, order: Order) -> None:
        criterion(app, "defect_rate", higher_is_better=False, floor_value=10, target_value=0)
        app.execute(self.SCORE)
        assert self.card(app, "composite_score") == (50,)

    def test_weights_and_thresholds_are_the_tenants(self, app: Connection, order: Order) -> None:
        criterion(app, "fill_rate", 25, floor_value=0, target_value=95)
        criterion(app, "otif", 75, floor_value=50, target_value=100)
        app.execute(
            "SELECT ret.score_suppliers('2026-05-01', '2026-05-31', thresholds => '{60,50,40}')"
        )
        assert self.card(app, "composite_score, standing") == (Decimal("62.5"), "preferred")

    def test_it_explains_itself(self, app: Connection, order: Order) -> None:
        criterion(app, "fill_rate", floor_value=75, target_value=100)
        app.execute(self.SCORE)
        found = self.card(app, "measures_doc -> 'fill_rate'")[0]
        assert found == {
            "numerator": 38,
            "denominator": 40,
            "value": 95,
            "weight": 100,
            "score": 80,
        }

    def test_done_again_it_writes_it_anew(self, app: Connection, order: Order) -> None:
        app.execute(self.SCORE)
        receipt = order.receipt()
        order.receive(receipt, 0, 2)
        post(app, receipt)
        app.execute(self.SCORE)
        assert self.card(app, "fill_rate_pct") == (100,)

    def test_a_period_ends_after_it_starts(self, app: Connection) -> None:
        with pytest.raises(errors.InvalidParameterValue):
            app.execute("SELECT ret.score_suppliers('2026-05-01', '2026-04-30')")


TIERS = '[{"from_amount": 20, "rebate_pct": 1}, {"from_amount": 40, "rebate_pct": 5}]'


class TestRebate:
    """An agreement earns by the tier that its basis reaches, until it is claimed."""

    ACCRUE = "SELECT ret.accrue_rebate(%s, '2026-05-01', '2026-05-31')"

    def agreement(self, order: Order, **given: Any) -> UUID:
        made = row(
            order.connection,
            "ret.supplier_agreement",
            **{
                "supplier_id": order.supplier,
                "agreement_kind": "rebate",
                "basis": "receipts",
                "effective_from": "2020-01-01",
                "signed_on": "2020-01-01",
                "tiers_doc": TIERS,
                **given,
            },
        )
        order.connection.execute("UPDATE ret.supplier_agreement SET state = 'active'")
        return made

    @pytest.fixture
    def order(self, app: Connection) -> Order:
        made = Order(app, 10).send()
        receipt = made.receipt()
        made.receive(receipt, 0, 10)
        post(app, receipt)
        return made

    @pytest.mark.parametrize(
        ("amount", "tier"), [(19.99, None), (20, (20, 1)), (39, (20, 1)), (400, (40, 5))]
    )
    def test_the_highest_tier_that_is_reached(
        self, app: Connection, amount: float, tier: tuple[int, int] | None
    ) -> None:
        found = app.execute(
            "SELECT * FROM ret.rebate_tier(%s, %s::numeric)", [TIERS, amount]
        ).fetchone()
        assert found == tier

    def test_receipts_earn(self, app: Connection, order: Order) -> None:
        assert one(app, self.ACCRUE, self.agreement(order)) == 2
        found = app.execute(
            "SELECT basis_amount, tier_reached, rebate_pct FROM ret.supplier_rebate"
        ).fetchone()
        assert found == (40, "40", 5)

    def test_purchases_earn_on_what_was_invoiced(self, app: Connection, order: Order) -> None:
        match(app, bill(order, 6, invoice_date="2026-05-06", due_date="2026-05-06"))
        agreement = self.agreement(order, basis="purchases")
        assert one(app, self.ACCRUE, agreement) == Decimal("0.24")

    def test_without_tiers_the_rate_counts(self, app: Connection, order: Order) -> None:
        agreement = self.agreement(order, tiers_doc=None, accrual_pct=10)
        assert one(app, self.ACCRUE, agreement) == 4

    def test_once_claimed_it_stays(self, app: Connection, order: Order) -> None:
        agreement = self.agreement(order)
        assert one(app, self.ACCRUE, agreement) == one(app, self.ACCRUE, agreement)
        app.execute(
            "UPDATE ret.supplier_rebate SET state = 'claimed', claimed_at = now(),"
            " claimed_amount = 2"
        )
        with pytest.raises(errors.CheckViolation, match="was claimed already"):
            app.execute(self.ACCRUE.encode(), [agreement])

    def test_what_pays_on_something_else_accrues_nothing(
        self, app: Connection, order: Order
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="it accrues nothing"):
            app.execute(self.ACCRUE.encode(), [self.agreement(order, basis="fixed")])

    def test_of_another_tenant_it_is_not_found(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound):
            app.execute(self.ACCRUE.encode(), [UUID(int=1)])

    def test_it_is_of_the_agreements_supplier(self, app: Connection, order: Order) -> None:
        with pytest.raises(errors.CheckViolation, match="another supplier's"):
            row(
                app,
                "ret.supplier_rebate",
                supplier_agreement_id=self.agreement(order),
                supplier_id=row(app, "ret.supplier"),
            )


class TestSettlement:
    """A settlement is the sum of its lines; periods follow each other."""

    @pytest.fixture
    def settlement(self, app: Connection) -> UUID:
        supplier = row(app, "ret.supplier")
        agreement = row(app, "ret.consignment_agreement", supplier_id=supplier)
        return row(
            app,
            "ret.consignment_settlement",
            consignment_agreement_id=agreement,
            supplier_id=supplier,
            opening_units=10,
            received_units=5,
        )

    def line(self, connection: Connection, settlement: UUID, sold: float) -> UUID:
        return row(
            connection,
            "ret.consignment_settlement_line",
            consignment_settlement_id=settlement,
            sold_units=sold,
            shrink_units=1,
            sales_amount=sold * 10,
            commission_amount=sold * 3,
        )

    def test_it_comes_to_its_lines(self, app: Connection, settlement: UUID) -> None:
        totals = "SELECT sold_units, shrink_units, closing_units, amount_due FROM {}"
        totals = totals.format("ret.consignment_settlement")
        first = self.line(app, settlement, 4)
        self.line(app, settlement, 2)
        assert app.execute(totals.encode()).fetchone() == (6, 2, 7, 42)
        app.execute(
            "DELETE FROM ret.consignment_settlement_line WHERE consignment_settlement_line_id = %s",
            [first],
        )
        assert app.execute(totals.encode()).fetchone() == (2, 1, 12, 14)

    def test_approved_its_lines_stand(self, app: Connection, settlement: UUID) -> None:
        self.line(app, settlement, 4)
        app.execute("UPDATE ret.consignment_settlement SET state = 'approved'")
        with pytest.raises(errors.RestrictViolation, match="is approved, its lines stand"):
            app.execute("UPDATE ret.consignment_settlement_line SET sold_units = 3")

    def test_nobody_settles_more_than_there_was(self, app: Connection, settlement: UUID) -> None:
        self.line(app, settlement, 15)
        with pytest.raises(errors.CheckViolation, match="closes_not_below_zero"):
            app.execute("UPDATE ret.consignment_settlement SET state = 'approved'")

    def test_periods_do_not_overlap(self, app: Connection, settlement: UUID) -> None:
        known = app.execute(
            "SELECT consignment_agreement_id, supplier_id FROM ret.consignment_settlement"
        ).fetchone()
        assert known
        with pytest.raises(errors.ExclusionViolation, match="periods_do_not_overlap"):
            row(
                app,
                "ret.consignment_settlement",
                consignment_agreement_id=known[0],
                supplier_id=known[1],
                period_start="2026-05-01",
                period_end="2026-05-31",
            )

    def test_it_is_of_the_agreements_supplier(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="another supplier's"):
            row(
                app,
                "ret.consignment_settlement",
                consignment_agreement_id=row(app, "ret.consignment_agreement"),
                supplier_id=row(app, "ret.supplier"),
            )
