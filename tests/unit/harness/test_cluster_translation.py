"""What a cluster is given in place of a function in SQL, and what it cannot have."""

from __future__ import annotations

import pytest
from pglast import parser

from harness.catalog.model import Name
from harness.deploy import limits
from harness.deploy.script import Transition
from harness.deploy.translation import body_of, in_plpgsql

_HEAD = "CREATE FUNCTION s.f(x integer) RETURNS {} LANGUAGE sql STABLE {}"


def _translated(returns: str, body: str) -> str:
    text = in_plpgsql(_HEAD.format(returns, body))
    assert parser.parse_sql(text)[0].stmt.sql_body is None
    assert "LANGUAGE plpgsql STABLE" in text
    return text


@pytest.mark.parametrize(
    ("returns", "body", "expected"),
    [
        ("bigint", "RETURN (SELECT count(*) FROM s.t)", "RETURN ((SELECT count(*) FROM s.t));"),
        ("void", "RETURN s.g(x)", "PERFORM (s.g(x));"),
        ("bigint", "BEGIN ATOMIC SELECT 1; END", "SELECT 1\nINTO harness_answer;"),
        ("TABLE (a uuid, b text)", "BEGIN ATOMIC SELECT a, b FROM s.t; END", 'FOR "a", "b" IN'),
        ("SETOF s.t", "BEGIN ATOMIC SELECT * FROM s.t; END", "RETURN NEXT harness_answer;"),
        ("void", "BEGIN ATOMIC UPDATE s.t SET a = 1; END", "BEGIN\nUPDATE s.t SET a = 1;\nEND"),
        ("void", "BEGIN ATOMIC SELECT s.g(); END", "PERFORM * FROM (SELECT s.g()) AS done;"),
    ],
)
def test_a_body_in_sql_is_said_in_plpgsql(returns: str, body: str, expected: str) -> None:
    assert expected in _translated(returns, body)


def test_columns_come_before_parameters_as_in_sql() -> None:
    assert "#variable_conflict use_column" in _translated("bigint", "RETURN (SELECT x FROM s.t)")


def test_a_body_is_told_apart_from_the_rest() -> None:
    assert body_of(_HEAD.format("int", "BEGIN ATOMIC SELECT 1 FROM s.t; END")).split() == [
        "SELECT", "1", "FROM", "s.t;",
    ]  # fmt: skip
    assert body_of("CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS 'SELECT 1'") == ""


_CHANGED = Transition(Name("s", "keep_total"), ("changed",))


def test_changed_rows_beside_tables_are_found() -> None:
    body = "BEGIN UPDATE s.total SET n = 1 FROM changed AS c; RETURN NULL; END"
    assert list(limits.read_beside(body, _CHANGED)) == ["s.total"]


def test_changed_rows_alone_are_no_limit() -> None:
    body = """BEGIN -- changed rows of s.total
        IF EXISTS (SELECT FROM changed WHERE n < 0) THEN RAISE EXCEPTION 'no'; END IF;
        UPDATE s.total SET n = 1;
        RETURN NULL; END"""
    assert list(limits.read_beside(body, _CHANGED)) == []


def test_a_statement_that_is_put_together_may_name_anything() -> None:
    body = "BEGIN query := 'SELECT FROM changed'; EXECUTE 'UPDATE s.total ' || query; END"
    assert list(limits.read_beside(body, _CHANGED)) == ["s.total"]
