"""From all that was found to what counts: allowances, then the selection, then the baseline."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path

from checks import baseline as baselines
from checks.allowance import Allowances, Applied, apply
from checks.baseline import Baseline, Scope
from checks.catalog import merge
from checks.examined import Examined
from checks.rules import registry
from checks.selection import is_selected, selected
from harness.config import Checks
from harness.finding import Finding, Location
from harness.verdict import Verdict


def settle(
    findings: Sequence[Finding],
    allowances: Allowances,
    layers: Collection[str],
    checks: Checks,
    today: date | None = None,
) -> Verdict:
    """What counts before any baseline; what is wrong with allowances is found here."""
    applied = apply(findings, allowances, layers, today or date.today())
    return Verdict(
        findings=selected(_in_place(applied.kept, _of_allowances(applied)), checks),
        suppressed=tuple(s for s in applied.suppressed if is_selected(s.finding.rule, checks)),
        fail_on=checks.fail_on,
    )


def hold_back(verdict: Verdict, baseline: Baseline, scope: Scope | None, checks: Checks) -> Verdict:
    """The verdict without what the baseline knows. What is gone is told where the baseline was
    written by the same check, for another one may not have looked."""
    compared = baselines.compare(verdict.findings, baseline)
    gone = [e for e in compared.gone if is_selected(e.rule, checks)]
    notes = _gone(len(gone)) if baseline.scope == scope else ()
    return Verdict(
        compared.new,
        (*verdict.suppressed, *compared.known),
        (*verdict.notes, *notes),
        verdict.fail_on,
    )


def together(checks: Checks, written: Examined, *held: Examined) -> Verdict:
    """What counts of files, or of files and the database that holds them, beside the baseline of
    the settings. Files have the allowances of both."""
    findings = merge(f for examined in (written, *held) for f in examined.findings)
    layers = ("static", "catalog") if held else ("static",)
    verdict = settle(findings, written.allowances, layers, checks)
    baseline = baseline_of(checks)
    return hold_back(verdict, baseline, None, checks) if baseline else verdict


def baseline_of(checks: Checks) -> Baseline | None:
    """The baseline of the settings; UsageError where the file is something else."""
    return baselines.read(checks.baseline) if checks.baseline else None


def baseline_to_renew(path: Path, scope: Scope) -> Baseline:
    """The baseline that a file has, or an empty one.

    Raises UsageError where the file is something else, or the baseline of another check, whose
    entries would be lost.
    """
    before = baselines.read(path) if path.exists() else Baseline(scope=scope)
    baselines.require_scope(before, scope, path)
    return before


def renewed(verdict: Verdict, before: Baseline, checks: Checks) -> Baseline:
    """The baseline that holds back all of a verdict."""
    return baselines.renew(before, verdict.findings, lambda rule: is_selected(rule, checks))


def _of_allowances(applied: Applied) -> Iterator[Finding]:
    for rule in registry():
        yield from rule.found({"allowances": applied})


def _in_place(kept: Iterable[Finding], added: Iterable[Finding]) -> list[Finding]:
    """Those that are added among those of their file."""
    findings = list(kept)
    for finding in added:
        findings.insert(_position(findings, finding.location), finding)
    return findings


def _position(findings: Sequence[Finding], place: Location | None) -> int:
    """Behind the last of its file that stands above it; the end where the file has none."""
    placed = [(n, f.location) for n, f in enumerate(findings) if f.location]
    of_file = [(n, other) for n, other in placed if place and other.file == place.file]
    above = [n + 1 for n, other in of_file if place and other <= place]
    if above:
        return above[-1]
    return of_file[0][0] if of_file else len(findings)


def _gone(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    if count == 1:
        return ("1 entry of the baseline no longer occurs: --write-baseline takes it out",)
    return (f"{count} entries of the baseline no longer occur: --write-baseline takes them out",)
