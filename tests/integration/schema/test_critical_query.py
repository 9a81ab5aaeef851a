"""Critical queries and their budgets come in versions; nobody waits longer than 300 ms."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from loadtests.query import BUNDLED, read

STATED = {
    "query_code": "billing.invoice_list",
    "title": "The newest invoices",
    "sql_template": "SELECT 1",
    "weight": 3,
    "p95_ms": 50,
}


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def register(connection: Connection, **changed: Any) -> int:
    """Registers the stated query with some of it changed; how many versions are new."""
    stated = json.dumps([{**STATED, **changed}])
    registered: int = one(
        connection, "SELECT observability.register_critical_queries(%s::jsonb)", stated
    )
    return registered


def test_a_query_is_registered_once(app: Connection) -> None:
    assert register(app) == 1
    assert register(app) == 0
    found = app.execute(
        "SELECT schema_name, version_no, status, weight FROM observability.critical_query"
    ).fetchall()
    assert found == [("billing", 1, "active", 3)]


def test_a_changed_text_is_a_new_version(app: Connection) -> None:
    register(app)
    assert register(app, sql_template="SELECT 2") == 1
    found = app.execute(
        "SELECT version_no, status FROM observability.critical_query ORDER BY version_no"
    ).fetchall()
    assert found == [(1, "retired"), (2, "active")]


def test_a_changed_title_is_the_same_version(app: Connection) -> None:
    register(app)
    assert register(app, title="Invoices", weight=5) == 0
    assert app.execute("SELECT title, weight FROM observability.critical_query").fetchall() == [
        ("Invoices", 5)
    ]


def test_a_promise_of_today_is_mended(app: Connection) -> None:
    register(app)
    register(app, p95_ms=40)
    assert app.execute("SELECT p95_ms FROM observability.query_budget").fetchall() == [(40,)]


def test_an_older_promise_ends_where_the_new_one_begins(app: Connection) -> None:
    register(app)
    app.execute("UPDATE observability.query_budget SET effective_from = current_date - 30")
    register(app, p95_ms=40)
    found = app.execute(
        "SELECT p95_ms, effective_from = current_date, effective_until = current_date"
        " FROM observability.query_budget ORDER BY effective_from"
    ).fetchall()
    assert found == [(50, False, True), (40, True, None)]


def test_few_samples_can_warn_but_not_block(app: Connection) -> None:
    register(app, minimum_samples=20)
    assert one(app, "SELECT gate FROM observability.query_budget") == "warn"
    with pytest.raises(errors.CheckViolation, match="query_budget_block_needs_samples"):
        app.execute("UPDATE observability.query_budget SET gate = 'block'")


@pytest.mark.parametrize(
    ("change", "truth"),
    [
        ("p95_ms = 300.001", "query_budget_nobody_waits_longer"),
        ("p95_ms = 0", "query_budget_nobody_waits_longer"),
        ("p50_ms = 51", "query_budget_quantiles_in_order"),
        ("p99_ms = 49", "query_budget_quantiles_in_order"),
        ("max_error_pct = 101", "query_budget_errors_bounded"),
        ("effective_until = effective_from", "query_budget_ends_after_begin"),
    ],
)
def test_a_budget_is_bounded(app: Connection, change: str, truth: str) -> None:
    register(app)
    with pytest.raises(errors.CheckViolation, match=truth):
        app.execute(f"UPDATE observability.query_budget SET {change}".encode())


def test_the_longest_wait_is_allowed(app: Connection) -> None:
    register(app, p95_ms=300)
    assert one(app, "SELECT p95_ms FROM observability.query_budget") == 300


def test_two_budgets_do_not_hold_at_once(app: Connection) -> None:
    register(app)
    query: UUID = one(app, "SELECT critical_query_id FROM observability.critical_query")
    with pytest.raises(errors.ExclusionViolation, match="query_budget_one_at_a_time"):
        app.execute(
            "INSERT INTO observability.query_budget (business_id, critical_query_id, p95_ms)"
            " VALUES (tenant_mgmt.current_business_id(), %s, 60)",
            [query],
        )


def test_another_condition_has_its_own_budget(app: Connection) -> None:
    register(app)
    register(app, condition="peak_load", p95_ms=120)
    assert one(app, "SELECT count(*) FROM observability.query_budget") == 2


@pytest.mark.parametrize(("age", "shown"), [("2 days", ("pass", 40)), ("32 days", (None, None))])
def test_the_board_shows_verdicts_of_a_month(
    app: Connection, tenant: UUID, age: str, shown: tuple[str | None, int | None]
) -> None:
    register(app)
    app.execute(
        "INSERT INTO observability.budget_measurement (business_id, critical_query_id,"
        " sample_count, p50_ms, p95_ms, p99_ms, max_ms, verdict, measured_at)"
        " SELECT q.business_id, q.critical_query_id, 200, 8, 40, 45, 50, 'pass',"
        " now() - %s::interval FROM observability.critical_query AS q",
        [age],
    )
    board = read(BUNDLED / "observability" / "budget_board.sql", BUNDLED)
    rows = app.execute(board.statement.encode(), {"business_id": tenant}).fetchall()
    assert [(row[1], (row[7], row[5])) for row in rows] == [(STATED["query_code"], shown)]
