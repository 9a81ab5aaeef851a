"""Every rule is run on its own examples: nothing in the GOOD, the marked line in the BAD."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks import allowance_comments, rules_doc, static
from checks.policy import symbolic
from checks.rule import Rule
from checks.rules import registry
from checks.selection import known
from checks.settling import settle
from harness.config import Settings
from harness.finding import Finding
from tests.conftest import ROOT

PRELUDE = Path(__file__).with_name("prelude.sql").read_text(encoding="utf-8")
READ_FROM_FILES = [rule for rule in registry() if rule.read is None and not rule.judges("cluster")]
GOOD = [pytest.param(r, e, id=f"{r.id}-{n}") for r in READ_FROM_FILES for n, e in enumerate(r.good)]
BAD = [pytest.param(r, e, id=f"{r.id}-{n}") for r in READ_FROM_FILES for n, e in enumerate(r.bad)]


def find(rule: Rule, example: str, settings: Settings) -> list[Finding]:
    """What the rule finds in an example, which must itself be SQL that the reader knows."""
    if rule.tenancy is not None:
        settings = settings.model_copy(update={"tenancy": rule.tenancy})
    texts = {"prelude.sql": PRELUDE, "example.sql": example}
    found, catalog = static.judge(texts, settings)
    allowances = allowance_comments.of_files(texts, known(), catalog)
    findings = settle(found, allowances, ("static",), settings.checks).findings
    unread = [f for f in findings if f.rule.startswith("SRC") and rule.id[:3] != "SRC"]
    assert not unread, unread
    return [finding for finding in findings if finding.rule == rule.id]


@pytest.mark.parametrize(("rule", "example"), GOOD)
def test_nothing_is_found_in_the_good(rule: Rule, example: str, settings: Settings) -> None:
    assert find(rule, example, settings) == []


@pytest.mark.parametrize(("rule", "example"), BAD)
def test_the_marked_line_of_the_bad_is_found(rule: Rule, example: str, settings: Settings) -> None:
    marked = [n for n, line in enumerate(example.split("\n"), 1) if line.endswith("-- here")]
    found = [f.location for f in find(rule, example, settings)]
    assert [(place.file, place.line) for place in found if place] == [
        ("example.sql", line) for line in marked
    ]


@pytest.mark.parametrize(
    "rule", [rule for rule in registry() if rule.read], ids=lambda rule: rule.id
)
def test_what_no_file_says_is_found_in_a_source(rule: Rule, settings: Settings) -> None:
    def found(example: str) -> int:
        assert rule.read
        judged = symbolic.judgment(rule.read(example), settings)
        return len(list(rule.findings(judged)))

    assert [found(example) for example in rule.good] == [0] * len(rule.good)
    assert [found(example) for example in rule.bad] == [1] * len(rule.bad)


@pytest.mark.parametrize("rule", registry(), ids=lambda rule: rule.id)
def test_a_rule_explains_itself(rule: Rule) -> None:
    assert rule.good
    assert rule.bad
    assert all("-- here" in example for example in rule.bad)
    assert rule.why != rule.title
    assert len(rule.title) < 80


def test_the_page_of_the_rules_is_current() -> None:
    page = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert page == rules_doc.render(), "run python -m checks.rules_doc > docs/rules.md"
