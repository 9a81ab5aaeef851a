"""Tenancy: provisioning, status history, sites, hosts, contacts, isolation and placement."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection


@pytest.fixture
def acme(admin: Connection) -> UUID:
    """A tenant that was provisioned on the growth plan; the connection works for it."""
    admin.execute("SET LOCAL ROLE app_user")
    return provision(admin, "acme", "growth")


def provision(connection: Connection, slug: str, plan: str, industry: str = "retail") -> UUID:
    """Provisions a tenant and returns its id."""
    key = one(
        connection,
        "SELECT tenant_mgmt.provision_business(%s, %s, %s, %s, %s)",
        f"{slug.title()} Ltd",
        slug,
        industry,
        plan,
        f"jane.doe@{slug}.example",
    )
    assert isinstance(key, UUID)
    return key


def one(connection: Connection, query: str, *values: Any) -> Any:
    """The single value of a query's single row."""
    row = connection.execute(query.encode(), values).fetchone()
    assert row
    return row[0]


def column(connection: Connection, query: str, *values: Any) -> list[Any]:
    """The first column of a query's rows."""
    return [row[0] for row in connection.execute(query.encode(), values)]


def location(connection: Connection, tenant: UUID, code: str, **columns: Any) -> None:
    """A site of the tenant, open as `opening_hours` says, in New York."""
    values: dict[str, Any] = {"kind": "shop", "time_zone": "America/New_York"} | columns
    connection.execute(
        f"INSERT INTO tenant_mgmt.business_location (business_id, code, name, {', '.join(values)})"
        f" VALUES (%s, %s, %s{', %s' * len(values)})".encode(),
        [tenant, code, code.title(), *values.values()],
    )


def hours(opens: str, closes: str, weekday: int = 3) -> Jsonb:
    """Opening hours of one weekday."""
    return Jsonb([{"weekday": weekday, "opens": opens, "closes": closes}])


def placement(connection: Connection, tenant: UUID, group: int, node: str, size: int) -> None:
    """A colocation group of the tenant on a node."""
    connection.execute(
        "INSERT INTO tenant_mgmt.shard_placement (business_id, colocation_group, shard_id,"
        " shard_key_hash, node_name, table_count, size_bytes) VALUES (%s, %s, %s, 1, %s, 9, %s)",
        [tenant, group, 102000 + group, node, size],
    )


# Provisioning


def test_provisioned_tenant_is_on_trial_with_its_owner_invited(
    admin: Connection, acme: UUID
) -> None:
    assert one(admin, "SELECT status FROM tenant_mgmt.business") == "trialing"
    assert one(admin, "SELECT status FROM user_mgmt.user_account") == "invited"
    assert one(admin, "SELECT email_normalized FROM user_mgmt.user_invitation") == (
        "jane.doe@acme.example"
    )
    assert one(admin, "SELECT count(*) FROM tenant_mgmt.trial WHERE ends_at > started_at") == 1


def test_provisioned_tenant_has_a_host_contacts_and_a_catalog_of_its_own(
    admin: Connection, acme: UUID
) -> None:
    assert one(admin, "SELECT host_name FROM tenant_mgmt.business_domain WHERE is_primary") == (
        "acme.app.example"
    )
    assert set(column(admin, "SELECT role FROM tenant_mgmt.business_contact")) == {
        "owner",
        "billing",
        "security",
    }
    assert one(admin, "SELECT count(*) FROM tenant_mgmt.plan") == 8
    assert one(
        admin,
        "SELECT bool_and(EXISTS (SELECT FROM tenant_mgmt.plan_phase AS f"
        " WHERE f.plan_id = p.plan_id AND f.kind = 'evergreen')) FROM tenant_mgmt.plan AS p",
    )


@pytest.mark.parametrize(
    ("industry", "modules"),
    [("automotive", {"auto"}), ("staffing", {"payroll"}), ("multi", {"hs", "auto", "rest", "ret"})],
)
def test_modules_follow_the_industry(admin: Connection, industry: str, modules: set[str]) -> None:
    admin.execute("SET LOCAL ROLE app_user")
    provision(admin, "initech", "starter", industry)
    assert set(column(admin, "SELECT module_code FROM tenant_mgmt.business_module")) == modules


def test_key_of_a_tenant_is_made_of_its_slug(admin: Connection, acme: UUID) -> None:
    assert one(admin, "SELECT tenant_mgmt.business_key('acme')") == acme
    with pytest.raises(errors.UniqueViolation, match="acme is taken"):
        provision(admin, "acme", "starter")


def test_provisioning_on_an_unknown_plan_fails(admin: Connection) -> None:
    admin.execute("SET LOCAL ROLE app_user")
    with pytest.raises(errors.NoDataFound, match="no plan gold"):
        provision(admin, "acme", "gold")


def test_two_tenants_do_not_see_each_other(admin: Connection, acme: UUID) -> None:
    other = provision(admin, "globex", "starter")
    assert column(admin, "SELECT DISTINCT business_id FROM tenant_mgmt.plan_entitlement") == [other]


# Status


def test_each_change_of_status_is_logged_with_what_it_tells(admin: Connection, acme: UUID) -> None:
    for status in ("active", "past_due", "active", "suspended", "closing"):
        admin.execute(b"UPDATE tenant_mgmt.business SET status = %s", [status])
    reasons = admin.execute(
        "SELECT from_status, to_status, reason_code FROM tenant_mgmt.business_status_event"
    ).fetchall()
    assert sorted(reasons) == [
        ("active", "past_due", "payment_failed"),
        ("active", "suspended", "platform_review"),
        ("past_due", "active", "payment_recovered"),
        ("provisioning", "trialing", "signup"),
        ("suspended", "closing", "owner_request"),
        ("trialing", "active", "signup"),
    ]


def test_reason_and_actor_of_a_change_are_those_that_were_given(
    account: UUID, app: Connection, tenant: UUID
) -> None:
    app.execute("SELECT set_config('app.user_account_id', %s, true)", [str(account)])
    app.execute("SELECT tenant_mgmt.explain_change('support', 'abuse')")
    app.execute("UPDATE tenant_mgmt.business SET status = 'active'")
    row = app.execute(
        "SELECT reason_code, actor_user_account_id, is_automatic"
        " FROM tenant_mgmt.business_status_event"
    ).fetchone()
    assert row == ("abuse", account, False)


def test_activation_and_closing_are_dated(app: Connection, tenant: UUID) -> None:
    app.execute("UPDATE tenant_mgmt.business SET status = 'active'")
    app.execute("UPDATE tenant_mgmt.business SET status = 'closing'")
    app.execute("UPDATE tenant_mgmt.business SET status = 'closed'")
    assert one(app, "SELECT closed_at >= activated_at FROM tenant_mgmt.business")


def test_status_does_not_skip_a_step(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="provisioning cannot become past_due"):
        app.execute("UPDATE tenant_mgmt.business SET status = 'past_due'")


def test_history_of_status_is_append_only(admin: Connection, acme: UUID) -> None:
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("DELETE FROM tenant_mgmt.business_status_event")


def test_history_holds_no_impossible_transition(admin: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="transition_allowed"):
        admin.execute(
            "INSERT INTO tenant_mgmt.business_status_event"
            " (business_id, from_status, to_status, reason_code)"
            " VALUES (%s, 'closed', 'active', 'signup')",
            [tenant],
        )


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM tenant_mgmt.business", "not deleted"),
        ("UPDATE tenant_mgmt.business SET slug = 'other'", "slug is the key"),
        ("UPDATE tenant_mgmt.business SET is_platform_operator = true", "operator"),
    ],
)
def test_only_the_platform_may(
    admin: Connection, app: Connection, tenant: UUID, statement: str, message: str
) -> None:
    with pytest.raises(errors.RestrictViolation, match=message), admin.transaction():
        app.execute(statement.encode())
    admin.execute("RESET ROLE")
    admin.execute("DELETE FROM user_mgmt.user_account")
    assert admin.execute(f"{statement} WHERE slug = 'first'".encode()).rowcount == 1


# Modules, sites, hosts, contacts


def test_disabled_module_has_its_time_and_only_it_a_purge_date(
    app: Connection, tenant: UUID
) -> None:
    insert = (
        "INSERT INTO tenant_mgmt.business_module"
        " (business_id, module_code, schema_version, state, disabled_at, data_purge_after)"
        " VALUES (%s, %s, '1', %s, now() + %s::interval, %s)"
    )
    app.execute(insert.encode(), [tenant, "ret", "disabled", "1 hour", "2030-01-01"])
    with pytest.raises(errors.CheckViolation, match="disabled_has_time"), app.transaction():
        app.execute(insert.encode(), [tenant, "hs", "disabled", None, None])
    with pytest.raises(errors.CheckViolation, match="purge_only_disabled"):
        app.execute(insert.encode(), [tenant, "hs", "enabled", None, "2030-01-01"])


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-03-04 09:00-05", True),  # a Wednesday, at the hour of opening
        ("2026-03-04 08:59-05", False),
        ("2026-03-04 17:00-05", False),
        ("2026-03-05 12:00-05", False),
        ("2026-03-04 12:00-08", True),  # 15:00 at the site
    ],
)
def test_site_is_open_by_its_own_clock(
    app: Connection, tenant: UUID, moment: str, is_open: bool
) -> None:
    location(app, tenant, "nyc", opening_hours=hours("09:00", "17:00"))
    found = column(app, "SELECT code FROM tenant_mgmt.open_locations(%s)", moment)
    assert found == (["nyc"] if is_open else [])


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [("2026-03-05 01:59-05", True), ("2026-03-05 02:00-05", False), ("2026-03-04 01:00-05", False)],
)
def test_night_runs_past_midnight(
    app: Connection, tenant: UUID, moment: str, is_open: bool
) -> None:
    location(app, tenant, "bar", opening_hours=hours("18:00", "02:00"))
    found = column(app, "SELECT code FROM tenant_mgmt.open_locations(%s)", moment)
    assert found == (["bar"] if is_open else [])


@pytest.mark.parametrize(
    "spans", [hours("9", "17:00"), hours("09:00", "17:00", weekday=8), Jsonb([1])]
)
def test_opening_hours_have_a_shape(app: Connection, tenant: UUID, spans: Jsonb) -> None:
    with pytest.raises(errors.CheckViolation, match="hours_are_spans"):
        location(app, tenant, "nyc", opening_hours=spans)


def test_tenant_has_one_headquarters(app: Connection, tenant: UUID) -> None:
    location(app, tenant, "hq", kind="headquarters")
    with pytest.raises(errors.UniqueViolation, match="headquarters"):
        location(app, tenant, "hq2", kind="headquarters")


def test_primary_host_is_verified_and_the_only_one(admin: Connection, acme: UUID) -> None:
    insert = (
        "INSERT INTO tenant_mgmt.business_domain (business_id, host_name, kind,"
        " verification_method, verification_token, verified_at, is_primary)"
        " VALUES (%s, 'shop.example', 'custom', 'dns_txt', 'token', %s, true)"
    )
    with pytest.raises(errors.CheckViolation, match="primary_is_verified"), admin.transaction():
        admin.execute(insert.encode(), [acme, None])
    with pytest.raises(errors.UniqueViolation, match="primary"):
        admin.execute(insert.encode(), [acme, "2026-01-01"])


def test_removed_contact_is_not_primary_and_leaves_a_gap(admin: Connection, acme: UUID) -> None:
    admin.execute("UPDATE tenant_mgmt.business SET status = 'active'")
    assert column(admin, "SELECT role FROM tenant_mgmt.v_contact_gap") == []
    admin.execute(
        "UPDATE tenant_mgmt.business_contact SET removed_at = now() WHERE role = 'security'"
    )
    assert column(admin, "SELECT role FROM tenant_mgmt.v_contact_gap") == ["security"]
    assert not one(
        admin, "SELECT is_primary FROM tenant_mgmt.business_contact WHERE role = 'security'"
    )


# Isolation and placement


def test_contract_keeps_the_tier_it_promises(admin: Connection) -> None:
    admin.execute("SET LOCAL ROLE app_user")
    provision(admin, "hooli", "enterprise")
    assert one(admin, "SELECT isolation_tier FROM tenant_mgmt.isolation_policy") == (
        "dedicated_shard"
    )
    admin.execute("UPDATE tenant_mgmt.isolation_policy SET isolation_tier = 'dedicated_node'")
    with pytest.raises(errors.CheckViolation, match="the contract forbids tier pooled"):
        admin.execute("UPDATE tenant_mgmt.isolation_policy SET isolation_tier = 'pooled'")


def test_contract_keeps_the_region_it_promises(admin: Connection, acme: UUID) -> None:
    move = b"UPDATE tenant_mgmt.isolation_policy SET data_region = 'us_west'"
    admin.execute(move)
    admin.execute("RESET ROLE")
    admin.execute(
        "INSERT INTO tenant_mgmt.plan_entitlement"
        " (business_id, plan_id, feature_code, kind, config_value)"
        " SELECT business_id, plan_id, 'data_residency', 'config',"
        """ '{"data_region": "us_east"}' FROM tenant_mgmt.subscription WHERE business_id = %s""",
        [acme],
    )
    admin.execute("SET LOCAL ROLE app_user")
    admin.execute("UPDATE tenant_mgmt.isolation_policy SET data_region = 'us_east'")
    with pytest.raises(errors.CheckViolation, match="region us_west"):
        admin.execute(move)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("statement_timeout_ms = 99", "timeout"),
        ("support_access = 'always', isolation_tier = 'dedicated_node'", "open_support"),
        ("rls_mode = 'off'", "rls_is_always_forced"),
    ],
)
def test_isolation_has_bounds(admin: Connection, acme: UUID, change: str, rule: str) -> None:
    with pytest.raises(errors.CheckViolation, match=rule):
        admin.execute(f"UPDATE tenant_mgmt.isolation_policy SET {change}".encode())


def test_tenant_on_one_node_is_colocated(app: Connection, tenant: UUID) -> None:
    placement(app, tenant, 1, "worker-1", 700)
    placement(app, tenant, 2, "worker-1", 300)
    rows = app.execute(
        "SELECT node_name, shard_count, size_bytes, size_pct, verdict"
        " FROM tenant_mgmt.tenant_placement()"
    ).fetchall()
    assert rows == [("worker-1", 2, 1000, 100, "colocated")]
    assert column(app, "SELECT node_name FROM tenant_mgmt.v_colocation_breach") == []


def test_group_on_another_node_is_a_breach(app: Connection, tenant: UUID) -> None:
    placement(app, tenant, 1, "worker-1", 700)
    placement(app, tenant, 2, "worker-2", 300)
    assert column(app, "SELECT verdict FROM tenant_mgmt.tenant_placement()") == ["split", "split"]
    breach = app.execute(
        "SELECT colocation_group, node_name, home_node_name FROM tenant_mgmt.v_colocation_breach"
    ).fetchall()
    assert breach == [(2, "worker-2", "worker-1")]


def test_tenant_moves_once_at_a_time_and_checks_what_arrived(app: Connection, tenant: UUID) -> None:
    insert = (
        "INSERT INTO tenant_mgmt.tenant_move"
        " (business_id, reason, method, source_node, target_node)"
        " VALUES (%s, 'growth', 'move_shard', 'worker-1', 'worker-2')"
    )
    app.execute(insert.encode(), [tenant])
    with pytest.raises(errors.UniqueViolation, match="tenant_move_open"), app.transaction():
        app.execute(insert.encode(), [tenant])
    app.execute("UPDATE tenant_mgmt.tenant_move SET state = 'copying', started_at = now()")
    app.execute("UPDATE tenant_mgmt.tenant_move SET state = 'catching_up'")
    app.execute("UPDATE tenant_mgmt.tenant_move SET state = 'cut_over', cut_over_at = now()")
    with pytest.raises(errors.CheckViolation, match="verified_matches"), app.transaction():
        app.execute("UPDATE tenant_mgmt.tenant_move SET state = 'verified', finished_at = now()")
    app.execute(
        "UPDATE tenant_mgmt.tenant_move"
        " SET state = 'verified', finished_at = now(), checksum_match = true"
    )
    app.execute(insert.encode(), [tenant])


# Closing


def test_closing_ends_contracts_and_dates_the_purge(admin: Connection, acme: UUID) -> None:
    admin.execute("UPDATE tenant_mgmt.business_module SET settings = '{\"retention_days\": 30}'")
    admin.execute("SELECT tenant_mgmt.close_business('contract_end')")
    assert one(admin, "SELECT status FROM tenant_mgmt.business") == "closing"
    assert one(admin, "SELECT status FROM tenant_mgmt.subscription") == "cancelled"
    assert (
        one(
            admin,
            "SELECT reason_code FROM tenant_mgmt.business_status_event WHERE to_status = 'closing'",
        )
        == "contract_end"
    )
    assert one(
        admin,
        "SELECT state = 'disabled' AND data_purge_after = current_date + 30"
        " FROM tenant_mgmt.business_module",
    )


def test_closing_twice_changes_nothing(admin: Connection, acme: UUID) -> None:
    admin.execute("SELECT tenant_mgmt.close_business('owner_request')")
    admin.execute("SELECT tenant_mgmt.close_business('abuse')")
    assert one(admin, "SELECT count(*) FROM tenant_mgmt.business_status_event") == 2


def test_tenant_that_was_never_set_up_is_closed_at_once(app: Connection, tenant: UUID) -> None:
    app.execute("SELECT tenant_mgmt.close_business('owner_request')")
    assert one(app, "SELECT status FROM tenant_mgmt.business") == "closed"
