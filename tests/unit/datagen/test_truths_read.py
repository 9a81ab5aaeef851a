"""What is stated to hold of filled data: enough of each schema, and where each is stated."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from datagen.audit import BUNDLED, read
from harness.config import BUNDLED_SCHEMA
from harness.errors import UsageError

TRUTHS = read(BUNDLED)


def test_every_schema_has_ten_truths() -> None:
    order = (BUNDLED_SCHEMA / "order.txt").read_text(encoding="utf-8").splitlines()
    schemas = {line.partition("/")[0] for line in order if not line.startswith("#")}
    stated = Counter(truth.schema for truth in TRUTHS)
    assert stated.keys() == schemas
    assert min(stated.values()) >= 10


def test_no_truth_is_of_one_day_only() -> None:
    told = re.compile(r"'20\d\d-\d\d-\d\d|\bnow\(\)|current_date|current_timestamp", re.IGNORECASE)
    assert [truth.place for truth in TRUTHS if told.search(truth.query)] == []


def test_a_truth_is_found_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "area.toml").write_text(
        '# "last" = is no truth\n"first" = """\n  SELECT \'last\'"""\n"last" = "SELECT 1;"\n'
    )
    assert [(t.sentence, t.query, t.place) for t in read(tmp_path)] == [
        ("first", "SELECT 'last'", "shop/area.toml:2"),
        ("last", "SELECT 1", "shop/area.toml:4"),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"x" = ', r"area\.toml: cannot be read: Invalid value"),
        ('"x" = 3', r'shop/area\.toml:1: "x": write a query'),
        ("", "there are no truths; write <schema>/<area>.toml"),
    ],
)
def test_what_is_no_truth_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "area.toml").write_text(text)
    with pytest.raises(UsageError, match=told):
        read(tmp_path)
