"""Platform: jobs, webhooks, integrations, imports, replay protection."""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID, uuid4

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection


def one(connection: Connection, query: LiteralString, *values: Any) -> Any:
    """The single value of a query's single row."""
    row = connection.execute(query, values).fetchone()
    assert row
    return row[0]


@pytest.fixture(autouse=True)
def user(account: UUID) -> UUID:
    """An account of the tenant; autouse, for only the superuser may insert an active one."""
    return account


def entity_type(connection: Connection, tenant: UUID) -> UUID:
    """Registers accounts as a kind of record."""
    return one(
        connection,
        "INSERT INTO system_core.entity_type (business_id, schema_name, table_name, display_name,"
        " plural_name, label_template) VALUES (%s, 'user_mgmt', 'user_account', 'Account',"
        " 'Accounts', '{display_name}') RETURNING entity_type_id",
        tenant,
    )


# Jobs


def job(app: Connection, tenant: UUID, next_run: str | None = None, retries: int = 2) -> UUID:
    """A job that may be tried 1 + retries times; next_run is an interval from now."""
    return one(
        app,
        "INSERT INTO system_core.job_definition (business_id, job_key, max_retries, next_run_at)"
        " VALUES (%s, 'nightly', %s, now() + %s::interval) RETURNING job_definition_id",
        tenant,
        retries,
        next_run,
    )


def run(connection: Connection, tenant: UUID, of: UUID, **columns: Any) -> UUID:
    """A run of a job that just started."""
    given = {"attempt": 1, "state": "running", "ago": "0", "took": None, **columns}
    return one(
        connection,
        "INSERT INTO system_core.job_run (business_id, job_definition_id, trigger_kind,"
        " attempt_no, state, started_at, finished_at)"
        " SELECT %s, %s, 'schedule', %s, %s, start, start + %s::interval"
        " FROM (SELECT now() - %s::interval AS start) AS moment RETURNING job_run_id",
        tenant,
        of,
        given["attempt"],
        given["state"],
        given["took"],
        given["ago"],
    )


def test_a_job_is_tried_as_often_as_it_says(app: Connection, tenant: UUID) -> None:
    nightly = job(app, tenant, retries=2)
    run(app, tenant, nightly, attempt=3)
    with pytest.raises(errors.CheckViolation, match="there is no attempt 4"):
        run(app, tenant, nightly, attempt=4)


def test_history_may_have_more_attempts_than_today(admin: Connection, tenant: UUID) -> None:
    assert run(admin, tenant, job(admin, tenant, retries=0), attempt=4)


def test_a_finished_run_does_not_start_again(app: Connection, tenant: UUID) -> None:
    run(app, tenant, job(app, tenant))
    app.execute("UPDATE system_core.job_run SET state = 'succeeded', finished_at = now()")
    with pytest.raises(errors.CheckViolation, match="succeeded cannot become running"):
        app.execute("UPDATE system_core.job_run SET state = 'running', finished_at = NULL")


@pytest.mark.parametrize(
    "change",
    ["finished_at = now()", "state = 'cancelled'", "state = 'failed', finished_at = now()"],
    ids=["finished but running", "ended without time", "failed without error"],
)
def test_a_run_that_contradicts_itself_is_refused(
    app: Connection, tenant: UUID, change: str
) -> None:
    run(app, tenant, job(app, tenant))
    with pytest.raises(errors.CheckViolation):
        app.execute(f"UPDATE system_core.job_run SET {change}".encode())


def test_a_disabled_job_is_not_due(app: Connection, tenant: UUID) -> None:
    job(app, tenant, next_run="1 hour")
    with pytest.raises(errors.CheckViolation):
        app.execute("UPDATE system_core.job_definition SET is_enabled = false")


def test_the_last_run_of_a_job_is_shown(admin: Connection, tenant: UUID) -> None:
    nightly = job(admin, tenant, next_run="-1 hour")
    run(admin, tenant, nightly, state="cancelled", ago="2 days", took="1 minute")
    last = run(admin, tenant, nightly, ago="1 day")
    row = admin.execute(
        "SELECT job_run_id, last_state, is_overdue, is_stuck FROM system_core.v_job_last_run"
    ).fetchone()
    assert row == (last, "running", True, True)


def test_a_job_that_never_ran_is_shown(app: Connection, tenant: UUID) -> None:
    job(app, tenant, next_run="1 hour")
    row = app.execute(
        "SELECT last_state, is_overdue, is_stuck FROM system_core.v_job_last_run"
    ).fetchone()
    assert row == (None, False, False)


# Webhooks


@pytest.fixture
def endpoint(app: Connection, tenant: UUID) -> UUID:
    """An active endpoint."""
    return one(
        app,
        "INSERT INTO system_core.webhook_endpoint (business_id, url, event_types, api_version,"
        " secret_ref) VALUES (%s, 'https://hooks.example.com', '{invoice.paid}', '2025-01-01',"
        " 'vault:hooks/1') RETURNING webhook_endpoint_id",
        tenant,
    )


def call(app: Connection, endpoint: UUID, state: str, count: int = 1, **columns: Any) -> None:
    """Calls of an endpoint, some minutes ago."""
    given = {"minutes": 0, "attempt": 1, "status": None, "ms": None, **columns}
    app.execute(
        "INSERT INTO system_core.webhook_delivery (business_id, webhook_endpoint_id, event_key,"
        " event_type, request_body, signature, state, attempted_at, attempt_no, response_status,"
        " duration_ms)"
        " SELECT business_id, webhook_endpoint_id, gen_random_uuid(), 'invoice.paid', '{}', 's',"
        " %s, now() - %s * interval '1 minute', %s, %s, %s"
        " FROM system_core.webhook_endpoint, generate_series(1, %s)"
        " WHERE webhook_endpoint_id = %s",
        [
            state,
            given["minutes"],
            given["attempt"],
            200 if state == "succeeded" else given["status"],
            given["ms"],
            count,
            endpoint,
        ],
    )


def health(app: Connection) -> tuple[int, bool, str]:
    """Failures on end, whether there was a success, and the status."""
    row = app.execute(
        "SELECT consecutive_failure_count, last_success_at IS NOT NULL, status"
        " FROM system_core.webhook_endpoint"
    ).fetchone()
    assert row
    return row


def test_failures_count_from_the_last_success(app: Connection, endpoint: UUID) -> None:
    call(app, endpoint, "failed", 3, minutes=9)
    assert health(app) == (3, False, "active")
    call(app, endpoint, "succeeded", minutes=5)
    assert health(app) == (0, True, "active")
    call(app, endpoint, "failed", 2, minutes=1)
    assert health(app) == (2, True, "active")


def test_a_pending_call_says_nothing_until_answered(app: Connection, endpoint: UUID) -> None:
    call(app, endpoint, "pending")
    assert health(app) == (0, False, "active")
    app.execute("UPDATE system_core.webhook_delivery SET state = 'failed', response_status = 503")
    assert health(app) == (1, False, "active")


def test_20_failures_on_end_disable_an_endpoint(app: Connection, endpoint: UUID) -> None:
    call(app, endpoint, "failed", 19)
    assert health(app) == (19, False, "active")
    call(app, endpoint, "exhausted", attempt=12)
    assert health(app) == (20, False, "disabled_failing")


def test_imported_history_disables_nothing(app: Connection, endpoint: UUID) -> None:
    app.execute("RESET ROLE")
    call(app, endpoint, "failed", 25)
    assert health(app) == (25, False, "active")


@pytest.mark.parametrize(
    ("state", "columns"),
    [
        ("failed", {"attempt": 12}),
        ("exhausted", {"attempt": 11}),
        ("failed", {"attempt": 13}),
        ("failed", {"status": 600}),
        ("pending", {"status": 200}),
    ],
)
def test_a_call_that_contradicts_itself_is_refused(
    app: Connection, endpoint: UUID, state: str, columns: dict[str, int]
) -> None:
    with pytest.raises(errors.CheckViolation):
        call(app, endpoint, state, **columns)


def test_a_retry_comes_later(app: Connection, endpoint: UUID) -> None:
    call(app, endpoint, "failed")
    with pytest.raises(errors.CheckViolation):
        app.execute("UPDATE system_core.webhook_delivery SET next_retry_at = attempted_at")


def test_an_answered_call_stays_answered(app: Connection, endpoint: UUID) -> None:
    call(app, endpoint, "succeeded")
    with pytest.raises(errors.CheckViolation, match="succeeded cannot become failed"):
        app.execute("UPDATE system_core.webhook_delivery SET state = 'failed'")


def test_health_of_an_endpoint_is_of_the_last_day(app: Connection, endpoint: UUID) -> None:
    call(app, endpoint, "failed", 5, minutes=25 * 60, status=500)
    call(app, endpoint, "succeeded", 3, minutes=9, ms=100)
    call(app, endpoint, "failed", minutes=5, status=503, ms=300)
    call(app, endpoint, "pending")
    row = app.execute(
        "SELECT call_count, success_pct::integer, p95_ms::integer, last_failure_status"
        " FROM system_core.v_webhook_endpoint_health"
    ).fetchone()
    assert row == (5, 75, 270, 503)


def test_an_endpoint_without_calls_has_a_row(app: Connection, endpoint: UUID) -> None:
    row = app.execute(
        "SELECT call_count, success_pct FROM system_core.v_webhook_endpoint_health"
    ).fetchone()
    assert row == (0, None)


# Connected systems


@pytest.fixture
def conflict(user: UUID, app: Connection, tenant: UUID) -> UUID:
    """A record that changed on both sides."""
    connection = one(
        app,
        "INSERT INTO system_core.integration_connection (business_id, connected_by, provider,"
        " category, external_account_ref, token_ref) VALUES (%s, %s, 'ledger', 'accounting',"
        " 'acct-1', 'vault:ledger/1') RETURNING integration_connection_id",
        tenant,
        user,
    )
    return one(
        app,
        "INSERT INTO system_core.external_id_map (business_id, integration_connection_id,"
        " entity_type_id, entity_id, external_type, external_id, sync_state)"
        " VALUES (%s, %s, %s, %s, 'customer', 'c-1', 'conflict') RETURNING external_id_map_id",
        tenant,
        connection,
        entity_type(app, tenant),
        uuid4(),
    )


@pytest.mark.parametrize(
    "sync",
    [
        "sync_state = 'in_sync', last_synced_at = now()",
        "content_hash = sha256('new')",
        "sync_state = 'pending_pull', external_version = '2'",
    ],
)
def test_a_sync_does_not_overwrite_a_conflict(app: Connection, conflict: UUID, sync: str) -> None:
    with pytest.raises(errors.RestrictViolation, match="customer c-1 is in conflict"):
        app.execute(f"UPDATE system_core.external_id_map SET {sync}".encode())


def test_a_decided_conflict_is_synced(app: Connection, conflict: UUID) -> None:
    app.execute("UPDATE system_core.external_id_map SET sync_state = 'pending_push'")
    state = one(
        app,
        "UPDATE system_core.external_id_map SET sync_state = 'in_sync', last_synced_at = now(),"
        " content_hash = sha256('new') RETURNING sync_state",
    )
    assert state == "in_sync"


def test_a_record_has_one_counterpart_per_connection(app: Connection, conflict: UUID) -> None:
    with pytest.raises(errors.UniqueViolation):
        app.execute(
            "INSERT INTO system_core.external_id_map (business_id, integration_connection_id,"
            " entity_type_id, entity_id, external_type, external_id, sync_state)"
            " SELECT business_id, integration_connection_id, entity_type_id, entity_id,"
            " external_type, 'c-2', 'pending_push' FROM system_core.external_id_map"
        )


# Imports

MAPPING = {
    "Name": {"column": "name", "required": True},
    "Seats": {"column": "seats", "type": "integer"},
    "Since": {"column": "since", "type": "date"},
    "Active": {"column": "is_active", "type": "boolean"},
}


@pytest.fixture
def kind(user: UUID, app: Connection, tenant: UUID) -> UUID:
    """The kind of record that is imported."""
    return entity_type(app, tenant)


@pytest.fixture
def batch(user: UUID, app: Connection, kind: UUID) -> UUID:
    """A mapped batch."""
    return mapped_batch(app, user, kind)


def mapped_batch(app: Connection, user: UUID, kind: UUID, strategy: str = "skip") -> UUID:
    """A batch whose columns are mapped."""
    identity: UUID = one(
        app,
        "INSERT INTO system_core.import_batch (business_id, entity_type_id, imported_by,"
        " source_format, column_mapping, duplicate_strategy)"
        " SELECT business_id, entity_type_id, %s, 'csv', %s, %s FROM system_core.entity_type"
        " WHERE entity_type_id = %s RETURNING import_batch_id",
        user,
        Jsonb(MAPPING),
        strategy,
        kind,
    )
    move(app, identity, "mapped")
    return identity


def move(app: Connection, batch: UUID, state: str) -> None:
    """Moves a batch on."""
    app.execute(
        "UPDATE system_core.import_batch SET state = %s WHERE import_batch_id = %s", [state, batch]
    )


def stage(app: Connection, batch: UUID, *rows: Any) -> int:
    """Stages uploaded rows."""
    return one(app, "SELECT system_core.stage_import(%s, %s)", batch, Jsonb(list(rows)))


def load(app: Connection, batch: UUID, state: str = "loaded") -> None:
    """Turns the valid rows of a loading batch into records."""
    app.execute(
        "UPDATE system_core.import_row SET state = %s, created_entity_id = gen_random_uuid()"
        " WHERE import_batch_id = %s AND state = 'valid'",
        [state, batch],
    )


def counts(app: Connection, batch: UUID) -> tuple[str, int, int, int, int]:
    """State, rows, valid, errors and loaded."""
    row = app.execute(
        "SELECT state, row_count, valid_count, error_count, loaded_count"
        " FROM system_core.import_batch WHERE import_batch_id = %s",
        [batch],
    ).fetchone()
    assert row
    return row


def column(app: Connection, batch: UUID, name: str) -> list[Any]:
    """A column of the rows of a batch."""
    query = f"SELECT {name} FROM system_core.import_row WHERE import_batch_id = %s ORDER BY row_no"
    return [value for (value,) in app.execute(query.encode(), [batch])]


GOOD = {"Name": "Ada", "Seats": "12", "Since": "2024-02-29", "Active": "true"}


def test_uploaded_text_becomes_typed(app: Connection, batch: UUID) -> None:
    assert stage(app, batch, GOOD) == 1
    typed = {"name": "Ada", "seats": 12, "since": "2024-02-29", "is_active": True}
    assert column(app, batch, "normalized") == [typed]
    assert counts(app, batch) == ("ready", 1, 1, 0, 0)


@pytest.mark.parametrize(
    ("value", "type_", "cell"),
    [
        ("12", "integer", 12),
        (12, "text", "12"),
        (True, "text", "true"),
        ("yes", "boolean", True),
        ("1.50", "number", 1.5),
        (12.5, "integer", None),
        ("12/31/2024", "date", "2024-12-31"),
        ("2024-01-01T00:00:00Z", "timestamp", "2024-01-01T00:00:00+00:00"),
        ({"a": 1}, "text", None),
        ("12", "money", None),
    ],
)
def test_a_cell_is_read_as_its_type(app: Connection, value: Any, type_: str, cell: Any) -> None:
    app.execute("SET LOCAL timezone = 'UTC'")
    assert one(app, "SELECT system_core.import_cell(%s, %s)", Jsonb(value), type_) == cell


@pytest.mark.parametrize(
    ("row", "faults"),
    [
        ({}, [("Name", "required")]),
        ({"Name": "  "}, [("Name", "required")]),
        ({"Name": "Ada", "Seats": "a dozen"}, [("Seats", "type")]),
        ({"Name": "Ada", "Since": "2023-02-29"}, [("Since", "type")]),
        ({"Name": "Ada", "Active": {}}, [("Active", "type")]),
        (
            {"Seats": "x", "Since": "y"},
            [("Name", "required"), ("Seats", "type"), ("Since", "type")],
        ),
        ("just text", [(None, "shape")]),
        (None, [(None, "shape")]),
        ([GOOD], [(None, "shape")]),
    ],
)
def test_what_is_wrong_in_a_row_is_said(
    app: Connection, batch: UUID, row: Any, faults: list[tuple[str | None, str]]
) -> None:
    stage(app, batch, row, GOOD)
    found = column(app, batch, "errors")[0]
    assert sorted((e["column"] or "", e["code"]) for e in found) == [
        (name or "", code) for name, code in faults
    ]
    assert counts(app, batch) == ("ready", 2, 1, 1, 0)


def test_a_batch_without_a_valid_row_fails(app: Connection, batch: UUID) -> None:
    stage(app, batch, {}, 7)
    assert counts(app, batch) == ("failed", 2, 0, 2, 0)


def test_staging_again_replaces_the_rows(app: Connection, batch: UUID) -> None:
    stage(app, batch, GOOD, {})
    move(app, batch, "mapped")
    stage(app, batch, GOOD, GOOD | {"Name": "Bob"}, GOOD | {"Name": "Cy"})
    assert counts(app, batch) == ("ready", 3, 3, 0, 0)


@pytest.mark.parametrize("document", [[], {}, None])
def test_a_document_without_rows_is_refused(app: Connection, batch: UUID, document: Any) -> None:
    with pytest.raises(errors.InvalidParameterValue):
        app.execute("SELECT system_core.stage_import(%s, %s)", [batch, Jsonb(document)])


def test_only_a_mapped_batch_is_staged(app: Connection, batch: UUID) -> None:
    stage(app, batch, GOOD)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="this one is ready"):
        stage(app, batch, GOOD)


def test_a_batch_of_somebody_else_does_not_exist(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound):
        stage(app, uuid4(), GOOD)


def test_a_batch_is_loaded_when_no_valid_row_is_left(app: Connection, batch: UUID) -> None:
    stage(app, batch, GOOD, GOOD | {"Name": "Bob"})
    move(app, batch, "loading")
    app.execute(
        "UPDATE system_core.import_row SET state = 'loaded', created_entity_id = import_row_id"
        " WHERE row_no = 1"
    )
    assert counts(app, batch) == ("loading", 2, 2, 0, 1)
    load(app, batch)
    assert counts(app, batch) == ("loaded", 2, 2, 0, 2)


def test_a_batch_with_errors_is_partially_loaded(app: Connection, batch: UUID) -> None:
    stage(app, batch, GOOD, {})
    move(app, batch, "loading")
    load(app, batch)
    assert counts(app, batch) == ("partially_loaded", 2, 1, 1, 1)


def test_a_batch_whose_last_row_is_skipped_is_loaded(app: Connection, batch: UUID) -> None:
    stage(app, batch, GOOD)
    move(app, batch, "loading")
    load(app, batch, "skipped_duplicate")
    assert counts(app, batch) == ("loaded", 1, 1, 0, 0)


def test_a_batch_is_rolled_back_with_its_last_row(app: Connection, batch: UUID) -> None:
    stage(app, batch, GOOD, GOOD | {"Name": "Bob"})
    move(app, batch, "loading")
    load(app, batch)
    app.execute("UPDATE system_core.import_row SET state = 'rolled_back' WHERE row_no = 1")
    assert counts(app, batch)[0] == "loaded"
    app.execute("UPDATE system_core.import_row SET state = 'rolled_back'")
    assert counts(app, batch) == ("rolled_back", 2, 2, 0, 0)


def test_imported_history_is_counted_and_keeps_its_state(
    admin: Connection, account: UUID, tenant: UUID
) -> None:
    identity: UUID = one(
        admin,
        "INSERT INTO system_core.import_batch (business_id, entity_type_id, imported_by,"
        " source_format, column_mapping, state, started_at, finished_at)"
        " VALUES (%s, %s, %s, 'csv', '{\"a\": {}}', 'partially_loaded', now(), now())"
        " RETURNING import_batch_id",
        tenant,
        entity_type(admin, tenant),
        account,
    )
    admin.execute(
        "INSERT INTO system_core.import_row (business_id, import_batch_id, row_no, state, raw,"
        " normalized, errors, created_entity_id)"
        " SELECT %s, %s, n, CASE n WHEN 1 THEN 'invalid' ELSE 'loaded' END, '{}', '{}',"
        " CASE n WHEN 1 THEN '[{}]'::jsonb ELSE '[]' END, gen_random_uuid()"
        " FROM generate_series(1, 3) AS n",
        [tenant, identity],
    )
    assert counts(admin, identity) == ("partially_loaded", 3, 2, 1, 2)


def test_deleted_rows_are_counted_off(app: Connection, batch: UUID) -> None:
    stage(app, batch, GOOD, {})
    app.execute("DELETE FROM system_core.import_row WHERE state = 'invalid'")
    assert counts(app, batch) == ("ready", 1, 1, 0, 0)
    app.execute("DELETE FROM system_core.import_batch")
    assert one(app, "SELECT count(*) FROM system_core.import_row") == 0


def test_a_row_twice_in_a_file_is_skipped(app: Connection, batch: UUID) -> None:
    stage(app, batch, GOOD, GOOD | {"Seats": 12}, {}, {})
    assert column(app, batch, "state") == ["valid", "skipped_duplicate", "invalid", "invalid"]


@pytest.mark.parametrize(
    ("strategy", "state"),
    [("skip", "skipped_duplicate"), ("update", "valid"), ("create_new", "valid")],
)
def test_a_row_that_was_loaded_before_is_matched(
    app: Connection, user: UUID, kind: UUID, batch: UUID, strategy: str, state: str
) -> None:
    stage(app, batch, GOOD)
    move(app, batch, "loading")
    load(app, batch)
    again = mapped_batch(app, user, kind, strategy)
    stage(app, again, GOOD, GOOD | {"Name": "Bob"})
    record = column(app, batch, "created_entity_id")[0]
    assert column(app, again, "state") == [state, "valid"]
    assert column(app, again, "matched_entity_id") == [record, None]


def test_errors_are_summed_up_by_column(app: Connection, batch: UUID) -> None:
    stage(app, batch, GOOD, {"Seats": "x"}, {"Name": "Bob", "Seats": "y"}, 5)
    rows = app.execute(
        "SELECT column_name, code, error_count, first_row_no, example"
        " FROM system_core.v_import_error_summary ORDER BY column_name"
    ).fetchall()
    assert rows == [
        ("Name", "required", 1, 2, "a value is required"),
        ("Seats", "type", 2, 2, "x is not a integer"),
        (None, "shape", 1, 4, "the row is not an object"),
    ]


def test_an_import_goes_its_way(app: Connection, batch: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="mapped cannot become loading"):
        move(app, batch, "loading")


# Replay protection


def claim(app: Connection, key: str = "k", body: str = "b") -> dict[str, Any]:
    """Claims a key for a body."""
    return one(
        app,
        "SELECT system_core.claim_idempotency_key(sha256(%s), '/v1/invoices', sha256(%s))",
        key.encode(),
        body.encode(),
    )


def complete(app: Connection) -> None:
    """Stores the answer."""
    app.execute(
        "UPDATE system_core.idempotency_key SET state = 'completed', completed_at = now(),"
        """ response_status = 201, response_body = '{"id": 1}'"""
    )


def test_a_key_is_claimed_once(app: Connection) -> None:
    assert claim(app)["outcome"] == "claimed"
    assert claim(app)["outcome"] == "in_progress"
    assert claim(app, key="other")["outcome"] == "claimed"


def test_a_repeated_request_gets_the_first_answer(app: Connection) -> None:
    claim(app)
    complete(app)
    assert claim(app) == {
        "outcome": "replayed",
        "response_status": 201,
        "response_body": {"id": 1},
    }


@pytest.mark.parametrize("finish", [complete, lambda app: None], ids=["completed", "in progress"])
def test_a_key_with_another_body_is_refused(app: Connection, finish: Any) -> None:
    claim(app)
    finish(app)
    with pytest.raises(errors.DatabaseError, match="used for another request") as refused:
        claim(app, body="changed")
    assert refused.value.sqlstate == "PT422"


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ("state = 'failed'", "b"),
        ("locked_at = locked_at - interval '6 minutes'", "b"),
        ("locked_at = now() - interval '3 days', expires_at = now() - interval '2 days'", "new"),
    ],
    ids=["failed", "abandoned", "expired"],
)
def test_a_key_is_free_again(app: Connection, change: str, body: str) -> None:
    first = claim(app)
    app.execute(f"UPDATE system_core.idempotency_key SET {change}".encode())
    assert claim(app, body=body) == first
    assert claim(app, body=body)["outcome"] == "in_progress"


def test_a_completed_key_has_an_answer(app: Connection) -> None:
    claim(app)
    with pytest.raises(errors.CheckViolation):
        app.execute(
            "UPDATE system_core.idempotency_key SET state = 'completed', completed_at = now()"
        )
