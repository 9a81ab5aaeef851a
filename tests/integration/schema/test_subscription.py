"""Subscriptions: plans, periods, status, proration, changes, events and entitlements."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection

LIVE = "SELECT subscription_id FROM tenant_mgmt.subscription"


@pytest.fixture
def acme(admin: Connection) -> UUID:
    """A tenant provisioned on the growth plan (149 a month), as the application."""
    admin.execute("SET LOCAL ROLE app_user")
    key = one(
        admin,
        "SELECT tenant_mgmt.provision_business('Acme', 'acme', 'retail', 'growth', 'a@acme.io')",
    )
    assert isinstance(key, UUID)
    return key


@pytest.fixture
def active(admin: Connection, acme: UUID) -> UUID:
    """The subscription of `acme`, active, in a period of 30 days of which 10 are gone."""
    contract = one(admin, LIVE)
    assert isinstance(contract, UUID)
    turn(admin, contract, "active")
    admin.execute(
        "UPDATE tenant_mgmt.subscription_item SET effective_from = now() - interval '40 days'"
    )
    admin.execute(
        "UPDATE tenant_mgmt.subscription SET current_period_start = now() - interval '10 days',"
        " current_period_end = now() + interval '20 days',"
        " started_at = now() - interval '40 days'"
    )
    return contract


def one(connection: Connection, query: str, *values: Any) -> Any:
    """The single value of a query's single row."""
    row = connection.execute(query.encode(), values).fetchone()
    assert row
    return row[0]


def column(connection: Connection, query: str, *values: Any) -> list[Any]:
    """The first column of a query's rows."""
    return [row[0] for row in connection.execute(query.encode(), values)]


def turn(connection: Connection, contract: UUID, *statuses: str, cause: str = "user") -> None:
    """Moves a subscription through statuses."""
    for status in statuses:
        connection.execute(
            "SELECT tenant_mgmt.transition_subscription(%s, %s, %s)", [contract, status, cause]
        )


def plan(connection: Connection, code: str, interval: str = "monthly") -> UUID:
    """A plan of the tenant's catalog."""
    key = one(
        connection,
        "SELECT plan_id FROM tenant_mgmt.plan WHERE catalog_code = %s AND billing_interval = %s",
        code,
        interval,
    )
    assert isinstance(key, UUID)
    return key


def change(connection: Connection, contract: UUID, kind: str, **columns: Any) -> UUID:
    """A scheduled change of a subscription."""
    key = one(
        connection,
        "INSERT INTO tenant_mgmt.subscription_change"
        f" (business_id, subscription_id, change_kind{''.join(', ' + c for c in columns)})"
        f" VALUES (tenant_mgmt.current_business_id(), %s, %s{', %s' * len(columns)})"
        " RETURNING subscription_change_id",
        contract,
        kind,
        *columns.values(),
    )
    assert isinstance(key, UUID)
    return key


def proration(connection: Connection, asked: UUID) -> tuple[Decimal, Decimal]:
    """Credit and charge of a change."""
    row = connection.execute("SELECT * FROM tenant_mgmt.prorate_change(%s)", [asked]).fetchone()
    assert row
    return row[0], row[1]


def override(connection: Connection, feature: str, **columns: Any) -> None:
    """An override in force for a day."""
    values: dict[str, Any] = {"reason": "beta"} | columns
    connection.execute(
        "INSERT INTO tenant_mgmt.entitlement_override"
        f" (business_id, subscription_id, feature_code, valid_until, {', '.join(values)})"
        " SELECT business_id, subscription_id, %s, now() + interval '1 day'"
        f"{', %s' * len(values)} FROM tenant_mgmt.subscription".encode(),
        [feature, *values.values()],
    )


# Periods


@pytest.mark.parametrize(
    ("start", "interval", "anchor", "end"),
    [
        ("2026-01-31 10:00+00", "monthly", 31, "2026-02-28 10:00+00"),
        ("2026-02-28 10:00+00", "monthly", 31, "2026-03-31 10:00+00"),
        ("2028-01-30 00:00+00", "monthly", 30, "2028-02-29 00:00+00"),
        ("2026-11-15 00:00+00", "quarterly", 15, "2027-02-15 00:00+00"),
        ("2028-02-29 00:00+00", "yearly", 29, "2029-02-28 00:00+00"),
    ],
)
def test_period_ends_on_the_anchor_day_or_the_last(
    admin: Connection, start: str, interval: str, anchor: int, end: str
) -> None:
    found = one(admin, "SELECT tenant_mgmt.next_period_end(%s, %s, %s)", start, interval, anchor)
    assert found == datetime.fromisoformat(end)


def test_trial_is_a_period_of_its_own(admin: Connection, acme: UUID) -> None:
    row = admin.execute(
        "SELECT status, current_period_end = trial_ends_at,"
        " current_period_end - current_period_start FROM tenant_mgmt.subscription"
    ).fetchone()
    assert row
    assert row[:2] == ("trialing", True)
    assert row[2].days == 14


def test_new_contract_gets_first_phase_and_period(admin: Connection, acme: UUID) -> None:
    admin.execute(
        "INSERT INTO tenant_mgmt.subscription (business_id, plan_id, subscription_number,"
        " bundle_code, started_at) VALUES (%s, %s, 'X-1', 'extra', '2026-01-31 08:00+00')",
        [acme, plan(admin, "starter")],
    )
    row = admin.execute(
        "SELECT s.billing_anchor_day, s.current_period_end, f.phase_no"
        " FROM tenant_mgmt.subscription AS s JOIN tenant_mgmt.plan_phase AS f"
        " ON f.plan_phase_id = s.current_plan_phase_id WHERE s.subscription_number = 'X-1'"
    ).fetchone()
    assert row == (31, datetime.fromisoformat("2026-02-28 08:00+00"), 1)


def test_renewal_moves_the_period_on(admin: Connection, active: UUID) -> None:
    assert one(admin, "SELECT tenant_mgmt.renew_subscription(%s)", active) is None
    admin.execute("UPDATE tenant_mgmt.subscription SET current_period_end = now()")
    end = one(admin, "SELECT tenant_mgmt.renew_subscription(%s)", active)
    assert end > one(admin, "SELECT now()")
    assert one(admin, "SELECT current_period_start = now() FROM tenant_mgmt.subscription")


def test_contract_that_does_not_renew_expires(admin: Connection, active: UUID) -> None:
    turn(admin, active, "non_renewing")
    admin.execute("UPDATE tenant_mgmt.subscription SET current_period_end = now()")
    assert one(admin, "SELECT tenant_mgmt.renew_subscription(%s)", active) is None
    assert one(admin, "SELECT status FROM tenant_mgmt.subscription") == "expired"


def test_renewal_leaves_a_phase_that_is_over_and_takes_the_next_price(
    admin: Connection, active: UUID
) -> None:
    admin.execute("RESET ROLE")
    admin.execute(
        "UPDATE tenant_mgmt.plan_phase SET kind = 'discount', duration_unit = 'month',"
        " duration_count = 1, recurring_price_amount = 99"
        " WHERE plan_id = (SELECT plan_id FROM tenant_mgmt.subscription) AND phase_no = 2"
    )
    admin.execute(
        "INSERT INTO tenant_mgmt.plan_phase (business_id, plan_id, phase_no, kind,"
        " duration_unit, recurring_price_amount)"
        " SELECT business_id, plan_id, 3, 'evergreen', 'unlimited', 159"
        " FROM tenant_mgmt.subscription"
    )
    admin.execute("SET LOCAL ROLE app_user")
    admin.execute(
        "UPDATE tenant_mgmt.subscription SET phase_started_at = now() - interval '32 days',"
        " current_period_end = now()"
    )
    admin.execute("SELECT tenant_mgmt.renew_subscription(%s)", [active])
    assert (
        one(
            admin,
            "SELECT f.phase_no FROM tenant_mgmt.subscription AS s JOIN tenant_mgmt.plan_phase AS f"
            " ON f.plan_phase_id = s.current_plan_phase_id",
        )
        == 3
    )
    assert one(admin, "SELECT mrr_amount FROM tenant_mgmt.v_subscription_overview") == 159


# Status


def test_tenant_follows_its_subscription(admin: Connection, acme: UUID) -> None:
    contract = one(admin, LIVE)
    seen = []
    for status in ("active", "past_due", "active", "cancelled"):
        turn(admin, contract, status)
        seen.append(one(admin, "SELECT status FROM tenant_mgmt.business"))
    assert seen == ["active", "past_due", "active", "suspended"]
    turn(admin, contract, "active")
    assert one(admin, "SELECT status FROM tenant_mgmt.business") == "active"


def test_each_step_is_an_event_with_mrr_before_and_after(admin: Connection, acme: UUID) -> None:
    turn(admin, one(admin, LIVE), "active", "past_due", "cancelled", cause="dunning")
    events = admin.execute(
        "SELECT sequence_no, event_kind, cause, mrr_before_amount, mrr_after_amount"
        " FROM tenant_mgmt.subscription_event ORDER BY sequence_no"
    ).fetchall()
    assert events == [
        (1, "created", "api", 0, 0),
        (2, "trial_started", "user", 0, 0),
        (3, "trial_converted", "dunning", 0, 149),
        (4, "payment_failed", "dunning", 149, 149),
        (5, "cancelled", "dunning", 149, 0),
    ]


def test_contract_does_not_skip_a_step(admin: Connection, active: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="active cannot become trialing"):
        turn(admin, active, "trialing")


def test_unknown_subscription_cannot_move(admin: Connection, acme: UUID) -> None:
    with pytest.raises(errors.NoDataFound):
        turn(admin, acme, "active")


def test_bundle_is_paid_for_once(admin: Connection, active: UUID, acme: UUID) -> None:
    second = one(
        admin,
        "INSERT INTO tenant_mgmt.subscription (business_id, plan_id, subscription_number)"
        " VALUES (%s, %s, 'X-1') RETURNING subscription_id",
        acme,
        plan(admin, "starter"),
    )
    with pytest.raises(errors.ExclusionViolation, match="bundle_code"), admin.transaction():
        turn(admin, second, "active")
    turn(admin, active, "cancelled")
    admin.execute(
        "UPDATE tenant_mgmt.subscription SET started_at = clock_timestamp(),"
        " phase_started_at = clock_timestamp() WHERE subscription_number = 'X-1'"
    )
    turn(admin, second, "active")


def test_phase_belongs_to_the_plan(admin: Connection, active: UUID) -> None:
    with pytest.raises(errors.ForeignKeyViolation):
        admin.execute(
            "UPDATE tenant_mgmt.subscription SET current_plan_phase_id ="
            " (SELECT plan_phase_id FROM tenant_mgmt.plan_phase WHERE plan_id = %s LIMIT 1)",
            [plan(admin, "starter")],
        )


def test_event_out_of_order_is_refused_but_history_is_taken(
    admin: Connection, active: UUID
) -> None:
    insert = (
        b"INSERT INTO tenant_mgmt.subscription_event"
        b" (business_id, subscription_id, sequence_no, event_kind, to_status, cause)"
        b" SELECT business_id, subscription_id, 99, 'renewed', 'active', 'api'"
        b" FROM tenant_mgmt.subscription"
    )
    with pytest.raises(errors.CheckViolation, match="event 99"), admin.transaction():
        admin.execute(insert)
    admin.execute("RESET ROLE")
    assert admin.execute(insert).rowcount == 1


def test_event_tells_no_impossible_transition(admin: Connection, active: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="transition_allowed"):
        admin.execute(
            "INSERT INTO tenant_mgmt.subscription_event"
            " (business_id, subscription_id, event_kind, from_status, to_status, cause)"
            " SELECT business_id, subscription_id, 'resumed', 'expired', 'active', 'api'"
            " FROM tenant_mgmt.subscription"
        )


# Plans


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenant_mgmt.plan SET base_price_amount = 1 WHERE catalog_code = 'growth'",
        "DELETE FROM tenant_mgmt.plan_phase",
        "UPDATE tenant_mgmt.plan_entitlement SET limit_quantity = 1 WHERE kind = 'metered'",
        "DELETE FROM tenant_mgmt.usage_rate_tier",
        "INSERT INTO tenant_mgmt.plan_entitlement (business_id, plan_id, feature_code, kind)"
        " SELECT business_id, plan_id, 'sso', 'boolean' FROM tenant_mgmt.subscription",
    ],
)
def test_terms_of_a_sold_plan_stay(admin: Connection, acme: UUID, statement: str) -> None:
    with pytest.raises(errors.RestrictViolation, match="was sold"):
        admin.execute(statement.encode())


def test_offer_of_a_sold_plan_may_end_and_an_unsold_one_change(
    admin: Connection, acme: UUID
) -> None:
    admin.execute("UPDATE tenant_mgmt.plan SET valid_until = current_date, is_public = false")
    admin.execute("UPDATE tenant_mgmt.plan SET trial_days = 7 WHERE catalog_code = 'starter'")


def test_nothing_follows_the_evergreen_phase(admin: Connection, acme: UUID) -> None:
    insert = (
        "INSERT INTO tenant_mgmt.plan_phase (business_id, plan_id, phase_no, kind,"
        " duration_unit, duration_count, recurring_price_amount)"
        " VALUES (%s, %s, 3, 'fixed_term', 'year', 1, 9)"
    )
    with pytest.raises(errors.ExclusionViolation, match="plan_phase"):
        admin.execute(insert.encode(), [acme, plan(admin, "starter")])


def test_billed_overage_needs_a_meter_of_the_same_code(admin: Connection, acme: UUID) -> None:
    with pytest.raises(errors.ForeignKeyViolation, match="billed_meter_code"):
        admin.execute(
            "INSERT INTO tenant_mgmt.plan_entitlement (business_id, plan_id, feature_code,"
            " kind, limit_quantity, overage_policy)"
            " VALUES (%s, %s, 'faxes', 'metered', 5, 'allow_and_bill')",
            [acme, plan(admin, "starter")],
        )


def test_item_has_one_price_at_a_time(admin: Connection, active: UUID) -> None:
    with pytest.raises(errors.ExclusionViolation, match="item_code"):
        admin.execute(
            "INSERT INTO tenant_mgmt.subscription_item"
            " (business_id, subscription_id, item_kind, item_code)"
            " SELECT business_id, subscription_id, 'base', 'growth'"
            " FROM tenant_mgmt.subscription"
        )


# Changes


def test_upgrade_credits_and_charges_the_days_left(admin: Connection, active: UUID) -> None:
    asked = change(admin, active, "upgrade", target_plan_id=plan(admin, "professional"))
    assert proration(admin, asked) == (Decimal("99.33"), Decimal("266.00"))  # 20 of 30 days


@pytest.mark.parametrize(
    ("kind", "columns", "due"),
    [
        ("seat_change", {"seat_delta": 3}, ("0", "24.00")),  # 3 seats at 12, 20 of 30 days
        ("seat_change", {"seat_delta": -3}, ("24.00", "0")),
        ("pause", {}, ("99.33", "0")),
        ("cancel", {"timing": "period_end"}, ("0", "0")),
        ("cancel", {}, ("99.33", "0")),
    ],
)
def test_proration_by_kind(
    admin: Connection, active: UUID, kind: str, columns: dict[str, Any], due: tuple[str, str]
) -> None:
    asked = change(admin, active, kind, **columns)
    assert proration(admin, asked) == (Decimal(due[0]), Decimal(due[1]))


def test_another_interval_is_charged_whole(admin: Connection, active: UUID) -> None:
    asked = change(admin, active, "interval_change", target_plan_id=plan(admin, "growth", "yearly"))
    assert proration(admin, asked) == (Decimal("99.33"), Decimal("1490.00"))


def test_change_in_a_trial_costs_nothing(admin: Connection, acme: UUID) -> None:
    target = plan(admin, "professional")
    asked = change(admin, one(admin, LIVE), "upgrade", target_plan_id=target)
    assert proration(admin, asked) == (0, 0)


def test_change_of_plan_takes_effect_and_is_told(admin: Connection, active: UUID) -> None:
    row = admin.execute(
        "SELECT change_kind, credit, charge FROM tenant_mgmt.change_plan(%s, %s)",
        [active, plan(admin, "professional")],
    ).fetchone()
    assert row == ("upgrade", Decimal("99.33"), Decimal("266.00"))
    assert one(admin, "SELECT mrr_amount FROM tenant_mgmt.v_subscription_overview") == 399
    assert column(
        admin,
        "SELECT event_kind FROM tenant_mgmt.subscription_event ORDER BY sequence_no DESC LIMIT 1",
    ) == ["upgraded"]


def test_change_to_the_same_plan_is_none(admin: Connection, active: UUID) -> None:
    found = column(
        admin,
        "SELECT change_kind FROM tenant_mgmt.change_plan(%s, %s)",
        active,
        plan(admin, "growth"),
    )
    assert found == []


def test_change_of_plan_revokes_what_was_scheduled(admin: Connection, active: UUID) -> None:
    change(admin, active, "cancel", timing="period_end")
    with pytest.raises(errors.UniqueViolation, match="scheduled"), admin.transaction():
        change(admin, active, "pause")
    admin.execute(
        "SELECT tenant_mgmt.change_plan(%s, %s)", [active, plan(admin, "growth", "yearly")]
    )
    assert sorted(column(admin, "SELECT state FROM tenant_mgmt.subscription_change")) == [
        "applied",
        "revoked",
    ]
    assert one(
        admin,
        "SELECT current_period_end - current_period_start > interval '300 days'"
        " FROM tenant_mgmt.subscription",
    )


def test_downgrade_waits_for_the_renewal(admin: Connection, active: UUID) -> None:
    change(
        admin,
        active,
        "downgrade",
        target_plan_id=plan(admin, "starter"),
        timing="period_end",
    )
    admin.execute("UPDATE tenant_mgmt.subscription SET current_period_end = now()")
    admin.execute("SELECT tenant_mgmt.renew_subscription(%s)", [active])
    row = admin.execute(
        "SELECT plan_name, mrr_amount FROM tenant_mgmt.v_subscription_overview"
    ).fetchone()
    assert row == ("Starter", 49)
    assert one(admin, "SELECT proration_credit_amount FROM tenant_mgmt.subscription_change") == 0


def test_seats_come_and_go_but_not_below_none(admin: Connection, active: UUID) -> None:
    admin.execute(
        "SELECT tenant_mgmt.apply_change(%s)", [change(admin, active, "seat_change", seat_delta=4)]
    )
    overview = "SELECT seats_bought, mrr_amount FROM tenant_mgmt.v_subscription_overview"
    assert admin.execute(overview.encode()).fetchone() == (14, 197)
    with pytest.raises(errors.CheckViolation, match="-1"):
        admin.execute(
            "SELECT tenant_mgmt.apply_change(%s)",
            [change(admin, active, "seat_change", seat_delta=-5)],
        )


# Entitlements


def test_plan_grants(admin: Connection, acme: UUID) -> None:
    granted = {
        feature: one(admin, "SELECT tenant_mgmt.has_entitlement(%s)", feature)
        for feature in ("webhooks", "sso", "teleport")
    }
    assert granted == {"webhooks": True, "sso": False, "teleport": False}


def test_override_wins_over_the_plan_in_both_directions(admin: Connection, acme: UUID) -> None:
    override(admin, "sso", is_granted=True)
    override(admin, "webhooks", is_granted=False)
    override(admin, "messages", limit_quantity=9)
    rows = admin.execute(
        "SELECT feature_code, is_granted, limit_quantity, source"
        " FROM tenant_mgmt.v_entitlement_effective WHERE source = 'override' ORDER BY 1"
    ).fetchall()
    assert rows == [
        ("messages", True, 9, "override"),
        ("sso", True, None, "override"),
        ("webhooks", False, None, "override"),
    ]
    assert not one(admin, "SELECT tenant_mgmt.has_entitlement('webhooks')")


def test_revoked_override_does_not_count_and_makes_room(admin: Connection, acme: UUID) -> None:
    override(admin, "sso")
    with pytest.raises(errors.ExclusionViolation, match="feature_code"), admin.transaction():
        override(admin, "sso")
    admin.execute("UPDATE tenant_mgmt.entitlement_override SET revoked_at = now()")
    assert not one(admin, "SELECT tenant_mgmt.has_entitlement('sso')")
    override(admin, "sso")
    assert one(admin, "SELECT tenant_mgmt.has_entitlement('sso')")


def test_concession_is_approved(admin: Connection, acme: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="concession_is_approved"):
        override(admin, "sso", reason="sales_concession")


def test_paused_subscription_grants_nothing(admin: Connection, active: UUID) -> None:
    turn(admin, active, "paused")
    assert not one(admin, "SELECT tenant_mgmt.has_entitlement('webhooks')")


# Coupons


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"discount_kind": "percent"}, "percent_only_of_percent"),
        ({"discount_kind": "amount", "amount_off": 5, "percent_off": 5}, "percent_only"),
        ({"discount_kind": "free_months"}, "free_months_repeat"),
        (
            {
                "discount_kind": "percent",
                "percent_off": 10,
                "duration": "repeating",
                "months_total": 3,
                "months_remaining": 4,
            },
            "months_remaining_within_total",
        ),
    ],
)
def test_coupon_says_one_thing(
    admin: Connection, acme: UUID, columns: dict[str, Any], rule: str
) -> None:
    values = {"duration": "once"} | columns
    with pytest.raises(errors.CheckViolation, match=rule):
        admin.execute(
            "INSERT INTO tenant_mgmt.coupon_redemption"
            f" (business_id, subscription_id, coupon_code, {', '.join(values)})"
            f" SELECT business_id, subscription_id, 'SAVE'{', %s' * len(values)}"
            " FROM tenant_mgmt.subscription".encode(),
            list(values.values()),
        )
