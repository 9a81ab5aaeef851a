"""Tax tables cover all wages once; certificates follow each other; what was used stays."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.payday import Company, shop
from tests.integration.schema.rows import row

__all__ = ["shop"]  # a fixture


def place(app: Connection, level: str, parent: UUID | None = None, **columns: Any) -> UUID:
    given = {"level": level, "parent_jurisdiction_id": parent, **columns}
    return row(app, "payroll.tax_jurisdiction", **given)


@pytest.mark.parametrize(
    ("chain", "ok"),
    [
        (["state"], True),
        (["state", "county"], True),
        (["state", "city"], True),
        (["state", "county", "city"], True),
        (["state", "county", "city", "transit_district"], True),
        (["state", "school_district"], True),
        (["county"], False),
        (["city"], False),
        (["state", "city", "county"], False),
        (["state", "state"], False),
        (["state", "school_district", "school_district"], False),
        (["state", "transit_district", "city"], False),
    ],
)
def test_a_place_lies_within_a_higher_one(app: Connection, chain: list[str], ok: bool) -> None:
    parent = place(app, "federal", code="US")
    for level, code in zip(chain[:-1], ("IL", "WI", "IN"), strict=False):
        parent = place(app, level, parent, code=code)
    if ok:
        assert place(app, chain[-1], parent, code="OH")
        return
    with pytest.raises(errors.CheckViolation, match="does not lie within"):
        place(app, chain[-1], parent, code="OH")


def table(app: Connection, *brackets: tuple[Any, ...], **columns: Any) -> UUID:
    version = row(app, "payroll.tax_rate_version", formula="bracket", **columns)
    for number, (low, high, base, rate) in enumerate(brackets, 1):
        row(
            app,
            "payroll.tax_bracket",
            tax_rate_version_id=version,
            bracket_no=number,
            from_amount=low,
            to_amount=high,
            base_tax_amount=base,
            marginal_rate=rate,
        )
    return version


GOOD = [(0, 1000, 0, 0), (1000, 5000, 0, "0.1"), (5000, None, 400, "0.2")]


def check(app: Connection) -> None:
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_whole_table_stands(app: Connection) -> None:
    version = table(app, *GOOD)
    check(app)
    taxes = [
        app.execute(
            "SELECT payroll.bracket_tax(%s, 'single', false, 'annual', %s)", [version, wages]
        ).fetchone()
        for wages in (-5, 0, 999, 1000, 2000, 5000, 6000)
    ]
    assert [t[0] if t else None for t in taxes] == [0, 0, 0, 0, 100, 400, 600]


@pytest.mark.parametrize(
    "brackets",
    [
        GOOD[:2],
        [GOOD[0], GOOD[2]],
        [GOOD[0], (1001, 5000, 0, "0.1"), GOOD[2]],
        [GOOD[0], (999, 5000, 0, "0.1"), GOOD[2]],
        [GOOD[0], (1000, None, 0, "0.1"), GOOD[2]],
    ],
)
def test_a_table_with_a_gap_is_refused(app: Connection, brackets: list[Any]) -> None:
    table(app, *brackets)
    with pytest.raises(errors.CheckViolation, match="does not follow"):
        check(app)


def test_a_bracket_is_not_taken_out(app: Connection) -> None:
    table(app, *GOOD)
    check(app)
    with pytest.raises(errors.CheckViolation, match="does not follow"):
        app.execute("DELETE FROM payroll.tax_bracket WHERE bracket_no = 2")


def test_versions_of_a_code_do_not_overlap(app: Connection) -> None:
    code = row(app, "payroll.tax_code")
    row(app, "payroll.tax_rate_version", tax_code_id=code, effective_until="2026-07-01")
    row(
        app,
        "payroll.tax_rate_version",
        tax_code_id=code,
        effective_from="2026-07-01",
        rate="0.01",
    )
    with pytest.raises(errors.ExclusionViolation, match="no_overlap"):
        row(app, "payroll.tax_rate_version", tax_code_id=code, effective_from="2026-05-01")


@pytest.mark.parametrize(
    ("change", "ok"),
    [
        ("UPDATE payroll.tax_rate_version SET rate = 0.05 WHERE rate = 0.0495", False),
        ("UPDATE payroll.tax_rate_version SET parameters = '{}' WHERE formula = 'bracket'", False),
        ("UPDATE payroll.tax_bracket SET marginal_rate = 0.11 WHERE marginal_rate = 0.1", False),
        ("DELETE FROM payroll.tax_bracket", False),
        ("UPDATE payroll.tax_rate_version SET effective_until = '2026-07-01'", True),
        ("UPDATE payroll.tax_rate_version SET published_reference = 'IL-700-T'", True),
    ],
)
def test_a_table_that_was_used_stays(shop: Company, change: str, ok: bool) -> None:
    shop.hire(rate=78000, basis="salary")
    run = shop.start()
    shop.calculate(run)
    # A draft does not bind.
    with shop.connection.transaction(force_rollback=True):
        shop.connection.execute(change.encode())
    shop.approve(run)
    if ok:
        shop.connection.execute(change.encode())
        return
    with pytest.raises(errors.RestrictViolation, match="by this tax table"):
        shop.connection.execute(change.encode())


def elect(app: Connection, who: UUID, where: UUID, since: str, **columns: Any) -> UUID:
    return row(
        app,
        "payroll.withholding_election",
        employee_id=who,
        tax_jurisdiction_id=where,
        effective_from=since,
        **columns,
    )


def test_a_new_certificate_ends_the_former(app: Connection) -> None:
    who, where = row(app, "payroll.employee"), place(app, "federal")
    elect(app, who, where, "2026-01-01", filing_status="single")
    elect(app, who, where, "2026-03-01", filing_status="married_joint")
    found = [
        app.execute(
            "SELECT payroll.election_of(%s, %s, %s) ->> 'filing_status'", [who, where, day]
        ).fetchone()
        for day in ("2025-12-31", "2026-02-28", "2026-03-01")
    ]
    assert found == [(None,), ("single",), ("married_joint",)]
    with pytest.raises(errors.ExclusionViolation, match="no_overlap"):
        elect(app, who, where, "2026-03-01")


def test_a_lock_in_letter_overrides(app: Connection) -> None:
    who, where = row(app, "payroll.employee"), place(app, "federal")
    elect(app, who, where, "2026-01-01", dependents_amount=4000)
    elect(app, who, where, "2026-02-01", is_locked_in=True, signed_at=None)
    with pytest.raises(errors.CheckViolation, match="locked the withholding"), app.transaction():
        elect(app, who, where, "2026-03-01", dependents_amount=4000)
    # Another letter may follow; so may a certificate once the agency let go.
    elect(app, who, where, "2026-03-01", is_locked_in=True, signed_at=None)
    app.execute(
        "UPDATE payroll.withholding_election SET lock_in_released_on = '2026-05-01'"
        " WHERE is_locked_in AND effective_until IS NULL"
    )
    with pytest.raises(errors.CheckViolation, match="locked the withholding"), app.transaction():
        elect(app, who, where, "2026-04-30")
    assert elect(app, who, where, "2026-05-01", dependents_amount=4000)


def test_a_slow_schedule_is_found(shop: Company) -> None:
    findings = "SELECT * FROM payroll.pay_frequency_findings(%s)"
    assert shop.all(findings, shop.schedule) == []
    shop.connection.execute(
        "UPDATE payroll.tax_jurisdiction SET slowest_pay_frequency = 'weekly' WHERE code = 'IL'"
    )
    assert shop.all(findings, shop.schedule) == [("IL", "biweekly", "weekly")]


def test_a_state_without_tables_is_found(shop: Company) -> None:
    assert shop.all("SELECT * FROM payroll.missing_jurisdictions()") == []
    shop.hire(lives_in="WI")
    assert shop.all("SELECT * FROM payroll.missing_jurisdictions()") == [("WI", 0, 1)]


@pytest.mark.parametrize(
    ("formula", "columns", "wages", "frequency", "election", "tax"),
    [
        ("flat", {"rate": "0.05"}, 1000, "weekly", "{}", "50.00"),
        (
            "flat",
            {"rate": "0.05", "standard_deduction_amount": 5200},
            1000,
            "weekly",
            "{}",
            "45.00",
        ),
        (
            "flat",
            {"rate": "0.05", "allowance_amount": 2600},
            1000,
            "weekly",
            '{"allowances": 2}',
            "45.00",
        ),
        (
            "flat",
            {"rate": "0.05", "parameters": '{"allowance_credit": 104}'},
            1000,
            "weekly",
            '{"allowances": 1}',
            "48.00",
        ),
        ("flat", {"rate": "0.05"}, 1000, "monthly", '{"extra_withholding_amount": 10}', "60.00"),
        ("flat", {"rate": "0.05"}, 1000, "monthly", '{"is_exempt": true}', "0"),
        ("flat", {"rate": "0.05"}, 1000, "monthly", '{"dependents_amount": 1200}', "0"),
    ],
)
def test_states_withhold_by_constants_of_their_own(
    app: Connection,
    formula: str,
    columns: dict[str, Any],
    wages: int,
    frequency: str,
    election: str,
    tax: str,
) -> None:
    version = row(app, "payroll.tax_rate_version", formula=formula, **columns)
    found = app.execute(
        "SELECT payroll.income_withholding(%s, %s, %s, %s::jsonb)",
        [version, wages, frequency, election],
    ).fetchone()
    wanted = Decimal(tax) if tax != "0" or '"is' in election else Decimal("0")
    assert found == (max(wanted, Decimal(0)),)


def test_a_wage_bracket_table_is_read_by_frequency(app: Connection) -> None:
    version = row(app, "payroll.tax_rate_version", formula="table")
    for frequency, amount in (("weekly", 12), ("monthly", 50)):
        for number, (low, high) in enumerate(((0, 500), (500, None)), 1):
            row(
                app,
                "payroll.tax_bracket",
                tax_rate_version_id=version,
                pay_frequency=frequency,
                bracket_no=number,
                from_amount=low,
                to_amount=high,
                base_tax_amount=amount * (number - 1),
            )
    for frequency, amount in (("weekly", 12), ("monthly", 50)):
        found = app.execute(
            "SELECT payroll.income_withholding(%s, 700, %s, '{}')", [version, frequency]
        ).fetchone()
        assert found == (amount,)
    with pytest.raises(errors.NoDataFound, match="no table for single biweekly"):
        app.execute("SELECT payroll.income_withholding(%s, 700, 'biweekly', '{}')", [version])


@pytest.mark.parametrize(
    ("table_name", "columns", "truth"),
    [
        ("tax_jurisdiction", {"level": "state", "code": "IL"}, "only_federal_stands_alone"),
        ("tax_jurisdiction", {"supplemental_rate": "0.6"}, "supplemental_rate_bounded"),
        (
            "tax_jurisdiction",
            {"taxes_residents": False, "taxes_nonresidents": False},
            "taxes_somebody",
        ),
        ("tax_code", {"tax_kind": "income", "payer": "employer"}, "payer_fits"),
        (
            "tax_code",
            {"tax_kind": "social_security", "payer": "employee", "wage_base_amount": 9},
            "payer_fits",
        ),
        ("tax_code", {"tax_kind": "sui", "payer": "employer"}, "base_where_there_is_one"),
        (
            "tax_code",
            {"tax_kind": "futa", "payer": "employer", "wage_base_amount": 0},
            "base_where_there_is_one|amounts_positive",
        ),
        ("tax_code", {"is_experience_rated": True}, "employers_earn_their_rate"),
        ("tax_code", {"filing_form": " "}, "form_is_named"),
        ("tax_rate_version", {"rate": "0.51"}, "rate_bounded"),
        ("tax_rate_version", {"allowance_amount": -1}, "amounts_not_negative"),
        ("tax_rate_version", {"effective_from": "2027-01-01"}, "of_its_year"),
        ("tax_rate_version", {"effective_until": "2026-01-01"}, "ends_after_start"),
        ("tax_rate_version", {"formula": "fixed_amount"}, "fixed_amount_is_said"),
        ("tax_bracket", {"marginal_rate": "0.61"}, "marginal_rate_bounded"),
        ("tax_bracket", {"from_amount": 5}, "first_starts_at_zero"),
        ("tax_bracket", {"bracket_no": 2}, "first_starts_at_zero"),
        ("tax_bracket", {"to_amount": 0}, "ends_above_start"),
        (
            "employer_tax_account",
            {"experience_rate": "0.21", "experience_rate_from": "2026-01-01"},
            "experience_rate_bounded",
        ),
        ("employer_tax_account", {"experience_rate": "0.02"}, "rate_has_date"),
        ("employer_tax_account", {"status": "active", "account_number": None}, "active_has_number"),
        ("withholding_election", {"dependents_amount": -1}, "amounts_not_negative"),
        ("withholding_election", {"allowances": 1}, "new_form_has_no_allowances"),
        (
            "withholding_election",
            {"form_version": "w4_pre_2020", "dependents_amount": 5},
            "old_form_has_no_steps",
        ),
        ("withholding_election", {"is_exempt": True}, "exemption_expires"),
        (
            "withholding_election",
            {"is_exempt": True, "exempt_expires_on": "2027-02-16"},
            "exempt_until_15_february",
        ),
        ("withholding_election", {"lock_in_released_on": "2026-05-01"}, "release_is_of_lock_in"),
        ("withholding_election", {"signed_at": None}, "signed_unless_locked"),
        ("tax_reciprocity", {"withhold_for": "work"}, "kind_fits"),
        ("tax_reciprocity", {"threshold_days": 184}, "threshold_bounded"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table_name: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table_name}_.*({truth})"):
        row(app, f"payroll.{table_name}", **columns)


def test_an_agreement_is_between_two(app: Connection) -> None:
    one = place(app, "federal")
    with pytest.raises(errors.CheckViolation, match="between_two"):
        row(
            app,
            "payroll.tax_reciprocity",
            work_jurisdiction_id=one,
            resident_jurisdiction_id=one,
        )


def test_an_employer_has_one_open_account_for_a_tax(app: Connection) -> None:
    same = {
        "employer_entity_id": row(app, "payroll.employer_entity"),
        "tax_jurisdiction_id": place(app, "federal"),
    }
    row(app, "payroll.employer_tax_account", **same, status="closed")
    row(app, "payroll.employer_tax_account", **same)
    with pytest.raises(errors.UniqueViolation, match="open"):
        row(app, "payroll.employer_tax_account", **same)
