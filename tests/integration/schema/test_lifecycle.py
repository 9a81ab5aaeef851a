"""Trials move on by themselves, milestones qualify them, health follows its signals."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


@pytest.fixture
def trial(admin: Connection) -> UUID:
    """The trial of a tenant that was just provisioned, as the application."""
    tenant = one(
        admin,
        "SELECT tenant_mgmt.provision_business(legal_name => 'Acme', slug => 'acme-trial',"
        " industry => 'retail', plan_code => 'growth', owner_email => 'o@acme.example')",
    )
    admin.execute("SET LOCAL ROLE app_user")
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    found: UUID = one(admin, "SELECT trial_id FROM tenant_mgmt.trial")
    return found


def _end_in(connection: Connection, when: str) -> None:
    connection.execute(
        "UPDATE tenant_mgmt.trial SET started_at = now() - interval '30 days',"
        " original_ends_at = now() + %s::interval, ends_at = now() + %s::interval",
        [when, when],
    )


@pytest.mark.parametrize(
    ("ends_in", "became"),
    [
        ("6 days", "running/day_7"),
        ("2 days", "running/day_3"),
        ("12 hours", "running/day_1"),
        ("-1 hour", "expired/expired"),
    ],
)
def test_a_trial_moves_on_as_its_end_comes_near(
    admin: Connection, trial: UUID, ends_in: str, became: str
) -> None:
    _end_in(admin, ends_in)
    assert one(admin, "SELECT became FROM tenant_mgmt.evaluate_trials()") == became
    assert admin.execute("SELECT * FROM tenant_mgmt.evaluate_trials()").fetchall() == [], "once"


def _expire(connection: Connection, action: str) -> None:
    connection.execute("UPDATE tenant_mgmt.trial SET expiry_action = %s", [action])
    _end_in(connection, "-1 hour")
    connection.execute("SELECT * FROM tenant_mgmt.evaluate_trials()")


@pytest.mark.parametrize(("action", "status"), [("suspend", "suspended"), ("close", "closing")])
def test_a_trial_that_expires_has_its_consequence(
    admin: Connection, trial: UUID, action: str, status: str
) -> None:
    _expire(admin, action)
    assert one(admin, "SELECT status FROM tenant_mgmt.subscription") == "expired"
    assert one(admin, "SELECT status FROM tenant_mgmt.business") == status


def test_without_a_free_plan_a_downgrade_suspends(admin: Connection, trial: UUID) -> None:
    admin.execute("UPDATE tenant_mgmt.plan SET tier = 'starter' WHERE tier = 'free'")
    _expire(admin, "downgrade_to_free")
    assert one(admin, "SELECT status FROM tenant_mgmt.business") == "suspended"


def test_with_a_free_plan_a_downgrade_goes_on_there(admin: Connection, trial: UUID) -> None:
    admin.execute(
        "UPDATE tenant_mgmt.plan SET tier = 'free'"
        " WHERE (catalog_code, billing_interval) = ('starter', 'monthly')"
    )
    _expire(admin, "downgrade_to_free")
    row = admin.execute(
        "SELECT s.status, p.tier FROM tenant_mgmt.subscription AS s"
        " JOIN tenant_mgmt.plan AS p USING (business_id, plan_id)"
    ).fetchone()
    assert row == ("active", "free")


@pytest.mark.parametrize(("score", "became"), [(60, "extended/none"), (59, "expired/expired")])
def test_a_well_qualified_trial_is_extended_once(
    admin: Connection, trial: UUID, score: int, became: str
) -> None:
    _end_in(admin, "-1 hour")
    admin.execute("UPDATE tenant_mgmt.trial SET qualification_score = %s", [score])
    assert one(admin, "SELECT became FROM tenant_mgmt.evaluate_trials()") == became


def test_a_milestone_that_is_gone_no_longer_qualifies(admin: Connection, trial: UUID) -> None:
    admin.execute("DELETE FROM tenant_mgmt.activation_milestone")
    _milestone(admin, "profile_done", 100)
    admin.execute("UPDATE tenant_mgmt.activation_milestone SET current_value = 1")
    assert one(admin, "SELECT qualification_score FROM tenant_mgmt.trial") == 100
    admin.execute("DELETE FROM tenant_mgmt.activation_milestone")
    assert one(admin, "SELECT qualification_score FROM tenant_mgmt.trial") == 0


def test_the_weights_are_not_escaped_by_changing_the_tenant(admin: Connection, trial: UUID) -> None:
    admin.execute("DELETE FROM tenant_mgmt.activation_milestone")
    _milestone(admin, "profile_done", 7)
    admin.execute("SELECT tenant_mgmt.set_tenant(gen_random_uuid())")
    with pytest.raises(errors.CheckViolation, match="tenant changed"):
        admin.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_trial_far_from_its_end_stays(admin: Connection, trial: UUID) -> None:
    _end_in(admin, "12 days")
    assert admin.execute("SELECT * FROM tenant_mgmt.evaluate_trials()").fetchall() == []


def test_an_extension_is_part_of_the_end(admin: Connection, trial: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="trial_ends_as_extended"):
        admin.execute("UPDATE tenant_mgmt.trial SET extension_days = 7")


@pytest.mark.parametrize("days", [-1, 31])
def test_an_extension_is_bounded(admin: Connection, trial: UUID, days: int) -> None:
    with pytest.raises(errors.CheckViolation, match="trial_extension_bounded"):
        admin.execute(
            "UPDATE tenant_mgmt.trial SET extension_days = %s,"
            " ends_at = original_ends_at + %s * interval '24 hours'",
            [days, days],
        )


def test_a_cancelled_trial_does_not_run_again(admin: Connection, trial: UUID) -> None:
    admin.execute("UPDATE tenant_mgmt.trial SET status = 'cancelled'")
    with pytest.raises(errors.CheckViolation, match="cancelled cannot become running"):
        admin.execute("UPDATE tenant_mgmt.trial SET status = 'running'")


def _milestone(connection: Connection, code: str, weight: int) -> None:
    connection.execute(
        "INSERT INTO tenant_mgmt.activation_milestone (business_id, milestone_code, weight_pct)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s)",
        [code, weight],
    )


def test_a_milestone_is_reached_at_its_target_and_qualifies_the_trial(
    admin: Connection, trial: UUID
) -> None:
    admin.execute("DELETE FROM tenant_mgmt.activation_milestone")
    _milestone(admin, "profile_done", 40)
    _milestone(admin, "mobile_used", 60)
    admin.execute(
        "UPDATE tenant_mgmt.activation_milestone SET current_value = 1"
        " WHERE milestone_code = 'profile_done'"
    )
    reached = "SELECT count(reached_at) FROM tenant_mgmt.activation_milestone"
    assert one(admin, reached) == 1
    assert one(admin, "SELECT qualification_score FROM tenant_mgmt.trial") == 40


@pytest.mark.parametrize("weights", [(40, 50), (60, 60)])
def test_the_milestones_of_a_tenant_weigh_100(
    admin: Connection, trial: UUID, weights: tuple[int, int]
) -> None:
    admin.execute("DELETE FROM tenant_mgmt.activation_milestone")
    _milestone(admin, "profile_done", weights[0])
    _milestone(admin, "mobile_used", weights[1])
    with pytest.raises(errors.CheckViolation, match="do not sum to 100"):
        admin.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_the_weights_of_a_model_sum_to_1(admin: Connection, model: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="do not sum to 1"):
        admin.execute("UPDATE tenant_mgmt.health_model SET signal_weights = '{\"nps\": 0.5}'")


@pytest.fixture
def model(admin: Connection, trial: UUID) -> UUID:
    """An active model of two signals: logins 0.75, support 0.25."""
    found: UUID = one(
        admin,
        "INSERT INTO tenant_mgmt.health_model (business_id, model_code, version_no,"
        " signal_weights, is_active, activated_at) VALUES (tenant_mgmt.current_business_id(),"
        " 'two', 1, '{\"login_frequency\": 0.75, \"support_load\": 0.25}', true, now())"
        " RETURNING health_model_id",
    )
    return found


def _signal(connection: Connection, model: UUID, code: str, score: int, age: int = 0) -> None:
    connection.execute(
        "INSERT INTO tenant_mgmt.health_signal (business_id, health_model_id, signal_code,"
        " signal_date, raw_value, normalized_score) VALUES (tenant_mgmt.current_business_id(),"
        " %s, %s, current_date - %s::integer, 1, %s)",
        [model, code, age, score],
    )


def test_a_score_weighs_the_newest_signals(admin: Connection, model: UUID) -> None:
    _signal(admin, model, "login_frequency", 10, age=5)
    _signal(admin, model, "login_frequency", 80)
    _signal(admin, model, "support_load", 60)
    assert one(admin, "SELECT tenant_mgmt.compute_health_score()") == 75
    assert one(admin, "SELECT band FROM tenant_mgmt.health_score") == "green"
    strongest = "SELECT drivers -> 0 ->> 'signal' FROM tenant_mgmt.health_score"
    assert one(admin, strongest) == "login_frequency"


def test_a_day_is_scored_again_by_a_new_model(admin: Connection, model: UUID) -> None:
    _signal(admin, model, "login_frequency", 80)
    _signal(admin, model, "support_load", 80)
    one(admin, "SELECT tenant_mgmt.compute_health_score()")
    admin.execute("UPDATE tenant_mgmt.health_model SET is_active = false")
    stricter = one(
        admin,
        "INSERT INTO tenant_mgmt.health_model (business_id, model_code, version_no,"
        " signal_weights, green_threshold, is_active, activated_at)"
        " VALUES (tenant_mgmt.current_business_id(), 'two', 2, '{\"login_frequency\": 1}', 90,"
        " true, now()) RETURNING health_model_id",
    )
    _signal(admin, stricter, "login_frequency", 80)
    one(admin, "SELECT tenant_mgmt.compute_health_score()")
    row = admin.execute("SELECT health_model_id, band FROM tenant_mgmt.health_score").fetchall()
    assert row == [(stricter, "yellow")]


def test_a_tenant_that_is_too_young_has_no_score(admin: Connection, model: UUID) -> None:
    admin.execute("UPDATE tenant_mgmt.business SET activated_at = now()")
    assert one(admin, "SELECT tenant_mgmt.compute_health_score()") is None


def test_a_signal_that_is_missing_or_too_old_counts_nothing(admin: Connection, model: UUID) -> None:
    _signal(admin, model, "login_frequency", 100, age=31)
    _signal(admin, model, "support_load", 100)
    assert one(admin, "SELECT tenant_mgmt.compute_health_score()") == 25


def test_a_drop_of_the_band_opens_one_task(admin: Connection, model: UUID) -> None:
    _signal(admin, model, "login_frequency", 100, age=1)
    _signal(admin, model, "support_load", 100, age=1)
    one(admin, "SELECT tenant_mgmt.compute_health_score(current_date - 1)")
    _signal(admin, model, "login_frequency", 10)
    one(admin, "SELECT tenant_mgmt.compute_health_score(current_date)")
    one(admin, "SELECT tenant_mgmt.compute_health_score(current_date)")
    tasks = admin.execute("SELECT playbook_code, priority FROM tenant_mgmt.success_task").fetchall()
    assert tasks == [("health_drop", "urgent")]


def test_a_band_is_that_of_the_models_thresholds(admin: Connection, model: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="is not green"):
        admin.execute(
            "INSERT INTO tenant_mgmt.health_score (business_id, health_model_id, score_date,"
            " score, band, churn_probability) VALUES (tenant_mgmt.current_business_id(), %s,"
            " current_date, 50, 'green', 0.5)",
            [model],
        )


def test_nothing_is_scored_without_a_model(admin: Connection, trial: UUID) -> None:
    admin.execute("UPDATE tenant_mgmt.health_model SET is_active = false")
    with pytest.raises(errors.NoDataFound, match="no active health model"):
        admin.execute("SELECT tenant_mgmt.compute_health_score()")
