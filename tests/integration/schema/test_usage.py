"""Usage: metering, periods, rating, quotas, alerts, commitments and the daily rollup."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection

COUNTED = (
    "SELECT p.event_count, p.aggregated_quantity FROM tenant_mgmt.usage_period AS p"
    " JOIN tenant_mgmt.usage_meter AS m USING (business_id, usage_meter_id)"
    " WHERE m.meter_code = %s ORDER BY p.period_start"
)


@pytest.fixture
def acme(admin: Connection) -> UUID:
    """A tenant on the growth plan, in its trial, as the application."""
    admin.execute("SET LOCAL ROLE app_user")
    key = one(
        admin,
        "SELECT tenant_mgmt.provision_business('Acme', 'acme', 'retail', 'growth', 'a@acme.io')",
    )
    assert isinstance(key, UUID)
    return key


def one(connection: Connection, query: str, *values: Any) -> Any:
    """The single value of a query's single row."""
    row = connection.execute(query.encode(), values).fetchone()
    assert row
    return row[0]


def record(
    connection: Connection,
    meter: str,
    quantity: float = 1,
    key: str | None = None,
    at: str = "0 s",
    **properties: Any,
) -> bool:
    """Records a consumption, some time ago."""
    record.serial += 1  # type: ignore[attr-defined]
    return bool(
        one(
            connection,
            "SELECT tenant_mgmt.record_usage(%s, %s, %s::numeric, now() - %s::interval, %s)",
            meter,
            key or f"tx-{record.serial}",  # type: ignore[attr-defined]
            quantity,
            at,
            Jsonb(properties),
        )
    )


record.serial = 0  # type: ignore[attr-defined]


def counted(connection: Connection, meter: str) -> list[tuple[int, Decimal]]:
    """Events and quantity of each period of a meter."""
    return connection.execute(COUNTED.encode(), [meter]).fetchall()


def use_starter_tiers(connection: Connection, *tiers: tuple[Any, ...]) -> None:
    """Replaces the tiers of messages in the starter plan: (no, model, from, to)."""
    connection.execute(
        "DELETE FROM tenant_mgmt.usage_rate_tier AS t USING tenant_mgmt.plan AS p"
        " WHERE p.plan_id = t.plan_id AND p.catalog_code = 'starter'"
    )
    connection.execute(
        "INSERT INTO tenant_mgmt.usage_rate_tier (business_id, plan_id, usage_meter_id,"
        " tier_no, charge_model, from_quantity, to_quantity, currency_code)"
        " SELECT p.business_id, p.plan_id, m.usage_meter_id, t.no, t.model, t.low, t.high, 'USD'"
        " FROM tenant_mgmt.plan AS p CROSS JOIN tenant_mgmt.usage_meter AS m"
        f" CROSS JOIN (VALUES {', '.join(['(%s, %s, %s, %s::numeric)'] * len(tiers))})"
        " AS t (no, model, low, high)"
        " WHERE p.catalog_code = 'starter' AND p.billing_interval = 'monthly'"
        " AND m.meter_code = 'messages'".encode(),
        [value for tier in tiers for value in tier],
    )


def alert(connection: Connection, kind: str, threshold: int, **columns: Any) -> None:
    """An alert on messages."""
    connection.execute(
        "INSERT INTO tenant_mgmt.usage_alert (business_id, subscription_id, usage_meter_id,"
        f" alert_kind, threshold_value{''.join(', ' + c for c in columns)})"
        f" SELECT s.business_id, s.subscription_id, m.usage_meter_id, %s, %s"
        f"{', %s' * len(columns)} FROM tenant_mgmt.subscription AS s,"
        " tenant_mgmt.usage_meter AS m WHERE m.meter_code = 'messages'".encode(),
        [kind, threshold, *columns.values()],
    )


def fired(connection: Connection) -> int:
    """How often the alert has fired."""
    return int(one(connection, "SELECT fired_count FROM tenant_mgmt.usage_alert"))


# Ingest


def test_event_adds_to_the_open_period(admin: Connection, acme: UUID) -> None:
    assert record(admin, "messages", 3)
    assert record(admin, "messages", 4.5)
    assert counted(admin, "messages") == [(2, Decimal("7.5"))]


def test_same_transaction_counts_once(admin: Connection, acme: UUID) -> None:
    assert record(admin, "messages", 3, key="tx")
    assert not record(admin, "messages", 3, key="tx")
    assert counted(admin, "messages") == [(1, Decimal(3))]


def test_unknown_meter_is_rejected(admin: Connection, acme: UUID) -> None:
    with pytest.raises(errors.ForeignKeyViolation, match="no meter telegrams"):
        record(admin, "telegrams")


def test_nobody_pays_for_usage_without_a_live_subscription(admin: Connection, acme: UUID) -> None:
    admin.execute("SELECT tenant_mgmt.close_business('owner_request')")
    with pytest.raises(errors.ForeignKeyViolation, match="no live subscription"):
        record(admin, "messages")


@pytest.mark.parametrize("quantity", [0, -1])
def test_only_a_backfill_takes_usage_back(admin: Connection, acme: UUID, quantity: int) -> None:
    with pytest.raises(errors.CheckViolation), admin.transaction():
        record(admin, "messages", quantity)
    record(admin, "messages", 5)
    admin.execute(
        "SELECT tenant_mgmt.record_usage('messages', 'back', -2, ingest_source => 'backfill')"
    )
    assert counted(admin, "messages") == [(2, Decimal(3))]


@pytest.mark.parametrize(
    ("aggregation", "total"),
    [("count", 3), ("sum", 9), ("max", 5), ("latest", 1), ("unique_count", 2)],
)
def test_meter_aggregates_in_its_way_and_a_recount_agrees(
    admin: Connection, acme: UUID, aggregation: str, total: int
) -> None:
    admin.execute(
        "UPDATE tenant_mgmt.usage_meter SET aggregation = %s, unique_field = 'who'"
        " WHERE meter_code = 'messages'",
        [aggregation],
    )
    # The events may fall on the other side of midnight.
    admin.execute("UPDATE tenant_mgmt.usage_period SET period_start = period_start - 1")
    for quantity, age, who in ((3, "3 s", "ann"), (1, "1 s", "bob"), (5, "2 s", "ann")):
        record(admin, "messages", quantity, at=age, who=who)
    assert counted(admin, "messages") == [(3, Decimal(total))]
    admin.execute("SELECT tenant_mgmt.recompute_usage()")
    assert counted(admin, "messages") == [(3, Decimal(total))]


def test_batch_equals_its_events_one_by_one(admin: Connection, acme: UUID) -> None:
    admin.execute(
        "INSERT INTO tenant_mgmt.usage_event (business_id, usage_meter_id, subscription_id,"
        " transaction_id, quantity, unique_value, event_at)"
        " SELECT m.business_id, m.usage_meter_id, s.subscription_id, m.meter_code || n, n,"
        " 'user-' || n % 7, now()"
        " FROM tenant_mgmt.usage_meter AS m, tenant_mgmt.subscription AS s,"
        " generate_series(1, 40) AS n"
    )
    before = {m: counted(admin, m) for m in ("messages", "api_calls", "storage_gb")}
    assert before["messages"] == [(40, Decimal(820))]
    assert counted(admin, "active_users") == [(40, Decimal(7))]
    admin.execute("SELECT tenant_mgmt.recompute_usage()")
    assert {m: counted(admin, m) for m in before} == before


def test_late_event_is_marked(admin: Connection, acme: UUID) -> None:
    record(admin, "messages", at="23 hours 59 minutes")
    record(admin, "messages", at="24 hours 1 minute")
    late = admin.execute("SELECT is_late FROM tenant_mgmt.usage_event ORDER BY event_at").fetchall()
    assert late == [(True,), (False,)]


def test_event_of_a_closed_period_changes_no_bill(admin: Connection, acme: UUID) -> None:
    record(admin, "messages", 3)
    admin.execute("UPDATE tenant_mgmt.usage_period SET is_closed = true")
    record(admin, "messages", 4)
    assert counted(admin, "messages") == [(1, Decimal(3))]
    with pytest.raises(errors.RestrictViolation, match="was closed"):
        admin.execute("UPDATE tenant_mgmt.usage_period SET rated_amount = 1")


def test_events_are_append_only(admin: Connection, acme: UUID) -> None:
    record(admin, "messages")
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("UPDATE tenant_mgmt.usage_event SET quantity = 2")


# Periods


def test_next_period_opens_and_carries_what_recurs(admin: Connection, acme: UUID) -> None:
    record(admin, "messages", 3)
    record(admin, "storage_gb", 70)
    admin.execute(
        "UPDATE tenant_mgmt.usage_period SET period_start = period_start - 20,"
        " period_end = current_date"
    )
    admin.execute(
        "UPDATE tenant_mgmt.subscription SET current_period_start = now(),"
        " current_period_end = now() + interval '1 month'"
    )
    record(admin, "messages", 1)
    assert counted(admin, "messages") == [(1, Decimal(3)), (1, Decimal(1))]
    assert counted(admin, "storage_gb") == [(1, Decimal(70)), (0, Decimal(70))]


def test_period_that_is_prolonged_keeps_its_usage(admin: Connection, acme: UUID) -> None:
    record(admin, "messages", 3)
    admin.execute(
        "SELECT tenant_mgmt.transition_subscription(subscription_id, 'active')"
        " FROM tenant_mgmt.subscription"
    )
    record(admin, "messages", 4)
    assert counted(admin, "messages") == [(2, Decimal(7))]
    assert one(
        admin,
        "SELECT bool_and(p.period_end = s.current_period_end::date)"
        " FROM tenant_mgmt.usage_period AS p JOIN tenant_mgmt.subscription AS s"
        " USING (business_id, subscription_id)",
    )


def test_periods_of_a_meter_do_not_overlap(admin: Connection, acme: UUID) -> None:
    with pytest.raises(errors.ExclusionViolation, match="usage_period"):
        admin.execute(
            "INSERT INTO tenant_mgmt.usage_period (business_id, usage_meter_id,"
            " subscription_id, period_start, period_end)"
            " SELECT business_id, usage_meter_id, subscription_id, period_end - 1,"
            " period_end + 9 FROM tenant_mgmt.usage_period LIMIT 1"
        )


@pytest.mark.parametrize("events_first", [True, False])
def test_imported_figures_are_those_of_the_events(
    admin: Connection, acme: UUID, events_first: bool
) -> None:
    admin.execute("RESET ROLE")
    periods = (
        b"INSERT INTO tenant_mgmt.usage_period (business_id, usage_meter_id, subscription_id,"
        b" period_start, period_end, is_closed, event_count, aggregated_quantity)"
        b" SELECT m.business_id, m.usage_meter_id, s.subscription_id, '2026-01-01',"
        b" '2026-02-01', true, 77, 777"
        b" FROM tenant_mgmt.usage_meter AS m JOIN tenant_mgmt.subscription AS s"
        b" USING (business_id) WHERE m.business_id = %s AND m.meter_code = 'messages'"
    )
    events = (
        b"INSERT INTO tenant_mgmt.usage_event (business_id, usage_meter_id, subscription_id,"
        b" transaction_id, quantity, event_at)"
        b" SELECT m.business_id, m.usage_meter_id, s.subscription_id, 'tx' || day, 2, day"
        b" FROM tenant_mgmt.usage_meter AS m JOIN tenant_mgmt.subscription AS s"
        b" USING (business_id),"
        b" generate_series('2026-01-30 00:00+00'::timestamptz, '2026-02-02 00:00+00', '1 day')"
        b" AS day WHERE m.business_id = %s AND m.meter_code = 'messages'"
    )
    for statement in (events, periods) if events_first else (periods, events):
        admin.execute(statement, [acme])
    assert counted(admin, "messages")[0] == (2, Decimal(4))


def test_meter_that_was_invoiced_keeps_its_meaning(admin: Connection, acme: UUID) -> None:
    change = b"UPDATE tenant_mgmt.usage_meter SET rounding = 'ceil' WHERE meter_code = 'messages'"
    admin.execute(change)
    admin.execute("UPDATE tenant_mgmt.usage_period SET is_closed = true")
    admin.execute("UPDATE tenant_mgmt.usage_meter SET name = 'SMS'")
    with pytest.raises(errors.RestrictViolation, match="was invoiced"):
        admin.execute(change.replace(b"ceil", b"floor"))


# Rating


@pytest.mark.parametrize(
    ("meter", "quantity", "amount"),
    [
        ("messages", "1000", "0"),  # all included
        ("messages", "1001", "0.01"),
        ("messages", "12000", "129.00"),  # graduated: 10000 at 0.012, 1000 at 0.009
        ("documents", "10000", "250.00"),  # volume: 5000 at 0.05
        ("documents", "10001", "200.04"),  # volume: 5001 at 0.04
        ("api_calls", "100001", "0.50"),  # package: one begun thousand
        ("payment_volume", "60000", "230.00"),  # percentage: 0.4 % of 50000, 0.3 % of 10000
        ("storage_gb", "50.1", "0.20"),  # standard: 51 GB after rounding, 50 included
    ],
)
def test_usage_is_priced_by_its_model(
    admin: Connection, acme: UUID, meter: str, quantity: str, amount: str
) -> None:
    admin.execute(
        "UPDATE tenant_mgmt.usage_period AS p SET aggregated_quantity = %s"
        " FROM tenant_mgmt.usage_meter AS m"
        " WHERE m.usage_meter_id = p.usage_meter_id AND m.meter_code = %s",
        [quantity, meter],
    )
    rated = one(
        admin,
        "SELECT r.amount FROM tenant_mgmt.subscription AS s,"
        " tenant_mgmt.rate_usage(s.subscription_id, s.current_period_start::date) AS r"
        " WHERE r.meter_code = %s",
        meter,
    )
    assert rated == Decimal(amount)
    shown = one(
        admin, "SELECT amount FROM tenant_mgmt.v_current_usage WHERE meter_code = %s", meter
    )
    assert shown == rated


def test_unbilled_meter_is_not_rated(admin: Connection, acme: UUID) -> None:
    meters = admin.execute(
        "SELECT r.meter_code FROM tenant_mgmt.subscription AS s,"
        " tenant_mgmt.rate_usage(s.subscription_id, s.current_period_start::date) AS r"
    ).fetchall()
    assert ("messages",) in meters
    assert ("active_users",) not in meters


def test_usage_is_projected_to_the_end(admin: Connection, acme: UUID) -> None:
    projected = one(
        admin,
        "SELECT tenant_mgmt.projected_usage(100, 'sum', '2026-03-01', '2026-03-31',"
        " '2026-03-11 00:00+00')",
    )
    assert projected == 300
    assert (
        one(
            admin,
            "SELECT tenant_mgmt.projected_usage(100, 'max', '2026-03-01', '2026-03-31',"
            " '2026-03-11 00:00+00')",
        )
        == 100
    )


@pytest.mark.parametrize(
    "tiers",
    [
        [(1, "graduated", 0, 100), (2, "graduated", 100, None)],
        [(1, "standard", 0, None)],
    ],
)
def test_tiers_that_fit(admin: Connection, acme: UUID, tiers: list[tuple[Any, ...]]) -> None:
    use_starter_tiers(admin, *tiers)


@pytest.mark.parametrize(
    "tiers",
    [
        [(1, "graduated", 0, 100), (2, "graduated", 101, None)],  # a gap
        [(1, "graduated", 0, 100), (2, "graduated", 50, None)],  # an overlap
        [(1, "graduated", 0, 100), (2, "graduated", 100, 200)],  # no end
        [(1, "graduated", 0, 100), (2, "volume", 100, None)],  # two models
        [(1, "graduated", 0, None), (2, "graduated", 100, None)],  # open in the middle
        [(1, "graduated", 0, 100), (3, "graduated", 100, None)],  # a number left out
        [(2, "graduated", 10, None)],  # no beginning
    ],
)
def test_tiers_that_do_not_fit(admin: Connection, acme: UUID, tiers: list[tuple[Any, ...]]) -> None:
    with pytest.raises(errors.CheckViolation, match="does not fit its neighbors"):
        use_starter_tiers(admin, *tiers)


def test_tier_in_the_middle_cannot_go(admin: Connection, acme: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="does not fit"):
        admin.execute(
            "DELETE FROM tenant_mgmt.usage_rate_tier AS t USING tenant_mgmt.plan AS p"
            " WHERE p.plan_id = t.plan_id AND p.catalog_code = 'starter' AND t.tier_no = 1"
        )


# Quotas


def test_quota_falls_with_usage(admin: Connection, acme: UUID) -> None:
    assert one(admin, "SELECT tenant_mgmt.remaining_quota('messages')") == 1000
    record(admin, "messages", 1200)
    assert one(admin, "SELECT tenant_mgmt.remaining_quota('messages')") == -200


def test_quota_per_day_forgets_yesterday(admin: Connection, acme: UUID) -> None:
    admin.execute("RESET ROLE")
    admin.execute("UPDATE tenant_mgmt.plan_entitlement SET limit_period = 'day'")
    admin.execute("SET LOCAL ROLE app_user")
    record(admin, "messages", 5, at="25 hours")
    record(admin, "messages", 7)
    assert one(admin, "SELECT tenant_mgmt.remaining_quota('messages')") == 993


@pytest.mark.parametrize(("feature", "left"), [("sso", 0), ("teleport", 0), ("webhooks", None)])
def test_quota_of_what_is_not_limited_or_not_granted(
    admin: Connection, acme: UUID, feature: str, left: int | None
) -> None:
    assert one(admin, "SELECT tenant_mgmt.remaining_quota(%s)", feature) == left


# Alerts


def test_alert_fires_once_when_the_threshold_is_crossed(admin: Connection, acme: UUID) -> None:
    alert(admin, "usage_quantity", 10)
    record(admin, "messages", 10)
    assert fired(admin) == 0
    record(admin, "messages", 1)
    record(admin, "messages", 50)
    assert fired(admin) == 1
    assert one(admin, "SELECT last_value FROM tenant_mgmt.usage_alert") == 11


def test_recurring_alert_fires_at_each_multiple(admin: Connection, acme: UUID) -> None:
    alert(admin, "usage_quantity", 10, is_recurring=True)
    for _ in range(4):
        record(admin, "messages", 8)  # 8, 16, 24, 32
    assert fired(admin) == 3


@pytest.mark.parametrize("columns", [{"is_enabled": False}, {"snoozed_until": "2999-01-01"}])
def test_silenced_alert_does_not_fire(
    admin: Connection, acme: UUID, columns: dict[str, Any]
) -> None:
    alert(admin, "usage_quantity", 10, **columns)
    record(admin, "messages", 11)
    assert fired(admin) == 0


def test_alert_on_the_included_share_and_on_the_amount(admin: Connection, acme: UUID) -> None:
    alert(admin, "limit_pct", 80)
    record(admin, "messages", 801)
    assert fired(admin) == 1
    admin.execute("DELETE FROM tenant_mgmt.usage_alert")
    alert(admin, "usage_amount", 5)
    record(admin, "messages", 1000)
    admin.execute("SELECT tenant_mgmt.recompute_usage()")
    assert fired(admin) == 1


def test_alert_on_usage_names_a_meter(admin: Connection, acme: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="usage_has_meter"):
        admin.execute(
            "INSERT INTO tenant_mgmt.usage_alert"
            " (business_id, subscription_id, alert_kind, threshold_value)"
            " SELECT business_id, subscription_id, 'usage_quantity', 5"
            " FROM tenant_mgmt.subscription"
        )


# Commitments


def test_true_up_is_what_was_not_consumed_at_the_close(admin: Connection, acme: UUID) -> None:
    admin.execute(
        "INSERT INTO tenant_mgmt.spend_commitment (business_id, subscription_id,"
        " commitment_kind, status, committed_amount, consumed_amount, term_start, term_end)"
        " SELECT business_id, subscription_id, 'annual_prepay', 'active', 1000, 700,"
        " '2026-01-01', '2027-01-01' FROM tenant_mgmt.subscription"
    )
    true_up = "SELECT true_up_amount FROM tenant_mgmt.spend_commitment"
    assert one(admin, true_up) is None
    with pytest.raises(errors.CheckViolation, match="fulfilled_is_reached"), admin.transaction():
        admin.execute("UPDATE tenant_mgmt.spend_commitment SET status = 'fulfilled'")
    admin.execute("UPDATE tenant_mgmt.spend_commitment SET status = 'short'")
    assert one(admin, true_up) == 300


# Rollup


def test_daily_usage_is_published_to_its_tenant_alone(admin: Connection, acme: UUID) -> None:
    for quantity in (3, 4):
        record(admin, "messages", quantity)
    admin.execute(
        "SELECT tenant_mgmt.provision_business('Globex', 'globex', 'retail', 'growth', 'b@g.io')"
    )
    record(admin, "messages", 100)
    admin.execute("RESET ROLE")
    admin.execute("REFRESH MATERIALIZED VIEW tenant_mgmt.mv_usage_daily")
    admin.execute("SET LOCAL ROLE app_user")
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [acme])
    rows = admin.execute(
        "SELECT business_id, event_count, quantity FROM tenant_mgmt.v_usage_daily"
    ).fetchall()
    assert rows == [(acme, 2, 7)]
    with pytest.raises(errors.InsufficientPrivilege):
        admin.execute("SELECT FROM tenant_mgmt.mv_usage_daily")
