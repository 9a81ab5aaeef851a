"""Expressions over columns: SQL's operators, NULL included, and what a CHECK gives away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from datagen.expression import UnknownExpression, compile_expression
from datagen.expression.analysis import (
    allowed_elements,
    allowed_values,
    bound,
    conjuncts,
    order,
)
from datagen.values import Values, objects


def _column(items: list[Any], dtype: str) -> Values:
    null = np.array([item is None for item in items])
    if dtype == "object":
        return Values(objects(items), null)
    filler: Any = "1970-01-01" if dtype.startswith("datetime") else 0
    return Values(np.array([filler if i is None else i for i in items], dtype), null)


COLUMNS = {
    "a": _column([1, 2, None, 4], "int64"),
    "b": _column([1, None, 3, 5], "int64"),
    "x": _column([0.5, 2.5, -1.0, None], "float64"),
    "t": _column(["paid", "draft", None, "Void 1"], "object"),
    "ok": _column([True, False, None, True], "bool"),
    "at": _column(["2026-01-01T10:00", "2026-02-01", None, "2026-03-01"], "datetime64[us]"),
    "day": _column(["2026-01-02", "2026-02-01", "2026-02-03", None], "datetime64[D]"),
    "doc": _column(['{"k": 1}', "[1, 2]", None, '"s"'], "object"),
    "tags": _column([["p"], ["p", "q"], [], None], "object"),
}

CASES = [
    ("a = b", [True, None, None, False]),
    ("a <> b", [False, None, None, True]),
    ("a + 1 > b", [True, None, None, False]),
    ("a IS NULL", [False, False, True, False]),
    ("a IS NOT NULL AND ok", [True, False, False, True]),
    ("ok OR a IS NULL", [True, False, True, True]),
    ("NOT ok", [False, True, None, False]),
    ("ok IS NOT TRUE", [False, True, True, False]),
    ("a IN (1, 4)", [True, False, None, True]),
    ("t = ANY (ARRAY['paid'::text, 'open'::text])", [True, False, None, False]),
    ("t <> ALL (ARRAY['paid', 'draft'])", [False, False, None, True]),
    ("a BETWEEN 2 AND 4", [False, True, None, True]),
    ("a NOT BETWEEN 2 AND 4", [True, False, None, False]),
    ("a IS DISTINCT FROM b", [False, True, True, True]),
    ("coalesce(a, b) = 3", [False, False, True, False]),
    ("nullif(a, 1) IS NULL", [True, False, True, False]),
    ("greatest(a, b) = 5", [False, False, False, True]),
    ("least(a, b)", [1, 2, 3, 4]),
    ("CASE WHEN t = 'paid' THEN 1 WHEN a = 2 THEN 2 ELSE 3 END", [1, 2, 3, 3]),
    ("CASE t WHEN 'paid' THEN 'p' END", ["p", None, None, None]),
    ("round(x)", [1.0, 3.0, -1.0, None]),
    ("abs(x) >= 1", [False, True, True, None]),
    ("a * 2 - 1", [1, 3, None, 7]),
    ("a / 2", [0, 1, None, 2]),
    ("length(t)", [4, 5, None, 6]),
    ("upper(t) LIKE 'P%'", [True, False, None, False]),
    ("t ~ '^[a-z]+$'", [True, True, None, False]),
    ("t !~ '[0-9]'", [True, True, None, False]),
    ("t ILIKE 'VOID _'", [False, False, None, True]),
    ("t || '!'", ["paid!", "draft!", None, "Void 1!"]),
    ("at >= '2026-02-01'::timestamptz", [False, True, None, True]),
    ("at + interval '1 day' > day", [True, True, None, None]),
    ("day - 1 = '2026-01-01'::date", [True, False, False, None]),
    ("at::date", ["2026-01-01", "2026-02-01", None, "2026-03-01"]),
    ("jsonb_typeof(doc)", ["object", "array", None, "string"]),
    ("(doc ->> 'k') = '1'", [True, None, None, None]),
    ("cardinality(tags) > 0", [True, True, False, None]),
    ("tags <@ ARRAY['p']", [True, False, True, None]),
    ("num_nonnulls(a, b) = 2", [True, False, False, True]),
    ("(a IS NULL) = (x IS NULL)", [True, True, False, False]),
    ("extract(month FROM at)", [1.0, 2.0, None, 3.0]),
    ("date_trunc('month', at) = at", [False, True, None, True]),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_an_expression_is_evaluated_as_sql_does(text: str, expected: list[Any]) -> None:
    found = compile_expression(text).evaluate(COLUMNS.__getitem__, 4)
    values = [None if n else v for v, n in zip(found.data, found.null, strict=True)]
    assert [str(v) if isinstance(v, np.datetime64) else v for v in values] == expected


@pytest.mark.parametrize("text", ["no_such_function(a)", "a &&& b", "(SELECT 1)", "a +"])
def test_what_is_not_known_is_said(text: str) -> None:
    with pytest.raises(UnknownExpression):
        compile_expression(text).evaluate(COLUMNS.__getitem__, 4)


def test_columns_are_named_with_their_foreign_key() -> None:
    assert compile_expression("plan_id.tier = a AND b > 1").columns == {"plan_id.tier", "a", "b"}


def test_a_check_gives_away_lists_bounds_and_orders() -> None:
    def parts(text: str) -> list[Any]:
        return list(conjuncts(compile_expression(text)))

    (node,) = parts("(status = ANY (ARRAY['a'::text, 'b'::text]))")
    assert allowed_values(node) == ("status", ["a", "b"])
    (node,) = parts("tags <@ ARRAY['x'::text]")
    assert allowed_elements(node) == ("tags", ["x"])
    low, high = parts("n >= 1 AND n < (10)::numeric")
    assert bound(low) + bound(high) == [("n", ">=", 1.0), ("n", "<", 10.0)]
    assert bound(parts("0 < n")[0]) == [("n", ">", 0.0)]
    assert order(parts("ends_at > starts_at")[0]) == ("ends_at", "starts_at")
    assert order(parts("a = b")[0]) is None
