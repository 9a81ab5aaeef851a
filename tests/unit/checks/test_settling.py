"""Which findings count: selection, severities, threshold and baseline."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from checks import baseline, static
from checks.allowance import Allowance, Allowances, Extent
from checks.baseline import Baseline, Entry, Scope
from checks.examined import Examined
from checks.policy import symbolic
from checks.policy.cells import count
from checks.rules import registry
from checks.selection import known, require_known, selected
from checks.settling import baseline_to_renew, hold_back, renewed, settle, together
from harness.catalog import files
from harness.catalog.model import Catalog
from harness.catalog.source import Source
from harness.config import Checks, Settings
from harness.errors import UsageError
from harness.finding import Finding, Location, Severity
from harness.verdict import Verdict

OPEN = Finding("RLS001", Severity.ERROR, "s.a", "s.a is open", "why", location=Location("x.sql", 3))
DECIDED_NOT = replace(OPEN, rule="POL011", severity=Severity.WARNING, message="not decided")
KNOWN = replace(OPEN, rule="SRC005", severity=Severity.INFO, message="COMMIT")
LEAK = replace(OPEN, rule="isolation.select", message="leak", location=None)
FOUND = [OPEN, DECIDED_NOT, KNOWN, LEAK]
HERE = Scope("static", ("x.sql",))


def rules_of(found: tuple[Finding, ...]) -> list[str]:
    return [finding.rule for finding in found]


@pytest.mark.parametrize(
    ("checks", "left"),
    [
        (Checks(), ["RLS001", "POL011", "SRC005", "isolation.select"]),
        (Checks(select=("POL", "RLS001")), ["RLS001", "POL011"]),
        (Checks(ignore=("RLS", "isolation")), ["POL011", "SRC005"]),
        (Checks(select=("POL", "RLS"), ignore=("POL011",)), ["RLS001"]),
        (Checks(select=("rls",)), ["RLS001"]),
    ],
)
def test_rules_are_selected_and_ignored_by_what_they_begin_with(
    checks: Checks, left: list[str]
) -> None:
    assert rules_of(selected(FOUND, checks)) == left


def test_the_longest_name_says_the_severity() -> None:
    checks = Checks(severity={"RLS": "info", "RLS001": "warning", "SRC005": "error"})
    severities = {f.rule: f.severity.value for f in selected(FOUND, checks)}
    assert severities["RLS001"] == "warning"
    assert severities["SRC005"] == "error"
    assert severities["POL011"] == "warning", "its own"


@pytest.mark.parametrize("field", ["select", "ignore", "severity"])
def test_a_rule_that_does_not_exist_is_named(field: str) -> None:
    value = {"RLS999": "info"} if field == "severity" else ("RLS999",)
    with pytest.raises(UsageError, match="RLS999 is no rule, and none begins so"):
        require_known(Checks(**{field: value}))


def test_every_finding_has_a_known_rule() -> None:
    assert known() >= {rule.id for rule in registry()} | {"SRC002", "isolation.select"}
    require_known(Checks(select=("SRC002", "isolation.view", "POL")))


@pytest.mark.parametrize(
    ("fail_on", "failing"),
    [
        ("error", ["RLS001", "isolation.select"]),
        ("warning", ["RLS001", "POL011", "isolation.select"]),
        ("info", ["RLS001", "POL011", "SRC005", "isolation.select"]),
        ("never", []),
    ],
)
def test_a_threshold_says_what_fails(fail_on: str, failing: list[str]) -> None:
    checks = Checks.model_validate({"fail_on": fail_on})
    verdict = settle(FOUND, Allowances(), ("static",), checks)
    assert rules_of(verdict.failing) == failing
    assert verdict.failed is bool(failing)
    assert len(verdict.findings) == 4, "all are told"


def test_what_is_undecided_fails_by_default() -> None:
    assert settle([DECIDED_NOT], Allowances(), ("static",), Checks()).failed


def test_a_baseline_holds_back_what_it_knows_however_lines_move() -> None:
    known = renewed(Verdict((OPEN, KNOWN)), Baseline(scope=HERE), Checks())
    moved = replace(OPEN, location=Location("x.sql", 99))
    verdict = hold_back(Verdict((moved, KNOWN, DECIDED_NOT)), known, HERE, Checks())
    assert rules_of(verdict.findings) == ["POL011"]
    assert [(s.finding.rule, s.kind) for s in verdict.suppressed] == [
        ("RLS001", "external"),
        ("SRC005", "external"),
    ]


def test_a_baseline_holds_back_no_more_of_a_kind_than_it_counted() -> None:
    again = replace(OPEN, location=Location("x.sql", 8))
    known = renewed(Verdict((OPEN,)), Baseline(scope=HERE), Checks())
    verdict = hold_back(Verdict((OPEN, again)), known, HERE, Checks())
    assert verdict.findings == (again,)


def test_what_no_longer_occurs_is_told_and_taken_out() -> None:
    known = renewed(Verdict((OPEN, KNOWN)), Baseline(scope=HERE), Checks())
    verdict = hold_back(Verdict((OPEN,)), known, HERE, Checks())
    assert verdict.notes == (
        "1 entry of the baseline no longer occurs: --write-baseline takes it out",
    )
    assert [e.rule for e in renewed(Verdict((OPEN,)), known, Checks()).findings] == ["RLS001"]


@pytest.mark.parametrize(
    ("scope", "checks"),
    [(Scope("static", ("y.sql",)), Checks()), (HERE, Checks(ignore=("SRC",)))],
)
def test_what_was_not_looked_for_is_not_told_to_be_gone(scope: Scope, checks: Checks) -> None:
    known = renewed(Verdict((OPEN, KNOWN)), Baseline(scope=HERE), Checks())
    assert hold_back(Verdict((OPEN,)), known, scope, checks).notes == ()


def test_renewing_keeps_reasons_and_what_was_not_looked_for() -> None:
    entry = Entry(OPEN.rule, OPEN.object, OPEN.message, OPEN.fingerprint, "moves in May")
    other = Entry(KNOWN.rule, KNOWN.object, KNOWN.message, KNOWN.fingerprint)
    before = Baseline(scope=HERE, findings=(entry, other))
    after = renewed(Verdict((OPEN, DECIDED_NOT)), before, Checks(ignore=("SRC",)))
    assert [(e.rule, e.reason) for e in after.findings] == [
        ("POL011", ""),
        ("RLS001", "moves in May"),
        ("SRC005", ""),
    ]
    assert hold_back(Verdict((OPEN,)), after, HERE, Checks()).suppressed[0].reason == "moves in May"


def test_a_baseline_is_the_same_text_whatever_the_order(tmp_path: Path) -> None:
    one = baseline.render(renewed(Verdict(tuple(FOUND)), Baseline(scope=HERE), Checks()))
    other = renewed(Verdict(tuple(reversed(FOUND))), Baseline(scope=HERE), Checks())
    assert one == baseline.render(other)
    path = tmp_path / "baseline.json"
    path.write_text(one, encoding="utf-8")
    assert baseline.read(path) == other
    assert "line" not in json.loads(one)["findings"][0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"\x00\xff", "not a baseline: Invalid JSON"),
        (b"{}", "not a baseline: scope: Field required"),
        (b'{"runs": [], "scope": 1}', "not a baseline: scope: "),
        (b'{"format": 9, "scope": {"layer": "all"}}', r"format 9 is not known here \(1\)"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "baseline.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as refused:
        baseline.read(path)
    assert "\n" not in str(refused.value)


def test_the_baseline_of_another_check_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(baseline.render(Baseline(scope=Scope("all"))), encoding="utf-8")
    with pytest.raises(UsageError, match="is the baseline of `harness check all` and not of"):
        baseline_to_renew(path, HERE)
    assert baseline_to_renew(tmp_path / "new.json", HERE) == Baseline(scope=HERE)


def examined(findings: list[Finding], *allowed: Allowance) -> Examined:
    return Examined(findings, Source(Catalog()), {}, Allowances(allowed))


def test_a_run_goes_by_the_baseline_of_its_settings(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    known = renewed(Verdict((OPEN,)), Baseline(scope=Scope("all")), Checks())
    path.write_text(baseline.render(known), encoding="utf-8")
    verdict = together(Checks(baseline=path), examined([OPEN, KNOWN]))
    assert (rules_of(verdict.findings), verdict.failed) == (["SRC005"], False)


def test_what_files_allow_is_allowed_in_the_database_that_holds_them() -> None:
    allowed = Allowance("RLS001", "a list", Extent("x.sql", range(3, 4), "s.a"))
    elsewhere = replace(OPEN, message="s.a is open to all", location=None)
    other = replace(elsewhere, object="s.b")
    verdict = together(Checks(), examined([OPEN], allowed), examined([elsewhere, other]))
    assert verdict.findings == (other,)
    assert [s.finding for s in verdict.suppressed] == [OPEN, elsewhere]


TABLE = """CREATE TABLE public.a (business_id uuid NOT NULL, shown boolean, other uuid);
ALTER TABLE a ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE ROLE app_user;
GRANT SELECT ON a TO app_user;
"""
SETTING = "nullif(current_setting('app.business_id', true), '')::uuid"


def fingerprints(text: str, settings: Settings) -> dict[str, str]:
    """Of the findings, by fingerprint, what they say."""
    return {f.fingerprint: f.message for f in static.judge({"x.sql": text}, settings)[0]}


def test_no_fingerprint_depends_on_lines_or_white_space(settings: Settings) -> None:
    policy = "CREATE POLICY p ON a USING (shown OR business_id IS NOT NULL);\n"
    text = TABLE + policy + "DO $$ BEGIN END $$;\n\\i x.sql\nCREATE TABLE b (v varchar(3));\n"
    moved = "\n\n-- moved\n" + text.replace(", ", ",\n    ").replace(";", "\n;")
    there = fingerprints(text, settings)
    assert len(there) > 8
    assert set(fingerprints(moved, settings)) == set(there)


def test_two_policies_at_fault_have_two_fingerprints(settings: Settings) -> None:
    policies = "CREATE POLICY p ON a USING (true);\nCREATE POLICY q ON a USING (other IS NULL);\n"
    messages = fingerprints(TABLE + policies, settings).values()
    at_fault = [m for m in messages if m.startswith("policy ") and "admits" in m]
    assert {m.split()[1] for m in at_fault} >= {"p"}
    p = fingerprints(TABLE + "CREATE POLICY p ON a USING (true);", settings)
    q = fingerprints(TABLE + "CREATE POLICY q ON a USING (true);", settings)
    of_policies = {mark for mark, m in (p | q).items() if m.startswith("policy ")}
    assert of_policies
    assert not of_policies & set(p) & set(q)


@pytest.mark.parametrize(
    ("using", "expected"),
    [
        ("business_id = tenant()", {"proven": 4}),
        ("true", {"leak": 4}),
        ("business_id = public.unseen()", {"undecided": 4}),
        ("false", {"denied": 2, "proven": 2}),
        (f"business_id = tenant() OR {SETTING} IS NULL", {"proven": 2, "leak": 2}),
    ],
)
def test_cells_of_the_truth_table_are_counted(
    using: str, expected: dict[str, int], settings: Settings
) -> None:
    policy = f"CREATE POLICY p ON a USING ({using.replace('tenant()', SETTING)});"
    judgment = symbolic.judgment(files.read({"x.sql": TABLE + policy}), settings)
    assert {verdict: n for verdict, n in count(judgment).items() if n} == expected
