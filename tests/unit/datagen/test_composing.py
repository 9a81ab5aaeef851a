"""Texts composed by the column are those that each row would be formatted to."""

from __future__ import annotations

import numpy as np

from datagen.composing import fields, formatted, placeholders, replaced
from datagen.values import objects

COLUMNS = {
    "row": np.array([1, 20, 300]),
    "share": np.array([0.5, 0.25, 3.0]),
    "name": objects(["a", "ü", "{b}"]),
    "at": np.array(["2026-01-02", "2026-01-03", "2026-01-04"], "datetime64[D]"),
    "flag": np.array([True, False, True]),
    "canary": "t1",
}
ROWS = range(3)


def test_a_template_gives_what_str_format_gives() -> None:
    template = "{{{name}}} {row:05d}-{share:.1f} {share} {at}/{flag} {canary:>4}"
    expected = [
        template.format(**{n: c if n == "canary" else c[i] for n, c in COLUMNS.items()})
        for i in ROWS
    ]
    assert formatted(template, COLUMNS, 3) == expected
    assert fields(template) == set(COLUMNS)
    assert formatted("", {}, 2) == ["", ""]
    assert formatted("{name}", {"name": objects([])}, 0) == []


def test_placeholders_of_several_texts_are_replaced_in_the_rows_that_use_them() -> None:
    texts = ['{"n": <row>, "by": "<name>", "less": "1 < 2", "what": "<unknown>"}', "<canary>"]
    assert placeholders(texts[0])[:2] == ["row", "name"]
    made = replaced(texts, np.array([0, 1, 0]), COLUMNS)
    assert made.tolist() == [
        '{"n": 1, "by": "a", "less": "1 < 2", "what": "<unknown>"}',
        "t1",
        '{"n": 300, "by": "{b}", "less": "1 < 2", "what": "<unknown>"}',
    ]
