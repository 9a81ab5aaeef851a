"""What verification finds opens an incident, what is on hold stays, what is exported is proven."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection
from tests.integration.conftest import add_account, add_tenant, become_app

RECORD = "security_mgmt.audit_record"


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def _append(connection: Connection, table: str = "invoice", entity: UUID | None = None) -> None:
    connection.execute(
        "SELECT security_mgmt.append_audit('update', 'tenant_mgmt', %s, %s, '{}', '{}')",
        [table, entity or uuid4()],
    )


@pytest.fixture
def chain(app: Connection) -> Connection:
    """The application, whose tenant's chain holds eight records."""
    for _ in range(8):
        _append(app)
    return app


def _damage(connection: Connection, tenant: UUID, statement: str) -> None:
    connection.execute("RESET ROLE")
    connection.execute("SET LOCAL session_replication_role = replica")
    connection.execute(statement.encode())
    connection.execute("SET LOCAL session_replication_role = origin")
    become_app(connection, tenant)


# Verification and findings.


def test_an_intact_chain_is_recorded_as_intact(chain: Connection) -> None:
    one(chain, "SELECT security_mgmt.build_audit_checkpoint(6)")
    one(chain, "SELECT security_mgmt.record_verification('full')")
    row = chain.execute(
        "SELECT mode, from_seq, to_seq, records_checked, mismatches_found, first_bad_seq, result,"
        " audit_checkpoint_id IS NOT NULL FROM security_mgmt.audit_verification_run"
    ).fetchone()
    assert row == ("full", 1, 8, 8, 0, None, "intact", True)
    assert one(chain, "SELECT count(*) FROM security_mgmt.audit_tamper_finding") == 0


def test_an_incremental_run_begins_behind_the_last_intact_one(chain: Connection) -> None:
    spans = "SELECT from_seq, to_seq, records_checked FROM security_mgmt.audit_verification_run"
    verify = "SELECT security_mgmt.record_verification('incremental')"
    one(chain, verify)
    _append(chain)
    _append(chain)
    one(chain, verify)
    one(chain, verify)
    found = chain.execute(f"{spans} ORDER BY to_seq, from_seq".encode()).fetchall()
    assert found == [(1, 8, 8), (9, 10, 2), (11, 10, 0)]


def test_a_chain_that_is_empty_is_intact(app: Connection) -> None:
    one(app, "SELECT security_mgmt.record_verification()")
    row = app.execute(
        "SELECT from_seq, to_seq, result FROM security_mgmt.audit_verification_run"
    ).fetchone()
    assert row == (1, 0, "intact")


@pytest.mark.parametrize(
    ("damage", "findings"),
    [
        (f"UPDATE {RECORD} SET reason = 'x' WHERE chain_seq = 3", [(3, "hash_mismatch", True)]),
        (f"DELETE FROM {RECORD} WHERE chain_seq = 3", [(3, "missing_record", False)]),
        (
            f"DELETE FROM {RECORD} WHERE chain_seq > 6",
            [(7, "head_mismatch", False), (7, "missing_record", False)],
        ),
        (
            "UPDATE security_mgmt.audit_chain_head SET last_hash = sha256('x')",
            [(8, "head_mismatch", False)],
        ),
    ],
)
def test_what_is_broken_becomes_findings_of_one_incident(
    chain: Connection, tenant: UUID, damage: str, findings: list[tuple[int, str, bool]]
) -> None:
    _damage(chain, tenant, damage)
    run = one(chain, "SELECT security_mgmt.record_verification('full')")
    found = chain.execute(
        "SELECT bad_seq, kind, expected_hash IS NOT NULL FROM security_mgmt.audit_tamper_finding"
        " WHERE audit_verification_run_id = %s ORDER BY bad_seq, kind",
        [run],
    ).fetchall()
    assert found == findings
    row = chain.execute(
        "SELECT result, mismatches_found, first_bad_seq FROM security_mgmt.audit_verification_run"
    ).fetchone()
    assert row == ("broken", len(findings), findings[0][0])
    incidents = chain.execute(
        "SELECT DISTINCT i.severity, i.category, i.phase FROM security_mgmt.incident AS i"
        " JOIN security_mgmt.audit_tamper_finding AS f USING (business_id, incident_id)"
    ).fetchall()
    assert incidents == [("sev1", "tamper", "declared")]
    assert one(chain, "SELECT count(*) FROM security_mgmt.incident") == 1


@pytest.fixture
def finding(chain: Connection, tenant: UUID) -> Connection:
    """The application of a tenant that has one open finding."""
    _damage(chain, tenant, f"UPDATE {RECORD} SET reason = 'x' WHERE chain_seq = 3")
    one(chain, "SELECT security_mgmt.record_verification('full')")
    return chain


FINDING_STATES = {
    "open": ["explained", "confirmed"],
    "explained": ["confirmed", "closed"],
    "confirmed": ["explained", "closed"],
    "closed": [],
}


@pytest.mark.parametrize(("was", "becomes"), list(itertools.permutations(FINDING_STATES, 2)))
def test_a_finding_goes_only_where_it_may(
    finding: Connection, tenant: UUID, was: str, becomes: str
) -> None:
    _damage(
        finding,
        tenant,
        f"UPDATE security_mgmt.audit_tamper_finding SET status = '{was}', explanation = 'known',"
        f" closed_at = CASE WHEN '{was}' = 'closed' THEN now() + interval '1 h' END",
    )
    change = f"UPDATE security_mgmt.audit_tamper_finding SET status = '{becomes}'"
    if becomes in FINDING_STATES[was]:
        if becomes == "closed":
            change += ", closed_at = detected_at + interval '1 hour'"
        finding.execute(change.encode())
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            finding.execute(change.encode())


def test_a_finding_is_not_explained_by_nothing(finding: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="finding_explained"):
        finding.execute("UPDATE security_mgmt.audit_tamper_finding SET status = 'explained'")


@pytest.mark.parametrize("change", ["bad_seq = 4", "kind = 'head_mismatch'", "severity = 'high'"])
def test_what_was_found_stays_as_it_was_found(finding: Connection, change: str) -> None:
    with pytest.raises(errors.RestrictViolation, match="stays as it was found"):
        finding.execute(f"UPDATE security_mgmt.audit_tamper_finding SET {change}".encode())


def test_a_finding_is_not_deleted(finding: Connection) -> None:
    with pytest.raises(errors.InsufficientPrivilege), finding.transaction():
        finding.execute("DELETE FROM security_mgmt.audit_tamper_finding")
    finding.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation):
        finding.execute("DELETE FROM security_mgmt.audit_tamper_finding")


RUN = (
    "INSERT INTO security_mgmt.audit_verification_run (business_id, mode, from_seq, to_seq,"
    " records_checked, mismatches_found, first_bad_seq, result, duration_ms, started_at,"
    " finished_at) VALUES (tenant_mgmt.current_business_id(), 'full', 5, 9, 5, %s, %s, %s, 1,"
    " now(), now() + %s::interval)"
)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((1, 6, "intact", "0"), "broken_is_counted"),
        ((0, None, "broken", "0"), "broken_is_counted"),
        ((1, None, "broken", "0"), "broken_has_place"),
        ((1, 4, "broken", "0"), "place_in_span"),
        ((1, 11, "broken", "0"), "place_in_span"),
        ((0, None, "intact", "-1 s"), "ends_after_start"),
    ],
)
def test_a_run_says_what_it_found(app: Connection, values: tuple[Any, ...], says: str) -> None:
    with pytest.raises(errors.CheckViolation, match=says):
        app.execute(RUN.encode(), values)


def test_the_status_of_the_chain_is_seen(finding: Connection) -> None:
    one(finding, "SELECT security_mgmt.build_audit_checkpoint(6)")
    row = finding.execute(
        "SELECT last_seq, checkpoint_seq, records_since_checkpoint, checkpoint_is_anchored,"
        " verification_result, first_bad_seq, open_findings, verification_age >= interval '0'"
        " FROM security_mgmt.v_audit_chain_status"
    ).fetchone()
    assert row is not None
    assert row[0] >= 8
    assert row[1:] == (6, row[0] - 6, False, "broken", 3, 1, True)


# Holds, and what may be dropped.


def _hold(connection: Connection, account: UUID, scope: dict[str, Any], number: str = "H1") -> None:
    connection.execute(
        "INSERT INTO security_mgmt.evidence_hold (business_id, ordered_by_user_account_id,"
        " hold_number, matter, basis, scope_filter) VALUES (tenant_mgmt.current_business_id(),"
        " %s, %s, 'A v. B', 'litigation', %s)",
        [account, number, Jsonb(scope)],
    )


@pytest.mark.parametrize(
    ("scope", "held"),
    [
        ({}, 4),
        ({"table_name": "invoice"}, 3),
        ({"schema_name": "tenant_mgmt", "table_name": "payment"}, 1),
        ({"entity_ids": ["00000000-0000-0000-0000-00000000000e"]}, 1),
        ({"entity_ids": []}, 0),
        ({"actor_user_account_ids": ["00000000-0000-0000-0000-00000000000e"]}, 0),
        ({"from": "2001-01-01T00:00:00Z", "until": "2002-01-01T00:00:00Z"}, 0),
        ({"from": "2001-01-01T00:00:00Z"}, 4),
    ],
)
def test_a_hold_counts_what_is_in_its_scope(
    app: Connection, account: UUID, scope: dict[str, Any], held: int
) -> None:
    _append(app)
    _append(app)
    _append(app, entity=UUID(int=14))
    _append(app, "payment")
    _hold(app, account, scope)
    assert one(app, "SELECT security_mgmt.enforce_evidence_holds()") == 1
    query = (
        "SELECT h.records_held - count(r.*) FROM security_mgmt.evidence_hold AS h"
        " LEFT JOIN security_mgmt.audit_record AS r ON r.table_name = 'evidence_hold'"
        " AND security_mgmt.audit_record_in_scope(r, h.scope_filter) GROUP BY h.records_held"
    )
    assert one(app, query) == held, "without the record of the hold itself"


@pytest.mark.parametrize(
    ("scope", "error"),
    [
        ({"tables": "x"}, errors.CheckViolation),
        ({"from": "soon"}, errors.InvalidDatetimeFormat),
        ({"entity_ids": ["x"]}, errors.InvalidTextRepresentation),
        ({"actor_user_account_ids": ["x"]}, errors.InvalidTextRepresentation),
    ],
)
def test_a_scope_that_cannot_be_read_is_refused(
    app: Connection, account: UUID, scope: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        _hold(app, account, scope)


def test_a_hold_is_released_for_a_reason_and_stays_released(app: Connection, account: UUID) -> None:
    _hold(app, account, {})
    release = "UPDATE security_mgmt.evidence_hold SET released_at = now() + interval '1 s'"
    with pytest.raises(errors.CheckViolation, match="for_a_reason"), app.transaction():
        app.execute(release.encode())
    app.execute(f"{release}, release_reason = 'settled'".encode())
    with pytest.raises(errors.RestrictViolation, match="was released"), app.transaction():
        app.execute("UPDATE security_mgmt.evidence_hold SET released_at = NULL")
    with pytest.raises(errors.InsufficientPrivilege), app.transaction():
        app.execute("DELETE FROM security_mgmt.evidence_hold")
    trail = "SELECT array_agg(action ORDER BY chain_seq) FROM security_mgmt.audit_record"
    assert one(app, trail) == ["insert", "update"]


@pytest.fixture
def old(admin: Connection, tenant: UUID, account: UUID) -> Connection:
    """As the loader: three records of 2010, three of 2011 and one of now in a chain, under an
    anchored checkpoint, with a retention of five years; each old year is a partition."""
    for year in (2010, 2011):
        admin.execute(
            f"CREATE TABLE security_mgmt.audit_record_y{year} PARTITION OF {RECORD}"
            f" FOR VALUES FROM ('{year}-01-01Z') TO ('{year + 1}-01-01Z')".encode()
        )
        admin.execute(f"ALTER TABLE security_mgmt.audit_record_y{year} OWNER TO app_owner".encode())
    admin.execute("SET LOCAL ROLE harness_loader")
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    admin.execute(
        "INSERT INTO security_mgmt.audit_policy (business_id, schema_name, table_name,"
        " retention_years) VALUES (%s, 'user_mgmt', 'user_account', 5)",
        [tenant],
    )
    for day in ("2010-03-01", "2010-05-01", "2010-07-01", "2011-03-01", "2011-05-01", "2011-07-01"):
        _import(admin, tenant, day)
    _import(admin, tenant, "2026-01-01")
    admin.execute(
        "INSERT INTO security_mgmt.audit_checkpoint (business_id, from_seq, to_seq, signature,"
        " signing_key_ref, anchored_to, anchor_reference, anchored_at) VALUES (%s, 1, 7, 's',"
        " 'vault:k', 'printed', 'page 1', now())",
        [tenant],
    )
    return admin


def _import(connection: Connection, tenant: UUID, day: str) -> None:
    connection.execute(
        "INSERT INTO security_mgmt.audit_record (business_id, actor_kind, action, schema_name,"
        " table_name, recorded_at) VALUES (%s, 'system', 'login', 'user_mgmt', 'user_account',"
        " %s::timestamptz)",
        [tenant, f"{day} 00:00Z"],
    )


DROP = "SELECT security_mgmt.drop_expired_audit_partitions()"
Y2010, Y2011 = "security_mgmt.audit_record_y2010", "security_mgmt.audit_record_y2011"


def test_expired_partitions_are_dropped_and_the_rest_verifies(
    old: Connection, tenant: UUID
) -> None:
    assert one(old, DROP) == [Y2010, Y2011]
    become_app(old, tenant)
    head = old.execute(
        "SELECT purged_through_seq, last_seq, record_count FROM security_mgmt.audit_chain_head"
    ).fetchone()
    assert head == (6, 7, 7)
    assert old.execute("SELECT * FROM security_mgmt.verify_audit_chain()").fetchall() == []
    _append(old)
    assert one(old, "SELECT max(chain_seq) FROM security_mgmt.audit_record") == 8
    assert old.execute("SELECT * FROM security_mgmt.verify_audit_chain()").fetchall() == []


@pytest.mark.parametrize(
    ("scope", "dropped"),
    [
        ({}, []),
        ({"from": "2011-01-01T00:00:00Z"}, [Y2010]),
        # The chain is purged from its beginning only.
        ({"until": "2010-04-01T00:00:00Z"}, []),
        ({"table_name": "other"}, [Y2010, Y2011]),
    ],
)
def test_what_is_on_hold_is_never_dropped(
    old: Connection, tenant: UUID, account: UUID, scope: dict[str, Any], dropped: list[str]
) -> None:
    _hold(old, account, scope)
    assert one(old, DROP) == dropped


def test_what_was_on_hold_is_dropped_after_its_release(
    old: Connection, tenant: UUID, account: UUID
) -> None:
    _hold(old, account, {})
    assert one(old, DROP) == []
    old.execute(
        "UPDATE security_mgmt.evidence_hold SET released_at = now() + interval '1 s',"
        " release_reason = 'settled'"
    )
    assert one(old, DROP) == [Y2010, Y2011]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE security_mgmt.audit_policy SET retention_years = 30",
        "DELETE FROM security_mgmt.audit_policy",
    ],
)
def test_what_is_to_be_kept_is_not_dropped(old: Connection, change: str) -> None:
    old.execute(change.encode())
    assert one(old, DROP) == []


def test_what_no_anchor_vouches_for_is_not_dropped(old: Connection) -> None:
    old.execute("RESET ROLE")
    old.execute("SET LOCAL session_replication_role = replica")
    old.execute(
        "UPDATE security_mgmt.audit_checkpoint SET anchored_to = NULL, anchored_at = NULL,"
        " anchor_reference = NULL"
    )
    old.execute("SET LOCAL session_replication_role = origin")
    old.execute("SET LOCAL ROLE harness_loader")
    assert one(old, DROP) == []


def test_one_record_of_another_tenant_keeps_the_partition(old: Connection) -> None:
    second = add_tenant(old, "second")
    _import(old, second, "2010-03-01")
    assert one(old, DROP) == []


def test_only_who_sees_all_tenants_may_drop(old: Connection, tenant: UUID) -> None:
    for role in ("app_user", "app_owner"):
        old.execute(f"SET LOCAL ROLE {role}".encode())
        with pytest.raises(errors.InsufficientPrivilege), old.transaction():
            one(old, DROP)


# Exports.

EXPORT_STATES = {
    "requested": ["approved", "refused"],
    "approved": ["built", "refused", "expired"],
    "built": ["delivered", "expired"],
    "delivered": ["expired"],
    "expired": [],
    "refused": [],
}


@pytest.fixture
def approver(app: Connection, tenant: UUID) -> UUID:
    """Another account of the tenant."""
    app.execute("RESET ROLE")
    bob = add_account(app, tenant, "bob")
    become_app(app, tenant)
    return bob


@pytest.fixture
def export(app: Connection, approver: UUID, account: UUID) -> UUID:
    """A requested export of the invoices of today, and four records, three of them of invoices."""
    for table in ("invoice", "invoice", "payment", "invoice"):
        _append(app, table)
    found: UUID = one(
        app,
        "INSERT INTO security_mgmt.audit_export (business_id, requested_by_user_account_id,"
        " purpose, filter, from_at, until_at) VALUES (tenant_mgmt.current_business_id(), %s,"
        " 'external_audit', '{\"table_name\": \"invoice\"}', now() - interval '1 day',"
        " now() + interval '1 day') RETURNING audit_export_id",
        account,
    )
    return found


def _approve(connection: Connection, approver: UUID) -> None:
    connection.execute(
        "UPDATE security_mgmt.audit_export SET state = 'approved', approved_by = %s", [approver]
    )


def test_an_export_is_built_with_its_hash_and_proofs(
    app: Connection, export: UUID, approver: UUID
) -> None:
    _approve(app, approver)
    one(app, "SELECT security_mgmt.build_audit_checkpoint(3)")
    assert one(app, "SELECT security_mgmt.build_audit_export(%s)", export) == 3
    lines = app.execute(
        "SELECT line FROM security_mgmt.audit_export_lines(%s)", [export]
    ).fetchall()
    content = "".join(f"{line}\n" for (line,) in lines)
    row = app.execute(
        "SELECT state, record_count, content_sha256, jsonb_path_query_array("
        "inclusion_proof, '$[*].chain_seq') FROM security_mgmt.audit_export"
    ).fetchone()
    assert row == ("built", 3, hashlib.sha256(content.encode()).digest(), [1, 2])
    proven = (
        "SELECT bool_and(security_mgmt.verify_inclusion_proof(decode(p ->> 'record_hash', 'hex'),"
        " c.merkle_root, p)) FROM security_mgmt.audit_export AS e,"
        " jsonb_array_elements(e.inclusion_proof) AS p, security_mgmt.audit_checkpoint AS c"
    )
    assert one(app, proven) is True


def test_each_step_of_an_export_is_in_the_trail(
    app: Connection, export: UUID, approver: UUID
) -> None:
    _approve(app, approver)
    one(app, "SELECT security_mgmt.build_audit_export(%s)", export)
    rows = app.execute(
        "SELECT action, new_row ->> 'state' FROM security_mgmt.audit_record"
        " WHERE table_name = 'audit_export' AND entity_id = %s ORDER BY chain_seq",
        [export],
    ).fetchall()
    assert rows == [("export", "requested"), ("export", "approved"), ("export", "built")]


def test_nobody_approves_what_it_asked_for(app: Connection, export: UUID, account: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="approved_by_another"):
        _approve(app, account)


def test_nothing_is_built_without_approval(app: Connection, export: UUID) -> None:
    with pytest.raises(errors.NoDataFound, match="no approved export"):
        one(app, "SELECT security_mgmt.build_audit_export(%s)", export)


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ("approved", "filter = '{}'"),
        ("approved", "until_at = until_at + interval '1 day'"),
        ("built", "record_count = 2"),
        ("built", "content_sha256 = sha256('x')"),
    ],
)
def test_what_was_approved_and_built_stays(
    app: Connection, export: UUID, approver: UUID, state: str, change: str
) -> None:
    _approve(app, approver)
    if state == "built":
        one(app, "SELECT security_mgmt.build_audit_export(%s)", export)
    with pytest.raises(errors.RestrictViolation, match=f"what was {state}"):
        app.execute(f"UPDATE security_mgmt.audit_export SET {change}".encode())


@pytest.mark.parametrize(("was", "becomes"), list(itertools.permutations(EXPORT_STATES, 2)))
def test_an_export_goes_only_where_it_may(
    app: Connection, tenant: UUID, export: UUID, approver: UUID, was: str, becomes: str
) -> None:
    _damage(
        app,
        tenant,
        f"UPDATE security_mgmt.audit_export SET state = '{was}', approved_by = '{approver}',"
        " content_sha256 = sha256('x'), record_count = 3, delivered_at = now()",
    )
    change = f"UPDATE security_mgmt.audit_export SET state = '{becomes}'".encode()
    if becomes in EXPORT_STATES[was]:
        app.execute(change)
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            app.execute(change)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("until_at = from_at", "span_not_empty"),
        ("filter = '{\"tables\": 1}'", "filter_known"),
        ("state = 'approved'", "approved_by_somebody"),
    ],
)
def test_an_export_that_makes_no_sense_is_refused(
    app: Connection, export: UUID, change: str, says: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=says):
        app.execute(f"UPDATE security_mgmt.audit_export SET {change}".encode())


def test_an_export_is_not_deleted(app: Connection, export: UUID) -> None:
    app.execute("RESET ROLE")
    with pytest.raises(psycopg.IntegrityError, match="append only"):
        app.execute("DELETE FROM security_mgmt.audit_export")
