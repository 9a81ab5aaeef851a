"""Profiles show gaps, policies have one version in force, suppliers are rated by their answers."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection
from tests.integration.conftest import add_account, become_app

HERE = "tenant_mgmt.current_business_id()"


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def draft(connection: Connection, kind: str, name: str = "First") -> UUID:
    found: UUID = one(connection, "SELECT security_mgmt.draft_csf_profile(%s, %s)", name, kind)
    return found


def rate(connection: Connection, profile: UUID, code: str, achieved: int, target: int) -> None:
    connection.execute(
        "UPDATE security_mgmt.csf_outcome AS o SET achieved_level = %s, target_level = %s"
        " FROM security_mgmt.framework_requirement AS r"
        " WHERE o.csf_profile_id = %s AND r.reference_code LIKE %s"
        " AND r.framework_requirement_id = o.framework_requirement_id",
        [achieved, target, profile, code],
    )


def approve(connection: Connection, profile: UUID, approver: UUID) -> None:
    connection.execute("SELECT security_mgmt.approve_csf_profile(%s, %s)", [profile, approver])


@pytest.fixture
def csf(app: Connection) -> Connection:
    """The application of a tenant that has adopted NIST CSF 2.0."""
    app.execute("SELECT security_mgmt.adopt_framework('nist_csf_2')")
    return app


# Profiles


def test_a_draft_rates_every_subcategory(csf: Connection) -> None:
    draft(csf, "target")
    row = csf.execute(
        "SELECT count(*), count(DISTINCT csf_function), max(achieved_level), min(target_level)"
        " FROM security_mgmt.csf_outcome"
    ).fetchone()
    assert row == (106, 6, 0, 3)


def test_without_the_framework_there_is_nothing_to_rate(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="has not adopted nist_csf_2"):
        draft(app, "target")


def test_the_next_draft_starts_from_the_approved_one(csf: Connection, account: UUID) -> None:
    first = draft(csf, "current")
    rate(csf, first, "GV%", 2, 4)
    approve(csf, first, account)
    second = draft(csf, "current", "Second")
    row = csf.execute(
        "SELECT count(*) FROM security_mgmt.csf_outcome"
        " WHERE csf_profile_id = %s AND (achieved_level, target_level) = (2, 4)",
        [second],
    ).fetchone()
    assert row == (31,)


def test_approval_supersedes_the_profile_before(csf: Connection, account: UUID) -> None:
    first = draft(csf, "current")
    approve(csf, first, account)
    approve(csf, draft(csf, "current", "Second"), account)
    approve(csf, draft(csf, "target", "Third"), account)
    rows = csf.execute("SELECT name, status FROM security_mgmt.csf_profile").fetchall()
    assert dict(rows) == {"First": "superseded", "Second": "approved", "Third": "approved"}


def test_only_a_draft_is_approved(csf: Connection, account: UUID) -> None:
    profile = draft(csf, "current")
    approve(csf, profile, account)
    for unknown in (profile, uuid4()):
        with pytest.raises(errors.NoDataFound, match="there is no draft"), csf.transaction():
            approve(csf, unknown, account)
    assert one(csf, "SELECT status FROM security_mgmt.csf_profile") == "approved"


def test_there_is_one_approved_profile_of_a_kind(csf: Connection, account: UUID) -> None:
    approve(csf, draft(csf, "current"), account)
    draft(csf, "current", "Second")
    with pytest.raises(errors.UniqueViolation, match="csf_profile_approved_idx"):
        csf.execute(
            "UPDATE security_mgmt.csf_profile SET status = 'approved', approved_at = now()"
            " WHERE name = 'Second'"
        )


def test_the_gap_is_target_against_current_in_the_order_of_functions(
    csf: Connection, account: UUID
) -> None:
    current, target = draft(csf, "current"), draft(csf, "target", "Second")
    rate(csf, current, "GV.OC%", 2, 0)
    rate(csf, current, "GV.OC-01", 1, 0)
    rate(csf, target, "GV.OC%", 0, 4)
    approve(csf, current, account)
    approve(csf, target, account)
    rows = csf.execute("SELECT * FROM security_mgmt.csf_gap_report()").fetchall()
    assert len(rows) == 22
    assert list(dict.fromkeys(row[0] for row in rows)) == ["GV", "ID", "PR", "DE", "RS", "RC"]
    found = {row[1]: (float(row[2]), float(row[3])) for row in rows}
    assert found["GV.OC"] == (1.8, 4.0)
    assert found["RC.CO"] == (0.0, 3.0)


def test_without_an_approved_profile_the_gap_is_unknown(csf: Connection) -> None:
    draft(csf, "current")
    rows = csf.execute(
        "SELECT count(*), count(current_level), count(target_level)"
        " FROM security_mgmt.csf_gap_report()"
    ).fetchone()
    assert rows == (22, 0, 0)


def test_the_summary_counts_gaps_per_function(csf: Connection, account: UUID) -> None:
    current = draft(csf, "current")
    rate(csf, current, "RC%", 3, 3)
    rate(csf, current, "RC.CO%", 1, 3)
    csf.execute(
        "UPDATE security_mgmt.csf_outcome SET priority = 'high', action_due_on = '2030-01-01'"
        " WHERE csf_function = 'RC'"
    )
    approve(csf, current, account)
    row = csf.execute(
        "SELECT outcome_count, average_achieved::float, average_target::float, gap_count,"
        " urgent_gap_count FROM security_mgmt.v_csf_function_summary WHERE csf_function = 'RC'"
    ).fetchone()
    assert row == (8, 2.5, 3.0, 2, 2)
    assert one(csf, "SELECT count(*) FROM security_mgmt.v_csf_function_summary") == 6


def _add_outcome(connection: Connection, profile: UUID, code: str, function: str) -> None:
    connection.execute(
        "INSERT INTO security_mgmt.csf_outcome (business_id, csf_profile_id,"
        " framework_requirement_id, csf_function)"
        " SELECT business_id, %s, framework_requirement_id, %s"
        " FROM security_mgmt.framework_requirement WHERE reference_code = %s",
        [profile, function, code],
    )


@pytest.mark.parametrize(("code", "function"), [("GV", "GV"), ("GV.OC", "GV")])
def test_what_holds_subcategories_is_not_rated(csf: Connection, code: str, function: str) -> None:
    profile = draft(csf, "current")
    with pytest.raises(errors.CheckViolation, match=f"{code} is none"):
        _add_outcome(csf, profile, code, function)


@pytest.mark.parametrize(("code", "function"), [("GV.OC-01", "PR"), ("Art. 6", "GV")])
def test_the_function_is_that_of_the_subcategory(csf: Connection, code: str, function: str) -> None:
    csf.execute("SELECT security_mgmt.adopt_framework('gdpr')")
    profile = draft(csf, "current")
    csf.execute("DELETE FROM security_mgmt.csf_outcome")
    with pytest.raises(errors.ForeignKeyViolation):
        _add_outcome(csf, profile, code, function)


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("achieved_level = 5", "csf_outcome_levels_bounded"),
        ("target_level = -1", "csf_outcome_levels_bounded"),
        ("priority = 'high'", "csf_outcome_urgent_gap_has_date"),
        ("confidence = 101", "csf_outcome_confidence_bounded"),
    ],
)
def test_an_outcome_is_rated_within_bounds(csf: Connection, change: str, truth: str) -> None:
    draft(csf, "current")
    with pytest.raises(errors.CheckViolation, match=truth):
        csf.execute(f"UPDATE security_mgmt.csf_outcome SET {change}".encode())


def test_an_urgent_rating_without_a_gap_needs_no_date(csf: Connection) -> None:
    draft(csf, "current")
    csf.execute("UPDATE security_mgmt.csf_outcome SET achieved_level = 3, priority = 'high'")


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("tier_govern = 5", "csf_profile_tiers_bounded"),
        ("tier_overall = 0", "csf_profile_tiers_bounded"),
        ("priority_functions = '{GV,XX}'", "csf_profile_priority_functions_known"),
        ("status = 'approved'", "csf_profile_approved_has_time"),
    ],
)
def test_a_profile_is_bounded(csf: Connection, change: str, truth: str) -> None:
    draft(csf, "current")
    with pytest.raises(errors.CheckViolation, match=truth):
        csf.execute(f"UPDATE security_mgmt.csf_profile SET {change}".encode())


PROFILE = {"draft": {"approved"}, "approved": {"superseded"}, "superseded": set[str]()}
POLICY = {
    "draft": {"in_review", "retired"},
    "in_review": {"approved", "draft"},
    "approved": {"retired"},
    "retired": set[str](),
}


def _refused(machine: dict[str, set[str]]) -> list[tuple[str, str]]:
    return [(a, b) for a in machine for b in machine if a != b and b not in machine[a]]


@pytest.mark.parametrize(("old", "new"), _refused(PROFILE))
def test_a_profile_refuses_other_ways(
    admin: Connection, tenant: UUID, account: UUID, old: str, new: str
) -> None:
    admin.execute(
        "INSERT INTO security_mgmt.csf_profile (business_id, name, profile_kind, status,"
        " approved_at) VALUES (%s, 'P', 'current', %s, now())",
        [tenant, old],
    )
    become_app(admin, tenant)
    with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
        admin.execute("UPDATE security_mgmt.csf_profile SET status = %s", [new])


# Policies


@pytest.fixture
def file(admin: Connection, tenant: UUID) -> UUID:
    """A file of `tenant`."""
    location = one(
        admin,
        "INSERT INTO system_core.storage_location (business_id, name, provider, bucket,"
        " region_code, encryption_key_ref, quota_bytes)"
        " VALUES (%s, 'main', 's3', 'b', 'us-east-1', 'vault:tenant/key', 1000000)"
        " RETURNING storage_location_id",
        tenant,
    )
    found: UUID = one(
        admin,
        "INSERT INTO system_core.file_object (business_id, storage_location_id, file_name,"
        " media_type, size_bytes, sha256, storage_key)"
        " VALUES (%s, %s, 'policy.pdf', 'application/pdf', 10, sha256('policy'), 'k')"
        " RETURNING file_object_id",
        tenant,
        location,
    )
    return found


def add_policy(
    connection: Connection,
    tenant: UUID,
    file: UUID,
    owner: UUID,
    version: int = 1,
    status: str = "draft",
    approver: UUID | None = None,
) -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO security_mgmt.security_policy (business_id, file_object_id,"
        " owner_user_account_id, policy_code, title, version_no, status, approved_by,"
        " approved_on, effective_from, review_due_on)"
        " VALUES (%s, %s, %s, 'ISP', 'Information security', %s, %s, %s, '2026-01-01',"
        " '2026-01-10', '2027-01-10') RETURNING security_policy_id",
        tenant,
        file,
        owner,
        version,
        status,
        approver,
    )
    return found


def test_one_version_of_a_policy_is_in_force(
    admin: Connection, tenant: UUID, account: UUID, file: UUID
) -> None:
    other = add_account(admin, tenant, "bea")
    add_policy(admin, tenant, file, account, 1, "approved", other)
    add_policy(admin, tenant, file, account, 2, "in_review", other)
    become_app(admin, tenant)
    approve = "UPDATE security_mgmt.security_policy SET status = 'approved' WHERE version_no = 2"
    with (
        pytest.raises(errors.UniqueViolation, match="security_policy_approved_idx"),
        admin.transaction(),
    ):
        admin.execute(approve)
    admin.execute(
        "UPDATE security_mgmt.security_policy SET status = 'retired' WHERE version_no = 1"
    )
    admin.execute(approve)


def test_the_owner_does_not_approve_alone(
    admin: Connection, tenant: UUID, account: UUID, file: UUID
) -> None:
    with pytest.raises(errors.CheckViolation, match="security_policy_approved_by_another"):
        add_policy(admin, tenant, file, account, 1, "approved", account)


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("review_due_on = '2027-01-11'", "security_policy_reviewed_within_a_year"),
        ("review_due_on = effective_from", "security_policy_reviewed_within_a_year"),
        ("effective_from = approved_on - 1", "security_policy_effective_after_approval"),
        ("approved_by = NULL", "security_policy_approved_has_facts"),
        ("review_due_on = NULL", "security_policy_approved_has_facts"),
    ],
)
def test_an_approved_policy_is_whole(
    admin: Connection, tenant: UUID, account: UUID, file: UUID, change: str, truth: str
) -> None:
    other = add_account(admin, tenant, "bea")
    add_policy(admin, tenant, file, account, 1, "approved", other)
    with pytest.raises(errors.CheckViolation, match=truth):
        admin.execute(f"UPDATE security_mgmt.security_policy SET {change}".encode())


@pytest.mark.parametrize(("old", "new"), _refused(POLICY))
def test_a_policy_refuses_other_ways(
    admin: Connection, tenant: UUID, account: UUID, file: UUID, old: str, new: str
) -> None:
    other = add_account(admin, tenant, "bea")
    add_policy(admin, tenant, file, account, 1, old, other)
    become_app(admin, tenant)
    with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
        admin.execute("UPDATE security_mgmt.security_policy SET status = %s", [new])


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("attested_at = assigned_at - interval '1 s'", "attested_after_assignment"),
        ("method = 'quiz', attested_at = now()", "quiz_was_passed"),
        ("method = 'quiz', attested_at = now(), quiz_score_pct = 79.9", "quiz_was_passed"),
        ("quiz_score_pct = 101", "quiz_score_bounded"),
        ("attested_at = now(), exemption_reason = 'On leave'", "exempt_or_attested"),
    ],
)
def test_an_attestation_is_sound(
    admin: Connection, tenant: UUID, account: UUID, file: UUID, change: str, truth: str
) -> None:
    _assign(admin, tenant, account, file)
    with pytest.raises(errors.CheckViolation, match=truth):
        admin.execute(f"UPDATE security_mgmt.policy_attestation SET {change}".encode())


@pytest.mark.parametrize(
    "change",
    [
        "attested_at = now()",
        "method = 'quiz', quiz_score_pct = 40",
        "method = 'quiz', attested_at = now(), quiz_score_pct = 80",
    ],
)
def test_a_policy_is_attested(
    admin: Connection, tenant: UUID, account: UUID, file: UUID, change: str
) -> None:
    _assign(admin, tenant, account, file)
    admin.execute(f"UPDATE security_mgmt.policy_attestation SET {change}".encode())


def _assign(connection: Connection, tenant: UUID, account: UUID, file: UUID) -> None:
    policy = add_policy(connection, tenant, file, account)
    become_app(connection, tenant)
    connection.execute(
        "INSERT INTO security_mgmt.policy_attestation (business_id, security_policy_id,"
        f" user_account_id, due_on) VALUES ({HERE}, %s, %s, current_date + 30)",
        [policy, account],
    )


# Risks


def _add_risk(connection: Connection, *rating: int | None, status: str = "identified") -> None:
    connection.execute(
        "INSERT INTO security_mgmt.security_risk (business_id, risk_number, title,"
        " threat_scenario, likelihood, impact, residual_likelihood, residual_impact, status)"
        f" VALUES ({HERE}, 'R-1', 'Ransomware', 'A file server is encrypted', %s, %s, %s, %s, %s)",
        [*rating, status],
    )


def test_a_risk_is_scored(app: Connection) -> None:
    _add_risk(app, 4, 5, 2, 5, status="treated")
    row = app.execute(
        "SELECT inherent_score, residual_score FROM security_mgmt.security_risk"
    ).fetchone()
    assert row == (20, 10)


@pytest.mark.parametrize(
    ("rating", "status", "truth"),
    [
        ((0, 5, None, None), "identified", "security_risk_rating_bounded"),
        ((6, 5, None, None), "identified", "security_risk_rating_bounded"),
        ((2, 3, 6, 1), "assessed", "security_risk_residual_rating_bounded"),
        ((2, 3, 2, 4), "assessed", "security_risk_residual_not_above_inherent"),
        ((2, 3, 2, None), "assessed", "security_risk_residual_rated_whole"),
        ((2, 3, None, None), "treated", "security_risk_treated_has_residual"),
    ],
)
def test_a_rating_makes_sense(
    app: Connection, rating: tuple[int | None, ...], status: str, truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        _add_risk(app, *rating, status=status)


def test_a_residual_may_equal_the_inherent_rating(app: Connection) -> None:
    _add_risk(app, 2, 3, 3, 2, status="assessed")


# Suppliers


def add_supplier(connection: Connection, **facts: Any) -> UUID:
    values = {"name": "Hosting Ltd", "service": "Hosting", "country_code": "US"} | facts
    found: UUID = one(
        connection,
        f"INSERT INTO security_mgmt.third_party (business_id, {', '.join(values)})"
        f" VALUES ({HERE}{', %s' * len(values)}) RETURNING third_party_id",
        *values.values(),
    )
    return found


@pytest.mark.parametrize(
    ("facts", "truth"),
    [
        ({"processes_phi": True, "status": "active"}, "third_party_phi_has_baa"),
        ({"is_processor": True, "status": "active"}, "third_party_processor_has_dpa"),
        ({"data_classes": ["secret"]}, "third_party_data_classes_known"),
    ],
)
def test_a_supplier_has_signed_what_it_must(
    app: Connection, facts: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        add_supplier(app, **facts)


@pytest.mark.parametrize(
    "facts",
    [
        {"processes_phi": True, "is_processor": True},
        {"processes_phi": True, "status": "active", "baa_signed_on": "2026-01-01"},
        {"is_processor": True, "status": "active", "dpa_signed_on": "2026-01-01"},
    ],
)
def test_a_supplier_is_taken_on(app: Connection, facts: dict[str, Any]) -> None:
    add_supplier(app, **facts)


def answers(*given: str | None) -> Jsonb:
    return Jsonb([{"question": f"Q{n}", "answer": a, "weight": 2} for n, a in enumerate(given)])


@pytest.mark.parametrize(
    ("given", "score"),
    [
        (answers("yes", "yes"), 100),
        (answers("yes", "no"), 50),
        (answers("yes", "partly"), 75),
        (answers("yes", None), 50),
        (answers("yes", "not_applicable"), 100),
        (answers("not_applicable"), None),
        (Jsonb([]), None),
        (Jsonb([{"answer": "yes"}, {"answer": "no", "weight": 3}]), 25),
    ],
)
def test_answers_are_scored(app: Connection, given: Jsonb, score: int | None) -> None:
    assert one(app, "SELECT security_mgmt.score_answers(%s)", given) == score


def _assess(connection: Connection, supplier: UUID, kind: str, given: Jsonb | None) -> Any:
    return connection.execute(
        "INSERT INTO security_mgmt.third_party_assessment (business_id, third_party_id,"
        " assessment_kind, answers, score, rating, valid_until)"
        f" VALUES ({HERE}, %s, %s, %s, 99, 'low', current_date + 365)"
        " RETURNING score::float, rating",
        [supplier, kind, given],
    ).fetchone()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (answers("yes"), (100, "low")),
        (answers("yes", "yes", "yes", "no"), (75, "medium")),
        (answers("yes", "no"), (50, "high")),
        (answers("no"), (0, "critical")),
        (Jsonb([]), (0, "critical")),
    ],
)
def test_a_questionnaire_is_rated_by_its_answers(
    app: Connection, given: Jsonb, expected: tuple[float, str]
) -> None:
    assert _assess(app, add_supplier(app), "questionnaire", given) == expected


def test_nobody_raises_the_score_of_a_questionnaire(app: Connection) -> None:
    _assess(app, add_supplier(app), "questionnaire", answers("no"))
    app.execute("UPDATE security_mgmt.third_party_assessment SET score = 100, rating = 'low'")
    assert one(app, "SELECT rating FROM security_mgmt.third_party_assessment") == "critical"


def test_a_report_is_rated_by_who_read_it(app: Connection) -> None:
    assert _assess(app, add_supplier(app), "soc_report", None) == (99, "low")


@pytest.mark.parametrize(
    ("kind", "given"), [("questionnaire", None), ("soc_report", answers("yes"))]
)
def test_a_questionnaire_and_nothing_else_has_answers(
    app: Connection, kind: str, given: Jsonb | None
) -> None:
    with pytest.raises(errors.CheckViolation, match="questionnaire_has_answers"):
        _assess(app, add_supplier(app), kind, given)


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("decision = 'conditional'", "conditional_has_follow_up"),
        ("valid_until = assessed_on", "valid_after_day"),
        ("score = 100.5", "score_bounded"),
    ],
)
def test_an_assessment_of_a_supplier_is_sound(app: Connection, change: str, truth: str) -> None:
    _assess(app, add_supplier(app), "soc_report", None)
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(f"UPDATE security_mgmt.third_party_assessment SET {change}".encode())
