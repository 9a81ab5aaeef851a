"""People: profiles and contacts that can be erased, locked preferences, the tree of units."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import add_account, become_app


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


@pytest.fixture
def other(admin: Connection, tenant: UUID) -> UUID:
    """A second account of the tenant."""
    return add_account(admin, tenant, "grace")


@pytest.fixture
def people(admin: Connection, tenant: UUID, account: UUID, other: UUID) -> Connection:
    """The application, for a tenant with two accounts."""
    become_app(admin, tenant)
    return admin


def _contact(connection: Connection, account: UUID, **columns: Any) -> UUID:
    values = {"kind": "mobile", "value_normalized": "+15551230000", "carrier_line_type": "mobile"}
    values |= {"user_account_id": account} | columns
    added: UUID = one(
        connection,
        f"INSERT INTO user_mgmt.user_contact_point (business_id, {', '.join(values)})"
        f" VALUES (tenant_mgmt.current_business_id(){', %s' * len(values)})"
        " RETURNING user_contact_point_id",
        *values.values(),
    )
    return added


def _profile(connection: Connection, account: UUID, **columns: Any) -> UUID:
    values = {"user_account_id": account, "given_name": "Ada", "family_name": "King"} | columns
    added: UUID = one(
        connection,
        f"INSERT INTO user_mgmt.user_profile (business_id, {', '.join(values)})"
        f" VALUES (tenant_mgmt.current_business_id(){', %s' * len(values)})"
        " RETURNING user_profile_id",
        *values.values(),
    )
    return added


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"birth_date": "1900-01-01"}, "born_after_1900"),
        ({"birth_date": "2000-01-01", "hired_on": "1999-01-01"}, "hired_after_birth"),
        ({"language_codes": ["en", "English"]}, "languages_are_iso_639"),
        ({"language_codes": [None]}, "languages_are_iso_639"),
        ({"emergency_contact": '{"name": "Bo"}'}, "contact_can_be_called"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(
    people: Connection, account: UUID, columns: dict[str, Any], rule: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rule):
        _profile(people, account, **columns)


def test_nobody_manages_themselves(people: Connection, account: UUID, other: UUID) -> None:
    _profile(people, other, manager_user_account_id=account)
    with pytest.raises(errors.CheckViolation, match="not_its_own_manager"):
        _profile(people, account, manager_user_account_id=account)


def test_an_employee_number_belongs_to_one_person(
    people: Connection, account: UUID, other: UUID
) -> None:
    _profile(people, account, employee_reference="E1")
    with pytest.raises(errors.UniqueViolation):
        _profile(people, other, employee_reference="E1")


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"kind": "email", "value_normalized": "Ada@x.io", "carrier_line_type": None}, "lowercase"),
        ({"kind": "email", "value_normalized": "ada", "carrier_line_type": None}, "lowercase"),
        ({"value_normalized": "555-123"}, "number_is_e164"),
        ({"carrier_line_type": None}, "line_only_of_numbers"),
        ({"verified_at": "2026-01-01"}, "verified_somehow"),
        ({"is_recovery": True}, "recovery_is_verified"),
        (
            {
                "is_recovery": True,
                "carrier_line_type": "voip",
                "verified_at": "2026-01-01",
                "verification_method": "code",
            },
            "recovery_not_by_voip",
        ),
    ],
)
def test_a_contact_that_cannot_be_is_refused(
    people: Connection, account: UUID, columns: dict[str, Any], rule: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rule):
        _contact(people, account, **columns)


def test_a_number_belongs_to_whoever_proves_it(
    people: Connection, account: UUID, other: UUID
) -> None:
    _contact(people, account)
    claimed = _contact(people, other)
    prove = (
        "UPDATE user_mgmt.user_contact_point SET verified_at = now(), verification_method = 'code'"
        " WHERE user_contact_point_id = %s"
    )
    people.execute(prove, [claimed])
    with pytest.raises(errors.UniqueViolation):
        people.execute(
            prove.replace("WHERE user_contact_point_id", "WHERE user_account_id"), [account]
        )


def test_one_contact_of_a_kind_is_primary(people: Connection, account: UUID) -> None:
    _contact(people, account, is_primary=True)
    _contact(people, account, kind="landline", carrier_line_type="landline", is_primary=True)
    with pytest.raises(errors.UniqueViolation):
        _contact(people, account, value_normalized="+15551230001", is_primary=True)


@pytest.fixture
def locked(people: Connection, account: UUID) -> UUID:
    """A preference of the account that an administrator locked."""
    added: UUID = one(
        people,
        "INSERT INTO user_mgmt.user_preference (business_id, user_account_id, preference_key,"
        " value, updated_from, is_locked_by_admin) VALUES (tenant_mgmt.current_business_id(), %s,"
        " 'theme', '\"dark\"', 'admin', true) RETURNING user_preference_id",
        account,
    )
    return added


@pytest.mark.parametrize("where", ["web", "mobile"])
def test_a_locked_preference_is_not_changed_by_its_user(
    people: Connection, locked: UUID, where: str
) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="theme is locked"):
        people.execute(
            "UPDATE user_mgmt.user_preference SET value = '1', is_locked_by_admin = false,"
            " updated_from = %s",
            [where],
        )


def test_a_user_is_not_an_administrator_by_saying_so(
    people: Connection, account: UUID, locked: UUID
) -> None:
    people.execute("SELECT set_config('app.user_account_id', %s, true)", [str(account)])
    with pytest.raises(errors.InsufficientPrivilege):
        people.execute("UPDATE user_mgmt.user_preference SET value = '1', updated_from = 'admin'")


def test_a_locked_preference_is_changed_by_an_administrator(
    people: Connection, other: UUID, locked: UUID
) -> None:
    people.execute("SELECT set_config('app.user_account_id', %s, true)", [str(other)])
    people.execute(
        "UPDATE user_mgmt.user_preference SET updated_from = 'admin', is_locked_by_admin = false"
    )
    people.execute("UPDATE user_mgmt.user_preference SET value = '1', updated_from = 'web'")
    assert people.execute("DELETE FROM user_mgmt.user_preference").rowcount == 1


def test_a_locked_preference_is_not_deleted(people: Connection, locked: UUID) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        people.execute("DELETE FROM user_mgmt.user_preference")


def test_a_preference_is_kept_once_per_scope(people: Connection, account: UUID) -> None:
    add = (
        "INSERT INTO user_mgmt.user_preference (business_id, user_account_id, preference_key,"
        " value, scope, module_code)"
        " VALUES (tenant_mgmt.current_business_id(), %s, 'theme', '1', %s, %s)"
    )
    people.execute(add, [account, "global", None])
    people.execute(add, [account, "module", "hs"])
    with pytest.raises(errors.UniqueViolation):
        people.execute(add, [account, "global", None])


def _unit(connection: Connection, code: str, parent: UUID | None = None) -> UUID:
    added: UUID = one(
        connection,
        "INSERT INTO user_mgmt.org_unit (business_id, code, name, parent_org_unit_id)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, %s) RETURNING org_unit_id",
        code,
        code.title(),
        parent,
    )
    return added


def _paths(connection: Connection) -> list[str]:
    rows = connection.execute('SELECT path FROM user_mgmt.org_unit ORDER BY path COLLATE "C"')
    return [str(path) for (path,) in rows]


def _place(connection: Connection, unit: UUID, parent: UUID | None) -> None:
    connection.execute(
        "UPDATE user_mgmt.org_unit SET parent_org_unit_id = %s WHERE org_unit_id = %s",
        [parent, unit],
    )


def test_a_unit_lies_below_its_parent(people: Connection) -> None:
    company = _unit(people, "ACME")
    west = _unit(people, "WEST", company)
    _unit(people, "SALES", west)
    assert _paths(people) == ["/ACME", "/ACME/WEST", "/ACME/WEST/SALES"]
    assert one(people, "SELECT depth FROM user_mgmt.org_unit WHERE code = 'SALES'") == 2


def test_a_unit_takes_all_below_it_along(people: Connection) -> None:
    company, west = _unit(people, "ACME"), _unit(people, "WEST")
    sales = _unit(people, "SALES", west)
    _unit(people, "INSIDE", sales)
    _place(people, west, company)
    assert _paths(people)[-1] == "/ACME/WEST/SALES/INSIDE"
    people.execute("UPDATE user_mgmt.org_unit SET code = 'W' WHERE code = 'WEST'")
    assert _paths(people)[-1] == "/ACME/W/SALES/INSIDE"
    _place(people, sales, None)
    assert _paths(people) == ["/ACME", "/ACME/W", "/SALES", "/SALES/INSIDE"]
    assert one(people, "SELECT max(depth) FROM user_mgmt.org_unit") == 1


def test_a_unit_with_a_longer_code_is_not_taken_along(people: Connection) -> None:
    company, west = _unit(people, "ACME"), _unit(people, "WEST")
    _unit(people, "WESTEND")
    _place(people, west, company)
    assert "/WESTEND" in _paths(people)


def test_path_and_depth_are_not_written_by_hand(people: Connection) -> None:
    _unit(people, "ACME")
    people.execute("UPDATE user_mgmt.org_unit SET path = '/else', depth = 7")
    assert people.execute("SELECT path, depth FROM user_mgmt.org_unit").fetchall() == [("/ACME", 0)]


@pytest.mark.parametrize("below", [0, 1, 2])
def test_a_unit_does_not_come_to_lie_below_itself(people: Connection, below: int) -> None:
    units = [_unit(people, "A")]
    units.append(_unit(people, "B", units[0]))
    units.append(_unit(people, "C", units[1]))
    with pytest.raises(errors.CheckViolation, match=r"cannot move into|not_its_own_parent"):
        _place(people, units[0], units[below])


def test_a_unit_needs_its_parent(people: Connection, account: UUID) -> None:
    with pytest.raises(errors.ForeignKeyViolation, match="does not exist"):
        _unit(people, "LOST", account)


def test_a_tree_has_eleven_levels_at_most(people: Connection) -> None:
    parent = _unit(people, "L0")
    for level in range(1, 11):
        parent = _unit(people, f"L{level}", parent)
    with pytest.raises(errors.CheckViolation, match="depth_in_range"), people.transaction():
        _unit(people, "L11", parent)
    top = _unit(people, "TOP")
    with pytest.raises(errors.CheckViolation, match="depth_in_range"):
        people.execute(
            "UPDATE user_mgmt.org_unit SET parent_org_unit_id = %s WHERE code = 'L0'", [top]
        )


def _join(connection: Connection, unit: UUID, account: UUID, **columns: Any) -> None:
    values = {"org_unit_id": unit, "user_account_id": account, "valid_from": "2026-01-01"}
    values |= columns
    connection.execute(
        f"INSERT INTO user_mgmt.org_unit_member (business_id, {', '.join(values)})"
        f" VALUES (tenant_mgmt.current_business_id(){', %s' * len(values)})".encode(),
        list(values.values()),
    )


def test_a_user_is_in_a_unit_once_at_a_time(people: Connection, account: UUID) -> None:
    unit = _unit(people, "A")
    _join(people, unit, account, valid_until="2026-06-01", membership_kind="secondary")
    _join(people, unit, account, valid_from="2026-06-01", membership_kind="secondary")
    with pytest.raises(errors.ExclusionViolation):
        _join(people, unit, account, valid_from="2026-05-31", membership_kind="temporary")


def test_a_user_has_one_primary_unit_at_a_time(people: Connection, account: UUID) -> None:
    first, second = _unit(people, "A"), _unit(people, "B")
    _join(people, first, account)
    _join(people, second, account, membership_kind="secondary")
    with pytest.raises(errors.ExclusionViolation):
        _join(people, _unit(people, "C"), account)


def test_a_membership_that_was_called_off_is_in_nobodys_way(
    people: Connection, account: UUID
) -> None:
    unit = _unit(people, "A")
    _join(people, unit, account, is_active=False)
    _join(people, unit, account)


@pytest.mark.parametrize("share", [0.99, 100.01])
def test_an_allocation_is_from_1_to_100(people: Connection, account: UUID, share: float) -> None:
    unit = _unit(people, "A")
    with pytest.raises(errors.CheckViolation, match="allocation_bounded"):
        _join(people, unit, account, allocation_pct=share)


def _consent(connection: Connection, account: UUID, granted: bool, withdrawn: str | None) -> None:
    connection.execute(
        "INSERT INTO user_mgmt.user_consent (business_id, user_account_id, consent_kind,"
        " document_version, is_granted, locale, given_at, withdrawn_at)"
        " VALUES (tenant_mgmt.current_business_id(), %s, 'marketing', 'v1', %s, 'en-US',"
        " '2026-01-02', %s)",
        [account, granted, withdrawn],
    )


@pytest.mark.parametrize(
    ("granted", "withdrawn"), [(True, "2026-01-01"), (True, "2026-01-02"), (False, "2026-01-03")]
)
def test_only_what_was_given_is_withdrawn_later(
    people: Connection, account: UUID, granted: bool, withdrawn: str
) -> None:
    with pytest.raises(errors.CheckViolation):
        _consent(people, account, granted, withdrawn)


def test_one_answer_to_one_version(people: Connection, account: UUID) -> None:
    _consent(people, account, granted=True, withdrawn="2026-02-01")
    with pytest.raises(errors.UniqueViolation):
        _consent(people, account, granted=True, withdrawn=None)


def _service(connection: Connection, owner: UUID, **columns: Any) -> None:
    values = {"name": "sync", "purpose": "Syncs", "expires_at": "2030-01-01"}
    values |= {"owner_user_account_id": owner} | columns
    connection.execute(
        f"INSERT INTO user_mgmt.service_account (business_id, {', '.join(values)})"
        f" VALUES (tenant_mgmt.current_business_id(){', %s' * len(values)})".encode(),
        list(values.values()),
    )


@pytest.mark.parametrize("change", ["account_kind = 'contractor'", "status = 'suspended'"])
def test_active_staff_answers_for_a_service_account(
    people: Connection, account: UUID, other: UUID, change: str
) -> None:
    people.execute(
        f"UPDATE user_mgmt.user_account SET {change} WHERE user_account_id = %s".encode(),
        [other],
    )
    _service(people, account)
    _service(people, other, name="off", status="disabled")
    hand_over = (
        "UPDATE user_mgmt.service_account SET owner_user_account_id = %s WHERE name = 'sync'"
    )
    wake = "UPDATE user_mgmt.service_account SET status = 'active' WHERE name = 'off'"
    for attempt, values in ((hand_over, [other]), (wake, [])):
        with pytest.raises(errors.CheckViolation, match="active"), people.transaction():
            people.execute(attempt.encode(), values)


def test_a_service_account_is_used_on_when_its_owner_left(
    people: Connection, account: UUID
) -> None:
    _service(people, account)
    people.execute("UPDATE user_mgmt.user_account SET status = 'suspended'")
    people.execute("UPDATE user_mgmt.service_account SET last_used_at = now()")


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"rotation_days": 0}, errors.CheckViolation),
        ({"rotation_days": 366}, errors.CheckViolation),
        ({"max_requests_per_minute": 0}, errors.CheckViolation),
        ({"expires_at": None}, errors.NotNullViolation),
        ({"allowed_ip_ranges": ["10.0.0.1/8"]}, errors.InvalidTextRepresentation),
    ],
)
def test_a_service_account_is_bounded(
    people: Connection, account: UUID, columns: dict[str, Any], error: type[psycopg.Error]
) -> None:
    with pytest.raises(error):
        _service(people, account, **columns)


@pytest.fixture
def erased(people: Connection, account: UUID, locked: UUID) -> UUID:
    """The account with everything that names it, anonymized."""
    _profile(
        people, account, employee_reference="E7", job_title="Engineer", birth_date="1990-01-01"
    )
    _contact(people, account)
    _consent(people, account, granted=True, withdrawn=None)
    people.execute(
        "UPDATE user_mgmt.user_consent SET ip_address = '192.0.2.1', evidence = '{\"form\": 1}'"
    )
    people.execute(
        "UPDATE user_mgmt.user_account SET status = 'deactivated', deactivated_at = now(),"
        " person_key = gen_random_uuid() WHERE user_account_id = %s",
        [account],
    )
    people.execute(
        "UPDATE user_mgmt.user_account SET status = 'anonymized' WHERE user_account_id = %s",
        [account],
    )
    return account


def test_an_anonymized_account_names_nobody(people: Connection, erased: UUID) -> None:
    row = people.execute(
        "SELECT username, email, email_normalized, display_name, person_key"
        " FROM user_mgmt.user_account WHERE user_account_id = %s",
        [erased],
    ).fetchone()
    address = f"{erased}@anonymized.invalid"
    assert row == (f"anonymized-{erased}", address, address, "Former user", None)


def test_details_and_contacts_are_erased_with_the_account(people: Connection, erased: UUID) -> None:
    assert people.execute(
        "SELECT given_name, family_name, birth_date, employee_reference, job_title"
        " FROM user_mgmt.user_profile"
    ).fetchall() == [(None, None, None, None, "Engineer")]
    assert one(people, "SELECT count(*) FROM user_mgmt.user_contact_point") == 0
    assert one(people, "SELECT count(*) FROM user_mgmt.user_preference") == 0
    assert people.execute(
        "SELECT is_granted, ip_address, evidence ->> 'form' FROM user_mgmt.user_consent"
    ).fetchall() == [(True, None, "1")]


def test_what_was_erased_does_not_come_back(people: Connection, erased: UUID) -> None:
    people.execute(
        "UPDATE user_mgmt.user_account SET display_name = 'Ada' WHERE user_account_id = %s",
        [erased],
    )
    assert (
        one(people, "SELECT count(*) FROM user_mgmt.user_account WHERE display_name = 'Ada'") == 0
    )
    with pytest.raises(errors.CheckViolation, match="personal details"), people.transaction():
        people.execute("UPDATE user_mgmt.user_profile SET given_name = 'Ada'")
    with pytest.raises(errors.CheckViolation, match="cannot be reached"):
        _contact(people, erased)


def test_the_address_of_an_anonymized_account_is_free_again(
    people: Connection, erased: UUID
) -> None:
    people.execute(
        "INSERT INTO user_mgmt.user_account (business_id, username, email, display_name,"
        " account_kind, locale, time_zone) VALUES (tenant_mgmt.current_business_id(), 'ada',"
        " 'ada@example.com', 'Ada', 'staff', 'en-US', 'America/Chicago')"
    )


def test_an_address_is_one_however_it_is_spelled(people: Connection, account: UUID) -> None:
    with pytest.raises(errors.UniqueViolation):
        people.execute(
            "UPDATE user_mgmt.user_account SET email = 'ADA@Example.com'"
            " WHERE user_account_id <> %s",
            [account],
        )
