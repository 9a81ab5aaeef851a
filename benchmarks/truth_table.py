"""The truth table of the whole schema, as PostgreSQL fills it, against one EXPLAIN of every table
as the application's role: what whoever looks at a policy live does at the least. Promise: at most
20 s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from psycopg import sql

from benchmarks.measure import benchmark_server, compare, seconds, tell
from checks.policy import server
from checks.policy.judgment import CELLS_OF_A_STEP, Judgment
from harness.catalog import live_source
from harness.catalog.files import expressions
from harness.catalog.model import Name
from harness.catalog.source import Source
from harness.config import Settings
from harness.db import Target, connect
from harness.deploy.deploy import deploy


def main() -> None:
    """Times both, prints the ratio and how many cells were proven."""
    with benchmark_server() as (settings, fresh):
        target = fresh("truth_table")
        deploy(target, settings)
        with connect(target.admin) as connection:
            source = live_source.read(connection)
        judged: list[Judgment] = []

        def ours() -> float:
            expressions.parse.cache_clear()
            return seconds(lambda: judged.append(_judged(target, settings, source)))

        def peer() -> float:
            return seconds(lambda: _explain(target, settings, source.catalog.tables))

        figures = compare(ours, peer, rounds=3)
    tell("truth table", *figures, promise="ours at most 20 s")
    print(_cells(judged[-1]))


def _judged(target: Target, settings: Settings, source: Source) -> Judgment:
    with connect(target.admin) as connection:
        judgment = server.judgment(source, settings, connection)
        assert judgment.steps  # noqa: S101 - asks PostgreSQL
        return judgment


def _explain(target: Target, settings: Settings, tables: Iterable[Name]) -> None:
    with connect(target.app) as connection:
        connection.execute("SELECT set_config(%s, %s, false)", [settings.tenancy.setting, _TENANT])
        for name in tables:
            if _may_read(connection.execute(_MAY_READ, [_text(name)]).fetchone()):
                connection.execute(sql.SQL("EXPLAIN SELECT FROM {}").format(name.identifier))


_TENANT = "00000000-0000-4000-8000-00000000000a"
_MAY_READ = "SELECT has_table_privilege(%s, 'SELECT')"


def _text(name: Name) -> str:
    return name.identifier.as_string(None)


def _may_read(row: tuple[bool, ...] | None) -> bool:
    return bool(row and row[0])


def _cells(judgment: Judgment) -> str:
    kinds = Counter(fault.kind for step in judgment.faulty for fault in step.faults)
    asked = len(judgment.steps) * CELLS_OF_A_STEP
    found = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    return f"truth table: {asked:,} cells, faults: {found or 'none'}"


if __name__ == "__main__":
    main()
