"""The audit trail: one writer, one chain per tenant, and nothing done to it goes unnoticed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.types.json import Jsonb

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app

RECORDS = 12
APPEND = (
    "SELECT security_mgmt.append_audit('update', 'tenant_mgmt', 'invoice', %s,"
    " '{\"status\": \"open\"}', %s, 'paid')"
)
VERIFY = "SELECT bad_seq, kind FROM security_mgmt.verify_audit_chain()"
INSERT = (
    "INSERT INTO security_mgmt.audit_record (business_id, actor_kind, action, schema_name,"
    " table_name, recorded_at, chain_seq, previous_hash, record_hash)"
    " VALUES (%s, 'system', 'login', 'user_mgmt', 'user_account', %s, %s, %s, %s)"
)


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def _append(connection: Connection, note: str = "x") -> int:
    seq: int = one(connection, APPEND, uuid4(), Jsonb({"status": "paid", "note": note}))
    return seq


@pytest.fixture
def chain(app: Connection) -> Connection:
    """The application, whose tenant's chain holds RECORDS records."""
    for number in range(RECORDS):
        _append(app, f"record {number}")
    return app


def _damage(connection: Connection, tenant: UUID, *statements: str) -> None:
    """What only a superuser can: changes with the triggers out of the way."""
    connection.execute("RESET ROLE")
    connection.execute("SET LOCAL session_replication_role = replica")
    for statement in statements:
        connection.execute(statement.encode())
    connection.execute("SET LOCAL session_replication_role = origin")
    become_app(connection, tenant)


def _found(connection: Connection) -> list[tuple[int, str]]:
    return connection.execute(VERIFY).fetchall()


# Appending.


def test_places_are_dense_and_the_chain_is_intact(chain: Connection) -> None:
    places = "SELECT array_agg(chain_seq ORDER BY chain_seq) FROM security_mgmt.audit_record"
    assert one(chain, places) == list(range(1, RECORDS + 1))
    assert _found(chain) == []


def test_the_head_is_the_newest_record(chain: Connection) -> None:
    query = (
        "SELECT (h.last_seq, h.last_hash, h.record_count, h.last_appended_at)"
        " = (r.chain_seq, r.record_hash, r.chain_seq, r.recorded_at)"
        " FROM security_mgmt.audit_chain_head AS h, security_mgmt.audit_record AS r"
        " WHERE r.chain_seq = %s"
    )
    assert one(chain, query, RECORDS) is True


def test_an_auditor_computes_the_chain_anew_from_what_it_is_given(
    chain: Connection, tenant: UUID
) -> None:
    rows = chain.execute(
        "SELECT r.*, old_row::text AS old_text, new_row::text AS new_text,"
        " (extract(epoch FROM recorded_at) * 1000000)::bigint AS us"
        " FROM security_mgmt.audit_record AS r ORDER BY chain_seq"
    )
    assert rows.description
    names = [column.name for column in rows.description]
    previous = hashlib.sha256(b"audit chain of " + tenant.bytes).digest()
    for values in rows:
        record = dict(zip(names, values, strict=True))
        plain = ("business_id", "audit_record_id", "chain_seq", "us", "actor_user_account_id")
        more = ("audit_policy_id", "entity_id", "session_key", "transaction_id", "client_ip")
        texts = ("actor_kind", "action", "schema_name", "table_name", "reason")
        form = "audit-record-1;"
        form += "".join(f"{_shown(record[name])};" for name in (*plain, *more))
        form += "".join(_netstring(record[name]) for name in (*texts, "old_text", "new_text"))
        previous = hashlib.sha256(previous + form.encode()).digest()
        assert record["record_hash"] == previous


def _shown(value: Any) -> str:
    return "" if value is None else str(value)


def _netstring(text: str | None) -> str:
    return ":" if text is None else f"{len(text)}:{text}"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("DateStyle", "German, DMY"),
        ("TimeZone", "Asia/Kolkata"),
        ("extra_float_digits", "-15"),
        ("IntervalStyle", "iso_8601"),
        ("bytea_output", "escape"),
        ("client_encoding", "LATIN1"),
        ("lc_numeric", "C"),
        ("search_path", "pg_temp"),
        ("xmloption", "document"),
    ],
)
def test_the_settings_of_a_session_change_no_hash(
    app: Connection, setting: str, value: str
) -> None:
    image = Jsonb({"größe": 1.1, "when": "2026-02-03T04:05:06Z", "list": [1, None, True]})
    app.execute(APPEND, [uuid4(), image])
    form = "SELECT security_mgmt.canonical_audit_bytes(r) FROM security_mgmt.audit_record AS r"
    before = one(app, f"SELECT encode(x, 'hex') FROM ({form}) AS f (x)")
    app.execute("SELECT set_config(%s, %s, true)", [setting, value])
    assert one(app, f"SELECT encode(x, 'hex') FROM ({form}) AS f (x)") == before
    assert _found(app) == []


@pytest.mark.parametrize(
    ("one_record", "other_record"),
    [
        ({"reason": ""}, {"reason": None}),
        ({"schema_name": "a", "table_name": "b1:c"}, {"schema_name": "a1:b", "table_name": "c"}),
        ({"old_row": {}, "new_row": None}, {"old_row": None, "new_row": {}}),
        ({"client_ip": "10.0.0.1"}, {"client_ip": "10.0.0.1/24"}),
        ({"reason": "a;b"}, {"reason": "a;", "table_name": "bt"}),
    ],
)
def test_no_two_records_have_one_form(
    app: Connection, one_record: dict[str, Any], other_record: dict[str, Any]
) -> None:
    common = {"schema_name": "s", "table_name": "t", "actor_kind": "system", "action": "login"}
    form = (
        "SELECT security_mgmt.canonical_audit_bytes("
        "jsonb_populate_record(NULL::security_mgmt.audit_record, %s))"
    )
    forms = [one(app, form, Jsonb({**common, **given})) for given in (one_record, other_record)]
    assert forms[0] != forms[1]


def test_a_record_tells_who_did_it_from_where(app: Connection, account: UUID) -> None:
    session = uuid4()
    app.execute("SELECT set_config('app.user_account_id', %s, true)", [str(account)])
    app.execute("SELECT set_config('app.session_key', %s, true)", [str(session)])
    app.execute("SET LOCAL app.client_ip = '203.0.113.7'")
    _append(app)
    row = app.execute(
        "SELECT actor_user_account_id, actor_kind, session_key, host(client_ip),"
        " transaction_id = pg_current_xact_id()::text::bigint FROM security_mgmt.audit_record"
    ).fetchone()
    assert row == (account, "user", session, "203.0.113.7", True)


def test_an_actor_of_another_tenant_is_refused(app: Connection, tenant: UUID) -> None:
    app.execute("RESET ROLE")
    stranger = add_account(app, add_tenant(app, "second"), "eve")
    become_app(app, tenant)
    app.execute("SELECT set_config('app.user_account_id', %s, true)", [str(stranger)])
    with pytest.raises(errors.ForeignKeyViolation):
        _append(app)


@pytest.mark.parametrize(
    ("action", "old", "new"),
    [
        ("insert", "{}", "{}"),
        ("insert", None, None),
        ("update", None, "{}"),
        ("update", "{}", None),
        ("delete", "{}", "{}"),
        ("delete", None, None),
    ],
)
def test_the_images_fit_the_action(
    app: Connection, action: str, old: str | None, new: str | None
) -> None:
    with pytest.raises(errors.CheckViolation, match="images_fit_action"):
        app.execute("SELECT security_mgmt.append_audit(%s, 's', 't', NULL, %s, %s)",
                    [action, old, new])  # fmt: skip


def test_an_unknown_action_is_refused(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="action_known"):
        app.execute("SELECT security_mgmt.append_audit('guess', 's', 't', NULL)")


def test_nothing_is_appended_without_a_tenant(admin: Connection) -> None:
    admin.execute("SET LOCAL ROLE app_user")
    with pytest.raises(psycopg.Error, match=r"app\.business_id|uuid"):
        _append(admin)


def test_time_does_not_go_back_with_the_clock(chain: Connection, tenant: UUID) -> None:
    ahead = "interval '1 hour'"
    _damage(
        chain, tenant,
        f"UPDATE security_mgmt.audit_chain_head SET last_appended_at = last_appended_at + {ahead}",
    )  # fmt: skip
    _append(chain)
    later = (
        "SELECT max(recorded_at) > now() + interval '50 minutes' FROM security_mgmt.audit_record"
    )
    assert one(chain, later) is True


def test_two_tenants_have_chains_of_their_own(chain: Connection, tenant: UUID) -> None:
    chain.execute("RESET ROLE")
    second = add_tenant(chain, "second")
    become_app(chain, second)
    assert _append(chain) == 1
    assert _found(chain) == []
    become_app(chain, tenant)
    assert _append(chain) == RECORDS + 1
    assert _found(chain) == []
    chain.execute("RESET ROLE")
    roots = "SELECT count(DISTINCT genesis_hash) FROM security_mgmt.audit_chain_head"
    assert one(chain, roots) == 2


def test_many_writers_make_one_chain(deployed: Target, copy_of: Callable[[Target], Target]) -> None:
    database = copy_of(deployed)
    with psycopg.connect(database.admin) as connection:
        tenants = [add_tenant(connection, "first"), add_tenant(connection, "second")]
    writers, appends = 10, 20

    def write(number: int) -> None:
        tenant = tenants[0] if number < writers else tenants[1]
        with psycopg.connect(database.app) as connection:
            for _ in range(appends):
                connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
                _append(connection, f"writer {number}")
                connection.commit()

    with ThreadPoolExecutor(writers + 2) as pool:
        list(pool.map(write, range(writers + 2)))
    with psycopg.connect(database.app) as connection:
        for tenant, count in zip(tenants, (writers * appends, 2 * appends), strict=True):
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            row = connection.execute(
                "SELECT count(*), count(DISTINCT chain_seq), max(chain_seq)"
                " FROM security_mgmt.audit_record"
            ).fetchone()
            assert row == (count, count, count)
            assert _found(connection) == []


# What the owner and the loader bring along is checked too.


def test_a_loader_gets_places_and_hashes_from_the_trigger(admin: Connection, tenant: UUID) -> None:
    copy = (
        "COPY security_mgmt.audit_record (business_id, actor_kind, action, schema_name,"
        " table_name, recorded_at) FROM STDIN"
    )
    admin.execute("SET LOCAL ROLE harness_loader")
    with admin.cursor() as cursor, cursor.copy(copy) as rows:
        for day in range(1, 31):
            rows.write_row((tenant, "system", "login", "s", "t", f"2024-06-{day:02} 00:00Z"))
    become_app(admin, tenant)
    assert one(admin, "SELECT last_seq FROM security_mgmt.audit_chain_head") == 30
    assert _found(admin) == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((99, None, None), "99 does not follow 12"),
        ((12, None, None), "12 does not follow 12"),
        ((13, b"\x00" * 32, None), "another previous hash"),
        ((13, None, b"\x00" * 32), "another hash"),
    ],
)
@pytest.mark.parametrize("role", ["postgres", "app_owner"])
def test_a_record_that_does_not_fit_the_head_is_refused(
    chain: Connection, tenant: UUID, role: str, given: tuple[Any, ...], says: str
) -> None:
    chain.execute("RESET ROLE")
    if role != "postgres":
        chain.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
    with pytest.raises(errors.CheckViolation, match=says):
        chain.execute(INSERT, [tenant, "2099-01-01", *given])


def test_a_record_before_the_last_one_is_refused(chain: Connection, tenant: UUID) -> None:
    chain.execute("RESET ROLE")
    with pytest.raises(errors.CheckViolation, match="before the one it follows"):
        chain.execute(INSERT, [tenant, "2001-01-01", None, None, None])


def test_a_sealed_chain_takes_no_more(chain: Connection, tenant: UUID) -> None:
    chain.execute("RESET ROLE")
    chain.execute("UPDATE security_mgmt.audit_chain_head SET is_sealed = true")
    with pytest.raises(errors.RestrictViolation), chain.transaction():
        chain.execute("UPDATE security_mgmt.audit_chain_head SET is_sealed = false")
    become_app(chain, tenant)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="sealed"):
        _append(chain)


# Nobody changes what is there.

_PARTITIONS = (
    "SELECT inhrelid::regclass::text FROM pg_inherits"
    " WHERE inhparent = 'security_mgmt.audit_record'::regclass"
)
CHANGES = (
    "INSERT INTO {table} DEFAULT VALUES",
    "UPDATE {table} SET business_id = business_id",
    "DELETE FROM {table}",
    "TRUNCATE {table}",
)


@pytest.mark.parametrize("role", ["app_user", "app_readonly"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("table", ["audit_record", "audit_chain_head"])
def test_the_application_may_only_read(
    chain: Connection, role: str, change: str, table: str
) -> None:
    chain.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
    names = [f"security_mgmt.{table}"]
    if table == "audit_record":
        names += [name for (name,) in chain.execute(_PARTITIONS)]
    for name in names:
        with pytest.raises(errors.InsufficientPrivilege), chain.transaction():
            chain.execute(change.format(table=name).encode())


def test_only_the_application_may_append(chain: Connection) -> None:
    chain.execute("SET LOCAL ROLE app_readonly")
    with pytest.raises(errors.InsufficientPrivilege, match="append_audit"):
        _append(chain)


@pytest.mark.parametrize("role", ["postgres", "app_owner"])
@pytest.mark.parametrize("change", CHANGES[1:])
def test_the_owner_is_refused_by_trigger_on_every_partition(
    admin: Connection, tenant: UUID, role: str, change: str
) -> None:
    # A record in each partition: last year is in the default one.
    months = "SELECT date_trunc('month', now(), 'UTC') + %s * interval '1 month'"
    partitions = [name for (name,) in admin.execute(_PARTITIONS)]
    assert len(partitions) == 6
    for month in (-12, -3, -2, -1, 0, 1):
        admin.execute(INSERT, [tenant, one(admin, months, month), None, None, None])
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    if role != "postgres":
        admin.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
    for name in ("security_mgmt.audit_record", *partitions):
        with pytest.raises(errors.RestrictViolation, match="append only"), admin.transaction():
            admin.execute(change.format(table=name).encode())


@pytest.mark.parametrize(
    "change",
    [
        "last_seq = last_seq - 1",
        "last_seq = last_seq + 1",
        "last_hash = sha256('forged')",
        "last_appended_at = now() + interval '1 day'",
        "key_generation = key_generation - 1",
        "opened_at = now() - interval '1 day'",
        "hash_algorithm = 'sha512', last_hash = sha512('')",
        "purged_through_seq = 3",
    ],
)
def test_the_head_is_moved_by_appending_only(chain: Connection, change: str) -> None:
    chain.execute("RESET ROLE")
    with pytest.raises(psycopg.IntegrityError):
        chain.execute(f"UPDATE security_mgmt.audit_chain_head SET {change}".encode())


def test_a_head_is_not_removed_and_opens_empty(chain: Connection, tenant: UUID) -> None:
    chain.execute("RESET ROLE")
    for statement in ("DELETE FROM", "TRUNCATE"):
        with pytest.raises(errors.RestrictViolation), chain.transaction():
            chain.execute(f"{statement} security_mgmt.audit_chain_head".encode())
    second = add_tenant(chain, "second")
    chain.execute(
        "INSERT INTO security_mgmt.audit_chain_head (business_id, last_seq, last_hash,"
        " last_appended_at) VALUES (%s, 7, sha256('forged'), now())",
        [second],
    )
    opened = (
        "SELECT last_seq = 0 AND last_hash = genesis_hash AND last_appended_at IS NULL"
        " FROM security_mgmt.audit_chain_head WHERE business_id = %s"
    )
    assert one(chain, opened, second) is True


# Damage, done with the triggers out of the way, is found and named.

RECORD = "security_mgmt.audit_record"
HEAD = "security_mgmt.audit_chain_head"
DAMAGES = {
    "value": (
        [f'UPDATE {RECORD} SET new_row = \'{{"status": "void"}}\' WHERE chain_seq = 5'],
        [(5, "hash_mismatch")],
    ),
    "actor": (
        [f"UPDATE {RECORD} SET actor_kind = 'service' WHERE chain_seq = 5"],
        [(5, "hash_mismatch")],
    ),
    "value and hash": (
        [
            f"UPDATE {RECORD} SET reason = 'forged' WHERE chain_seq = 5",
            f"UPDATE {RECORD} AS r SET record_hash = sha256(previous_hash"
            " || security_mgmt.canonical_audit_bytes(r)) WHERE chain_seq = 5",
        ],
        [(6, "hash_mismatch")],
    ),
    "first record": (
        [f"UPDATE {RECORD} SET previous_hash = sha256('other') WHERE chain_seq = 1"],
        [(1, "hash_mismatch")],
    ),
    "deleted": ([f"DELETE FROM {RECORD} WHERE chain_seq = 5"], [(5, "missing_record")]),
    "deleted first": ([f"DELETE FROM {RECORD} WHERE chain_seq = 1"], [(1, "missing_record")]),
    "deleted tail": (
        [f"DELETE FROM {RECORD} WHERE chain_seq > 9"],
        [(10, "head_mismatch"), (10, "missing_record")],
    ),
    "all deleted": ([f"DELETE FROM {RECORD}"], [(1, "head_mismatch"), (1, "missing_record")]),
    "inserted": (
        [
            f"INSERT INTO {RECORD} SELECT (r).* FROM (SELECT jsonb_populate_record(x,"
            " jsonb_build_object('audit_record_id', gen_random_uuid(), 'recorded_at',"
            f" x.recorded_at + interval '1 us')) AS r FROM {RECORD} AS x WHERE chain_seq = 5) AS f"
        ],
        [(5, "duplicate_seq"), (5, "hash_mismatch")],
    ),
    "swapped": (
        [
            f"UPDATE {RECORD} SET chain_seq = CASE chain_seq WHEN 5 THEN 8 ELSE 5 END"
            " WHERE chain_seq IN (5, 8)"
        ],
        [
            (5, "hash_mismatch"),
            (6, "hash_mismatch"),
            (6, "time_reversal"),
            (8, "hash_mismatch"),
            (8, "time_reversal"),
            (9, "hash_mismatch"),
        ],
    ),
    "dated back": (
        [f"UPDATE {RECORD} SET recorded_at = recorded_at - interval '1 h' WHERE chain_seq = 5"],
        [(5, "hash_mismatch"), (5, "time_reversal")],
    ),
    "head set back": (
        [
            f"UPDATE {HEAD} AS h SET last_seq = 9, last_hash = r.record_hash"
            f" FROM {RECORD} AS r WHERE r.business_id = h.business_id AND r.chain_seq = 9"
        ],
        [(10, "head_mismatch")],
    ),
    "head forged": ([f"UPDATE {HEAD} SET last_hash = sha256('x')"], [(12, "head_mismatch")]),
    "head deleted": ([f"DELETE FROM {HEAD}"], [(1, "head_mismatch")]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_named(chain: Connection, tenant: UUID, damage: str) -> None:
    statements, expected = DAMAGES[damage]
    _damage(chain, tenant, *statements)
    assert _found(chain) == expected


TRUNCATED = [
    f"DELETE FROM {RECORD} WHERE chain_seq > 9",
    f"UPDATE {HEAD} AS h SET last_seq = 9, last_hash = r.record_hash,"
    f" last_appended_at = r.recorded_at FROM {RECORD} AS r WHERE r.chain_seq = 9",
]
REWRITTEN = [
    f"""DO $$
    DECLARE
        entry {RECORD};
        last  bytea;
    BEGIN
        UPDATE {RECORD} SET reason = 'forged' WHERE chain_seq = 3;
        FOR entry IN SELECT * FROM {RECORD} ORDER BY chain_seq LOOP
            entry.previous_hash := coalesce(last, entry.previous_hash);
            last := sha256(entry.previous_hash || security_mgmt.canonical_audit_bytes(entry));
            UPDATE {RECORD} SET previous_hash = entry.previous_hash, record_hash = last
            WHERE chain_seq = entry.chain_seq;
        END LOOP;
        UPDATE {HEAD} SET last_hash = last;
    END $$""",
]


@pytest.mark.parametrize(("statements", "bad_seq"), [(TRUNCATED, 10), (REWRITTEN, 1)])
def test_what_the_chain_alone_cannot_tell_the_checkpoint_does(
    chain: Connection, tenant: UUID, statements: list[str], bad_seq: int
) -> None:
    with chain.transaction(force_rollback=True):
        _damage(chain, tenant, *statements)
        assert _found(chain) == [], "a whole new chain, and nothing to compare it with"
    one(chain, "SELECT security_mgmt.build_audit_checkpoint()")
    _damage(chain, tenant, *statements)
    assert _found(chain) == [(bad_seq, "checkpoint_mismatch")]
    # Going on in the shortened chain hides nothing.
    for _ in range(5):
        _append(chain)
    assert (1 if bad_seq == 10 else bad_seq, "checkpoint_mismatch") in _found(chain)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM security_mgmt.audit_checkpoint WHERE from_seq = 5",
        "UPDATE security_mgmt.audit_checkpoint SET merkle_root = sha256('x') WHERE from_seq = 5",
        "UPDATE security_mgmt.audit_checkpoint SET previous_checkpoint_hash = sha256('x')"
        " WHERE from_seq = 9",
    ],
)
def test_a_checkpoint_that_was_tampered_with_is_found(
    chain: Connection, tenant: UUID, damage: str
) -> None:
    for to_seq in (4, 8, 12):
        one(chain, "SELECT security_mgmt.build_audit_checkpoint(%s)", to_seq)
    assert _found(chain) == []
    _damage(chain, tenant, damage)
    assert {kind for _, kind in _found(chain)} == {"checkpoint_mismatch"}


def test_a_part_of_the_chain_is_verified_for_itself(chain: Connection, tenant: UUID) -> None:
    _damage(chain, tenant, f"UPDATE {RECORD} SET reason = 'forged' WHERE chain_seq = 5")
    part = "SELECT bad_seq, kind FROM security_mgmt.verify_audit_chain(%s, %s)"
    assert chain.execute(part, [1, 4]).fetchall() == []
    assert chain.execute(part, [5, 5]).fetchall() == [(5, "hash_mismatch")]
    assert chain.execute(part, [6, 12]).fetchall() == []
    assert chain.execute(part, [100, 200]).fetchall() == []


def test_a_part_is_linked_to_the_record_before_it(chain: Connection, tenant: UUID) -> None:
    _damage(
        chain,
        tenant,
        f"UPDATE {RECORD} AS r SET record_hash = sha256('x') WHERE chain_seq = 5",
    )
    part = "SELECT bad_seq, kind FROM security_mgmt.verify_audit_chain(6, 7)"
    assert chain.execute(part).fetchall() == [(6, "hash_mismatch")]


def test_an_empty_chain_is_intact(app: Connection) -> None:
    assert _found(app) == []


# Checkpoints and proofs.


def _merkle(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    halves = _merkle(leaves[:split]) + _merkle(leaves[split:])
    return hashlib.sha256(b"\x01" + halves).digest()


@pytest.mark.parametrize("size", [*range(18), 31, 32, 33, 100])
def test_the_root_is_that_of_the_rfc(admin: Connection, size: int) -> None:
    leaves = [bytes([number]) * 5 for number in range(size)]
    assert one(admin, "SELECT security_mgmt.merkle_root(%s::bytea[])", leaves) == _merkle(leaves)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8, 11])
def test_every_record_of_a_checkpoint_has_a_proof(chain: Connection, size: int) -> None:
    assert one(chain, "SELECT security_mgmt.build_audit_checkpoint(%s)", size)
    root = one(chain, "SELECT merkle_root FROM security_mgmt.audit_checkpoint")
    rows = chain.execute(
        "SELECT r.record_hash, security_mgmt.audit_inclusion_proof(r.chain_seq)"
        " FROM security_mgmt.audit_record AS r ORDER BY r.chain_seq"
    ).fetchall()
    verify = "SELECT security_mgmt.verify_inclusion_proof(%s, %s, %s)"
    for place, (record, proof) in enumerate(rows):
        if place >= size:
            assert proof is None, "no checkpoint holds it yet"
            continue
        assert one(chain, verify, record, root, Jsonb(proof)) is True
        assert one(chain, verify, b"forged", root, Jsonb(proof)) is False
        assert one(chain, verify, record, b"\x00" * 32, Jsonb(proof)) is False
        if size > 1:
            elsewhere = {**proof, "leaf_index": (place + 1) % size}
            assert one(chain, verify, record, root, Jsonb(elsewhere)) is False
            shorter = {**proof, "path": proof["path"][:-1]}
            assert one(chain, verify, record, root, Jsonb(shorter)) is False
        longer = {**proof, "path": [*proof["path"], "00" * 32]}
        assert one(chain, verify, record, root, Jsonb(longer)) is False


@pytest.mark.parametrize("proof", [{}, {"leaf_index": 3, "tree_size": 3, "path": []}])
def test_a_proof_that_is_none_proves_nothing(app: Connection, proof: dict[str, Any]) -> None:
    verify = "SELECT security_mgmt.verify_inclusion_proof('x', sha256('x'), %s)"
    assert one(app, verify, Jsonb(proof)) is False


def test_checkpoints_follow_each_other(chain: Connection) -> None:
    build = "SELECT security_mgmt.build_audit_checkpoint(%s)"
    assert one(chain, build, 4)
    assert one(chain, build, 4) is None, "nothing new"
    assert one(chain, build, None)
    assert one(chain, build, None) is None
    rows = chain.execute(
        "SELECT from_seq, to_seq, record_count, previous_checkpoint_hash"
        " = (SELECT security_mgmt.checkpoint_hash(p) FROM security_mgmt.audit_checkpoint AS p"
        " WHERE p.to_seq = c.from_seq - 1) FROM security_mgmt.audit_checkpoint AS c"
        " ORDER BY from_seq"
    ).fetchall()
    assert rows == [(1, 4, 4, None), (5, 12, 8, True)]


@pytest.mark.parametrize(
    ("from_seq", "to_seq", "root", "says"),
    [
        (6, 8, None, "does not follow"),
        (1, 4, None, "does not follow"),
        (5, 13, None, "not all there"),
        (5, 8, b"\x00" * 32, "another root"),
    ],
)
def test_a_checkpoint_that_is_not_true_is_refused(
    chain: Connection, from_seq: int, to_seq: int, root: bytes | None, says: str
) -> None:
    one(chain, "SELECT security_mgmt.build_audit_checkpoint(4)")
    with pytest.raises(errors.CheckViolation, match=says):
        chain.execute(
            "INSERT INTO security_mgmt.audit_checkpoint (business_id, from_seq, to_seq,"
            " merkle_root) VALUES (tenant_mgmt.current_business_id(), %s, %s, %s)",
            [from_seq, to_seq, root],
        )


SIGN = (
    "UPDATE security_mgmt.audit_checkpoint SET signature = sha512('s'),"
    " signing_key_ref = 'vault:audit/key'"
)
ANCHOR = (
    "UPDATE security_mgmt.audit_checkpoint SET anchored_to = 'printed',"
    " anchor_reference = 'page 7', anchored_at = now()"
)


def test_a_checkpoint_is_signed_and_anchored_once(chain: Connection) -> None:
    one(chain, "SELECT security_mgmt.build_audit_checkpoint()")
    with pytest.raises(errors.CheckViolation, match="anchored_is_signed"), chain.transaction():
        chain.execute(ANCHOR)
    chain.execute(SIGN)
    chain.execute(ANCHOR)
    for change in (
        "signature = sha512('t')",
        "anchor_reference = 'page 8'",
        "anchored_at = now() + interval '1 s'",
        "to_seq = 11",
        "merkle_root = sha256('x')",
    ):
        with pytest.raises(errors.RestrictViolation, match="stays as it is"), chain.transaction():
            chain.execute(f"UPDATE security_mgmt.audit_checkpoint SET {change}".encode())


def test_checkpoints_and_runs_stay(chain: Connection) -> None:
    one(chain, "SELECT security_mgmt.build_audit_checkpoint()")
    one(chain, "SELECT security_mgmt.record_verification()")
    chain.execute("RESET ROLE")
    for statement in (
        "DELETE FROM security_mgmt.audit_checkpoint",
        "TRUNCATE security_mgmt.audit_checkpoint CASCADE",
        "DELETE FROM security_mgmt.audit_verification_run",
        "UPDATE security_mgmt.audit_verification_run SET result = 'intact'",
    ):
        with pytest.raises(errors.RestrictViolation, match="append only"), chain.transaction():
            chain.execute(statement.encode())


# Policies and masking.


def _policy(connection: Connection, table: str = "invoice", **values: Any) -> None:
    given = {"retention_years": 7, "minimum_retention_years": 7, **values}
    connection.execute(
        sql.SQL(
            "INSERT INTO security_mgmt.audit_policy (business_id, schema_name, table_name, {})"
            " VALUES (tenant_mgmt.current_business_id(), 'tenant_mgmt', %s, {})"
        ).format(
            sql.SQL(", ").join(map(sql.Identifier, given)),
            sql.SQL(", ").join(sql.Placeholder() * len(given)),
        ),
        [table, *given.values()],
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"retention_years": 6}, "kept_long_enough"),
        ({"minimum_retention_years": 0}, "kept_long_enough"),
        ({"is_enabled": False}, "disabled_by_somebody"),
        ({"audited_actions": ["guess"]}, "actions_known"),
    ],
)
def test_a_policy_keeps_long_enough_and_is_not_switched_off_by_nobody(
    app: Connection, values: dict[str, Any], says: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=says):
        _policy(app, **values)


def test_a_policy_that_is_disabled_says_by_whom_and_why(app: Connection, account: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="disabled_by_somebody"), app.transaction():
        _policy(app, is_enabled=False, approved_by=account, change_reason=" ")
    _policy(app, is_enabled=False, approved_by=account, change_reason="kept elsewhere")


def test_the_trail_itself_stays_audited(app: Connection, account: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="itself_stays_audited"):
        app.execute(
            "INSERT INTO security_mgmt.audit_policy (business_id, schema_name, table_name,"
            " retention_years, is_enabled, approved_by, change_reason)"
            " VALUES (tenant_mgmt.current_business_id(), 'security_mgmt', 'audit_policy', 1,"
            " false, %s, 'hide it')",
            [account],
        )


def test_a_change_of_a_policy_writes_itself_to_the_trail(app: Connection) -> None:
    _policy(app)
    app.execute("UPDATE security_mgmt.audit_policy SET retention_years = 8")
    app.execute("DELETE FROM security_mgmt.audit_policy")
    rows = app.execute(
        "SELECT action, old_row ->> 'retention_years', new_row ->> 'retention_years'"
        " FROM security_mgmt.audit_record ORDER BY chain_seq"
    ).fetchall()
    assert rows == [("insert", None, "7"), ("update", "7", "8"), ("delete", "8", None)]


def test_a_record_names_its_policy(app: Connection) -> None:
    _policy(app)
    _append(app)
    named = (
        "SELECT count(*) FROM security_mgmt.audit_record AS r"
        " JOIN security_mgmt.audit_policy AS p USING (business_id, audit_policy_id)"
        " WHERE r.table_name = 'invoice' AND p.table_name = 'invoice'"
    )
    assert one(app, named) == 1


@pytest.mark.parametrize(
    ("is_audited", "actions"), [(True, ["update"]), (False, ["insert", "delete"])]
)
def test_a_policy_says_which_changes_are_audited(
    app: Connection, is_audited: bool, actions: list[str]
) -> None:
    app.execute(
        "INSERT INTO security_mgmt.audit_policy (business_id, schema_name, table_name,"
        " retention_years, audited_actions) VALUES (tenant_mgmt.current_business_id(),"
        " 'security_mgmt', 'data_classification_rule', 1, %s)",
        [actions],
    )
    app.execute(
        "INSERT INTO security_mgmt.data_classification_rule (business_id, schema_name,"
        " table_name, column_name, data_class) VALUES (tenant_mgmt.current_business_id(),"
        " 's', 't', 'c', 'internal')"
    )
    app.execute("UPDATE security_mgmt.data_classification_rule SET data_class = 'public'")
    changes = (
        "SELECT count(*) FROM security_mgmt.audit_record WHERE action = 'update'"
        " AND table_name = 'data_classification_rule'"
    )
    assert one(app, changes) == int(is_audited)


def _masked(connection: Connection, image: dict[str, Any]) -> dict[str, Any]:
    one(connection, APPEND, uuid4(), Jsonb(image))
    found: dict[str, Any] = one(
        connection,
        "SELECT new_row FROM security_mgmt.audit_record ORDER BY chain_seq DESC LIMIT 1",
    )
    return found


def test_hidden_values_are_keyed_hashes(app: Connection) -> None:
    _policy(app, masked_columns=["iban"])
    app.execute(
        "INSERT INTO security_mgmt.data_classification_rule (business_id, schema_name,"
        " table_name, column_name, data_class, handling) VALUES"
        " (tenant_mgmt.current_business_id(), 'tenant_mgmt', 'invoice', 'email', 'personal',"
        " 'masked')"
    )
    app.execute("SET LOCAL app.audit_mask_key = 'secret'")
    image = {"iban": "DE00 1234", "email": "a@b.example", "status": "paid", "none": None}
    found = _masked(app, image)
    expected = hmac.new(b"secret", json.dumps("DE00 1234").encode(), "sha256").hexdigest()
    assert found["iban"] == f"k1:{expected}"
    assert found["email"].startswith("k1:")
    assert (found["status"], found["none"]) == ("paid", None)
    assert _masked(app, image)["iban"] == found["iban"], "equal values are equal"
    assert _found(app) == []


def test_without_a_key_hidden_values_are_gone(app: Connection) -> None:
    _policy(app, masked_columns=["iban", "absent"])
    found = _masked(app, {"iban": "DE00 1234", "status": "paid"})
    assert found == {"iban": "masked", "status": "paid"}
    assert _masked(app, {"iban": None}) == {"iban": None}


@pytest.mark.parametrize(
    ("key", "message"),
    [(b"\x0b" * 20, b"Hi There"), (b"Jefe", b"what?"), (b"\xaa" * 131, b"long"), (b"", b"")],
)
def test_the_keyed_hash_is_hmac(admin: Connection, key: bytes, message: bytes) -> None:
    expected = hmac.new(key, message, "sha256").digest()
    assert one(admin, "SELECT security_mgmt.hmac_sha256(%b, %b)", message, key) == expected


def test_the_changed_columns_are_told(app: Connection) -> None:
    changed = "SELECT * FROM security_mgmt.audit_changed_columns(%s, %s)"
    old = Jsonb({"a": 1, "b": [1], "c": None, "gone": 2})
    new = Jsonb({"a": 2, "b": [1], "c": None, "added": {"x": 1}})
    assert app.execute(changed, [old, new]).fetchall() == [
        ("a", 1, 2),
        ("added", None, {"x": 1}),
        ("gone", 2, None),
    ]
    assert app.execute(changed, [None, new]).fetchall()[0] == ("a", None, 2)
    assert app.execute(changed, [old, old]).fetchall() == []
