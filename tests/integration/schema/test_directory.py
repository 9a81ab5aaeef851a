"""The life of an account: its moves, what ends with it, and what a directory does to it."""

from __future__ import annotations

import itertools
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection
from tests.integration.conftest import add_account, become_app

MACHINE = {
    "invited": {"pending_verification", "active", "deactivated"},
    "pending_verification": {"active", "deactivated"},
    "active": {"suspended", "locked", "deactivated"},
    "locked": {"active", "suspended", "deactivated"},
    "suspended": {"active", "deactivated"},
    "deactivated": {"active", "anonymized"},
    "anonymized": set[str](),
}
PAIRS = [(a, b) for a, b in itertools.product(MACHINE, MACHINE) if a != b]
KINDS = {
    ("invited", "pending_verification"): "profile_changed",
    ("invited", "active"): "activated",
    ("pending_verification", "active"): "activated",
    ("locked", "active"): "unlocked",
    ("suspended", "active"): "reinstated",
    ("deactivated", "active"): "reactivated",
}


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def add_in_status(connection: Connection, tenant: UUID, status: str, name: str = "grace") -> UUID:
    """Imports an account of the tenant as it stands."""
    account = add_account(connection, tenant, name)
    connection.execute("DELETE FROM user_mgmt.user_account WHERE user_account_id = %s", [account])
    connection.execute(
        "INSERT INTO user_mgmt.user_account (business_id, user_account_id, username, email,"
        " display_name, account_kind, status, locale, time_zone, deactivated_at)"
        " VALUES (%s, %s, %s, %s, %s, 'staff', %s, 'en-US', 'America/Chicago', CASE WHEN %s"
        " IN ('deactivated', 'anonymized') THEN now() END)",
        [tenant, account, name, f"{name}@example.com", name.title(), status, status],
    )
    return account


def move(connection: Connection, account: UUID, to: str, reason: str | None = "a reason") -> None:
    connection.execute("SELECT user_mgmt.transition_account(%s, %s, %s)", [account, to, reason])


def status_of(connection: Connection, account: UUID) -> str:
    return str(
        one(
            connection,
            "SELECT status FROM user_mgmt.user_account WHERE user_account_id = %s",
            account,
        )
    )


def events_of(connection: Connection, account: UUID) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT event_kind, from_status, to_status, source FROM user_mgmt.user_lifecycle_event"
        " WHERE user_account_id = %s ORDER BY occurred_at",
        [account],
    ).fetchall()


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_an_account_moves_as_its_state_machine_says(
    admin: Connection, tenant: UUID, before: str, after: str
) -> None:
    account = add_in_status(admin, tenant, before)
    become_app(admin, tenant)
    if after not in MACHINE[before]:
        with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
            move(admin, account, after)
        return
    move(admin, account, after)
    assert status_of(admin, account) == after
    kind = KINDS.get((before, after), after)
    assert events_of(admin, account) == [(kind, before, after, "policy")]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_an_event_of_no_move_is_refused(
    admin: Connection, tenant: UUID, account: UUID, before: str, after: str
) -> None:
    add = (
        "INSERT INTO user_mgmt.user_lifecycle_event (business_id, user_account_id, event_kind,"
        " from_status, to_status, source) VALUES (%s, %s, %s, %s, %s, 'policy')"
    )
    values = [tenant, account, KINDS.get((before, after), after), before, after]
    if after in MACHINE[before]:
        admin.execute(add, values)
    else:
        values[2] = "activated"
        with pytest.raises(errors.CheckViolation):
            admin.execute(add, values)


@pytest.mark.parametrize(
    ("kind", "to_status", "source", "rule"),
    [
        ("moved", None, "admin", "person_is_named"),
        ("moved", None, "self", "person_is_named"),
        ("moved", "active", "policy", "begins_a_life"),
        ("created", None, "policy", "begins_a_life"),
        ("suspended", None, "policy", "step_is_no_move"),
    ],
)
def test_an_event_that_cannot_be_is_refused(
    app: Connection, account: UUID, kind: str, to_status: str | None, source: str, rule: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rule):
        app.execute(
            "INSERT INTO user_mgmt.user_lifecycle_event (business_id, user_account_id,"
            " event_kind, to_status, source)"
            " VALUES (tenant_mgmt.current_business_id(), %s, %s, %s, %s)",
            [account, kind, to_status, source],
        )


def test_events_are_append_only(admin: Connection, tenant: UUID, account: UUID) -> None:
    admin.execute("UPDATE user_mgmt.user_account SET status = 'locked'")
    with pytest.raises(errors.RestrictViolation), admin.transaction():
        admin.execute("UPDATE user_mgmt.user_lifecycle_event SET reason = 'else'")
    become_app(admin, tenant)
    with pytest.raises(errors.InsufficientPrivilege):
        admin.execute("DELETE FROM user_mgmt.user_lifecycle_event")


def test_a_new_account_begins_by_being_invited(app: Connection) -> None:
    account = one(
        app,
        "INSERT INTO user_mgmt.user_account (business_id, username, email, display_name,"
        " account_kind, locale, time_zone) VALUES (tenant_mgmt.current_business_id(), 'bo',"
        " 'bo@example.com', 'Bo', 'staff', 'en-US', 'America/Chicago') RETURNING user_account_id",
    )
    assert events_of(app, account) == [("invited", None, "invited", "policy")]


def test_an_event_tells_who_did_it_and_why(admin: Connection, tenant: UUID, account: UUID) -> None:
    other = add_account(admin, tenant, "grace")
    become_app(admin, tenant)
    admin.execute("SELECT set_config('app.user_account_id', %s, true)", [str(account)])
    move(admin, other, "suspended", "under investigation")
    move(admin, account, "locked", "lost the phone")
    assert admin.execute(
        "SELECT event_kind, actor_user_account_id, source, reason"
        " FROM user_mgmt.user_lifecycle_event ORDER BY occurred_at"
    ).fetchall() == [
        ("suspended", account, "admin", "under investigation"),
        ("locked", account, "self", "lost the phone"),
    ]
    admin.execute("UPDATE user_mgmt.user_account SET status = 'active'")
    assert one(admin, "SELECT count(reason) FROM user_mgmt.user_lifecycle_event") == 2, "once"


@pytest.mark.parametrize("to", ["suspended", "locked", "deactivated"])
@pytest.mark.parametrize("reason", [None, " "])
def test_nobody_is_kept_out_without_a_reason(
    app: Connection, account: UUID, to: str, reason: str | None
) -> None:
    with pytest.raises(errors.NullValueNotAllowed):
        move(app, account, to, reason)


def test_an_account_of_another_tenant_is_not_found(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound):
        move(app, uuid4(), "suspended")


def test_where_it_stands_already_nothing_happens(app: Connection, account: UUID) -> None:
    move(app, account, "active")
    assert events_of(app, account) == []


def test_the_times_follow_the_status(admin: Connection, tenant: UUID) -> None:
    account = add_in_status(admin, tenant, "invited")
    become_app(admin, tenant)
    times = "SELECT activated_at IS NULL, deactivated_at IS NULL FROM user_mgmt.user_account"
    found = []
    for to in ("active", "deactivated", "active"):
        move(admin, account, to)
        found.append(admin.execute(times.encode()).fetchone())
    assert found == [(False, True), (False, False), (False, True)]


@pytest.fixture
def busy(admin: Connection, tenant: UUID, account: UUID) -> UUID:
    """The account with a session, a key of its own, one of a service, and a role it lent."""
    other = add_account(admin, tenant, "grace")
    admin.execute(
        "INSERT INTO user_auth.user_session (business_id, user_account_id, session_token_hash,"
        " client_kind, absolute_expires_at)"
        " SELECT %s, %s, sha256(n::text::bytea), 'web', now() + interval '8 hours'"
        " FROM generate_series(1, 2) AS n",
        [tenant, account],
    )
    service = one(
        admin,
        "INSERT INTO user_mgmt.service_account (business_id, owner_user_account_id, name, purpose,"
        " expires_at) VALUES (%s, %s, 'sync', 'Syncs', now() + interval '1 year')"
        " RETURNING service_account_id",
        tenant,
        account,
    )
    for prefix, of in (("own", None), ("svc", service)):
        admin.execute(
            "INSERT INTO user_auth.api_key (business_id, owner_user_account_id,"
            " service_account_id, key_prefix, key_hash, name, scopes, expires_at)"
            " VALUES (%s, %s, %s, %s, sha256(%s::bytea), 'key', '{role:read}', now() + '1 day')",
            [tenant, account, of, prefix, prefix],
        )
    role = one(
        admin,
        "INSERT INTO user_rbac.role (business_id, code, name, status)"
        " VALUES (%s, 'clerk', 'Clerk', 'active') RETURNING role_id",
        tenant,
    )
    assignment = one(
        admin,
        "INSERT INTO user_rbac.role_assignment (business_id, user_account_id, role_id)"
        " VALUES (%s, %s, %s) RETURNING role_assignment_id",
        tenant,
        account,
        role,
    )
    admin.execute(
        "INSERT INTO user_rbac.role_delegation (business_id, role_assignment_id, holder_id,"
        " delegate_user_account_id, state, starts_at, ends_at, accepted_at)"
        " VALUES (%s, %s, %s, %s, 'active', now(), now() + interval '5 days', now())",
        [tenant, assignment, account, other],
    )
    become_app(admin, tenant)
    return account


def _access(connection: Connection) -> tuple[Any, ...] | None:
    return connection.execute(
        "SELECT (SELECT count(*) FROM user_auth.user_session WHERE state = 'active'),"
        " (SELECT string_agg(key_prefix, ' ' ORDER BY key_prefix) FROM user_auth.api_key"
        "  WHERE status = 'active'),"
        " (SELECT count(*) FROM user_rbac.role_delegation WHERE state = 'active')"
    ).fetchone()


@pytest.mark.parametrize("to", ["suspended", "deactivated"])
def test_who_is_kept_out_loses_sessions_keys_and_delegations(
    admin: Connection, busy: UUID, to: str
) -> None:
    assert _access(admin) == (2, "own svc", 1)
    move(admin, busy, to)
    assert _access(admin) == (0, "svc", 0)
    assert one(admin, "SELECT end_reason FROM user_auth.user_session LIMIT 1") == "admin"


def test_a_direct_move_ends_access_too(admin: Connection, busy: UUID) -> None:
    admin.execute(
        "UPDATE user_mgmt.user_account SET status = 'suspended' WHERE user_account_id = %s", [busy]
    )
    assert _access(admin) == (0, "svc", 0)


def test_what_was_borrowed_is_given_back(admin: Connection, busy: UUID) -> None:
    delegate = one(admin, "SELECT delegate_user_account_id FROM user_rbac.role_delegation")
    move(admin, delegate, "suspended")
    assert _access(admin) == (2, "own svc", 0)


def _tasks(connection: Connection) -> dict[str, str]:
    rows = connection.execute(
        "SELECT task_code, state FROM user_mgmt.offboarding_task ORDER BY sequence_no"
    )
    return {str(code): str(state) for code, state in rows}


def test_a_leaver_gets_tasks_and_those_of_the_database_are_done(
    admin: Connection, busy: UUID
) -> None:
    manager = one(admin, "SELECT delegate_user_account_id FROM user_rbac.role_delegation")
    admin.execute(
        "INSERT INTO user_mgmt.user_profile (business_id, user_account_id,"
        " manager_user_account_id) VALUES (tenant_mgmt.current_business_id(), %s, %s)",
        [busy, manager],
    )
    move(admin, busy, "deactivated", "retired")
    assert _tasks(admin) == {
        "revoke_sessions": "done",
        "revoke_keys": "done",
        "remove_roles": "open",
        "mailbox_delegation": "open",
        "transfer_records": "open",
        "return_equipment": "open",
        "final_review": "open",
    }
    results = admin.execute(
        "SELECT result FROM user_mgmt.offboarding_task WHERE is_automatic ORDER BY sequence_no"
    ).fetchall()
    assert results == [("2 sessions ended",), ("1 personal keys revoked",)]
    assigned = "SELECT DISTINCT assigned_to_user_account_id FROM user_mgmt.offboarding_task"
    assert admin.execute(f"{assigned} WHERE state = 'open'".encode()).fetchall() == [(manager,)]


def test_who_leaves_again_has_the_tasks_again(admin: Connection, busy: UUID) -> None:
    move(admin, busy, "deactivated")
    admin.execute(
        "UPDATE user_mgmt.offboarding_task SET state = 'skipped', skip_reason = 'had none'"
        " WHERE task_code = 'return_equipment'"
    )
    move(admin, busy, "active")
    move(admin, busy, "deactivated")
    assert _tasks(admin)["return_equipment"] == "open"
    assert one(admin, "SELECT count(skip_reason) FROM user_mgmt.offboarding_task") == 0


def test_a_customer_leaves_without_tasks(admin: Connection, tenant: UUID) -> None:
    account = add_account(admin, tenant, "grace")
    admin.execute("UPDATE user_mgmt.user_account SET account_kind = 'customer'")
    become_app(admin, tenant)
    move(admin, account, "deactivated")
    assert _tasks(admin) == {}


def _finish(connection: Connection, *codes: str) -> None:
    connection.execute(
        "UPDATE user_mgmt.offboarding_task SET state = 'done', completed_at = now()"
        " WHERE task_code = ANY (%s)",
        [list(codes)],
    )


def test_a_task_is_done_when_it_is(admin: Connection, busy: UUID) -> None:
    successor = one(admin, "SELECT delegate_user_account_id FROM user_rbac.role_delegation")
    move(admin, busy, "deactivated")
    for code, what in (
        ("transfer_records", "service account sync"),
        ("remove_roles", "role clerk"),
        ("final_review", "is open"),
    ):
        with pytest.raises(errors.CheckViolation, match=what), admin.transaction():
            _finish(admin, code)
    admin.execute("UPDATE user_mgmt.service_account SET owner_user_account_id = %s", [successor])
    admin.execute(
        "UPDATE user_rbac.role_assignment SET state = 'revoked', revoked_at = now()"
        " WHERE state = 'active'"
    )
    _finish(admin, "transfer_records", "remove_roles", "mailbox_delegation", "return_equipment")
    _finish(admin, "final_review")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("state = 'done', completed_at = NULL", "done_has_time"),
        ("state = 'skipped'", "skipped_has_reason"),
        ("state = 'skipped', skip_reason = ' '", "skip_reason_not_blank"),
        ("assigned_to_user_account_id = leaver_user_account_id", "not_of_the_leaver"),
    ],
)
def test_a_task_that_cannot_be_is_refused(
    admin: Connection, busy: UUID, change: str, rule: str
) -> None:
    move(admin, busy, "deactivated")
    with pytest.raises(errors.CheckViolation, match=rule):
        admin.execute(
            f"UPDATE user_mgmt.offboarding_task SET {change}"
            " WHERE task_code = 'return_equipment'".encode()
        )


def test_who_has_left_is_anonymized(admin: Connection, busy: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="service account"), admin.transaction():
        admin.execute("SELECT user_mgmt.anonymize_account(%s)", [busy])
    admin.execute("UPDATE user_mgmt.service_account SET status = 'disabled'")
    with pytest.raises(errors.CheckViolation, match="cannot become"), admin.transaction():
        admin.execute("SELECT user_mgmt.anonymize_account(%s)", [busy])
    move(admin, busy, "deactivated")
    admin.execute("SELECT user_mgmt.anonymize_account(%s)", [busy])
    assert status_of(admin, busy) == "anonymized"
    assert events_of(admin, busy)[-1] == ("anonymized", "deactivated", "anonymized", "policy")
    assert (
        one(
            admin,
            "SELECT display_name FROM user_mgmt.user_account WHERE user_account_id = %s",
            busy,
        )
        == "Former user"
    )


MAPPING = {
    "userName": "username",
    "emails[0].value": "email",
    "active": "status",
    "displayName": "display_name",
    "name.givenName": "given_name",
    "name.familyName": "family_name",
    "title": "job_title",
    "externalId": "employee_reference",
}


def add_directory(connection: Connection, **columns: Any) -> UUID:
    values: dict[str, Any] = {
        "kind": "scim",
        "base_url": "https://scim.example.com/v2",
        "credential_ref": "vault:scim/token",
        "attribute_mapping": Jsonb(MAPPING),
        "is_authoritative": True,
    } | columns
    added: UUID = one(
        connection,
        f"INSERT INTO user_mgmt.directory_connection (business_id, {', '.join(values)})"
        f" VALUES (tenant_mgmt.current_business_id(){', %s' * len(values)})"
        " RETURNING directory_connection_id",
        *values.values(),
    )
    return added


@pytest.mark.parametrize(
    "mapping",
    [
        {},
        {"mail": "email"},
        {"active": "status"},
        {"mail": "email", "active": "status", "x": "salary"},
        {"mail": "email", "mail2": "email", "active": "status"},
        {"mail": "email", "active": "status", "a b[": "username"},
        {"mail": "email", "active": "status", "x": None},
    ],
)
def test_a_mapping_that_maps_wrongly_is_refused(app: Connection, mapping: dict[str, Any]) -> None:
    with pytest.raises(errors.CheckViolation, match="maps_email_and_status"):
        add_directory(app, attribute_mapping=Jsonb(mapping))


@pytest.mark.parametrize("url", ["http://x.io", "ldap://x.io", "https://", "x.io"])
def test_a_directory_is_reached_encrypted(app: Connection, url: str) -> None:
    with pytest.raises(errors.CheckViolation, match="url_is_encrypted"):
        add_directory(app, base_url=url)


def test_one_directory_has_the_last_word(app: Connection) -> None:
    add_directory(app)
    add_directory(app, is_authoritative=False)
    with pytest.raises(errors.UniqueViolation):
        add_directory(app, base_url="ldaps://ldap.example.com", kind="ldap")


def entry(name: str, /, active: Any = True, **attributes: Any) -> dict[str, Any]:
    """A SCIM user."""
    return {
        "id": f"id-{name}",
        "userName": name,
        "emails": [{"value": f"{name}@example.com"}],
        "active": active,
    } | attributes


def apply(
    connection: Connection, directory: UUID, *entries: dict[str, Any], **document: Any
) -> list[tuple[Any, ...]]:
    """What became of each entry: (id, action, message)."""
    return connection.execute(
        "SELECT entry, action, message FROM user_mgmt.apply_directory_delta(%s, %s)",
        [directory, Jsonb({"Resources": list(entries)} | document)],
    ).fetchall()


def last_run(connection: Connection) -> tuple[Any, ...] | None:
    return connection.execute(
        "SELECT state, seen_count, created_count, updated_count, deactivated_count,"
        " conflict_count FROM user_mgmt.directory_sync_run ORDER BY started_at DESC LIMIT 1"
    ).fetchone()


def test_a_directory_creates_whom_it_knows(app: Connection) -> None:
    directory = add_directory(app)
    bo = entry(
        "bo",
        name={"givenName": "Bo", "familyName": "Diaz"},
        title="Cook",
        externalId="E9",
        emails=[{"value": "Bo@Example.com"}],
    )
    assert apply(app, directory, bo, entry("gone", active=False), cursor="c1") == [
        ("id-bo", "created", None),
        ("id-gone", "ignored", None),
    ]
    row = app.execute(
        "SELECT a.user_account_id, a.email_normalized, a.display_name, a.account_kind, a.status,"
        " a.activated_at IS NOT NULL, p.given_name, p.job_title, p.employee_reference"
        " FROM user_mgmt.user_account AS a"
        " JOIN user_mgmt.user_profile AS p USING (business_id, user_account_id)"
    ).fetchone()
    assert row
    assert row[1:] == (
        "bo@example.com",
        "Bo Diaz",
        "staff",
        "active",
        True,
        "Bo",
        "Cook",
        "E9",
    )
    assert events_of(app, row[0]) == [
        ("created", None, "invited", "scim"),
        ("activated", "invited", "active", "scim"),
    ]
    assert last_run(app) == ("succeeded", 2, 1, 0, 0, 0)
    assert one(app, "SELECT cursor_after FROM user_mgmt.directory_sync_run") == "c1"
    assert one(app, "SELECT last_synced_at = now() FROM user_mgmt.directory_connection")


def test_what_is_known_already_is_unchanged(app: Connection, account: UUID) -> None:
    directory = add_directory(app)
    assert apply(app, directory, entry("ada")) == [("id-ada", "unchanged", None)]
    assert events_of(app, account) == []


def test_a_directory_updates_by_employee_number_name_and_address(
    app: Connection, account: UUID
) -> None:
    directory = add_directory(app)
    apply(app, directory, entry("ada", externalId="E1"))
    renamed = entry("ada.king", externalId="E1", displayName="Ada King")
    assert apply(app, directory, renamed) == [("id-ada.king", "updated", None)]
    assert app.execute(
        "SELECT username, email, display_name FROM user_mgmt.user_account"
    ).fetchall() == [("ada.king", "ada.king@example.com", "Ada King")]
    assert apply(app, directory, entry("ada", emails=[{"value": "ada.king@example.com"}])) == [
        ("id-ada", "updated", None)
    ]
    assert {kind for kind, *_ in events_of(app, account)} == {"profile_changed"}


def test_a_directory_without_the_last_word_fills_in(app: Connection, account: UUID) -> None:
    directory = add_directory(app, is_authoritative=False)
    assert apply(app, directory, entry("ada", displayName="Else", title="Engineer")) == [
        ("id-ada", "updated", None)
    ]
    assert apply(app, directory, entry("ada", title="Cook")) == [("id-ada", "unchanged", None)]
    assert one(app, "SELECT display_name FROM user_mgmt.user_account") == "Ada"
    assert one(app, "SELECT job_title FROM user_mgmt.user_profile") == "Engineer"


@pytest.mark.parametrize(
    ("action", "became"),
    [("suspend", "suspended"), ("deactivate", "deactivated"), ("ignore", "active")],
)
@pytest.mark.parametrize("how", [{"active": False}, {"active": "Inactive"}, {"deleted": True}])
def test_whom_the_directory_lost_is_deprovisioned(
    app: Connection, account: UUID, action: str, became: str, how: dict[str, Any]
) -> None:
    directory = add_directory(app, deprovision_action=action)
    assert apply(app, directory, entry("ada") | how, mode="event")[0][1] == (
        "ignored" if action == "ignore" else became
    )
    assert status_of(app, account) == became


def test_who_never_came_is_deactivated(admin: Connection, tenant: UUID) -> None:
    account = add_in_status(admin, tenant, "invited")
    become_app(admin, tenant)
    directory = add_directory(admin)
    apply(admin, directory, entry("grace", active=False), mode="event")
    assert status_of(admin, account) == "deactivated"


def test_a_directory_brings_back_whom_a_directory_took_away(app: Connection, account: UUID) -> None:
    directory = add_directory(app)
    apply(app, directory, entry("ada", active=False), mode="event")
    assert apply(app, directory, entry("ada"), mode="event") == [("id-ada", "reinstated", None)]
    assert status_of(app, account) == "active"


def test_a_directory_does_not_overrule_an_administrator(app: Connection, account: UUID) -> None:
    directory = add_directory(app)
    move(app, account, "suspended")
    found = apply(app, directory, entry("ada"))
    assert found == [("id-ada", "conflict", "status the account was taken away here")]
    assert status_of(app, account) == "suspended"


@pytest.mark.parametrize(("entries", "stopped"), [(10, False), (9, True)])
def test_a_run_that_takes_away_too_many_does_nothing(
    app: Connection, account: UUID, entries: int, stopped: bool
) -> None:
    directory = add_directory(app)
    news = [entry(f"new{n}") for n in range(entries - 1)]
    found = apply(app, directory, entry("ada", active=False), *news, cursor="c2")
    actions = {action for _, action, _ in found}
    assert actions == ({"stopped"} if stopped else {"suspended", "created"})
    assert status_of(app, account) == ("active" if stopped else "suspended")
    run = ("failed", 9, 0, 0, 1, 0) if stopped else ("succeeded", 10, 9, 0, 1, 0)
    assert last_run(app) == run
    connection = "SELECT status FROM user_mgmt.directory_connection"
    assert one(app, connection) == ("failing" if stopped else "active")
    told = one(app, "SELECT message FROM user_mgmt.v_directory_conflict")
    assert told == ("stopped: 1 of 9 would lose access" if stopped else None)


def test_no_run_is_recorded_that_took_away_too_many(app: Connection) -> None:
    directory = add_directory(app)
    with pytest.raises(errors.CheckViolation, match="stops_its_loss"):
        app.execute(
            "INSERT INTO user_mgmt.directory_sync_run (business_id, directory_connection_id,"
            " state, finished_at, seen_count, deactivated_count)"
            " VALUES (tenant_mgmt.current_business_id(), %s, 'succeeded', clock_timestamp(), 19,"
            " 2)",
            [directory],
        )


@pytest.mark.parametrize(
    ("entries", "messages"),
    [
        ([entry("x", emails=[])], ["email is missing"]),
        ([entry("x", emails=[{"value": "x"}])], ["email is no address"]),
        ([entry("x", active="maybe")], ["status is not understood"]),
        ([{"userName": "x", "emails": [{"value": "x@y.io"}]}], ["status is missing"]),
        ([entry("x", externalId="no reference")], ["employee_reference is no reference"]),
        ([entry("grace", emails=[{"value": "ada@example.com"}])], ["email belongs to another"]),
        (
            [entry("x"), entry("y", emails=[{"value": "x@example.com"}])],
            ["email another entry has it too"] * 2,
        ),
        (
            [entry("ada"), entry("z", emails=[{"value": "ada@example.com"}])],
            ["email another entry means the same account"] * 2,
        ),
        ([entry("kim")], ["no directory feeds"]),
    ],
)
def test_what_does_not_fit_is_told_and_left_out(
    admin: Connection, tenant: UUID, account: UUID, entries: list[Any], messages: list[str]
) -> None:
    add_account(admin, tenant, "grace")
    admin.execute(
        "UPDATE user_mgmt.user_account SET account_kind = 'customer' WHERE user_account_id = %s",
        [add_account(admin, tenant, "kim")],
    )
    become_app(admin, tenant)
    directory = add_directory(admin)
    found = apply(admin, directory, *entries, entry("fine"))
    assert [action for _, action, _ in found] == ["conflict"] * len(messages) + ["created"]
    for (_, _, message), expected in zip(found, messages, strict=False):
        assert expected in message
    assert last_run(admin) == ("partial", len(entries) + 1, 1, 0, 0, len(messages))
    assert one(admin, "SELECT count(*) FROM user_mgmt.v_directory_conflict") == len(messages)


@pytest.mark.parametrize(("flags", "became"), [("512", "active"), ("514", "suspended")])
def test_an_active_directory_tells_the_status_by_a_bit(
    app: Connection, account: UUID, flags: str, became: str
) -> None:
    directory = add_directory(
        app,
        kind="active_directory",
        base_url="ldaps://dc.example.com",
        attribute_mapping=Jsonb(
            {"sAMAccountName": "username", "mail": "email", "userAccountControl": "status"}
        ),
    )
    ada = {
        "dn": "CN=Ada",
        "sAMAccountName": "ada",
        "mail": "ada@example.com",
        "userAccountControl": flags,
    }
    app.execute(
        "SELECT * FROM user_mgmt.apply_directory_delta(%s, %s)",
        [directory, Jsonb({"mode": "event", "entries": [ada]})],
    )
    assert status_of(app, account) == became


def test_an_entry_may_leave_out_what_did_not_change(app: Connection, account: UUID) -> None:
    directory = add_directory(app)
    assert apply(app, directory, {"userName": "ada", "title": "Lead"}) == [(None, "updated", None)]
    assert one(app, "SELECT email FROM user_mgmt.user_account") == "ada@example.com"


def test_a_feed_of_the_hr_system_says_so(app: Connection, account: UUID) -> None:
    directory = add_directory(app, kind="hris")
    apply(app, directory, entry("ada", active="terminated"), mode="event")
    assert events_of(app, account) == [("suspended", "active", "suspended", "hr_feed")]
    move(app, account, "active")
    assert events_of(app, account)[-1][3] == "policy", "only while it is applied"


@pytest.mark.parametrize(
    ("columns", "document", "error"),
    [
        ({"status": "paused"}, {}, errors.ObjectNotInPrerequisiteState),
        ({"sync_mode": "bind_only"}, {}, errors.ObjectNotInPrerequisiteState),
        ({}, {"Resources": None}, errors.InvalidParameterValue),
        ({}, {"Resources": {}}, errors.InvalidParameterValue),
        ({}, {"mode": "event", "Resources": [{}, {}]}, errors.InvalidParameterValue),
        ({}, {"mode": "weekly"}, errors.CheckViolation),
    ],
)
def test_a_delta_that_cannot_be_applied_is_refused(
    app: Connection, columns: dict[str, Any], document: dict[str, Any], error: type[Exception]
) -> None:
    directory = add_directory(app, **columns)
    with pytest.raises(error):
        apply(app, directory, **document)


def test_an_unknown_directory_is_not_found(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound):
        apply(app, uuid4())


def test_an_empty_delta_is_a_run_that_saw_nothing(app: Connection) -> None:
    directory = add_directory(app)
    assert apply(app, directory) == []
    assert last_run(app) == ("succeeded", 0, 0, 0, 0, 0)


def test_the_directory_shows_unit_manager_and_roles(admin: Connection, busy: UUID) -> None:
    other = one(admin, "SELECT delegate_user_account_id FROM user_rbac.role_delegation")
    unit = one(
        admin,
        "INSERT INTO user_mgmt.org_unit (business_id, code, name)"
        " VALUES (tenant_mgmt.current_business_id(), 'A', 'Sales') RETURNING org_unit_id",
    )
    admin.execute(
        "INSERT INTO user_mgmt.org_unit_member (business_id, org_unit_id, user_account_id)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s)",
        [unit, busy],
    )
    admin.execute(
        "INSERT INTO user_mgmt.user_profile (business_id, user_account_id,"
        " manager_user_account_id) VALUES (tenant_mgmt.current_business_id(), %s, %s)",
        [busy, other],
    )
    assert admin.execute(
        "SELECT display_name, org_unit_path, manager_name, roles, status"
        " FROM user_mgmt.v_user_directory ORDER BY display_name"
    ).fetchall() == [
        ("Ada", "/A", "Grace", ["clerk"], "active"),
        ("Grace", None, None, ["clerk"], "active"),
    ]
    move(admin, other, "deactivated")
    admin.execute("SELECT user_mgmt.anonymize_account(%s)", [other])
    names = admin.execute("SELECT display_name FROM user_mgmt.v_user_directory").fetchall()
    assert names == [("Ada",)]
