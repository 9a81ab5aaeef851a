"""Queries of functions as Citus can send them to the shard of one tenant."""

from __future__ import annotations

import pytest
from pglast import parser

from harness.config import Tenancy
from harness.deploy import routing
from harness.deploy.translation import asking_once, planned_anew

_FUNCTION = """CREATE FUNCTION s.f(tenant uuid, kind text) RETURNS {} LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    {}
    RETURN NULL;
END
$$"""


def _function(statement: str, returns: str = "trigger") -> str:
    return _FUNCTION.format(returns, statement)


def _with_tenant(statement: str) -> str:
    text = routing.with_tenant(_function(statement), "business_id")
    parser.parse_plpgsql_json(text)
    return text


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "SELECT (SELECT count(*) FROM s.b AS b WHERE b.business_id = a.business_id)"
            " INTO found FROM s.a WHERE a.business_id = tenant;",
            "FROM (SELECT * FROM s.b AS b WHERE b.business_id = tenant) AS b WHERE",
        ),
        (
            "PERFORM FROM s.a AS a WHERE a.business_id = NEW.business_id AND EXISTS ("
            "SELECT FROM s.b WHERE (b.business_id, b.id) = (a.business_id, a.id));",
            "FROM (SELECT * FROM s.b WHERE b.business_id = new.business_id) AS b WHERE",
        ),
        (
            "SELECT 1 INTO found FROM s.a AS a"
            " LEFT JOIN s.b AS b ON b.business_id = a.business_id AND b.id = a.b_id"
            " LEFT JOIN s.c AS c ON c.business_id = b.business_id AND c.id = b.c_id"
            " WHERE a.business_id = tenant;",
            "LEFT JOIN (SELECT * FROM s.c AS c WHERE c.business_id = tenant) AS c ON",
        ),
        (
            "WITH a AS (SELECT * FROM s.a AS x WHERE x.business_id = tenant)"
            " SELECT 1 INTO found FROM a JOIN s.b AS b ON b.business_id = a.business_id;",
            "JOIN (SELECT * FROM s.b AS b WHERE b.business_id = tenant) AS b ON",
        ),
        (
            "found := (SELECT 1 FROM s.a AS a WHERE a.business_id = tenant AND EXISTS ("
            "SELECT FROM s.b AS b WHERE b.business_id = a.business_id));",
            "(SELECT FROM (SELECT * FROM s.b AS b WHERE b.business_id = tenant) AS b WHERE",
        ),
        (
            "UPDATE s.a AS a SET n = x.n FROM (SELECT b.business_id, b.n FROM s.b AS b"
            " WHERE b.business_id = tenant) AS x WHERE a.business_id = x.business_id;",
            "WHERE a.business_id = tenant AND a.business_id = x.business_id;",
        ),
    ],
)
def test_a_table_is_read_with_the_tenant_that_it_is_tied_to(statement: str, expected: str) -> None:
    assert expected in _with_tenant(statement)


@pytest.mark.parametrize(
    "statement",
    [
        # Citus follows an equality within a join.
        "PERFORM FROM s.a AS a JOIN s.b AS b ON b.business_id = a.business_id"
        " WHERE a.business_id = tenant;",
        "PERFORM FROM s.a AS a LEFT JOIN s.b AS b ON b.business_id = a.business_id"
        " WHERE a.business_id = tenant;",
        # Of two tenants neither is the other's.
        "PERFORM FROM s.a AS a WHERE a.business_id = tenant AND EXISTS (SELECT FROM s.b AS b"
        " JOIN s.c AS c ON c.business_id = b.business_id WHERE b.business_id = NEW.business_id);",
        # Nothing says whose they are.
        "PERFORM FROM s.a AS a WHERE EXISTS ("
        "SELECT FROM s.b AS b WHERE b.business_id = a.business_id);",
        "UPDATE s.a AS a SET n = 1 FROM s.b AS b WHERE a.business_id = b.business_id OR a.n = 1;",
    ],
)
def test_other_tables_stay(statement: str) -> None:
    assert _with_tenant(statement) == _function(statement)


def test_an_update_asks_for_the_time_before_it_begins() -> None:
    text = asking_once(
        _function("UPDATE s.a SET at = coalesce(at, now()), by = 'now()';"), Tenancy()
    )
    assert "DECLARE harness_moment CONSTANT timestamptz := now();" in text
    assert "SET at = coalesce(at, harness_moment), by = 'now()';" in text


def test_no_plan_is_made_without_values() -> None:
    text = _function("").replace(
        "plpgsql AS", "plpgsql\n-- Why.\nSET plan_cache_mode = force_generic_plan AS"
    )
    assert "plan_cache_mode" not in planned_anew(text)
    parser.parse_plpgsql_json(planned_anew(text))
