"""Two states of a small schema: what roles may do with it differs in what is told, and only that.

Both are read from text here; tests/integration/test_files_against_live.py holds databases to it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from checks.drift import drift
from harness.catalog import files
from harness.finding import Severity

WRITTEN = """
CREATE SCHEMA shop;
GRANT USAGE ON SCHEMA shop TO web;
CREATE SEQUENCE shop.ticket;
GRANT USAGE ON SEQUENCE shop.ticket TO web;
CREATE FUNCTION shop.total(day date) RETURNS int LANGUAGE sql STABLE RETURN 1;
REVOKE EXECUTE ON FUNCTION shop.total(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.total(date) TO web;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO web;
"""


def _told(change: str, before: str = WRITTEN) -> list[tuple[str, str]]:
    one, other = (files.read({"f.sql": text}) for text in (before, before + change))
    assert one.problems == other.problems == ()
    return [(found.object, found.message) for found in drift(one, other, "boss")]


def test_two_that_are_alike_do_not_differ() -> None:
    assert _told("") == []


@pytest.mark.parametrize(
    ("change", "subject", "message"),
    [
        (
            "GRANT CREATE ON SCHEMA shop TO web;",
            "shop",
            "privileges on schema shop differ; database alone: web create",
        ),
        (
            "REVOKE USAGE ON SEQUENCE shop.ticket FROM web;",
            "shop.ticket",
            "privileges on sequence shop.ticket differ; files alone: web usage",
        ),
        (
            "GRANT ALL ON FUNCTION shop.total(date) TO PUBLIC;",
            "shop.total(day date)",
            "privileges on function shop.total(day date) differ; database alone: public execute",
        ),
        (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT INSERT ON TABLES TO web;",
            "every later table in schema shop",
            "privileges on every later table in schema shop differ; database alone: web insert",
        ),
        (
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO web;",
            "every later sequence",
            "privileges on every later sequence differ;"
            " database alone: web select, web update, web usage",
        ),
    ],
)
def test_a_privilege_that_one_side_alone_has_is_told(
    change: str, subject: str, message: str
) -> None:
    assert _told(change) == [(subject, message)]


@pytest.mark.parametrize(
    "change",
    [
        "GRANT CREATE ON SCHEMA shop TO boss;",
        "GRANT USAGE ON SCHEMA shop TO web; GRANT EXECUTE ON FUNCTION shop.total TO web;",
        "GRANT CREATE ON SCHEMA shop TO web; REVOKE CREATE ON SCHEMA shop FROM web;",
    ],
)
def test_what_the_owner_has_and_what_was_granted_twice_is_no_difference(change: str) -> None:
    assert _told(change) == []


def test_a_function_that_one_side_alone_has_is_told_once() -> None:
    change = "CREATE FUNCTION shop.more() RETURNS int LANGUAGE sql RETURN 1;"
    assert _told(change) == [
        ("shop.more()", "function shop.more() is in the database alone"),
    ]


@pytest.mark.parametrize(("has_citus", "found"), [(True, 0), (False, 1)])
def test_a_cluster_alone_has_a_function_in_another_language(has_citus: bool, found: int) -> None:
    in_plpgsql = WRITTEN.replace(
        "LANGUAGE sql STABLE RETURN 1", "LANGUAGE plpgsql STABLE AS 'BEGIN RETURN 1; END'"
    )
    one, other = (files.read({"f.sql": text}) for text in (WRITTEN, in_plpgsql))
    assert len(drift(one, replace(other, has_citus=has_citus), "boss")) == found


@pytest.mark.parametrize(("has_citus", "found"), [(True, 0), (False, 1)])
def test_no_function_of_a_cluster_wishes_for_generic_plans(has_citus: bool, found: int) -> None:
    wishing = WRITTEN.replace(
        "STABLE RETURN", "STABLE SET plan_cache_mode = force_generic_plan RETURN"
    )
    one, other = (files.read({"f.sql": text}) for text in (wishing, WRITTEN))
    assert len(drift(one, replace(other, has_citus=has_citus), "boss")) == found


_KEY = "ALTER TABLE shop.b ADD FOREIGN KEY (n) REFERENCES shop.a;"
_TABLES = "CREATE TABLE shop.a (n int PRIMARY KEY);\nCREATE TABLE shop.b (n int, m int);\n"


@pytest.mark.parametrize(
    ("left_out", "severity"),
    [
        ({"f.sql:4": "it cannot be had"}, Severity.INFO),
        ({"f.sql:5": "it cannot be had"}, Severity.ERROR),
        ({"other.sql:4": "it cannot be had"}, Severity.ERROR),
        ({}, Severity.ERROR),
    ],
)
def test_a_key_that_deploy_left_out_and_told_is_noted(
    left_out: dict[str, str], severity: Severity
) -> None:
    before = f"CREATE SCHEMA shop;\n{_TABLES}"
    one = files.read({"schema/f.sql": before + _KEY})
    other = files.read({"schema/f.sql": before})
    (found,) = drift(one, replace(other, has_citus=True, left_out=left_out), "boss")
    assert found.severity == severity
    assert ("it cannot be had" in found.message) == (severity == Severity.INFO)
