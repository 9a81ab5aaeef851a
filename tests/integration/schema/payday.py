"""A small company that pays people: its tables, codes and calendar, and one who works there.

The tax tables are those of 2026 for the federal income tax (IRS Publication 15-T, percentage method
for automated payroll systems) and of Illinois, as rows of the tenant like any other.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from harness.db import Connection
from tests.integration.conftest import add_account
from tests.integration.schema.rows import imported, row

_serial = itertools.count(1)

WIDTHS = {
    # Upper ends of the brackets above what is not taxed at all.
    "single": (7500, (12400, 50400, 105700, 201775, 256225, 640600)),
    "married_joint": (19300, (24800, 100800, 211400, 403550, 512450, 768700)),
    "head_of_household": (15550, (17700, 67450, 105700, 201750, 256200, 640600)),
}
RATES = ("0.10", "0.12", "0.22", "0.24", "0.32", "0.35", "0.37")
CODES = {
    "REG": {"earning_kind": "regular", "counts_for_401k": True},
    "SALARY": {"earning_kind": "regular", "is_default": True, "counts_for_401k": True},
    "OT": {"earning_kind": "overtime", "multiplier": "1.5", "counts_for_401k": True},
    "PTO": {"earning_kind": "pto", "counts_for_401k": True},
    "BONUS": {"earning_kind": "bonus", "is_supplemental": True},
    "TIPS": {"earning_kind": "tips", "is_default": True},
    "MAKEUP": {"earning_kind": "premium", "is_default": True},
    "EXPENSE": {
        "earning_kind": "reimbursement",
        "taxable_federal": False,
        "taxable_social_security": False,
        "taxable_medicare": False,
        "taxable_state": False,
    },
    "LIFE": {"earning_kind": "imputed"},
}
DEDUCTIONS: dict[str, dict[str, Any]] = {
    "MEDICAL": {"category": "health", "tax_treatment": "section_125", "priority": 100},
    "401K": {
        "category": "retirement_pretax",
        "tax_treatment": "deferral_401k",
        "calculation": "percent_gross",
        "priority": 200,
        "annual_limit_amount": 24500,
        "catch_up_limit_amount": 8000,
        "catch_up_from_age": 50,
    },
    "ROTH": {
        "category": "roth",
        "calculation": "percent_gross",
        "priority": 600,
        "annual_limit_amount": 24500,
    },
    "GARNISH": {"category": "garnishment", "calculation": "percent_disposable", "priority": 300},
    "LOAN": {"category": "loan", "priority": 700, "arrears_allowed": True},
    "UNION": {"category": "union_dues", "calculation": "per_hour", "priority": 650},
}


@dataclass
class Company:
    connection: Connection
    employer: UUID
    place: UUID
    department: UUID
    schedule: UUID
    preparer: UUID
    approver: UUID
    codes: dict[str, UUID] = field(default_factory=dict)
    deductions: dict[str, UUID] = field(default_factory=dict)
    taxes: dict[str, UUID] = field(default_factory=dict)
    places: dict[str, UUID] = field(default_factory=dict)

    def one(self, query: str, *values: Any) -> Any:
        found = self.connection.execute(query.encode(), values).fetchone()
        assert found
        return found[0] if len(found) == 1 else found

    def all(self, query: str, *values: Any) -> list[Any]:
        return self.connection.execute(query.encode(), values).fetchall()

    def period(self, number: int = 1) -> UUID:
        key = self.one(
            "SELECT pay_period_id FROM payroll.pay_period WHERE pay_schedule_id = %s"
            " ORDER BY starts_on OFFSET %s LIMIT 1",
            self.schedule,
            number - 1,
        )
        assert isinstance(key, UUID)
        return key

    def hire(
        self,
        rate: Any = 20,
        basis: str = "hourly",
        hired_on: str = "2024-03-04",
        place: UUID | None = None,
        lives_in: str | None = None,
        election: dict[str, Any] | None = None,
        **employee: Any,
    ) -> UUID:
        """An employee with a job, a rate and a federal certificate (single, unless said)."""
        place = place or self.place
        number = next(_serial)
        who = row(
            self.connection,
            "payroll.employee",
            employer_entity_id=self.employer,
            primary_work_location_id=place,
            employee_number=f"E{number:05}",
            first_name="Ada",
            last_name=f"Worker {number}",
            birth_date=employee.pop("birth_date", "1990-05-05"),
            status="active",
            **employee,
        )
        spell = {"employee_id": who, "employer_entity_id": self.employer, "hired_on": hired_on}
        row(self.connection, "payroll.employment_spell", **spell, **_ends_if_it_must(self))
        job = row(
            self.connection,
            "payroll.job_assignment",
            employee_id=who,
            job_profile_id=self.profile(exempt=basis == "salary"),
            department_id=self.department,
            work_location_id=place,
            is_primary=True,
            assignment_no=1,
            worker_category="full_time",
            standard_hours_weekly=40,
            effective_from=hired_on,
            change_reason="hire",
        )
        self.pay(job, rate, basis, hired_on)
        if lives_in:
            row(
                self.connection,
                "payroll.employee_residence",
                employee_id=who,
                state_code=lives_in,
                effective_from=hired_on,
                source="hr",
            )
        row(
            self.connection,
            "payroll.withholding_election",
            employee_id=who,
            tax_jurisdiction_id=self.places["US"],
            **{"effective_from": hired_on, **(election or {})},
        )
        return who

    def pay(self, job: UUID, rate: Any, basis: str = "hourly", since: str = "2024-03-04") -> UUID:
        annual = Decimal(rate) * (2080 if basis == "hourly" else 1)
        return row(
            self.connection,
            "payroll.compensation_rate",
            job_assignment_id=job,
            pay_basis=basis,
            rate_amount=rate,
            annualized_amount=annual,
            currency_code="USD",
            pay_frequency_basis={"hourly": "hour", "salary": "year"}.get(basis, "unit"),
            effective_from=since,
            reason="hire",
        )

    def profile(self, exempt: bool = False) -> UUID:
        return row(
            self.connection,
            "payroll.job_profile",
            flsa_status="exempt" if exempt else "nonexempt",
            exemption_test="administrative" if exempt else "none",
        )

    def job(self, employee: UUID) -> UUID:
        key = self.one(
            "SELECT job_assignment_id FROM payroll.job_assignment WHERE employee_id = %s"
            " AND is_primary",
            employee,
        )
        assert isinstance(key, UUID)
        return key

    def work(
        self, employee: UUID, period: int, *entries: tuple[Any, ...], status: str = "approved"
    ) -> UUID:
        """An approved timesheet: (day, hours, kind, earning code, rate) for each entry."""
        times: dict[str, Any] = {}
        if status != "open":
            times["submitted_at"] = "2026-01-11 10:00+00"
        if status in ("approved", "locked"):
            times |= {"approved_at": "2026-01-12 10:00+00", "approved_by": self.approver}
        sheet = imported(
            self.connection,
            "payroll.timesheet",
            employee_id=employee,
            pay_period_id=self.period(period),
            status=status,
            **times,
        )
        for day, hours, *rest in entries:
            kind, code, rate = (*rest, *(None,) * (3 - len(rest)))
            imported(
                self.connection,
                "payroll.timesheet_entry",
                timesheet_id=sheet,
                job_assignment_id=self.job(employee),
                earning_code_id=self.codes[
                    code or {"overtime": "OT", "pto": "PTO"}.get(kind or "regular", "REG")
                ],
                work_date=day,
                hours=hours,
                entry_kind=kind or "regular",
                rate_override_amount=rate,
            )
        return sheet

    def deduct(self, employee: UUID, code: str, **columns: Any) -> UUID:
        if "percent" in columns:
            columns["amount"] = None
        return row(
            self.connection,
            "payroll.employee_deduction",
            employee_id=employee,
            deduction_code_id=self.deductions[code],
            **columns,
        )

    def garnish(self, employee: UUID, **order: Any) -> UUID:
        """An order in force, withheld through a standing deduction."""
        made = row(
            self.connection,
            "payroll.garnishment_order",
            employee_id=employee,
            case_number=f"CASE-{next(_serial)}",
            **order,
        )
        self.deduct(employee, "GARNISH", amount=0, garnishment_order_id=made)
        self.connection.execute(
            "UPDATE payroll.garnishment_order SET status = 'active'"
            " WHERE garnishment_order_id = %s",
            [made],
        )
        return made

    def give(self, employee: UUID, code: str, run: UUID | None = None, **columns: Any) -> UUID:
        """An approved one-time input of the first period."""
        made = row(
            self.connection,
            "payroll.variable_pay_input",
            employee_id=employee,
            earning_code_id=self.codes[code],
            **{"pay_period_id": self.period(), "pay_run_id": run, **columns},
        )
        self.connection.execute(
            "UPDATE payroll.variable_pay_input SET status = 'approved', approved_at = now()"
            " WHERE variable_pay_input_id = %s",
            [made],
        )
        return made

    def start(self, period: int = 1, kind: str = "regular", pays_on: str | None = None) -> UUID:
        key = self.one(
            "SELECT payroll.start_pay_run(%s, %s, %s, %s)",
            self.period(period),
            self.preparer,
            kind,
            pays_on,
        )
        assert isinstance(key, UUID)
        return key

    def calculate(self, run: UUID) -> dict[UUID, str]:
        return dict(self.all("SELECT * FROM payroll.calculate_payroll(%s)", run))

    def approve(self, run: UUID) -> None:
        self.connection.execute("SELECT payroll.submit_payroll(%s, %s)", [run, [self.approver]])
        self.connection.execute("SELECT payroll.approve_payroll(%s, 1, %s)", [run, self.approver])

    def finish(self, period: int = 1) -> UUID:
        """A regular run of a period, calculated and approved."""
        run = self.start(period)
        self.calculate(run)
        self.approve(run)
        return run

    def paycheck(self, run: UUID, employee: UUID) -> dict[str, Any]:
        cursor = self.connection.execute(
            "SELECT * FROM payroll.paycheck WHERE pay_run_id = %s AND employee_id = %s",
            [run, employee],
        )
        found = cursor.fetchone()
        assert found
        assert cursor.description
        return dict(zip([c.name for c in cursor.description], found, strict=True))

    def tax(self, paycheck: UUID, payer: str = "employee") -> dict[str, Decimal]:
        return dict(
            self.all(
                "SELECT c.code, t.tax_amount FROM payroll.paycheck_tax AS t"
                " JOIN payroll.tax_code AS c USING (business_id, tax_code_id)"
                " WHERE t.paycheck_id = %s AND t.payer = %s",
                paycheck,
                payer,
            )
        )

    def deducted(self, paycheck: UUID) -> dict[str, Decimal]:
        return dict(
            self.all(
                "SELECT c.code, d.employee_amount FROM payroll.paycheck_deduction AS d"
                " JOIN payroll.deduction_code AS c USING (business_id, deduction_code_id)"
                " WHERE d.paycheck_id = %s",
                paycheck,
            )
        )

    def findings(self, run: UUID) -> dict[str, str]:
        return dict(
            self.all(
                "SELECT code, severity FROM payroll.pay_run_exception"
                " WHERE pay_run_id = %s AND status = 'open'",
                run,
            )
        )

    def differences(self) -> list[Any]:
        return self.all("SELECT * FROM payroll.register_differences()")

    def levy(
        self, place: str, code: str, kind: str, payer: str, **version: Any
    ) -> tuple[UUID, UUID]:
        """A tax of a jurisdiction with its table of 2026."""
        base = {"wage_base_amount": version.get("wage_base_amount")}
        tax = row(
            self.connection,
            "payroll.tax_code",
            tax_jurisdiction_id=self.places[place],
            code=code,
            name=code,
            tax_kind=kind,
            payer=payer,
            is_experience_rated=kind == "sui",
            frequency=version.pop("frequency", "per_check"),
            **base,
        )
        table = row(
            self.connection,
            "payroll.tax_rate_version",
            tax_code_id=tax,
            tax_year=2026,
            **{"effective_from": "2020-01-01", **version},
        )
        self.taxes[code] = tax
        return tax, table


def _ends_if_it_must(company: Company) -> dict[str, Any]:
    """A kind of termination where the column still asks for one."""
    asked = company.one(
        "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'payroll.employment_spell'::regclass"
        " AND attname = 'termination_kind'"
    )
    return {"termination_kind": "voluntary"} if asked else {}


def company(connection: Connection, preparer: UUID, approver: UUID) -> Company:
    """A company in Illinois that pays every two weeks, with periods to May 2026."""
    number = next(_serial)
    employer = row(
        connection,
        "payroll.employer_entity",
        legal_name=f"Corner {number} LLC",
        ein=f"{number:09}",
        entity_kind="llc",
        deposit_frequency="monthly",
        form_type="941",
        status="active",
    )
    place = row(
        connection,
        "payroll.work_location",
        employer_entity_id=employer,
        state_code="IL",
        minimum_wage_amount=15,
        time_zone="America/Chicago",
        is_active=True,
    )
    department = row(connection, "payroll.department", effective_from="2020-01-01")
    schedule = row(connection, "payroll.pay_schedule", employer_entity_id=employer)
    made = Company(connection, employer, place, department, schedule, preparer, approver)
    for code, columns in CODES.items():
        made.codes[code] = row(connection, "payroll.earning_code", code=code, **columns)
    for code, columns in DEDUCTIONS.items():
        made.deductions[code] = row(connection, "payroll.deduction_code", code=code, **columns)
    made.places["US"] = row(
        connection, "payroll.tax_jurisdiction", code="US", supplemental_rate="0.22"
    )
    made.places["IL"] = row(
        connection,
        "payroll.tax_jurisdiction",
        code="IL",
        level="state",
        parent_jurisdiction_id=made.places["US"],
        supplemental_rate="0.0495",
    )
    _, federal = made.levy(
        "US",
        "FIT",
        "income",
        "employee",
        formula="bracket",
        allowance_amount=4300,
        parameters='{"adjustment": {"married_joint": 12900, "other": 8600}}',
    )
    load_brackets(connection, federal)
    made.levy(
        "US",
        "SS",
        "social_security",
        "both",
        rate="0.062",
        employer_rate="0.062",
        wage_base_amount=184500,
    )
    made.levy("US", "MED", "medicare", "both", rate="0.0145", employer_rate="0.0145")
    made.levy(
        "US",
        "ADDMED",
        "additional_medicare",
        "employee",
        rate="0.009",
        parameters='{"wages_above": 200000}',
    )
    made.levy("US", "FUTA", "futa", "employer", employer_rate="0.006", wage_base_amount=7000)
    made.levy("IL", "IL-IT", "income", "employee", rate="0.0495", allowance_amount=2925)
    made.levy("IL", "IL-SUI", "sui", "employer", wage_base_amount=14250)
    row(
        connection,
        "payroll.employer_tax_account",
        employer_entity_id=employer,
        tax_jurisdiction_id=made.places["IL"],
        tax_code_id=made.taxes["IL-SUI"],
        status="active",
        experience_rate="0.0325",
        experience_rate_from="2020-01-01",
    )
    connection.execute(
        "SELECT payroll.open_pay_period(%s, '2026-05-31', '2026-01-02 12:00+00')", [schedule]
    )
    return made


def load_brackets(connection: Connection, table: UUID) -> None:
    for status, (untaxed, ends) in WIDTHS.items():
        foot, base, low = Decimal(0), Decimal(0), Decimal(0)
        rates = ("0", *RATES)
        tops = [Decimal(untaxed), *(Decimal(untaxed + end) for end in ends), None]
        for number, (top, rate) in enumerate(zip(tops, rates, strict=True), 1):
            row(
                connection,
                "payroll.tax_bracket",
                tax_rate_version_id=table,
                filing_status=status,
                bracket_no=number,
                from_amount=foot,
                to_amount=top,
                base_tax_amount=base,
                marginal_rate=rate,
            )
            if top is not None:
                low = foot
                base += (top - low) * Decimal(rate)
                foot = top


@pytest.fixture
def shop(tenant: UUID, account: UUID, app: Connection) -> Company:
    """The company of `tenant`; `account` prepares its pay, somebody else approves it."""
    app.execute("RESET ROLE")
    approver = add_account(app, tenant, "boss")
    app.execute("SET LOCAL ROLE app_user")
    return company(app, account, approver)
