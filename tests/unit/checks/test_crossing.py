"""What three sessions saw of a query, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from checks.crossing import Crossing, Shown, complaints, query_of
from harness.config import Tenancy

TENANCY = Tenancy(column="org_id")
CLOSED = Shown(error="no tenant")


def rows(*values: object, column: str = "org_id") -> Shown:
    return Shown((column,), tuple((value,) for value in values))


def said(
    a: Shown,
    b: Shown,
    nobody: Shown = CLOSED,
    left_over: Shown = CLOSED,
    canary: Collection[object] = (),
) -> list[str]:
    return list(complaints(Crossing(a, b, nobody, left_over), TENANCY, "a", "b", canary))


def test_own_rows_alone_are_isolated() -> None:
    assert said(rows("a", "a"), rows("b")) == []
    assert said(rows("a"), rows("b"), nobody=rows(), left_over=rows()) == []


def test_rows_of_others_are_counted_and_named() -> None:
    assert said(rows("a", "b", None), rows("b")) == [
        "tenant A (a) sees 2 rows of others: org_id b, nobody"
    ]
    assert said(rows("a"), rows("b", "a")) == ["tenant B (b) sees 1 row of others: org_id a"]


def test_no_tenant_sees_nothing() -> None:
    assert said(rows("a"), rows("b"), nobody=rows("a")) == ["a session without a tenant sees 1 row"]
    assert said(rows("a"), rows("b"), left_over=rows("a", "b")) == [
        "a session without a tenant after a tenant's was over sees 2 rows"
    ]


def test_without_rows_nothing_is_proven() -> None:
    assert said(rows("a"), rows()) == [
        "vacuous: tenant B (b) sees no row of its own; give both tenants rows"
    ]
    assert "vacuous" in said(rows("b"), rows("b"))[1]


def test_an_error_of_a_tenant_is_told() -> None:
    assert said(Shown(error="permission denied"), rows("b")) == [
        "tenant A could not run it: permission denied"
    ]


def test_a_canary_tells_rows_apart_that_have_no_tenant() -> None:
    a, b = rows("ada", column="name"), rows("bob", column="name")
    assert "cannot be told apart" in said(a, b)[0]
    assert said(a, b, canary=["bob"]) == []
    assert said(rows("ada", "bob", column="name"), b, canary=["bob"]) == [
        "tenant A sees the canary bob of tenant B"
    ]
    assert said(a, b, canary=["eve"]) == ["vacuous: tenant B does not see its own canary eve"]
    assert "vacuous" in said(rows(column="name"), b, canary=["bob"])[0]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("contact", 'SELECT * FROM "contact"'),
        ("crm.contact", 'SELECT * FROM "crm"."contact"'),
        ('crm."Contact Person"', 'SELECT * FROM "crm"."Contact Person"'),
    ],
)
def test_a_name_is_a_table(text: str, query: str) -> None:
    found = query_of(text)
    assert not isinstance(found, bytes)
    assert found.as_string(None) == query


def test_anything_else_is_a_query() -> None:
    assert query_of("SELECT 1") == b"SELECT 1"
