"""A partition is reached by its own name, past the policy of its parent.

It is held when it has forced row security of its own or the application may not touch it.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.ground import Ground
from harness.catalog.model import Table
from harness.run import ProbeResult

_REACHED = """
SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relispartition AND has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE')
"""


def survey(ground: Ground) -> Iterator[ProbeResult]:
    with ground.wire.transaction(ground.own) as connection:
        reached = set(connection.execute(_REACHED).fetchall())
    partitions = [table for table in ground.catalog.tables.values() if table.partition_of]
    for parent in dict.fromkeys(table.partition_of for table in partitions):
        children = [table for table in partitions if table.partition_of == parent]
        names = [str(t.name) for t in children if t.name in reached and not _is_closed(t)]
        detail = f"open by name: {', '.join(names)}" if names else f"{len(children)} closed"
        yield ProbeResult(str(parent), "partitions", "leak" if names else "held", detail)


def _is_closed(partition: Table) -> bool:
    return bool(partition.row_security and partition.force_row_security and partition.policies)
