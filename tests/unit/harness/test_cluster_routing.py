"""Queries of functions as Citus can send them to the shard of one tenant."""

from __future__ import annotations

import pytest
from pglast import parser

from harness.catalog.model import Name
from harness.config import Tenancy
from harness.deploy import routing
from harness.deploy.routing import Relations
from harness.deploy.translation import asking_once, planned_anew

_RELATIONS = Relations(
    {Name("s", name): "business_id" for name in "abc"},
    {
        Name("s", "v"): " SELECT b.n FROM s.b b\n UNION ALL\n SELECT w.n FROM s.w;",
        Name("s", "w"): " SELECT c.n FROM s.c c;",
        Name("s", "kinds"): " SELECT kind FROM s.c;",
    },
)
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


def _with_tenant(statement: str, tenant: str = "") -> str:
    """What is tied to a tenant is read with it; all of a query with the one that is known."""
    text = routing.with_tenant(_function(statement), "business_id", _RELATIONS, lambda _: tenant)
    parser.parse_plpgsql_json(text)
    return text


def _held(table: str, alias: str, tenant: str = "tenant") -> str:
    query = f"SELECT * FROM s.{table} AS harness_row WHERE harness_row.business_id = {tenant}"
    return f"({query}) AS {alias}"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "SELECT (SELECT count(*) FROM s.b AS b WHERE b.business_id = a.business_id)"
            " INTO found FROM s.a WHERE a.business_id = tenant;",
            f"FROM {_held('b', 'b')} WHERE",
        ),
        (
            "PERFORM FROM s.a AS a WHERE a.business_id = NEW.business_id AND EXISTS ("
            "SELECT FROM s.b WHERE (b.business_id, b.id) = (a.business_id, a.id));",
            f"FROM {_held('b', 'b', 'new.business_id')} WHERE",
        ),
        (
            "SELECT 1 INTO found FROM s.a AS a"
            " LEFT JOIN s.b AS b ON b.business_id = a.business_id AND b.id = a.b_id"
            " LEFT JOIN s.c AS c ON c.business_id = b.business_id AND c.id = b.c_id"
            " WHERE a.business_id = tenant;",
            f"LEFT JOIN {_held('c', 'c')} ON",
        ),
        (
            "WITH a AS (SELECT * FROM s.a AS x WHERE x.business_id = tenant)"
            " SELECT 1 INTO found FROM a JOIN s.b AS b ON b.business_id = a.business_id;",
            f"JOIN {_held('b', 'b')} ON",
        ),
        (
            "found := (SELECT 1 FROM s.a AS a WHERE a.business_id = tenant AND EXISTS ("
            "SELECT FROM s.b AS b WHERE b.business_id = a.business_id));",
            f"(SELECT FROM {_held('b', 'b')} WHERE",
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


def test_every_table_of_a_query_that_joins_is_held_against_a_tenant_that_is_known() -> None:
    statement = "SELECT 1 INTO found FROM s.a AS x LEFT JOIN s.b ON b.n = x.n;"
    assert _with_tenant(statement, "whose") == _function(
        f"SELECT 1 INTO found FROM {_held('a', 'x', 'whose')} LEFT JOIN {_held('b', 'b', 'whose')}"
        " ON b.n = x.n;"
    )


def test_a_view_beside_others_is_read_as_its_tables_with_the_tenant() -> None:
    view = (
        f"( SELECT b.n FROM {_held('b', 'b', 'whose')}\n UNION ALL\n"
        f" SELECT w.n FROM ( SELECT c.n FROM {_held('c', 'c', 'whose')}) AS w) AS x"
    )
    assert _with_tenant("PERFORM FROM s.v AS x JOIN s.a AS y USING (n);", "whose") == _function(
        f"PERFORM FROM {view} JOIN {_held('a', 'y', 'whose')} USING (n);"
    )


def test_a_view_whose_column_a_variable_is_called_like_stays() -> None:
    statement = "PERFORM FROM s.kinds AS x JOIN s.kinds AS y USING (kind);"
    assert _with_tenant(statement, "whose") == _function(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "PERFORM FROM s.a AS a WHERE a.business_id = tenant;",
        "PERFORM FROM s.other AS a JOIN s.f(1) AS b ON true;",
        "DELETE FROM s.a; PERFORM FROM s.b;",
        "PERFORM a.ctid FROM s.a AS a JOIN s.b AS b ON true;",
        "PERFORM FROM ONLY s.a AS a JOIN ONLY s.b AS b ON true;",
        "EXECUTE 'SELECT 1 FROM s.a AS a JOIN s.b AS b ON true';",
    ],
)
def test_a_query_of_one_table_and_what_no_query_can_stand_for_stay(statement: str) -> None:
    assert _with_tenant(statement, "whose") == _function(statement)


def test_the_tenant_of_a_trigger_is_that_of_its_row() -> None:
    tenant = routing.row_tenant("SELECT 1 WHERE a.org = NEW.org AND b.org = NEW.org", "org")
    assert tenant == "NEW.org"
    assert routing.row_tenant("SELECT coalesce(NEW.org, OLD.org)", "org") == ""


@pytest.mark.parametrize(
    "statement",
    [
        "entry s.a; BEGIN entry.n := 1; {} END",
        "amount s.money; BEGIN SELECT 1, 2 INTO amount, x; {} END",
    ],
)
def test_a_function_with_variables_of_unknown_types_is_read_too(statement: str) -> None:
    query = "PERFORM FROM s.a AS x JOIN s.b ON true;"
    text = (
        f"CREATE FUNCTION s.f() RETURNS void LANGUAGE plpgsql AS $$ DECLARE x int; {statement} $$"
    )
    written = routing.with_tenant(text.format(query), "business_id", _RELATIONS, lambda _: "whose")
    held = f"PERFORM FROM {_held('a', 'x', 'whose')} JOIN {_held('b', 'b', 'whose')} ON true;"
    assert written == text.format(held)


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
