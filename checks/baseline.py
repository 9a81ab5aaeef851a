"""A baseline: findings that were there when a team began to look, and that do not count.

The file is JSON, sorted, so that it is reviewed like code. A finding is known by its
fingerprint, which has no line in it; as many of one fingerprint are held back as were counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.errors import UsageError
from harness.finding import Finding, Suppressed

FORMAT = 1
"""Rises when a field changes its meaning or goes away."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What was checked: a baseline is renewed by the same check alone."""

    layer: str
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(("harness check", self.layer, *self.paths))


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding that is known, or several that nothing but their lines tells apart."""

    rule: str
    object: str
    message: str
    fingerprint: str
    reason: str = ""
    """Why it stays, for people; kept when the baseline is written anew."""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The document."""

    format: int = FORMAT
    scope: Scope
    findings: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Compared:
    """Findings against a baseline."""

    new: tuple[Finding, ...]
    known: tuple[Suppressed, ...]
    gone: tuple[Entry, ...]
    """Entries that occur no longer, or less often."""


@cache
def _document() -> TypeAdapter[Baseline]:
    """Made when it is asked for: no small part of what a command takes to begin."""
    return TypeAdapter(Baseline)


def read(path: Path) -> Baseline:
    """The baseline in a file; UsageError where it cannot be read or is something else."""
    try:
        baseline = _document().validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where}: {first['msg']}" if where else first["msg"]
        raise UsageError(f"{path}: not a baseline: {message}") from None
    if baseline.format != FORMAT:
        raise UsageError(f"{path}: format {baseline.format} is not known here ({FORMAT})")
    return baseline


def render(baseline: Baseline) -> str:
    """The document, indented, ending with a newline."""
    return _document().dump_json(baseline, indent=2).decode() + "\n"


def compare(findings: Sequence[Finding], baseline: Baseline) -> Compared:
    """What is new, what is known, and what is gone."""
    entries = {entry.fingerprint: entry for entry in baseline.findings}
    left = Counter({entry.fingerprint: entry.count for entry in baseline.findings})
    new: list[Finding] = []
    known: list[Suppressed] = []
    for finding in findings:
        if left[finding.fingerprint] > 0:
            left[finding.fingerprint] -= 1
            known.append(Suppressed(finding, "external", entries[finding.fingerprint].reason))
        else:
            new.append(finding)
    gone = tuple(entry for entry in baseline.findings if left[entry.fingerprint] > 0)
    return Compared(tuple(new), tuple(known), gone)


def require_scope(baseline: Baseline, scope: Scope, path: Path) -> None:
    """UsageError where a baseline belongs to another check, whose entries would be lost."""
    if baseline.scope != scope:
        message = f"{path} is the baseline of `{baseline.scope}` and not of `{scope}`"
        raise UsageError(f"{message}; name another file")


def renew(
    before: Baseline,
    findings: Sequence[Finding],
    looked_for: Callable[[str], bool] = lambda _: True,
) -> Baseline:
    """The findings of today; reasons stay, and so do entries of rules not looked for."""
    reasons = {entry.fingerprint: entry.reason for entry in before.findings}
    counts = Counter(finding.fingerprint for finding in findings)
    first = {finding.fingerprint: finding for finding in reversed(findings)}
    entries = [
        Entry(f.rule, f.object, f.message, mark, reasons.get(mark, ""), counts[mark])
        for mark, f in first.items()
    ]
    kept = [e for e in before.findings if not looked_for(e.rule) and e.fingerprint not in first]
    order = sorted((*entries, *kept), key=lambda e: (e.rule, e.object, e.message, e.fingerprint))
    return Baseline(scope=before.scope, findings=tuple(order))
