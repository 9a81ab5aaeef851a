"""The server applies the right policies to plans that it uses again.

CVE-2024-10976: a query whose table with row security stands below a subquery, a WITH query, an SQL
function or a security invoker view keeps the policies of the role that planned it; after SET ROLE
the plan shows the rows of the role before. Mended in 17.1, 16.5, 15.9, 14.14 and 13.17.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.server_version import saying, unmended
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.ERROR
MENDED = {17: 1, 16: 5, 15: 9, 14: 14, 13: 17}
GOOD = (
    """
SHOW server_version_num; -- 170001
""",
    """
SHOW server_version_num; -- 180000
""",
)
BAD = (
    """
SHOW server_version_num; -- 170000 -- here
""",
    """
SHOW server_version_num; -- 150008 -- here
""",
    """
SHOW server_version_num; -- 120020 -- here
""",
)
READ = saying


def check(source: Source) -> Iterator[Violation]:
    yield from unmended(source, "CVE-2024-10976", MENDED)
