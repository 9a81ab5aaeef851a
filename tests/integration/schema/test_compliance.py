"""Frameworks are adopted as trees, controls stand as tested, evidence stays as collected."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import add_account, add_tenant, become_app

TODAY = date.today()
HERE = "tenant_mgmt.current_business_id()"


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def adopt(connection: Connection, code: str) -> UUID:
    found: UUID = one(connection, "SELECT security_mgmt.adopt_framework(%s)", code)
    return found


def requirement(connection: Connection, code: str) -> UUID:
    found: UUID = one(
        connection,
        "SELECT framework_requirement_id FROM security_mgmt.framework_requirement"
        " WHERE reference_code = %s",
        code,
    )
    return found


def add_control(connection: Connection, code: str, owner: UUID | None = None) -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO security_mgmt.security_control (business_id, owner_user_account_id,"
        " control_code, name, control_type, nature, frequency, csf_function, implementation)"
        f" VALUES ({HERE}, %s, %s, 'Access reviews', 'preventive', 'manual', 'quarterly', 'PR',"
        " 'implemented') RETURNING security_control_id",
        owner,
        code,
    )
    return found


def add_map(
    connection: Connection, control: UUID, code: str, coverage: str = "full", strength: int = 100
) -> None:
    connection.execute(
        "INSERT INTO security_mgmt.control_mapping (business_id, security_control_id,"
        f" framework_requirement_id, coverage, strength) VALUES ({HERE}, %s, %s, %s, %s)",
        [control, requirement(connection, code), coverage, strength],
    )


def add_test(
    connection: Connection,
    control: UUID,
    number: str,
    result: str = "effective",
    kind: str = "operating",
    days_ago: int = 10,
    tester: UUID | None = None,
) -> UUID:
    performed = TODAY - timedelta(days=days_ago)
    retest = None if result in ("effective", "not_tested") else performed + timedelta(days=60)
    found: UUID = one(
        connection,
        "INSERT INTO security_mgmt.control_test (business_id, security_control_id,"
        " tester_user_account_id, test_number, test_kind, result, population_size, sample_size,"
        " period_start, period_end, performed_on, retest_due_on)"
        f" VALUES ({HERE}, %s, %s, %s, %s, %s, 100, 25, %s, %s, %s, %s)"
        " RETURNING control_test_id",
        control,
        tester,
        number,
        kind,
        result,
        performed - timedelta(days=90),
        performed,
        performed,
        retest,
    )
    return found


def standing(connection: Connection, control: UUID) -> tuple[Any, ...]:
    row = connection.execute(
        "SELECT design_effective, operating_effective, last_tested_on, next_test_on"
        " FROM security_mgmt.security_control WHERE security_control_id = %s",
        [control],
    ).fetchone()
    assert row
    return tuple(row)


# Adoption


@pytest.mark.parametrize(
    ("code", "requirements", "assessable"),
    [
        ("nist_csf_2", 134, 106),
        ("gdpr", 37, 36),
        ("hipaa", 39, 35),
        ("sox", 13, 11),
        ("pci_dss", 75, 63),
    ],
)
def test_a_framework_is_adopted_whole(
    app: Connection, code: str, requirements: int, assessable: int
) -> None:
    framework = adopt(app, code)
    row = app.execute(
        "SELECT f.requirement_count, count(*), count(*) FILTER (WHERE r.is_assessable)"
        " FROM security_mgmt.compliance_framework AS f"
        " JOIN security_mgmt.framework_requirement AS r"
        " USING (business_id, compliance_framework_id)"
        " WHERE f.compliance_framework_id = %s GROUP BY f.requirement_count",
        [framework],
    ).fetchone()
    assert row == (requirements, requirements, assessable)


def test_csf_has_six_functions_with_their_categories(app: Connection) -> None:
    adopt(app, "nist_csf_2")
    rows = app.execute(
        "SELECT csf_function, count(DISTINCT csf_category),"
        " count(*) FILTER (WHERE level = 'subcategory')"
        " FROM security_mgmt.framework_requirement GROUP BY 1"
    ).fetchall()
    assert {name: (categories, parts) for name, categories, parts in rows} == {
        "GV": (6, 31),
        "ID": (3, 21),
        "PR": (5, 22),
        "DE": (2, 11),
        "RS": (4, 13),
        "RC": (2, 8),
    }


def test_another_framework_brings_csf_along(app: Connection) -> None:
    adopt(app, "gdpr")
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")
    codes = app.execute("SELECT code FROM security_mgmt.compliance_framework").fetchall()
    assert {code for (code,) in codes} == {"gdpr", "nist_csf_2"}


def test_adopting_again_keeps_what_the_tenant_wrote(app: Connection) -> None:
    framework = adopt(app, "sox")
    app.execute(
        "UPDATE security_mgmt.framework_requirement SET title = 'Ours'"
        " WHERE reference_code = '404(a)'"
    )
    app.execute("DELETE FROM security_mgmt.framework_requirement WHERE reference_code = '404(b)'")
    assert adopt(app, "sox") == framework
    title = one(
        app,
        "SELECT title FROM security_mgmt.framework_requirement WHERE reference_code = '404(a)'",
    )
    assert (title, requirement(app, "404(b)") is not None) == ("Ours", True)


def test_a_new_version_takes_the_place_of_the_old(app: Connection) -> None:
    app.execute(
        "INSERT INTO security_mgmt.compliance_framework (business_id, code, name, version,"
        f" publisher) VALUES ({HERE}, 'pci_dss', 'Old', '3.2.1', 'PCI SSC')"
    )
    adopt(app, "pci_dss")
    rows = app.execute(
        "SELECT version, is_applicable FROM security_mgmt.compliance_framework"
        " WHERE code = 'pci_dss'"
    ).fetchall()
    assert dict(rows) == {"3.2.1": False, "4.0.1": True}


@pytest.mark.parametrize("code", ["iso_27001", "nonsense"])
def test_what_the_catalog_does_not_have_is_not_adopted(app: Connection, code: str) -> None:
    with pytest.raises(errors.NoDataFound, match="the catalog has no framework"):
        adopt(app, code)


def test_csf_cannot_be_dropped_while_others_stay(app: Connection) -> None:
    adopt(app, "gdpr")
    app.execute("DELETE FROM security_mgmt.compliance_framework WHERE code = 'nist_csf_2'")
    with pytest.raises(errors.CheckViolation, match="not nist_csf_2"):
        app.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_all_frameworks_can_go(app: Connection) -> None:
    adopt(app, "nist_csf_2")
    app.execute("DELETE FROM security_mgmt.compliance_framework")
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert one(app, "SELECT count(*) FROM security_mgmt.framework_requirement") == 0


def test_csf_is_not_escaped_by_changing_the_tenant(app: Connection) -> None:
    adopt(app, "gdpr")
    app.execute("SELECT tenant_mgmt.set_tenant(gen_random_uuid())")
    with pytest.raises(errors.CheckViolation, match="the tenant changed"):
        app.execute("SET CONSTRAINTS ALL IMMEDIATE")


# Requirements


@pytest.mark.parametrize(
    ("code", "parent"),
    [
        ("GV.OC-01", "GV.OC"),
        ("GV.OC", "GV"),
        ("12.10", "12"),
        ("1.2", "1"),
        ("164.308(a)(1)(ii)(A)", "164.308(a)(1)"),
        ("164.308(a)(1)", "164.308"),
        ("Art. 5(1)(a)", "Art. 5"),
        ("Art. 6", None),
    ],
)
def test_a_requirement_lies_below_the_longest_code_it_begins_with(
    app: Connection, code: str, parent: str | None
) -> None:
    for framework in ("nist_csf_2", "gdpr", "hipaa", "pci_dss"):
        adopt(app, framework)
    found = one(
        app,
        "SELECT p.reference_code FROM security_mgmt.framework_requirement AS r"
        " LEFT JOIN security_mgmt.framework_requirement AS p"
        " ON p.framework_requirement_id = r.parent_requirement_id WHERE r.reference_code = %s",
        code,
    )
    assert found == parent


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        ("GV.OC-01", "GV.OC", True),
        ("10", "1", False),
        ("10.2", "1", False),
        ("1.2", "1", True),
        ("1", "1", False),
        ("1", "1.2", False),
    ],
)
def test_codes_tell_what_is_part_of_what(
    app: Connection, part: str, whole: str, expected: bool
) -> None:
    assert one(app, "SELECT security_mgmt.is_part_of(%s, %s)", part, whole) is expected


def test_requirements_are_sorted_as_they_are_numbered(app: Connection) -> None:
    adopt(app, "pci_dss")
    rows = app.execute(
        "SELECT reference_code FROM security_mgmt.framework_requirement"
        " WHERE reference_code LIKE '12%' ORDER BY sort_path"
    ).fetchall()
    assert [code for (code,) in rows] == ["12", *(f"12.{number}" for number in range(1, 11))]


def _insert_requirement(
    connection: Connection, framework: UUID, kind: str, code: str, level: str, parent: UUID | None
) -> None:
    connection.execute(
        "INSERT INTO security_mgmt.framework_requirement (business_id, compliance_framework_id,"
        " framework_code, reference_code, title, level, parent_requirement_id)"
        f" VALUES ({HERE}, %s, %s, %s, 'Own', %s, %s)",
        [framework, kind, code, level, parent],
    )


def test_a_parent_is_of_the_same_framework(app: Connection) -> None:
    framework = adopt(app, "gdpr")
    with pytest.raises(errors.ForeignKeyViolation):
        _insert_requirement(
            app, framework, "gdpr", "GV.OC(1)", "article", requirement(app, "GV.OC")
        )


def test_a_parent_has_the_beginning_of_the_code(app: Connection) -> None:
    framework = adopt(app, "gdpr")
    with pytest.raises(errors.CheckViolation, match=r"Art\. 99 is no part of Art\. 9"):
        _insert_requirement(
            app, framework, "gdpr", "Art. 99", "article", requirement(app, "Art. 9")
        )


def test_a_parent_cannot_be_renamed_away_from_its_parts(app: Connection) -> None:
    adopt(app, "pci_dss")
    with pytest.raises(errors.CheckViolation, match="is no part of 99"):
        app.execute(
            "UPDATE security_mgmt.framework_requirement SET reference_code = '99'"
            " WHERE reference_code = '12'"
        )


def test_a_requirement_stays_in_its_framework(app: Connection) -> None:
    sox = adopt(app, "sox")
    adopt(app, "gdpr")
    with pytest.raises(errors.RestrictViolation, match="stays in its framework"):
        app.execute(
            "UPDATE security_mgmt.framework_requirement SET compliance_framework_id = %s,"
            " framework_code = 'sox' WHERE reference_code = 'Art. 6'",
            [sox],
        )


def test_the_framework_of_a_requirement_has_its_code(app: Connection) -> None:
    framework = adopt(app, "gdpr")
    with pytest.raises(errors.ForeignKeyViolation):
        _insert_requirement(app, framework, "sox", "999", "section", None)


@pytest.mark.parametrize(
    ("code", "level"),
    [("GV.OC-01x", "subcategory"), ("GV.OC-99", "category"), ("XX", "function"), ("GV", "x")],
)
def test_an_outcome_of_csf_is_one(app: Connection, code: str, level: str) -> None:
    framework = adopt(app, "nist_csf_2")
    with pytest.raises(errors.CheckViolation):
        _insert_requirement(app, framework, "nist_csf_2", code, level, None)


def test_the_count_follows_the_requirements(app: Connection) -> None:
    framework = adopt(app, "gdpr")
    query = (
        "SELECT requirement_count FROM security_mgmt.compliance_framework"
        " WHERE compliance_framework_id = %s"
    )
    _insert_requirement(app, framework, "gdpr", "Art. 88", "article", None)
    assert one(app, query, framework) == 38
    app.execute(
        "DELETE FROM security_mgmt.framework_requirement"
        " WHERE reference_code IN ('Art. 88', 'Art. 6')"
    )
    assert one(app, query, framework) == 36


# Controls and their tests


def test_a_control_stands_as_its_last_tests_left_it(app: Connection) -> None:
    control = add_control(app, "C-1")
    assert standing(app, control) == (None, None, None, None)
    add_test(app, control, "T-1", "effective", "design", days_ago=100)
    add_test(app, control, "T-2", "deficient", "operating", days_ago=50)
    last = TODAY - timedelta(days=50)
    assert standing(app, control) == (True, False, last, last + timedelta(days=60))
    add_test(app, control, "T-3", "effective", "automated_check", days_ago=5)
    last = TODAY - timedelta(days=5)
    assert standing(app, control) == (True, True, last, last + timedelta(days=365))


def test_an_older_test_that_is_recorded_later_changes_nothing(app: Connection) -> None:
    control = add_control(app, "C-1")
    add_test(app, control, "T-1", "effective", days_ago=5)
    before = standing(app, control)
    add_test(app, control, "T-2", "material_weakness", days_ago=200)
    assert standing(app, control) == before


def test_a_test_without_a_result_changes_nothing(app: Connection) -> None:
    control = add_control(app, "C-1")
    add_test(app, control, "T-1", "not_tested")
    assert standing(app, control)[:3] == (None, None, None)


def test_a_test_that_is_corrected_or_gone_is_followed(app: Connection) -> None:
    control = add_control(app, "C-1")
    test = add_test(app, control, "T-1")
    app.execute(
        "UPDATE security_mgmt.control_test SET result = 'deficient', retest_due_on = current_date"
        " WHERE control_test_id = %s",
        [test],
    )
    assert standing(app, control)[1] is False
    app.execute("DELETE FROM security_mgmt.control_test")
    assert standing(app, control)[:3] == (None, None, None)


def test_the_owner_does_not_test_the_control(app: Connection, account: UUID) -> None:
    control = add_control(app, "C-1", owner=account)
    with pytest.raises(errors.CheckViolation, match="the owner of control C-1"):
        add_test(app, control, "T-1", tester=account)


def test_another_tests_it(admin: Connection, tenant: UUID, account: UUID) -> None:
    other = add_account(admin, tenant, "bea")
    become_app(admin, tenant)
    control = add_control(admin, "C-1", owner=account)
    add_test(admin, control, "T-1", tester=other)
    with pytest.raises(errors.CheckViolation, match="the owner of control C-1"):
        admin.execute(
            "UPDATE security_mgmt.control_test SET tester_user_account_id = %s", [account]
        )


def test_a_tester_of_the_past_may_own_the_control_today(
    admin: Connection, tenant: UUID, account: UUID
) -> None:
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    control = add_control(admin, "C-1", owner=account)
    add_test(admin, control, "T-1", tester=account)
    assert standing(admin, control)[1] is True


def test_a_test_stays_with_its_control(app: Connection) -> None:
    add_test(app, add_control(app, "C-1"), "T-1")
    with pytest.raises(errors.RestrictViolation, match="T-1 stays with its control"):
        app.execute(
            "UPDATE security_mgmt.control_test SET security_control_id = %s",
            [add_control(app, "C-2")],
        )


@pytest.mark.parametrize(
    ("column", "value", "truth"),
    [
        ("sample_size", "101", "control_test_sample_of_population"),
        ("exceptions_found", "26", "control_test_exceptions_in_sample"),
        ("exceptions_found", "-1", "control_test_exceptions_in_sample"),
        ("result", "'deficient'", "control_test_deficiency_is_retested"),
        ("period_end", "period_start - 1", "control_test_period_ordered"),
        ("retest_due_on", "performed_on", "control_test_retest_later"),
    ],
)
def test_a_test_adds_up(app: Connection, column: str, value: str, truth: str) -> None:
    add_test(app, add_control(app, "C-1"), "T-1")
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(f"UPDATE security_mgmt.control_test SET {column} = {value}".encode())


def test_key_controls_are_tested_within_a_year(app: Connection) -> None:
    for code, days in (("C-NEW", 5), ("C-OLD", 400)):
        add_test(app, add_control(app, code), f"T-{code}", days_ago=days)
    add_control(app, "C-NEVER")
    add_control(app, "C-OTHER")
    app.execute(
        "UPDATE security_mgmt.security_control SET is_sox_key_control = true,"
        " next_test_on = greatest(last_tested_on, current_date) + 10"
        " WHERE control_code <> 'C-OTHER'"
    )
    rows = app.execute(
        "SELECT control_code, reason FROM security_mgmt.v_overdue_control"
    ).fetchall()
    assert dict(rows) == {
        "C-OLD": "key_control_untested_for_a_year",
        "C-NEVER": "key_control_untested",
    }


# Coverage and assessment


@pytest.mark.parametrize(
    ("coverage", "strength", "implementation", "result", "expected", "status"),
    [
        ("full", 100, "implemented", "effective", 100, "met"),
        ("full", 80, "implemented", "effective", 80, "met"),
        ("full", 79, "implemented", "effective", 79, "partial"),
        ("partial", 100, "implemented", "effective", 50, "partial"),
        ("supporting", 100, "implemented", "effective", 20, "partial"),
        ("full", 100, "partial", "effective", 50, "partial"),
        ("full", 100, "planned", "effective", 0, "missing"),
        ("full", 100, "implemented", "deficient", 0, "missing"),
        ("full", 100, "implemented", None, 0, "missing"),
    ],
)
def test_a_requirement_is_covered_by_controls_that_work(
    app: Connection,
    coverage: str,
    strength: int,
    implementation: str,
    result: str | None,
    expected: int,
    status: str,
) -> None:
    adopt(app, "gdpr")
    control = add_control(app, "C-1")
    app.execute("UPDATE security_mgmt.security_control SET implementation = %s", [implementation])
    add_map(app, control, "Art. 32", coverage, strength)
    if result:
        add_test(app, control, "T-1", result)
    row = app.execute(
        "SELECT coverage, status FROM security_mgmt.framework_score('gdpr')"
        " WHERE requirement = 'Art. 32'"
    ).fetchone()
    assert row == (expected, status)


def test_controls_add_up_to_no_more_than_the_whole(app: Connection) -> None:
    adopt(app, "gdpr")
    for number in range(3):
        control = add_control(app, f"C-{number}")
        add_map(app, control, "Art. 32", "partial", 90)
        add_test(app, control, f"T-{number}")
    query = (
        "SELECT coverage FROM security_mgmt.framework_score('gdpr') WHERE requirement = 'Art. 32'"
    )
    assert one(app, query) == 100


def test_a_framework_that_was_not_adopted_has_no_score(app: Connection) -> None:
    assert app.execute("SELECT * FROM security_mgmt.framework_score('sox')").fetchall() == []


def test_the_scorecard_counts_what_the_score_tells(app: Connection) -> None:
    adopt(app, "sox")
    control = add_control(app, "C-1")
    add_map(app, control, "404(a)")
    add_map(app, control, "409", "partial")
    add_test(app, control, "T-1")
    row = app.execute(
        "SELECT requirement_count, met_count, partial_count, missing_count, score_pct::float"
        " FROM security_mgmt.v_compliance_scorecard WHERE code = 'sox'"
    ).fetchone()
    # 404(a) weighs 3 and 409 one of 15 in all: (300 + 50) / 15.
    assert row == (11, 1, 1, 9, pytest.approx(23.33, abs=0.005))


def test_another_tenant_has_its_own_score(admin: Connection, tenant: UUID, account: UUID) -> None:
    other = add_tenant(admin, "second")
    become_app(admin, tenant)
    adopt(admin, "sox")
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [other])
    assert admin.execute("SELECT * FROM security_mgmt.framework_score('sox')").fetchall() == []


def add_assessment(connection: Connection, framework: UUID) -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO security_mgmt.compliance_assessment (business_id, compliance_framework_id,"
        f" title, assessment_kind, period_start, period_end) VALUES ({HERE}, %s, 'SOX', 'sox_404',"
        " current_date - 300, current_date - 10) RETURNING compliance_assessment_id",
        framework,
    )
    return found


def test_an_assessment_is_measured(app: Connection) -> None:
    assessment = add_assessment(app, adopt(app, "sox"))
    control = add_control(app, "C-1")
    add_map(app, control, "404(a)")
    add_test(app, control, "T-1")
    assert one(app, "SELECT security_mgmt.measure_assessment(%s)", assessment) == 20
    row = app.execute(
        "SELECT requirements_total, requirements_met FROM security_mgmt.compliance_assessment"
    ).fetchone()
    assert row == (11, 1)


def test_an_assessment_that_is_not_there_is_not_measured(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="there is no assessment"):
        app.execute("SELECT security_mgmt.measure_assessment(%s)", [uuid4()])


def _issue(connection: Connection, assessment: UUID) -> None:
    for state in ("fieldwork", "review"):
        connection.execute("UPDATE security_mgmt.compliance_assessment SET state = %s", [state])
    connection.execute(
        "UPDATE security_mgmt.compliance_assessment SET state = 'issued',"
        " opinion = 'unqualified', issued_on = current_date WHERE compliance_assessment_id = %s",
        [assessment],
    )


def test_an_issued_assessment_is_not_measured_again(app: Connection) -> None:
    assessment = add_assessment(app, adopt(app, "sox"))
    _issue(app, assessment)
    with pytest.raises(errors.RestrictViolation, match='"SOX" was issued'):
        app.execute("SELECT security_mgmt.measure_assessment(%s)", [assessment])


def test_an_issued_assessment_is_closed(app: Connection) -> None:
    _issue(app, add_assessment(app, adopt(app, "sox")))
    app.execute("UPDATE security_mgmt.compliance_assessment SET state = 'closed'")


@pytest.mark.parametrize("change", ["opinion = 'not_issued'", "issued_on = NULL"])
def test_an_assessment_is_issued_with_opinion_and_day(app: Connection, change: str) -> None:
    add_assessment(app, adopt(app, "sox"))
    for state in ("fieldwork", "review"):
        app.execute("UPDATE security_mgmt.compliance_assessment SET state = %s", [state])
    values = {"opinion": "'qualified'", "issued_on": "current_date"}
    column, _, value = change.partition(" = ")
    values[column] = value
    with pytest.raises(errors.CheckViolation, match="compliance_assessment_issued_has"):
        app.execute(
            f"UPDATE security_mgmt.compliance_assessment SET state = 'issued',"
            f" opinion = {values['opinion']}, issued_on = {values['issued_on']}".encode()
        )


ASSESSMENT = {
    "planned": {"fieldwork"},
    "fieldwork": {"review"},
    "review": {"issued", "fieldwork"},
    "issued": {"closed"},
    "closed": set(),
}
EVIDENCE = {
    "new": {"accepted", "rejected"},
    "accepted": {"stale"},
    "rejected": set(),
    "stale": set(),
}


def _refused(machine: dict[str, set[str]]) -> list[tuple[str, str]]:
    return [(a, b) for a in machine for b in machine if a != b and b not in machine[a]]


@pytest.mark.parametrize(("old", "new"), _refused(ASSESSMENT))
def test_an_assessment_refuses_other_ways(
    admin: Connection, tenant: UUID, account: UUID, old: str, new: str
) -> None:
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    framework = adopt(admin, "sox")
    issued = old in ("issued", "closed")
    admin.execute(
        "INSERT INTO security_mgmt.compliance_assessment (business_id, compliance_framework_id,"
        " title, assessment_kind, period_start, period_end, state, opinion, issued_on)"
        " VALUES (%s, %s, 'SOX', 'sox_404', current_date - 9, current_date, %s, %s, %s)",
        [tenant, framework, old, "adverse" if issued else "not_issued", TODAY if issued else None],
    )
    become_app(admin, tenant)
    with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
        admin.execute("UPDATE security_mgmt.compliance_assessment SET state = %s", [new])


# Evidence


def add_evidence(
    connection: Connection, control: UUID, state: str = "new", test: UUID | None = None
) -> UUID:
    found: UUID = one(
        connection,
        "INSERT INTO security_mgmt.control_evidence (business_id, security_control_id,"
        " control_test_id, evidence_kind, title, query_text, query_result, content_sha256,"
        " review_state, period_start, period_end, valid_until)"
        f" VALUES ({HERE}, %s, %s, 'query_result', 'Accounts', 'SELECT 1', '[1]',"
        " sha256('forged'), %s, current_date - 90, current_date, current_date + 300)"
        " RETURNING control_evidence_id",
        control,
        test,
        state,
    )
    return found


def test_a_result_is_hashed_by_the_database(app: Connection) -> None:
    add_evidence(app, add_control(app, "C-1"))
    assert one(app, "SELECT content_sha256 = sha256('[1]') FROM security_mgmt.control_evidence")


@pytest.mark.parametrize(
    "change", ["content_sha256 = sha256('other')", "query_result = '[2]'::jsonb"]
)
def test_the_content_of_evidence_never_changes(app: Connection, change: str) -> None:
    add_evidence(app, add_control(app, "C-1"))
    with pytest.raises(errors.RestrictViolation, match='"Accounts" cannot be changed'):
        app.execute(f"UPDATE security_mgmt.control_evidence SET {change}".encode())


@pytest.mark.parametrize("change", ["period_start = period_start - 1", "period_end = '2099-01-01'"])
def test_the_period_changes_until_it_is_accepted(app: Connection, change: str) -> None:
    statement = f"UPDATE security_mgmt.control_evidence SET {change}".encode()
    add_evidence(app, add_control(app, "C-1"))
    app.execute(statement)
    app.execute(
        "UPDATE security_mgmt.control_evidence SET period_end = current_date,"
        " review_state = 'accepted'"
    )
    with pytest.raises(errors.RestrictViolation, match="it is accepted and hashed"):
        app.execute(statement)


def test_accepted_evidence_is_not_deleted(app: Connection) -> None:
    add_evidence(app, add_control(app, "C-1"))
    app.execute("UPDATE security_mgmt.control_evidence SET review_state = 'accepted'")
    with pytest.raises(errors.RestrictViolation, match="cannot be changed"):
        app.execute("DELETE FROM security_mgmt.control_evidence")


def test_new_evidence_is_deleted(app: Connection) -> None:
    add_evidence(app, add_control(app, "C-1"))
    app.execute("DELETE FROM security_mgmt.control_evidence")
    assert one(app, "SELECT count(*) FROM security_mgmt.control_evidence") == 0


def test_evidence_is_of_the_control_that_was_tested(app: Connection) -> None:
    control = add_control(app, "C-1")
    test = add_test(app, control, "T-1")
    add_evidence(app, control, test=test)
    with pytest.raises(errors.ForeignKeyViolation):
        add_evidence(app, add_control(app, "C-2"), test=test)


def test_evidence_is_a_file_or_a_result(app: Connection) -> None:
    add_control(app, "C-1")
    with pytest.raises(errors.CheckViolation, match="control_evidence_is_file_or_result"):
        app.execute(
            "INSERT INTO security_mgmt.control_evidence (business_id, security_control_id,"
            " evidence_kind, title, content_sha256, period_start, period_end)"
            " SELECT business_id, security_control_id, 'report', 'None', sha256(''),"
            " current_date, current_date FROM security_mgmt.security_control"
        )


@pytest.mark.parametrize(("old", "new"), _refused(EVIDENCE))
def test_a_review_refuses_other_ways(
    admin: Connection, tenant: UUID, account: UUID, old: str, new: str
) -> None:
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    add_evidence(admin, add_control(admin, "C-1"), old)
    become_app(admin, tenant)
    with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
        admin.execute("UPDATE security_mgmt.control_evidence SET review_state = %s", [new])


@pytest.mark.parametrize("strength", [-1, 101])
def test_the_strength_of_a_mapping_is_bounded(app: Connection, strength: int) -> None:
    adopt(app, "gdpr")
    with pytest.raises(errors.CheckViolation, match="control_mapping_strength_bounded"):
        add_map(app, add_control(app, "C-1"), "Art. 32", strength=strength)


def test_what_is_inherited_says_from_whom(app: Connection) -> None:
    adopt(app, "gdpr")
    add_map(app, add_control(app, "C-1"), "Art. 32")
    with pytest.raises(errors.CheckViolation, match="control_mapping_inherited_has_source"):
        app.execute("UPDATE security_mgmt.control_mapping SET is_inherited = true")


def test_effectiveness_is_published_to_its_tenant(admin: Connection, tenant: UUID) -> None:
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    adopt(admin, "gdpr")
    control = add_control(admin, "C-1")
    add_map(admin, control, "Art. 32")
    add_map(admin, control, "Art. 33", "partial", 50)
    add_test(admin, control, "T-1", "deficient")
    add_test(admin, control, "T-2", days_ago=1)
    admin.execute("REFRESH MATERIALIZED VIEW security_mgmt.mv_control_effectiveness")
    query = (
        "SELECT framework_code, requirement_count, full_count, average_strength, last_result"
        " FROM security_mgmt.v_control_effectiveness"
    )
    become_app(admin, tenant)
    assert admin.execute(query.encode()).fetchall() == [("gdpr", 2, 1, 75, "effective")]
    admin.execute("SELECT tenant_mgmt.set_tenant(gen_random_uuid())")
    assert admin.execute(query.encode()).fetchall() == []
