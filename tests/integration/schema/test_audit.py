"""The audit trail: one chain per tenant that nobody writes but one function, and nobody mends."""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app

WRITERS = 10
EACH = 15


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def append(connection: Connection, count: int = 1, **given: Any) -> int:
    """Appends records of suspensions and returns the number of the last."""
    last = 0
    for number in range(count):
        last = one(
            connection,
            "SELECT security_mgmt.append_audit(%s, 'user_mgmt', %s, %s, %s, %s, %s)",
            given.get("action", "update"),
            given.get("table", "user_account"),
            given.get("entity", uuid4()),
            json.dumps({"status": "active", "n": number}),
            json.dumps({"status": "suspended", "email": "ada@example.com"}),
            given.get("reason", "left"),
        )
    return last


def broken(connection: Connection, *window: int) -> list[tuple[int, str]]:
    """The broken links of the tenant's chain, or of a window of it."""
    marks = ", ".join(["%s"] * len(window))
    return connection.execute(
        f"SELECT * FROM security_mgmt.verify_audit_chain({marks})".encode(), window
    ).fetchall()


@contextmanager
def as_superuser(connection: Connection) -> Iterator[None]:
    """Beyond triggers and row security, as somebody who owns the machine."""
    role = one(connection, "SELECT current_user")
    connection.execute("RESET ROLE")
    connection.execute("SET LOCAL session_replication_role = replica")
    yield
    connection.execute("SET LOCAL session_replication_role = origin")
    connection.execute(f"SET LOCAL ROLE {role}".encode())


def test_records_are_numbered_from_one_and_chained(app: Connection) -> None:
    assert append(app, 3) == 3
    rows = app.execute(
        "SELECT chain_seq, previous_hash, record_hash FROM security_mgmt.audit_record"
        " ORDER BY chain_seq"
    ).fetchall()
    head = app.execute(
        "SELECT genesis_hash, last_seq, last_hash, record_count FROM security_mgmt.audit_chain_head"
    ).fetchone()
    assert [row[0] for row in rows] == [1, 2, 3]
    assert head == (rows[0][1], 3, rows[2][2], 3)
    assert rows[1][1] == rows[0][2]
    assert rows[2][1] == rows[1][2]
    assert broken(app) == []


def test_the_hash_is_sha256_over_the_hash_before_and_every_field(app: Connection) -> None:
    append(app)
    row = app.execute(
        "SELECT previous_hash, record_hash, business_id, chain_seq,"
        " (extract(epoch FROM recorded_at) * 1000000)::bigint, audit_record_id, actor_kind, action,"
        " schema_name, table_name, entity_id, old_row::text, new_row::text, reason, transaction_id"
        " FROM security_mgmt.audit_record"
    ).fetchone()
    assert row
    previous, digest, tenant, seq, at, key, kind, action, schema, table, entity, *rest = row
    old, new, reason, transaction = rest

    def field(value: bytes | None) -> bytes:
        return b"\xff\xff\xff\xff" if value is None else struct.pack(">i", len(value)) + value

    def number(value: int) -> bytes:
        return struct.pack(">q", value)

    said = (
        tenant.bytes,
        number(seq),
        number(at),
        key.bytes,
        None,  # no policy
        None,  # no user
        kind.encode(),
        action.encode(),
        schema.encode(),
        table.encode(),
        entity.bytes,
        old.encode(),
        new.encode(),
        reason.encode(),
        None,  # no address
        None,  # no session
        number(transaction),
    )
    content = previous + b"".join(field(value) for value in said)
    assert hashlib.sha256(content).digest() == digest


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("TimeZone", "Asia/Kathmandu"),
        ("DateStyle", "SQL, DMY"),
        ("IntervalStyle", "iso_8601"),
        ("extra_float_digits", "-15"),
        ("bytea_output", "escape"),
    ],
)
def test_no_setting_of_a_session_changes_the_hash(
    app: Connection, setting: str, value: str
) -> None:
    append(app, 2)
    app.execute("SELECT set_config(%s, %s, true)", [setting, value])
    append(app)
    assert broken(app) == []


def test_the_fields_of_a_record_cannot_be_shifted_into_each_other(app: Connection) -> None:
    for first, second in (("ab", "c"), ("a", "bc")):
        app.execute("SELECT security_mgmt.append_audit('login', %s, %s)", [first, second])
    with as_superuser(app):
        app.execute("UPDATE security_mgmt.audit_record SET schema_name = 'a', table_name = 'bc'")
    assert broken(app) == [(1, "hash_mismatch")]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO security_mgmt.audit_record (business_id, action, schema_name, table_name,"
        " actor_kind, recorded_at) VALUES (tenant_mgmt.current_business_id(), 'login', 'a', 'b',"
        " 'system', clock_timestamp())",
        "UPDATE security_mgmt.audit_record SET reason = 'nothing'",
        "DELETE FROM security_mgmt.audit_record",
        "TRUNCATE security_mgmt.audit_record",
        "UPDATE security_mgmt.audit_chain_head SET last_seq = 0, record_count = 0",
        "DELETE FROM security_mgmt.audit_chain_head",
        "SELECT security_mgmt.open_audit_chain(gen_random_uuid())",
    ],
)
def test_the_application_may_only_append(app: Connection, statement: str) -> None:
    append(app)
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE security_mgmt.audit_record SET reason = 'nothing'",
        "DELETE FROM security_mgmt.audit_record",
        "TRUNCATE security_mgmt.audit_record",
        "UPDATE {leaf} SET reason = 'nothing'",
        "DELETE FROM {leaf}",
        "TRUNCATE {leaf}",
        "TRUNCATE security_mgmt.audit_record_default",
        "UPDATE security_mgmt.audit_chain_head SET last_seq = 9, record_count = 9",
        "UPDATE security_mgmt.audit_chain_head SET last_seq = 0, record_count = 0",
        "UPDATE security_mgmt.audit_chain_head SET last_hash = genesis_hash",
        "DELETE FROM security_mgmt.audit_chain_head",
        "TRUNCATE security_mgmt.audit_chain_head",
        "DELETE FROM security_mgmt.audit_checkpoint",
        "TRUNCATE security_mgmt.audit_checkpoint CASCADE",
        "UPDATE security_mgmt.audit_checkpoint SET merkle_root = sha256('x')",
    ],
)
@pytest.mark.parametrize("who", ["app_owner", "superuser"])
def test_the_owner_is_refused_by_triggers(app: Connection, who: str, statement: str) -> None:
    append(app)
    app.execute("SELECT security_mgmt.build_audit_checkpoint()")
    leaf = one(app, "SELECT tableoid::regclass::text FROM security_mgmt.audit_record")
    app.execute("RESET ROLE")
    if who == "app_owner":
        app.execute("SET LOCAL ROLE app_owner")
    with pytest.raises(errors.RestrictViolation):
        app.execute(statement.format(leaf=leaf).encode())


def test_a_partition_made_later_refuses_to_be_emptied_too(app: Connection) -> None:
    app.execute("RESET ROLE")
    app.execute("SELECT system_core.create_partitions('security_mgmt.audit_record', 'month', 0, 9)")
    last = one(
        app,
        "SELECT max(relid::regclass::text) FROM pg_partition_tree('security_mgmt.audit_record')",
    )
    with pytest.raises(errors.RestrictViolation, match="truncate refused"):
        app.execute(f"TRUNCATE {last}".encode())


INSERT = (
    "INSERT INTO security_mgmt.audit_record (business_id, actor_kind, action, schema_name,"
    " table_name, chain_seq, previous_hash, record_hash, recorded_at) VALUES"
    " (tenant_mgmt.current_business_id(), 'system', 'login', 'a', 'b', {seq}, {previous}, {hash},"
    " {at})"
)
RIGHT = {"seq": "NULL", "previous": "NULL", "hash": "NULL", "at": "clock_timestamp()"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"seq": "5"},
        {"seq": "2"},
        {"previous": "sha256('x')"},
        {"hash": "sha256('x')"},
        {"at": "clock_timestamp() - interval '1 day'"},
    ],
)
def test_what_does_not_continue_the_chain_is_refused_to_everybody(
    app: Connection, wrong: dict[str, str]
) -> None:
    append(app, 2)
    app.execute("RESET ROLE")
    app.execute(INSERT.format(**RIGHT).encode())
    with pytest.raises(errors.RestrictViolation, match="does not continue the chain"):
        app.execute(INSERT.format(**{**RIGHT, **wrong}).encode())


def test_many_records_of_two_tenants_come_in_one_statement(admin: Connection) -> None:
    tenants = [add_tenant(admin, slug) for slug in ("first", "second")]
    admin.execute(
        "INSERT INTO security_mgmt.audit_record (business_id, actor_kind, action, schema_name,"
        " table_name, recorded_at) SELECT unnest(%s::uuid[]), 'system', 'login', 'a', 'b',"
        " clock_timestamp() FROM generate_series(1, 4)",
        [tenants],
    )
    for tenant in tenants:
        admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
        head = admin.execute(
            "SELECT last_seq FROM security_mgmt.audit_chain_head WHERE business_id = %s", [tenant]
        ).fetchone()
        assert head == (4,)
        assert broken(admin) == []


def test_a_record_is_not_put_into_a_partition(app: Connection) -> None:
    append(app)
    app.execute("RESET ROLE")
    aside = INSERT.replace("audit_record ", "audit_record_default ", 1)
    with pytest.raises(errors.RestrictViolation, match="not to a partition"):
        app.execute(aside.format(**RIGHT).encode())


def test_a_sealed_chain_takes_nothing_more(app: Connection) -> None:
    append(app)
    app.execute("RESET ROLE")
    app.execute("UPDATE security_mgmt.audit_chain_head SET is_sealed = true")
    with pytest.raises(errors.RestrictViolation, match="is sealed"), app.transaction():
        append(app)
    with pytest.raises(errors.RestrictViolation, match="stays sealed"):
        app.execute("UPDATE security_mgmt.audit_chain_head SET is_sealed = false")


def _alter(connection: Connection) -> None:
    connection.execute(
        'UPDATE security_mgmt.audit_record SET new_row = \'{"status": "active"}\''
        " WHERE chain_seq = 4"
    )


def _rehash(connection: Connection) -> None:
    """Alters a record and computes its hash anew: the next one does not follow any more."""
    _alter(connection)
    connection.execute(
        "UPDATE security_mgmt.audit_record AS r SET record_hash ="
        " sha256(previous_hash || security_mgmt.canonical_audit_bytes(r)) WHERE chain_seq = 4"
    )


def _delete(connection: Connection) -> None:
    connection.execute("DELETE FROM security_mgmt.audit_record WHERE chain_seq = 4")


def _delete_first(connection: Connection) -> None:
    connection.execute("DELETE FROM security_mgmt.audit_record WHERE chain_seq = 1")


def _cut_the_tail(connection: Connection) -> None:
    connection.execute("DELETE FROM security_mgmt.audit_record WHERE chain_seq >= 7")


def _cut_the_tail_and_the_head(connection: Connection) -> None:
    """As if the last records had never been written: only the checkpoint knows of them."""
    _cut_the_tail(connection)
    connection.execute(
        "UPDATE security_mgmt.audit_chain_head AS h SET last_seq = 6, record_count = 6,"
        " last_hash = r.record_hash FROM security_mgmt.audit_record AS r WHERE r.chain_seq = 6"
    )


def _insert(connection: Connection) -> None:
    """A record between two others, with a hash of its own."""
    connection.execute(
        "INSERT INTO security_mgmt.audit_record (business_id, actor_kind, action, schema_name,"
        " table_name, chain_seq, transaction_id, previous_hash, record_hash, recorded_at)"
        " SELECT r.business_id, 'system', 'login', 'a', 'b', 4, 1, r.record_hash, sha256('x'),"
        " r.recorded_at + interval '1 microsecond' FROM security_mgmt.audit_record AS r"
        " WHERE r.chain_seq = 4"
    )


def _swap(connection: Connection) -> None:
    connection.execute(
        "UPDATE security_mgmt.audit_record SET chain_seq = 9 - chain_seq WHERE chain_seq IN (4, 5)"
    )


def _rewrite(connection: Connection) -> None:
    """The whole chain anew behind an altered record: only the checkpoint knows."""
    _alter(connection)
    for seq in range(4, 9):
        connection.execute(
            "UPDATE security_mgmt.audit_record AS r SET previous_hash = b.record_hash"
            " FROM security_mgmt.audit_record AS b"
            " WHERE r.chain_seq = %s AND b.chain_seq = r.chain_seq - 1",
            [seq],
        )
        connection.execute(
            "UPDATE security_mgmt.audit_record AS r SET record_hash ="
            " sha256(previous_hash || security_mgmt.canonical_audit_bytes(r)) WHERE chain_seq = %s",
            [seq],
        )
    connection.execute(
        "UPDATE security_mgmt.audit_chain_head AS h SET last_hash = r.record_hash"
        " FROM security_mgmt.audit_record AS r WHERE r.chain_seq = 8"
    )


def _move_the_head(connection: Connection) -> None:
    connection.execute("UPDATE security_mgmt.audit_chain_head SET last_hash = sha256('x')")


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (_alter, (4, "hash_mismatch")),
        (_rehash, (5, "hash_mismatch")),
        (_delete, (4, "missing_record")),
        (_delete_first, (1, "missing_record")),
        (_cut_the_tail, (7, "missing_record")),
        (_cut_the_tail_and_the_head, (1, "checkpoint_mismatch")),
        (_insert, (4, "duplicate_seq")),
        (_swap, (4, "hash_mismatch")),
        (_rewrite, (1, "checkpoint_mismatch")),
        (_move_the_head, (8, "head_mismatch")),
    ],
)
def test_whoever_tampers_is_found(
    app: Connection, tamper: Callable[[Connection], None], found: tuple[int, str]
) -> None:
    append(app, 8)
    app.execute("SELECT security_mgmt.build_audit_checkpoint()")
    assert broken(app) == []
    with as_superuser(app):
        tamper(app)
    links = broken(app)
    assert found in links
    kinds = {kind for _, kind in links if kind != "checkpoint_mismatch"}
    first = min((seq for seq, kind in links if kind in kinds), default=found[0])
    assert first == found[0], "the first broken link is named"


def test_a_moved_record_runs_backwards_in_time(app: Connection) -> None:
    append(app, 8)
    with as_superuser(app):
        _swap(app)
    assert (5, "time_reversal") in broken(app)


def test_a_window_is_verified_from_the_record_before_it(app: Connection) -> None:
    append(app, 8)
    with as_superuser(app):
        _rehash(app)
    assert broken(app, 1, 4) == []
    assert broken(app, 5, 8) == [(5, "hash_mismatch")]
    assert broken(app, 6, 8) == []


def test_a_tenant_without_records_is_intact(app: Connection) -> None:
    assert broken(app) == []
    assert one(app, "SELECT security_mgmt.build_audit_checkpoint()") is None


def test_chains_of_tenants_know_nothing_of_each_other(
    admin: Connection, tenant: UUID, account: UUID
) -> None:
    other = add_tenant(admin, "other")
    for business in (tenant, other, tenant):
        become_app(admin, business)
        append(admin)
    become_app(admin, other)
    assert one(admin, "SELECT count(*) FROM security_mgmt.audit_record") == 1
    assert one(admin, "SELECT last_seq FROM security_mgmt.audit_chain_head") == 1
    assert broken(admin) == []


@pytest.fixture
def shared(deployed: Target, copy_of: Callable[[Target], Target]) -> tuple[Target, UUID]:
    """A database that others can connect to, and a tenant in it."""
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "busy")
    return target, tenant


def test_concurrent_writers_keep_one_chain(shared: tuple[Target, UUID]) -> None:
    target, tenant = shared

    def write(_: int) -> None:
        with psycopg.connect(target.app, autocommit=True) as connection:
            for number in range(EACH):
                with connection.transaction():
                    connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                    append(connection)
                    if number % 5 == 4:
                        raise psycopg.Rollback

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    with psycopg.connect(target.app) as connection:
        connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
        seqs = connection.execute(
            "SELECT chain_seq FROM security_mgmt.audit_record ORDER BY recorded_at, chain_seq"
        ).fetchall()
        assert broken(connection) == []
    kept = WRITERS * (EACH - EACH // 5)
    assert [seq for (seq,) in seqs] == list(range(1, kept + 1))


def test_who_did_it_comes_from_the_session(app: Connection, account: UUID) -> None:
    session = uuid4()
    settings = {
        "app.user_account_id": str(account),
        "app.client_ip": "192.0.2.7",
        "app.session_id": str(session),
    }
    for name, value in settings.items():
        app.execute("SELECT set_config(%s, %s, true)", [name, value])
    append(app)
    found = app.execute(
        "SELECT actor_kind, actor_user_account_id, host(client_ip), session_key"
        " FROM security_mgmt.audit_record"
    ).fetchall()
    assert found == [("user", account, "192.0.2.7", session)]
    assert broken(app) == []


def decide(connection: Connection, **columns: Any) -> None:
    """A policy on user_mgmt.user_account."""
    given = {"audited_actions": ["update"], "masked_columns": [], **columns}
    names = ", ".join(given)
    marks = ", ".join(["%s"] * len(given))
    connection.execute(
        f"INSERT INTO security_mgmt.audit_policy (business_id, schema_name, table_name, {names})"
        " VALUES (tenant_mgmt.current_business_id(), 'user_mgmt', 'user_account',"
        f" {marks})".encode(),
        list(given.values()),
    )


def test_a_policy_says_what_is_audited(app: Connection) -> None:
    decide(app)
    assert append(app, action="update") == 1
    assert append(app, action="delete") is None
    assert append(app, action="delete", table="role") == 2, "no policy: all is audited"


def test_masked_columns_are_recognizable_and_not_readable(app: Connection) -> None:
    decide(app, masked_columns=["email", "absent"])
    append(app, 2)
    images = app.execute(
        "SELECT new_row ->> 'email', new_row ->> 'status' FROM security_mgmt.audit_record"
    ).fetchall()
    assert images[0] == images[1]
    assert images[0][0].startswith("masked:")
    assert images[0][1] == "suspended"
    assert broken(app) == []


def test_the_same_value_masks_differently_for_another_tenant(
    admin: Connection, tenant: UUID, account: UUID
) -> None:
    masks = set()
    for business in (tenant, add_tenant(admin, "other")):
        become_app(admin, business)
        decide(admin, masked_columns=["email"])
        append(admin)
        masks.add(one(admin, "SELECT new_row ->> 'email' FROM security_mgmt.audit_record"))
    assert len(masks) == 2


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"is_enabled": False, "approved_by": "account"}, "audit_policy_disabled_by_somebody"),
        ({"is_enabled": False}, "audit_policy_disabled_by_somebody"),
        ({"is_enabled": False, "change_reason": "noise"}, "audit_policy_disabled_by_somebody"),
        (
            {"retention_years": 6, "minimum_retention_years": 7},
            "audit_policy_kept_long_enough",
        ),
        ({"audited_actions": ["look"]}, "audit_policy_actions_known"),
    ],
)
def test_a_policy_is_not_weakened_in_silence(
    app: Connection, account: UUID, columns: dict[str, Any], truth: str
) -> None:
    columns = {name: account if v == "account" else v for name, v in columns.items()}
    with pytest.raises(errors.CheckViolation, match=truth):
        decide(app, **columns)


def test_who_weakens_the_audit_is_in_the_audit(app: Connection, account: UUID) -> None:
    decide(app)
    app.execute(
        "UPDATE security_mgmt.audit_policy SET is_enabled = false, approved_by = %s,"
        " change_reason = 'noise'",
        [account],
    )
    found = app.execute(
        "SELECT action, table_name, old_row -> 'is_enabled', new_row -> 'is_enabled'"
        " FROM security_mgmt.audit_record"
    ).fetchall()
    assert found == [("update", "audit_policy", True, False)]


def merkle(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, as it is written there: by recursion."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    sides = merkle(leaves[:half]) + merkle(leaves[half:])
    return hashlib.sha256(b"\x01" + sides).digest()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 13, 16, 33])
def test_the_root_is_that_of_rfc_6962(app: Connection, size: int) -> None:
    leaves = [hashlib.sha256(bytes([n])).digest() for n in range(size)]
    assert one(app, "SELECT security_mgmt.merkle_root(%s)", leaves) == merkle(leaves)


def test_checkpoints_follow_each_other(app: Connection) -> None:
    append(app, 7)
    app.execute("SELECT security_mgmt.build_audit_checkpoint(4)")
    app.execute("SELECT security_mgmt.build_audit_checkpoint()")
    spans = app.execute(
        "SELECT from_seq, to_seq, record_count, previous_checkpoint_hash IS NULL"
        " FROM security_mgmt.audit_checkpoint ORDER BY from_seq"
    ).fetchall()
    assert spans == [(1, 4, 4, True), (5, 7, 3, False)]
    with pytest.raises(errors.CheckViolation, match="does not follow the one before"):
        app.execute(
            "INSERT INTO security_mgmt.audit_checkpoint (business_id, from_seq, to_seq)"
            " VALUES (tenant_mgmt.current_business_id(), 7, 7)"
        )


def test_a_checkpoint_is_signed_once_and_then_anchored_once(app: Connection) -> None:
    append(app, 2)
    app.execute("SELECT security_mgmt.build_audit_checkpoint()")
    anchor = (
        b"UPDATE security_mgmt.audit_checkpoint SET anchored_to = 'printed',"
        b" anchor_reference = 'page 1', anchored_at = now()"
    )
    with pytest.raises(errors.CheckViolation, match="anchored_is_signed"), app.transaction():
        app.execute(anchor)
    sign = (
        b"UPDATE security_mgmt.audit_checkpoint SET signature = sha256('by a key'),"
        b" signing_key_ref = 'vault:audit/key'"
    )
    app.execute(sign)
    app.execute(anchor)
    with pytest.raises(errors.RestrictViolation, match="stays as it is"), app.transaction():
        app.execute(sign.replace(b"by a key", b"by another"))
    with pytest.raises(errors.RestrictViolation, match="stays as it is"):
        app.execute(anchor.replace(b"page 1", b"page 2"))


def test_changed_columns_are_told_with_both_values(app: Connection) -> None:
    found = app.execute(
        "SELECT * FROM security_mgmt.audit_changed_columns("
        '\'{"a": 1, "b": 2, "c": null}\', \'{"a": 1, "b": 3, "d": "x"}\')'
    ).fetchall()
    assert found == [("b", 2, 3), ("c", None, None), ("d", None, "x")] or found == [
        ("b", 2, 3),
        ("d", None, "x"),
    ]


def test_the_keyed_hash_is_that_of_rfc_2104(app: Connection) -> None:
    for key in (b"k", b"k" * 64, b"k" * 200):
        assert one(app, "SELECT security_mgmt.hmac_sha256('text', %s)", key) == hmac.digest(
            key, b"text", "sha256"
        )


@pytest.mark.parametrize(("to_seq", "root"), [(9, None), (7, b"\0" * 32)])
def test_a_checkpoint_of_what_is_not_there_is_refused(
    app: Connection, to_seq: int, root: bytes | None
) -> None:
    append(app, 7)
    with pytest.raises(errors.CheckViolation, match="are not what the checkpoint says"):
        app.execute(
            "INSERT INTO security_mgmt.audit_checkpoint (business_id, from_seq, to_seq,"
            " merkle_root) VALUES (tenant_mgmt.current_business_id(), 1, %s, %s)",
            [to_seq, root],
        )


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 11])
def test_every_record_is_proven_to_belong_to_its_checkpoint(app: Connection, size: int) -> None:
    append(app, size)
    app.execute("SELECT security_mgmt.build_audit_checkpoint()")
    for seq in range(1, size + 1):
        proof = one(app, "SELECT security_mgmt.audit_inclusion_proof(%s)", seq)
        assert one(app, "SELECT security_mgmt.verify_inclusion(%s::jsonb)", json.dumps(proof))
        forged = {**proof, "record_hash": "00" * 32}
        assert not one(app, "SELECT security_mgmt.verify_inclusion(%s::jsonb)", json.dumps(forged))
    assert one(app, "SELECT security_mgmt.audit_inclusion_proof(%s)", size + 1) is None


def test_an_entry_of_a_user_names_the_user(admin: Connection, tenant: UUID) -> None:
    add_account(admin, tenant, "eve")
    with pytest.raises(errors.CheckViolation, match="audit_record_user_is_named"):
        admin.execute(
            "INSERT INTO security_mgmt.audit_record (business_id, actor_kind, action, schema_name,"
            " table_name, recorded_at) VALUES (%s, 'user', 'login', 'a', 'b', clock_timestamp())",
            [tenant],
        )
