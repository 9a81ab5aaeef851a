"""Forms of statements that a cluster can have, in place of those that it cannot."""

from __future__ import annotations

import pytest
from pglast import parser

from harness.catalog.model import Name
from harness.config import Tenancy
from harness.deploy.returning import returning
from harness.deploy.routing import Relations
from harness.deploy.searched import searched
from harness.deploy.translation import asking_once, for_a_cluster, planned_anew

_RELATIONS = Relations({Name("s", "t"): "org", Name("s", "u"): "org"})
_FUNCTION = """CREATE FUNCTION s.f(a uuid) RETURNS bigint
    LANGUAGE plpgsql STABLE {} AS $$
{}
$$"""
_TENANCY = Tenancy()
_CALL = _TENANCY.current_tenant


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("CASE a WHEN 1 THEN 'x' END", "CASE WHEN a = (1) THEN 'x' END"),
        (
            "CASE t.a WHEN 'b' THEN 1 WHEN 'c' THEN 2 ELSE 3 END",
            "CASE WHEN t.a = ('b') THEN 1 WHEN t.a = ('c') THEN 2 ELSE 3 END",
        ),
        (
            "CASE a WHEN 1 THEN CASE b WHEN 2 THEN 3 END END",
            "CASE WHEN a = (1) THEN CASE WHEN b = (2) THEN 3 END END",
        ),
        ("CASE a WHEN 1 -- one\nTHEN 2 END", "CASE WHEN a = (1) -- one\nTHEN 2 END"),
    ],
)
def test_a_case_that_compares_searches(written: str, expected: str) -> None:
    assert searched(f"SELECT {written}, 7") == f"SELECT {expected}, 7"


@pytest.mark.parametrize(
    "body",
    [
        "SELECT CASE WHEN a = 1 THEN 2 END",
        "SELECT CASE (SELECT random()) WHEN 1 THEN 2 END",
        "BEGIN CASE a WHEN 1 THEN IF b THEN c := 1; END IF; ELSE NULL; END CASE; END",
        "SELECT 'CASE a WHEN 1 THEN 2 END'",
    ],
)
def test_what_searches_or_is_a_statement_stays(body: str) -> None:
    assert searched(body) == body


def test_an_insert_of_a_query_is_a_loop_over_what_it_returns() -> None:
    body = (
        "DECLARE a int;\nBEGIN\n    INSERT INTO s.t (b) SELECT u.b FROM s.u AS u;\n    a := 1;\nEND"
    )
    assert returning(body) == (
        "DECLARE harness_put boolean; a int;\nBEGIN\n"
        "    FOR harness_put IN INSERT INTO s.t (b) SELECT u.b FROM s.u AS u"
        " RETURNING true LOOP NULL; END LOOP;\n    a := 1;\nEND"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO s.t (b) VALUES ((SELECT 1));",
        "INSERT INTO s.t (b) SELECT 1 RETURNING b INTO a;",
        "INSERT INTO s.t (b) SELECT 1 ON CONFLICT DO NOTHING;",
        "INSERT INTO s.t (b) SELECT 1; GET DIAGNOSTICS a = ROW_COUNT;",
        "WITH x AS (INSERT INTO s.t (b) SELECT 1 RETURNING b) SELECT b INTO a FROM x;",
        "q := 'INSERT INTO s.t (b) SELECT 1';",
    ],
)
def test_an_insert_that_answers_counts_or_names_its_values_stays(statement: str) -> None:
    body = f"BEGIN\n    {statement}\nEND"
    assert returning(body) == body


def _in_full(head: str, body: str) -> str:
    text = asking_once(planned_anew(_FUNCTION.format(head, body)), _TENANCY)
    return for_a_cluster(text, _TENANCY, _RELATIONS)


@pytest.mark.parametrize(
    ("query", "value"),
    [
        (f"SELECT 1 FROM s.t AS x, s.f({_CALL}) JOIN s.u ON true", "harness_tenant"),
        ("SELECT 1 FROM s.t AS x JOIN s.u ON true WHERE x.business_id = a", "a"),
    ],
)
def test_a_function_names_the_tenant_that_it_asks_for_or_is_given(query: str, value: str) -> None:
    body = f"BEGIN RETURN ({query}); END"
    text = _in_full("", body)
    parser.parse_plpgsql_json(text)
    assert text.count(f"WHERE harness_row.org = {value})") == 2


def test_a_function_with_rights_of_its_owner_may_read_several_tenants() -> None:
    body = f"BEGIN RETURN (SELECT 1 FROM s.t AS x JOIN s.u ON true WHERE x.a = {_CALL}); END"
    text = _in_full("SECURITY DEFINER", body)
    assert "harness_row" not in text


def test_a_plan_for_all_parameters_is_not_wished_for() -> None:
    wish = "\n    -- Planned once.\n    SET plan_cache_mode = force_generic_plan"
    text = _in_full(wish, "BEGIN RETURN 1; END")
    assert "plan_cache_mode" not in text
    assert parser.parse_sql(text)
