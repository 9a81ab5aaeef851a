"""The server keeps sampled values of hidden rows out of its estimates.

CVE-2025-8713: the statistics of a partition, an inheriting table or a table below a view hold
values that row security hides, and an operator of the user's own is shown them while a query is
planned. Mended in 17.6, 16.10, 15.14, 14.19 and 13.22.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.server_version import saying, unmended
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.WARNING
MENDED = {17: 6, 16: 10, 15: 14, 14: 19, 13: 22}
GOOD = (
    """
SHOW server_version_num; -- 170006
""",
    """
SHOW server_version_num; -- 180000
""",
)
BAD = (
    """
SHOW server_version_num; -- 170005 -- here
""",
    """
SHOW server_version_num; -- 160009 -- here
""",
)
READ = saying


def check(source: Source) -> Iterator[Violation]:
    yield from unmended(source, "CVE-2025-8713", MENDED)
