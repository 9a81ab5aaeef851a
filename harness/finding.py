"""A finding: one thing that is wrong, where it stands, why it matters and how to mend it.

Static, catalog and live checks all report this one type.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Severity(StrEnum):
    """How bad it is: an error breaks isolation, a warning weakens it, an info is to be known."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a source file; `line` counts from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule or probe found."""

    rule: str
    severity: Severity
    object: str
    """The table or other object, schema-qualified as SQL writes it."""
    message: str
    """One line; what it quotes of SQL is spaced in one way, so that layout makes no difference."""
    why: str
    fix: str = ""
    """The exact SQL that mends it, where there is one."""
    location: Location | None = None
    identity: str = ""
    """What tells it from other findings of its rule and object where the message does not: that
    of a probe counts rows, which differ from fill to fill."""

    @property
    def fingerprint(self) -> str:
        """Stays the same when lines move and rows are counted anew: rule, object and identity,
        or the message where there is none, hashed."""
        text = "\0".join((self.rule, self.object, self.identity or self.message))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that somebody accepted: it is told, and fails nothing."""

    finding: Finding
    kind: Literal["inSource", "external"]
    """Beside the statement or in a baseline, in the words of SARIF."""
    reason: str
