"""What a server wrote into its log."""

from __future__ import annotations

import re
from pathlib import Path

_LATEST = 50
"""So many lines at the end are looked at."""
_FATAL = re.compile(r"(?:FATAL|PANIC):\s*(.*)")


def last_words(log: Path) -> str:
    """What the last line says that a server ended with; empty where there is none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LATEST:]
    except OSError:
        return ""
    found = [match[1].strip() for line in lines if (match := _FATAL.search(line))]
    return found[-1] if found else ""
