"""What a cluster is given in place of a function in SQL, and what it cannot have."""

from __future__ import annotations

import pytest
from pglast import parser

from harness.catalog.model import Name
from harness.config import Tenancy
from harness.deploy import limits
from harness.deploy.script import Transition
from harness.deploy.translation import asking_once, body_of, in_plpgsql

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
        ("bigint", "AS $$ SELECT 1 FROM s.t $$", "SELECT 1 FROM s.t\nINTO harness_answer;"),
        ("SETOF s.t", "AS $$\n    SELECT * FROM s.t;\n$$", "RETURN NEXT harness_answer;"),
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
    assert body_of(_HEAD.format("int", "AS $$ SELECT 1 $$")).strip() == "SELECT 1"
    assert body_of("CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS 'SELECT 1'") == ""
    assert body_of(_ASKING.format("BEGIN RETURN 1; END")) == ""


_CHANGED = Transition(Name("s", "keep_total"), ("changed",))


def test_changed_rows_beside_tables_are_found() -> None:
    body = "BEGIN UPDATE s.total SET n = 1 FROM changed AS c; RETURN NULL; END"
    assert list(limits.read_beside(body, _CHANGED)) == ["s.total"]


def test_changed_rows_that_a_loop_is_over_are_not_beside_what_it_does() -> None:
    body = "BEGIN FOR c IN SELECT * FROM changed LOOP UPDATE s.total SET n = c.n; END LOOP; END"
    assert not list(limits.read_beside(body, _CHANGED))


def test_changed_rows_alone_are_no_limit() -> None:
    body = """BEGIN -- changed rows of s.total
        IF EXISTS (SELECT FROM changed WHERE n < 0) THEN RAISE EXCEPTION 'no'; END IF;
        UPDATE s.total SET n = 1;
        RETURN NULL; END"""
    assert list(limits.read_beside(body, _CHANGED)) == []


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        ("s.tell(t)", True),
        ("s.tell('now', t)", True),
        ("s.tell(ROW(t.*)::s.total, lower(t.name))", False),
        ("s.tell(t.name)", False),
        ("s.other(t)", False),
        ("s.tell('t')", False),
    ],
)
def test_a_row_that_is_passed_by_its_alias_is_found(said: str, passed: bool) -> None:
    body = f"BEGIN PERFORM {said} FROM changed AS c JOIN s.total AS t USING (id); RETURN NULL; END"
    assert limits.passes_row(body, ["s.tell"]) is passed


def test_a_statement_that_is_put_together_may_name_anything() -> None:
    body = "BEGIN query := 'SELECT FROM changed'; EXECUTE 'UPDATE s.total ' || query; END"
    assert list(limits.read_beside(body, _CHANGED)) == ["s.total"]


_ASKING = """CREATE FUNCTION s.f(a int) RETURNS bigint
    LANGUAGE plpgsql STABLE AS $$
{}
$$"""
_TENANCY = Tenancy()
_CALL = _TENANCY.current_tenant


def _asking_once(body: str) -> str:
    text = asking_once(_ASKING.format(body), _TENANCY)
    parser.parse_plpgsql_json(text)
    return text


@pytest.mark.parametrize(
    "head", ["", "DECLARE\n    n bigint := 0;\n", "#variable_conflict use_column\n"]
)
def test_a_function_asks_for_its_tenant_once(head: str) -> None:
    text = _asking_once(
        f"{head}BEGIN RETURN (SELECT count(*) FROM s.t, s.u WHERE t.business_id = {_CALL} "
        f"AND u.business_id = {_CALL}); END"
    )
    assert text.count(_CALL) == 1
    assert f"DECLARE harness_tenant CONSTANT uuid := {_CALL};" in text
    assert "t.business_id = harness_tenant AND u.business_id = harness_tenant" in text


def test_a_text_that_becomes_a_query_asks_itself() -> None:
    body = f"BEGIN EXECUTE 'SELECT {_CALL}'; RETURN (SELECT 1 WHERE a = {_CALL}); END"
    assert f"EXECUTE 'SELECT {_CALL}'" in _asking_once(body)


@pytest.mark.parametrize(
    "body",
    [
        f"BEGIN PERFORM tenant_mgmt.set_tenant(a); DELETE FROM s.t WHERE b = {_CALL}; END",
        f"BEGIN SET LOCAL app.business_id = ''; DELETE FROM s.t WHERE b = {_CALL}; END",
        "BEGIN RETURN 1; END",
    ],
)
def test_a_function_that_names_or_needs_no_tenant_stays_as_it_is(body: str) -> None:
    assert asking_once(_ASKING.format(body), _TENANCY) == _ASKING.format(body)


def test_what_is_no_function_in_plpgsql_stays_as_it_is() -> None:
    text = f"CREATE FUNCTION s.f() RETURNS uuid LANGUAGE sql AS $$ SELECT {_CALL} $$"
    assert asking_once(text, _TENANCY) == text


def test_a_trigger_works_without_a_tenant_too() -> None:
    body = f"BEGIN IF NEW.business_id <> {_CALL} THEN RAISE 'no'; END IF; RETURN NEW; END"
    text = asking_once(_ASKING.replace("bigint", "trigger").format(body), _TENANCY)
    assert _CALL not in text
    assert "uuid := nullif(current_setting('app.business_id', true), '')::uuid;" in text


def test_a_trigger_stays_as_it_is_where_no_setting_is_the_tenant() -> None:
    body = f"BEGIN IF NEW.business_id <> {_CALL} THEN RAISE 'no'; END IF; RETURN NEW; END"
    text = _ASKING.replace("bigint", "trigger").format(body)
    assert asking_once(text, Tenancy(claim="sub")) == text
