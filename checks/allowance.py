"""Allowances: findings that whoever wrote a statement accepts, for a reason, and until when.

An allowance suppresses findings of its rule that stand in its statement, or that are about what
the statement creates, wherever they stand. checks.allowance_comments reads them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from checks import drift
from checks.rules import registry
from harness.finding import Finding, Location, Suppressed

PROBED = ("isolation.", "CIT2", "CTX003", "CTX004", "ORA007", "PRF004")
"""How the ids of what only probes find begin."""
_OF_CLUSTERS = "CIT2"
UNDECIDED = "POL011"
"""Found where the text does not tell what a policy admits, and a database would."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What an allowance is about: lines of a file, and the object that stands there."""

    file: str = ""
    lines: range = range(0)
    object: str = ""
    """As findings name it; a function without its arguments."""
    part: str = ""
    """What a message has to mention, for a part of an object: `policy p on `. A probe does not tell
    which part let it through."""

    def covers(self, finding: Finding) -> bool:
        """Whether the finding stands in the lines or is about the object."""
        place = finding.location
        if place is not None and place.file == self.file and place.line in self.lines:
            return True
        named = self.part in finding.message or finding.rule.startswith(PROBED)
        return named and self._is_object(finding.object)

    def _is_object(self, found: str) -> bool:
        """A function is found by its signature."""
        return bool(self.object) and self.object == found.partition("(")[0]


@dataclass(frozen=True, slots=True)
class Allowance:
    """One rule that is allowed in one place."""

    rule: str
    reason: str
    extent: Extent
    until: date | None = None
    """The last day on which it counts."""
    location: Location | None = None

    def covers(self, finding: Finding) -> bool:
        """Whether it suppresses the finding while it counts."""
        return finding.rule == self.rule and self.extent.covers(finding)


@dataclass(frozen=True, slots=True)
class Misread:
    """A comment that wants to be an allowance and is none."""

    object: str
    message: str
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Allowances:
    """All that stand in a set of files or in a database."""

    all: tuple[Allowance, ...] = ()
    misread: tuple[Misread, ...] = ()

    def __add__(self, other: Allowances) -> Allowances:
        return Allowances(self.all + other.all, self.misread + other.misread)


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of allowances: rules SRC006, SRC007 and SRC008 judge it."""

    kept: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...]
    misread: tuple[Misread, ...]
    stale: tuple[Allowance, ...]
    expired: tuple[Allowance, ...]


def apply(
    findings: Sequence[Finding], allowances: Allowances, layers: Collection[str], today: date
) -> Applied:
    """Suppresses what is allowed; stale is told only of what the layers (static, catalog,
    isolation, citus) looked for."""
    counting = [a for a in allowances.all if a.until is None or today <= a.until]
    allowed = {id(finding): _first(counting, finding) for finding in findings}
    return Applied(
        kept=tuple(f for f in findings if allowed[id(f)] is None),
        suppressed=tuple(
            Suppressed(f, "inSource", a.reason) for f in findings if (a := allowed[id(f)])
        ),
        misread=allowances.misread,
        stale=tuple(_stale(counting, findings, layers)),
        expired=tuple(a for a in allowances.all if a.until is not None and a.until < today),
    )


def _first(allowances: Iterable[Allowance], finding: Finding) -> Allowance | None:
    return next((a for a in allowances if a.covers(finding)), None)


def _stale(
    allowances: Iterable[Allowance], findings: Sequence[Finding], layers: Collection[str]
) -> Iterator[Allowance]:
    undecided = [f for f in findings if f.rule == UNDECIDED] if "catalog" not in layers else []
    for allowance in allowances:
        open = allowance.rule.startswith("POL") and any(map(allowance.extent.covers, undecided))
        used = any(map(allowance.covers, findings))
        if not (used or open) and _is_looked_for(allowance.rule, layers):
            yield allowance


def _is_looked_for(rule: str, layers: Collection[str]) -> bool:
    if rule == drift.RULE:
        return {"static", "catalog"} <= set(layers)
    known = {each.id: each for each in registry()}
    if rule.startswith(_OF_CLUSTERS) or (rule in known and known[rule].judges("cluster")):
        return "citus" in layers
    if rule in known:
        return "static" in layers or "catalog" in layers
    return "isolation" in layers
