"""The 66 hazards, planted in the plain schema's files and looked for without a database."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import pytest

from benchmarks.hazards.faults import Fault, faults
from benchmarks.hazards.layers import UNSEEN, in_text, new
from benchmarks.hazards.specimens import Specimen, controls, plain
from checks.mutation import operators
from checks.rules import registry
from harness.finding import Finding, Severity
from tests.conftest import ROOT

PLAIN = plain()


@cache
def before() -> list[Finding]:
    return in_text(PLAIN.settings)


def rules(found: Iterable[Finding]) -> set[str]:
    return {finding.rule for finding in found}


def test_every_hazard_is_planted_once() -> None:
    numbers = [fault.number for fault in faults(PLAIN)]
    assert len(numbers) == 66
    assert len(set(numbers)) == 66


def test_operators_name_rules_that_exist() -> None:
    known = {rule.id for rule in registry()}
    assert [o.name for o in operators() if not o.rules] == []
    assert [o.name for o in operators() if not known.issuperset(o.rules)] == []


@pytest.mark.parametrize("fault", faults(PLAIN), ids=lambda fault: fault.number)
def test_a_hazard_is_found_in_text_or_said_to_need_a_database(fault: Fault) -> None:
    found = rules(new(in_text(PLAIN.settings, fault.text), before()))
    assert found & (fault.rules | UNSEEN)


@pytest.mark.parametrize("specimen", list(controls()), ids=lambda specimen: specimen.name)
def test_nothing_is_found_in_a_sound_schema(specimen: Specimen) -> None:
    loud = [f for f in in_text(specimen.settings) if f.severity is not Severity.INFO]
    assert rules(loud) <= {"POL011"}


def test_the_page_of_the_figures_lists_every_hazard_and_who_is_to_find_it() -> None:
    page = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    for fault in faults(PLAIN):
        found_by = " ".join(sorted(fault.rules))
        row = f"| {fault.number} | {fault.operator.fault} | `{fault.operator.name}` | {found_by} |"
        assert row in page
