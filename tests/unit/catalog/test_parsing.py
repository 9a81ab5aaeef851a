"""What is parsed without pglast's validation is what pglast gives with it."""

from __future__ import annotations

from typing import Any

import pglast
import pytest
from pglast import ast
from pglast.parser import ParseError

from harness.catalog.parsing import parse_sql
from harness.config import BUNDLED_SCHEMA

FILES = ("system_core/40_collaboration.sql", "payroll/31_enrollment.sql")
EVERYTHING_ELSE = """
    SELECT DISTINCT ON (a) a::numeric(10, 2), 1.5, -3, 'x', B'1', NULL, true, false, ARRAY[1, 2],
        x[1:2], count(*) FILTER (WHERE b) OVER (PARTITION BY c ROWS UNBOUNDED PRECEDING),
        CASE WHEN a IS NOT NULL THEN b ELSE c END, a IN (1, 2), EXISTS (SELECT), a BETWEEN 1 AND 2
    FROM t AS u TABLESAMPLE system (1) LEFT JOIN LATERAL f(u.a) AS v (a, b) ON true
    WHERE a = ANY ($1) GROUP BY ROLLUP (a) HAVING count(*) > 1
    ORDER BY a DESC NULLS LAST LIMIT 3 FOR UPDATE SKIP LOCKED;
    WITH w AS MATERIALIZED (DELETE FROM t RETURNING *) INSERT INTO t SELECT * FROM w
        ON CONFLICT (a) DO UPDATE SET b = excluded.b;
    MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN DO NOTHING;
    SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS (a int PATH '$.a' DEFAULT 0 ON EMPTY));
    CREATE ROLE r LOGIN NOBYPASSRLS; GRANT SELECT (a) ON t TO r WITH GRANT OPTION;
    ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO PUBLIC; SET LOCAL x = '1';
    DO $$ BEGIN NULL; END $$; COPY t FROM stdin; EXPLAIN (ANALYZE, BUFFERS off) SELECT 1;
    CREATE PUBLICATION p FOR TABLE t WHERE (a > 1); DECLARE c CURSOR WITH HOLD FOR SELECT 1
"""


def _as_python(node: Any) -> Any:
    """A tree with the type of every value in it; pglast's own comparison leaves places out."""
    if isinstance(node, tuple):
        return [_as_python(item) for item in node]
    if isinstance(node, ast.Node):
        return type(node), {name: _as_python(getattr(node, name)) for name in node.__slots__}
    return type(node), node


@pytest.mark.parametrize("text", [*FILES, EVERYTHING_ELSE])
def test_nodes_are_the_same_as_pglast_makes_them(text: str) -> None:
    if text in FILES:
        text = (BUNDLED_SCHEMA / text).read_text(encoding="utf-8")
    assert _as_python(parse_sql(text)) == _as_python(pglast.parse_sql(text))


def test_other_nodes_are_validated_as_ever() -> None:
    with pytest.raises(ParseError):
        parse_sql("CREATE TABLE (")
    with pytest.raises(ValueError, match="Bad value for attribute"):
        ast.RangeVar(relname=3)
