"""Which releases of PostgreSQL mended what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from checks.rule import Violation
from harness.catalog.model import Catalog
from harness.catalog.source import Source

_ANSWER = re.compile(r"-- (\d{6})\b")


def unmended(source: Source, cve: str, mended: Mapping[int, int]) -> Iterator[Violation]:
    """A violation where the server is of a major version below its release that mended a CVE, or
    of one that is older than all that were mended. `mended` is minor by major version."""
    if source.server_version is None:
        return
    major, minor = divmod(source.server_version, 10_000)
    if major < min(mended):
        newest = max(mended)
        yield _violation(major, minor, cve, f"{newest}.{mended[newest]}")
    elif minor < mended.get(major, 0):
        yield _violation(major, minor, cve, f"{major}.{mended[major]}")


def saying(example: str) -> Source:
    """What an example of a rule about servers is about: a server that answers `SHOW
    server_version_num` with the number in its comment."""
    found = _ANSWER.search(example)
    return Source(Catalog(), server_version=int(found[1]) if found else None)


def _violation(major: int, minor: int, cve: str, mended: str) -> Violation:
    message = f"the server is PostgreSQL {major}.{minor}; {cve} is mended in {mended}"
    return Violation("server", message, fix=f"-- update the server to {mended} or later")
