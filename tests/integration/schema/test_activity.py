"""Activity: who did what, the outbox that reports it, the search box."""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID, uuid4

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection

CHANGES = [{"column": "status", "old": "open", "new": "done"}]


def one(connection: Connection, query: LiteralString, *values: Any) -> Any:
    """The single value of a query's single row."""
    row = connection.execute(query, values).fetchone()
    assert row
    return row[0]


@pytest.fixture(autouse=True)
def user(account: UUID) -> UUID:
    """An account of the tenant; autouse, for only the superuser may insert an active one."""
    return account


def kind(connection: Connection, tenant: UUID, table: str = "user_account") -> UUID:
    """Registers a table of user_mgmt as a kind of record."""
    return one(
        connection,
        "INSERT INTO system_core.entity_type (business_id, schema_name, table_name, display_name,"
        " plural_name) VALUES (%s, 'user_mgmt', %s, 'Account', 'Accounts')"
        " RETURNING entity_type_id",
        tenant,
        table,
    )


def record(connection: Connection, action: str = "update", table: str = "user_account") -> UUID:
    """Records a change of an account."""
    return one(
        connection,
        "SELECT system_core.record_activity('user_mgmt', %s, %s, %s, %s)",
        table,
        uuid4(),
        action,
        Jsonb(CHANGES),
    )


def document(connection: Connection, tenant: UUID, of: UUID, title: str, **columns: Any) -> UUID:
    """A record in the search box; returns the record's id."""
    given = {"body": None, "archived": False, "boost": 1, **columns}
    return one(
        connection,
        "INSERT INTO system_core.search_document (business_id, entity_type_id, entity_id, title,"
        " body_excerpt, is_archived, rank_boost) VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " RETURNING entity_id",
        tenant,
        of,
        uuid4(),
        title,
        given["body"],
        given["archived"],
        given["boost"],
    )


def found(connection: Connection, query: str, kinds: list[str] | None = None) -> list[UUID]:
    """The records that the search box shows, best first."""
    rows = connection.execute(
        "SELECT entity_id FROM system_core.search_business(%s, %s)", [query, kinds]
    )
    return [row[0] for row in rows]


# Kinds of record


def test_a_kind_of_record_is_a_table_that_exists(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.UndefinedTable, match=r"user_mgmt\.ghost"):
        kind(app, tenant, "ghost")


def test_history_may_name_a_table_that_is_gone(admin: Connection, tenant: UUID) -> None:
    assert kind(admin, tenant, "ghost")


# Events


def test_an_event_is_signed_by_the_session(app: Connection, tenant: UUID, user: UUID) -> None:
    kind(app, tenant)
    app.execute(
        "SELECT set_config('app.user_account_id', %s, true),"
        " set_config('app.client_ip', '192.0.2.7', true),"
        " set_config('app.request_id', 'req-1', true)",
        [str(user)],
    )
    event = record(app)
    row = app.execute(
        "SELECT actor_user_account_id, actor_kind, host(ip_address), request_id"
        " FROM system_core.activity_event WHERE activity_event_id = %s",
        [event],
    ).fetchone()
    assert row == (user, "user", "192.0.2.7", "req-1")


def test_what_the_event_says_itself_is_kept(app: Connection, tenant: UUID) -> None:
    app.execute("SELECT set_config('app.request_id', 'req-1', true)")
    kept = one(
        app,
        "INSERT INTO system_core.activity_event (business_id, entity_type_id, entity_id,"
        " actor_kind, action, request_id) VALUES (%s, %s, %s, 'job', 'update', 'req-2')"
        " RETURNING request_id",
        tenant,
        kind(app, tenant),
        uuid4(),
    )
    assert kept == "req-2"


def test_without_a_user_the_system_acts(app: Connection, tenant: UUID) -> None:
    kind(app, tenant)
    record(app)
    assert one(app, "SELECT actor_kind FROM system_core.activity_event") == "system"


def test_a_user_who_is_not_named_is_refused(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="user_is_named"):
        app.execute(
            "INSERT INTO system_core.activity_event (business_id, entity_type_id, entity_id,"
            " actor_kind, action) VALUES (%s, %s, %s, 'user', 'view')",
            [tenant, kind(app, tenant), uuid4()],
        )


@pytest.mark.parametrize("table", ["activity_event", "outbox_event"])
@pytest.mark.parametrize("change", ["UPDATE {} SET created_at = now()", "DELETE FROM {}"])
def test_what_happened_stays(admin: Connection, tenant: UUID, table: str, change: str) -> None:
    kind(admin, tenant)
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    record(admin)
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute(change.format(f"system_core.{table}").encode())


def test_events_of_one_transaction_keep_their_order(app: Connection, tenant: UUID) -> None:
    kind(app, tenant)
    events = [record(app), record(app), record(app)]
    rows = app.execute(
        "SELECT activity_event_id FROM system_core.activity_event ORDER BY occurred_at"
    ).fetchall()
    assert [row[0] for row in rows] == events


def test_an_unregistered_kind_is_refused(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="no registered kind"):
        record(app, table="ghost")


def test_changes_are_read_as_rows_and_secrets_masked(app: Connection) -> None:
    secret = {"column": "password_hash", "old": "a", "new": "b"}
    rows = app.execute(
        "SELECT * FROM system_core.changed_columns(%s)", [Jsonb([*CHANGES, secret])]
    ).fetchall()
    assert rows == [("status", "open", "done"), ("password_hash", "***", "***")]


# Outbox


def test_the_outbox_counts_from_1_without_gaps(app: Connection, tenant: UUID) -> None:
    kind(app, tenant)
    events = [record(app, "create"), record(app)]
    rows = app.execute(
        "SELECT sequence_no, event_type, (payload ->> 'activity_event_id')::uuid"
        " FROM system_core.outbox_event ORDER BY sequence_no"
    ).fetchall()
    assert rows == [
        (1, "user_account.create", events[0]),
        (2, "user_account.update", events[1]),
    ]


def consumer(app: Connection, tenant: UUID, topic: str, position: int) -> None:
    """A consumer that has read up to a position."""
    app.execute(
        "INSERT INTO system_core.event_consumer (business_id, consumer_name, topic_filter,"
        " delivery_mode, last_sequence_no) VALUES (%s, 'reader', %s, 'poll', %s)",
        [tenant, topic, position],
    )


@pytest.mark.parametrize(
    ("topic", "position", "unread"),
    [("*", 0, 3), ("*", 2, 1), ("*", 3, 0), ("activity", 1, 2), ("invoice", 0, 0)],
)
def test_the_lag_of_a_consumer(
    app: Connection, tenant: UUID, topic: str, position: int, unread: int
) -> None:
    kind(app, tenant)
    for _ in range(3):
        record(app)
    consumer(app, tenant, topic, position)
    row = app.execute(
        "SELECT unread_count, oldest_unread_age IS NULL FROM system_core.v_outbox_lag"
    ).fetchone()
    assert row == (unread, unread == 0)


def test_a_consumer_goes_forward_only(app: Connection, tenant: UUID) -> None:
    consumer(app, tenant, "*", 5)
    app.execute("UPDATE system_core.event_consumer SET last_sequence_no = 5")
    app.execute("UPDATE system_core.event_consumer SET last_sequence_no = 6")
    with pytest.raises(errors.CheckViolation, match="does not go back to 5"):
        app.execute("UPDATE system_core.event_consumer SET last_sequence_no = 5")


# Search


def test_the_title_outranks_the_body(app: Connection, tenant: UUID) -> None:
    of = kind(app, tenant)
    in_body = document(app, tenant, of, "Smith", body="asked about the harbor crane")
    in_title = document(app, tenant, of, "Harbor works")
    assert found(app, "harbor") == [in_title, in_body]


def test_a_boosted_record_comes_first(app: Connection, tenant: UUID) -> None:
    of = kind(app, tenant)
    plain = document(app, tenant, of, "Harbor works")
    boosted = document(app, tenant, of, "Harbor works", boost=2)
    assert found(app, "harbor") == [boosted, plain]


def test_the_search_is_narrowed_by_kind(app: Connection, tenant: UUID) -> None:
    record_id = document(app, tenant, kind(app, tenant), "Harbor works")
    assert found(app, "harbor", ["user_account"]) == [record_id]
    assert found(app, "harbor", ["invoice"]) == []


def test_what_is_archived_is_not_found(app: Connection, tenant: UUID) -> None:
    document(app, tenant, kind(app, tenant), "Harbor works", archived=True)
    assert found(app, "harbor") == []


def words(connection: Connection) -> set[str]:
    """The words by which documents are found."""
    return {word for (word,) in connection.execute("SELECT word FROM system_core.search_word")}


def test_whatever_is_no_letter_and_no_digit_parts_words(app: Connection) -> None:
    found = app.execute("SELECT system_core.words_of('Romex 12/2 for R-410A, romex')").fetchone()
    assert found == (["12", "2", "410a", "for", "r", "romex"],)


def test_the_words_of_a_record_are_those_it_has_now(app: Connection, tenant: UUID) -> None:
    document(app, tenant, kind(app, tenant), "Harbor works", body="A crane; a harbor")
    assert words(app) == {"harbor", "works", "a", "crane"}
    app.execute("UPDATE system_core.search_document SET title = 'Quay', body_excerpt = 'Crane'")
    assert words(app) == {"quay", "crane"}
    app.execute("DELETE FROM system_core.search_document")
    assert words(app) == set()


def test_row_security_lets_an_index_find_words_by_how_they_begin(
    app: Connection, tenant: UUID
) -> None:
    document(app, tenant, kind(app, tenant), " ".join(f"word{n}" for n in range(1000)))
    app.execute("SET LOCAL enable_sort = off")  # There are no statistics to choose by.
    plan = app.execute(
        "EXPLAIN (COSTS OFF) SELECT entity_id FROM system_core.search_word"
        " WHERE found_in = 'system_core.search_document' AND word ^@ 'h' ORDER BY word LIMIT 5"
    )
    (found,) = (line for (line,) in plan if "Index Cond" in line)
    assert "business_id = " in found
    assert "word >= 'h'" in found


# Followers, lists, figures


def test_only_the_muted_have_an_end(app: Connection, tenant: UUID, user: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="only_muted_has_end"):
        app.execute(
            "INSERT INTO system_core.activity_subscription (business_id, entity_type_id,"
            " user_account_id, entity_id, muted_until) VALUES (%s, %s, %s, %s, now())",
            [tenant, kind(app, tenant), user, uuid4()],
        )


def test_a_user_has_one_default_list_of_a_kind(app: Connection, tenant: UUID, user: UUID) -> None:
    insert: LiteralString = (
        "INSERT INTO system_core.saved_view (business_id, entity_type_id, owner_user_account_id,"
        " name, is_default) VALUES (%s, %s, %s, %s, true)"
    )
    of = kind(app, tenant)
    app.execute(insert, [tenant, of, user, "Mine"])
    with pytest.raises(errors.UniqueViolation, match="saved_view_default_idx"):
        app.execute(insert, [tenant, of, user, "Also mine"])


def test_activity_is_counted_by_day_for_its_own_tenant(admin: Connection, tenant: UUID) -> None:
    kind(admin, tenant)
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    record(admin)
    record(admin)
    admin.execute("REFRESH MATERIALIZED VIEW system_core.mv_activity_daily")
    count: LiteralString = "SELECT sum(event_count) FROM system_core.v_activity_daily"
    assert one(admin, count) == 2
    admin.execute("SELECT set_config('app.business_id', %s, true)", [str(uuid4())])
    assert one(admin, count) is None


def test_the_application_does_not_choose_the_number_of_an_event(
    tenant: UUID, app: Connection
) -> None:
    for claimed in (900, None):
        app.execute(
            "INSERT INTO system_core.outbox_event (business_id, sequence_no, topic, event_type,"
            " aggregate_schema, aggregate_table, aggregate_id, payload)"
            " VALUES (%s, %s, 't', 'e', 's', 't', gen_random_uuid(), '{}')",
            [tenant, claimed],
        )
    rows = app.execute("SELECT sequence_no FROM system_core.outbox_event ORDER BY 1").fetchall()
    assert rows == [(1,), (2,)]
