"""No application role is in a predefined role that reaches beyond its tables.

pg_read_server_files and pg_write_server_files read and write the data directory,
pg_execute_server_program runs programs as the server, pg_read_all_data and pg_write_all_data
reach every table, pg_monitor and pg_read_all_stats show the statements of everybody.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.reach import applications, reachable
from checks.rule import Violation
from checks.wording import quoted
from harness.catalog.source import Source
from harness.config import Roles
from harness.finding import Severity

SEVERITY = Severity.ERROR
_POWERFUL = frozenset(
    {
        "pg_read_server_files",
        "pg_write_server_files",
        "pg_execute_server_program",
        "pg_read_all_data",
        "pg_write_all_data",
        "pg_monitor",
        "pg_read_all_stats",
    }
)
GOOD = """
CREATE ROLE app_user LOGIN;
GRANT pg_monitor TO harness_monitor;
"""
BAD = """
CREATE ROLE app_user LOGIN;
GRANT pg_read_server_files TO app_user; -- here
"""


def check(source: Source, roles: Roles) -> Iterator[Violation]:
    for name in applications(roles):
        for other, membership in reachable(name, source.roles).items():
            if other in _POWERFUL:
                yield Violation(
                    name,
                    f"{name} is in {other}",
                    membership.location,
                    f"REVOKE {quoted(membership.role)} FROM {quoted(name)};",
                )
