"""Tampering becomes an incident, holds keep records, exports are approved and audited."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import add_account
from tests.integration.schema.test_audit import append, as_superuser, one


def tamper(connection: Connection) -> None:
    """Alters the second of three records."""
    append(connection, 3)
    with as_superuser(connection):
        connection.execute(
            "UPDATE security_mgmt.audit_record SET reason = 'nothing' WHERE chain_seq = 2"
        )


def test_an_intact_chain_is_kept_as_verified(app: Connection) -> None:
    append(app, 3)
    app.execute("SELECT security_mgmt.verify_audit()")
    found = app.execute(
        "SELECT result, records_checked, mismatches_found, first_bad_seq"
        " FROM security_mgmt.audit_verification_run"
    ).fetchall()
    assert found == [("intact", 3, 0, None)]
    assert one(app, "SELECT result FROM security_mgmt.v_audit_chain_status") == "intact"


def test_a_broken_link_opens_one_incident_of_the_worst_severity(app: Connection) -> None:
    tamper(app)
    app.execute("SELECT security_mgmt.verify_audit()")
    found = app.execute(
        "SELECT f.kind, f.bad_seq, f.status, i.category, i.severity"
        " FROM security_mgmt.audit_tamper_finding AS f"
        " JOIN security_mgmt.incident AS i USING (business_id, incident_id)"
    ).fetchall()
    assert found == [("hash_mismatch", 2, "open", "tamper", "sev1")]
    status = app.execute(
        "SELECT result, first_bad_seq, open_findings FROM security_mgmt.v_audit_chain_status"
    ).fetchone()
    assert status == ("broken", 2, 1)


def test_what_is_under_investigation_is_not_found_again(app: Connection) -> None:
    tamper(app)
    app.execute("SELECT security_mgmt.verify_audit()")
    app.execute("SELECT security_mgmt.verify_audit()")
    assert one(app, "SELECT count(*) FROM security_mgmt.audit_tamper_finding") == 1
    assert one(app, "SELECT count(*) FROM security_mgmt.incident") == 1


def test_a_finding_is_closed_with_an_explanation(app: Connection) -> None:
    tamper(app)
    app.execute("SELECT security_mgmt.verify_audit()")
    with pytest.raises(errors.CheckViolation, match="closed_is_explained"):
        app.execute("UPDATE security_mgmt.audit_tamper_finding SET status = 'explained'")


FINDING = {
    "open": {"explained", "confirmed"},
    "explained": {"confirmed", "closed"},
    "confirmed": {"closed"},
    "closed": set(),
}
EXPORT = {
    "requested": {"approved", "refused"},
    "approved": {"built", "refused"},
    "built": {"delivered", "expired"},
    "delivered": {"expired"},
    "expired": set(),
    "refused": set(),
}


def may_become(
    connection: Connection, table: str, column: str, before: str, after: str, **others: Any
) -> bool:
    """Whether rows, put into a state without triggers, may be moved on to another."""
    try:
        with connection.transaction(force_rollback=True), as_superuser(connection):
            sets = ", ".join([f"{column} = %s", *(f"{name} = %s" for name in others)])
            values = [before, *others.values()]
            connection.execute(f"UPDATE {table} SET {sets}".encode(), values)
            connection.execute("SET LOCAL session_replication_role = origin")
            connection.execute(f"UPDATE {table} SET {column} = %s".encode(), [after])
    except errors.CheckViolation as error:
        return "cannot become" not in str(error)
    return True


def test_states_of_findings_and_exports_follow_their_machines(
    app: Connection, account: UUID
) -> None:
    tamper(app)
    app.execute("SELECT security_mgmt.verify_audit()")
    request(app, account)
    for table, column, machine in (
        ("security_mgmt.audit_tamper_finding", "status", FINDING),
        ("security_mgmt.audit_export", "state", EXPORT),
    ):
        for before in machine:
            for after in machine.keys() - {before}:
                given: dict[str, Any] = {}
                if table.endswith("finding"):
                    given = {"explanation": "x"}
                    if before == "closed":
                        given["closed_at"] = "2200-01-01"
                elif before not in ("requested", "refused"):
                    given = {
                        "approved_by": _other(app),
                        "content_sha256": bytes(32),
                        "record_count": 1,
                        "delivered_at": "2026-01-01",
                    }
                allowed = may_become(app, table, column, before, after, **given)
                assert allowed == (after in machine[before]), (table, before, after)


def _other(connection: Connection) -> UUID:
    """An account that is not the requester."""
    found: UUID = one(
        connection,
        "SELECT user_account_id FROM user_mgmt.user_account WHERE username = 'approver'",
    )
    return found


def request(connection: Connection, account: UUID) -> None:
    """An export that an account asks for; there is another account to approve it."""
    tenant = one(connection, "SELECT tenant_mgmt.current_business_id()")
    connection.execute("RESET ROLE")
    add_account(connection, tenant, "approver")
    connection.execute("SET LOCAL ROLE app_user")
    connection.execute(
        "INSERT INTO security_mgmt.audit_export (business_id, requested_by_user_account_id,"
        " purpose, from_at, until_at) VALUES (%s, %s, 'external_audit', '2026-01-01',"
        " '2026-02-01')",
        [tenant, account],
    )


def test_nobody_approves_the_own_export(app: Connection, account: UUID) -> None:
    request(app, account)
    with pytest.raises(errors.CheckViolation, match="approved_by_another"):
        app.execute(
            "UPDATE security_mgmt.audit_export SET state = 'approved', approved_by = %s", [account]
        )


def test_an_export_is_in_the_audit_trail(app: Connection, account: UUID) -> None:
    request(app, account)
    app.execute(
        "UPDATE security_mgmt.audit_export SET state = 'approved', approved_by = %s", [_other(app)]
    )
    app.execute(
        "UPDATE security_mgmt.audit_export SET state = 'built', record_count = 7,"
        " content_sha256 = sha256('it')"
    )
    found = app.execute(
        "SELECT action, table_name, new_row ->> 'records' FROM security_mgmt.audit_record"
    ).fetchall()
    assert found == [("export", "audit_export", "7")]


def hold(connection: Connection, account: UUID, scope: str, tenant: UUID) -> None:
    connection.execute(
        "INSERT INTO security_mgmt.evidence_hold (business_id, ordered_by_user_account_id,"
        " hold_number, matter, basis, scope_filter) VALUES (%s, %s, 'H-1', 'A dispute',"
        " 'litigation', %s)",
        [tenant, account, scope],
    )


def old_partition(connection: Connection) -> None:
    """A partition of January 2010."""
    connection.execute(
        "CREATE TABLE security_mgmt.audit_record_p20100101"
        " PARTITION OF security_mgmt.audit_record FOR VALUES FROM ('2010-01-01') TO ('2010-02-01')"
    )


@pytest.mark.parametrize(
    ("scope", "dropped"),
    [
        (None, 1),
        ("{}", 0),
        ('{"from": "2010-01-15"}', 0),
        ('{"from": "2010-02-01"}', 1),
        ('{"until": "2010-01-01"}', 1),
        ('{"until": "2010-01-02"}', 0),
    ],
)
def test_what_is_under_a_hold_is_not_purged(
    admin: Connection, tenant: UUID, account: UUID, scope: str | None, dropped: int
) -> None:
    old_partition(admin)
    if scope is not None:
        hold(admin, account, scope, tenant)
    assert one(admin, "SELECT security_mgmt.purge_audit_records()") == dropped


def test_a_released_hold_keeps_nothing(admin: Connection, tenant: UUID, account: UUID) -> None:
    old_partition(admin)
    hold(admin, account, "{}", tenant)
    admin.execute(
        "UPDATE security_mgmt.evidence_hold SET released_at = now() + interval '1 hour',"
        " release_reason = 'settled'"
    )
    assert one(admin, "SELECT security_mgmt.purge_audit_records()") == 1


def test_retention_keeps_what_is_not_old_enough(admin: Connection) -> None:
    old_partition(admin)
    assert one(admin, "SELECT security_mgmt.purge_audit_records('2017-01-31')") == 0
    assert one(admin, "SELECT security_mgmt.purge_audit_records('2017-02-01')") == 1


def test_who_does_not_see_all_holds_purges_nothing(admin: Connection, tenant: UUID) -> None:
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    admin.execute("SET LOCAL ROLE app_owner")
    with pytest.raises(errors.InsufficientPrivilege, match="does not see the holds"):
        admin.execute("SELECT security_mgmt.purge_audit_records()")
