"""Files of migration tools: their order, and which part of them is the way back.

What undoes a migration is left out. It is told by the name (x.down.sql, down.sql, Flyway's U1__x,
Sqitch's revert/ and verify/) or by the comment that begins it, as goose, dbmate, sql-migrate,
node-pg-migrate and MyBatis write it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

_DOWN_NAME = re.compile(r"(^|[._-])down$", re.IGNORECASE)
_UNDO_NAME = re.compile(r"U[\d._]+__")
_BACK = r"\+goose\s+Down|migrate:down|\+migrate\s+Down|Down\s+Migration|//@UNDO"
_FORTH = r"\+goose\s+Up|migrate:up|\+migrate\s+Up|Up\s+Migration"
_SECTION = re.compile(
    rf"^[ \t]*--[ \t]*(?:{_BACK})\b.*?(?=^[ \t]*--[ \t]*(?:{_FORTH})\b|\Z)",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)


def in_order(paths: Iterable[str]) -> list[str]:
    """The paths that lead forth, numbers in them by value: 2_b.sql before 10_a.sql."""
    found = list(paths)
    kept = [path for path in found if not _is_way_back(PurePosixPath(path), found)]
    return sorted(kept, key=_natural)


def forth(text: str) -> str:
    """The text without the sections that undo it, in as many lines and characters."""
    return _SECTION.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def _is_way_back(path: PurePosixPath, paths: list[str]) -> bool:
    if _DOWN_NAME.search(path.stem) or _UNDO_NAME.match(path.name):
        return True
    reverts = {"revert", "verify", "down"}.intersection(path.parts[:-1])
    forward = {"deploy", "up"}
    return bool(reverts) and any(forward.intersection(PurePosixPath(p).parts) for p in paths)


def _natural(path: str) -> list[tuple[int, str]]:
    parts = re.findall(r"(\d+)|(\D+)", path.replace("__", "\0"))  # V1__x is before V1_1__y
    return [(int(number), "") if number else (-1, text) for number, text in parts]
