"""What a drill of backup and restore did and found; a part of the Run document.

Durations are seconds, sizes bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Copy = Literal["original", "backup", "dump", "row security"]
"""Where something was found: in the database that was drilled, in the server that the backups
became, in the database that the dump became, or in what a dump under row security did."""


@dataclass(frozen=True, slots=True)
class DrillStep:
    """A step of a drill, in the order in which they were taken."""

    name: str
    seconds: float
    size: int = 0
    """Bytes that it made; 0 where it made nothing."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DrillFinding:
    """Something that did not survive, or that should have been refused."""

    copy: Copy
    kind: str
    """rows, policies, grants and the like."""
    name: str
    detail: str

    def __str__(self) -> str:
        """The finding in a line."""
        return f"{self.copy}: {self.kind}: {self.name}: {self.detail}"


@dataclass(frozen=True, slots=True)
class DrillResult:
    """A drill that came to its end."""

    seconds: float
    steps: tuple[DrillStep, ...]
    compared: Mapping[str, int] = field(default_factory=dict)
    """How many facts of each kind the original holds; each was looked for in both copies."""
    rows: int = 0
    """Rows of the original, all tables together."""
    findings: tuple[DrillFinding, ...] = ()
    notes: tuple[str, ...] = ()
    """What is to be known and failed nothing."""

    @property
    def held(self) -> bool:
        """True when all survived in both copies and nothing was silently partial."""
        return not self.findings
