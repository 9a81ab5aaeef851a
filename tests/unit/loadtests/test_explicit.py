"""Given a statement, its form with a predicate beside every table of tenants."""

from __future__ import annotations

import pytest

from harness.catalog.model import Name
from loadtests.query import read_all
from loadtests.rls_cost.explicit import NotRewritten, Predicate, rewritten

RELATIONS = frozenset({Name("s", "a"), Name("s", "b"), Name("public", "c")})
OF_A, OF_B = "(SELECT * FROM s.a WHERE org = $1)", "(SELECT * FROM s.b WHERE org = $1)"


def _explicit(statement: str) -> str:
    return rewritten(statement, Predicate(RELATIONS, "org", "$1"))


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT x.i FROM s.a AS x", f"SELECT x.i FROM {OF_A} AS x"),
        ("SELECT i FROM s.a", f"SELECT i FROM {OF_A} AS a"),
        (
            "SELECT 1 FROM s.a x LEFT JOIN s.b USING (i) FOR UPDATE OF x",
            f"SELECT 1 FROM {OF_A} x LEFT JOIN {OF_B} AS b USING (i) FOR UPDATE OF x",
        ),
        ("SELECT s.a.i FROM s.a", f"SELECT a.i FROM {OF_A} AS a"),
        (
            "SELECT 'é' FROM z.z WHERE EXISTS (SELECT FROM s.b) -- of s.a",
            f"SELECT 'é' FROM z.z WHERE EXISTS (SELECT FROM {OF_B} AS b) -- of s.a",
        ),
        (
            "WITH c AS (SELECT * FROM s.a) SELECT * FROM c, c AS d",
            f"WITH c AS (SELECT * FROM {OF_A} AS a) SELECT * FROM c, c AS d",
        ),
        ("SELECT * FROM c", "SELECT * FROM (SELECT * FROM c WHERE org = $1) AS c"),
        (
            "UPDATE s.a AS x SET k = 1 FROM s.b AS y WHERE x.i = y.i OR y.j = 2 RETURNING x.i",
            f"UPDATE s.a AS x SET k = 1 FROM {OF_B} AS y WHERE x.org = $1 AND ( x.i = y.i OR "
            "y.j = 2 ) RETURNING x.i",
        ),
        ("DELETE FROM s.a", "DELETE FROM s.a WHERE s.a.org = $1 "),
        (
            "INSERT INTO s.a SELECT * FROM s.b ON CONFLICT (i) DO UPDATE SET k = 1 WHERE a.k > 2",
            f"INSERT INTO s.a SELECT * FROM {OF_B} AS b ON CONFLICT (i) DO UPDATE SET k = 1 WHERE "
            "a.k > 2",
        ),
        (
            "SELECT 1 FROM s.z CROSS JOIN LATERAL (SELECT 1 FROM s.a WHERE a.i = z.i LIMIT 1) AS l",
            f"SELECT 1 FROM s.z CROSS JOIN LATERAL (SELECT 1 FROM {OF_A} AS a WHERE a.i = z.i "
            "LIMIT 1) AS l",
        ),
        ('SELECT 1 FROM "s"."a"', 'SELECT 1 FROM (SELECT * FROM "s"."a" WHERE org = $1) AS "a"'),
        ("SELECT 1 FROM generate_series(1, 2) AS a", "SELECT 1 FROM generate_series(1, 2) AS a"),
    ],
)
def test_every_table_that_is_read_is_narrowed_to_the_tenant(statement: str, expected: str) -> None:
    assert _explicit(statement) == expected


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("SELECT i FROM ONLY s.a", "ONLY"),
        ("SELECT i FROM s.a WHERE ctid = '(0,1)'", "system column ctid"),
        ("SELECT i FROM s.a TABLESAMPLE system (1)", "TABLESAMPLE"),
        ("MERGE INTO s.a USING s.b ON a.i = b.i WHEN MATCHED THEN DELETE", "MERGE"),
        ("SELECT 1; SELECT 2", "not one statement"),
        ("SELEC 1", "does not parse"),
    ],
)
def test_what_has_no_such_form_says_why(statement: str, why: str) -> None:
    with pytest.raises(NotRewritten, match=why):
        _explicit(statement)


def test_every_bundled_query_that_reads_has_such_a_form() -> None:
    """Every table of theirs counts as a tenant's; the result parses again."""
    for query in read_all():
        if query.mode == "read":
            tables = frozenset(group.table for group in query.samples)
            predicate = Predicate(tables, "business_id", "$1::uuid")
            once = rewritten(query.numbered, predicate)
            assert "business_id" in once
            rewritten(once, Predicate(frozenset(), "business_id", "$1"))
