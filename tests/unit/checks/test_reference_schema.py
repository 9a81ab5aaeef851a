"""The reference schema holds, and would be found out if any one protecting line were missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import pytest

from checks import static
from checks.policy import symbolic
from checks.rules import registry
from harness.catalog import files
from harness.catalog.model import Catalog
from harness.config import Settings
from harness.dictionary import pages
from harness.dictionary.areas import areas
from harness.finding import Finding, Location, Severity
from tests.conftest import ROOT

PREFIX = re.compile(r"^CREATE TABLE (?P<name>[\w.]+)", re.MULTILINE)
PROTECTING = {
    "RLS001": re.compile(r"ENABLE ROW LEVEL SECURITY,\s*"),
    "RLS002": re.compile(r",\s*FORCE ROW LEVEL SECURITY"),
    "RLS003": re.compile(r"CREATE POLICY tenant_isolation ON [^;]*;"),
}
LINES = re.compile(r"^.*(?:ENABLE ROW LEVEL SECURITY|CREATE POLICY).*\n", re.MULTILINE)

PAGES = ROOT / "docs" / "schema"

Judged = tuple[list[Finding], Catalog]


@dataclass(frozen=True)
class Stretch:
    """What stands from one CREATE TABLE to the next, on the lines of its file."""

    table: str
    place: Location
    text: str


@pytest.fixture(scope="module")
def texts(settings: Settings) -> dict[str, str]:
    return static.read_texts([settings.schema_dir])


@pytest.fixture(scope="module")
def judged(texts: dict[str, str], settings: Settings) -> Judged:
    return static.judge(texts, settings)


@pytest.fixture(scope="module")
def stretches(texts: dict[str, str]) -> list[Stretch]:
    return [stretch for path, text in texts.items() for stretch in cut(path, text)]


def cut(path: str, text: str) -> Iterator[Stretch]:
    starts = list(PREFIX.finditer(text))
    stops = [*(start.start() for start in starts[1:]), len(text)]
    for start, stop in zip(starts, stops, strict=False):
        line = text.count("\n", 0, start.start()) + 1
        own = "\n" * (line - 1) + text[start.start() : stop]
        yield Stretch(start["name"], Location(path, line), own)


def protection(stretch: Stretch, text: str, settings: Settings) -> set[tuple[str, str, Location]]:
    """What the RLS rules find for the stretch's table in a variant of its text."""
    judgment = symbolic.judgment(files.read({stretch.place.file: text}), settings)
    found = [
        finding
        for rule in registry()
        if rule.id in PROTECTING
        for finding in rule.findings(judgment)
        if finding.object == stretch.table
    ]
    assert all(finding.severity is Severity.ERROR for finding in found)
    return {(f.rule, f.object, f.location) for f in found if f.location}


def test_nothing_is_found(judged: Judged) -> None:
    findings, catalog = judged
    assert [f"{f.location} {f.rule} {f.message}" for f in findings] == []
    assert len(catalog.tables) >= 75


def test_every_table_is_cut_out(judged: Judged, stretches: list[Stretch]) -> None:
    assert {stretch.table for stretch in stretches} == {str(name) for name in judged[1].tables}


@pytest.mark.parametrize("rule", PROTECTING)
def test_a_missing_part_is_found_at_its_table(
    stretches: list[Stretch], rule: str, settings: Settings
) -> None:
    for stretch in stretches:
        text, removed = PROTECTING[rule].subn("", stretch.text, count=1)
        assert removed, stretch.place
        assert protection(stretch, text, settings) == {(rule, stretch.table, stretch.place)}


def test_a_missing_line_is_found_at_its_table(stretches: list[Stretch], settings: Settings) -> None:
    for stretch in stretches:
        for line in LINES.finditer(stretch.text):
            text = stretch.text[: line.start()] + "\n" + stretch.text[line.end() :]
            found = protection(stretch, text, settings)
            assert found, f"{stretch.place}: {line.group()}"
            assert {(table, place) for _, table, place in found} == {(stretch.table, stretch.place)}


def test_its_pages_are_current(judged: Judged, texts: dict[str, str], settings: Settings) -> None:
    found = pages.pages(areas(judged[1], texts), settings.tenancy)
    there = {
        PurePosixPath(page.relative_to(PAGES)): page.read_text(encoding="utf-8")
        for page in PAGES.rglob("*.md")
    }
    stale = sorted(
        str(path) for path in found.keys() | there.keys() if found.get(path) != there.get(path)
    )
    assert stale == [], "run: harness schema docs docs/schema"
