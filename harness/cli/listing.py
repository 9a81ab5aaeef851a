"""harness schema list, rules, queries: what there is."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from checks.probe import registry as probe_registry
from checks.rules import registry
from harness.cli.options import ConfigFile, Database, Dsn, context
from harness.db import connect
from harness.deploy.deploy import count_objects
from harness.report.described import DESCRIBED
from loadtests.query import BUNDLED, read_all

KINDS = (
    "tables",
    "partitions",
    "indexes",
    "constraints",
    "policies",
    "triggers",
    "functions",
    "views",
    "materialized views",
    "domains",
)


def schema_list(dsn: Dsn = None, database: Database = None, config: ConfigFile = None) -> None:
    """Count the objects of each schema of a database, from its catalog."""
    with (
        context(dsn=dsn, database=database, config=config).target() as target,
        connect(target.admin) as connection,
    ):
        objects = count_objects(connection)
    table = _table("schema", *KINDS)
    for name, counts in sorted(objects.items()):
        table.add_row(name, *(f"{counts.get(kind, 0):,}" for kind in KINDS))
    totals = [sum(counts.get(kind, 0) for counts in objects.values()) for kind in KINDS]
    table.add_row("all", *(f"{total:,}" for total in totals), style="bold")
    _print(table)


def rules() -> None:
    """List the rules and the probes of a live database: what each looks for and why."""
    table = _table("rule", "severity", "what it looks for")
    for rule in registry():
        table.add_row(rule.id, rule.severity.value, rule.title)
    for described in DESCRIBED:
        told = f"{described.title} ({described.command})"
        table.add_row(described.id, described.severity.value, told)
    for probe in probe_registry().values():
        table.add_row(probe.rule, "probe", probe.title)
    _print(table)


def queries() -> None:
    """List the critical queries with their budgets."""
    table = _table("query", "budget", "mode", "weight", "what waits for it")
    for query in read_all(BUNDLED):
        budget = f"{query.latency_budget.metric} {query.latency_budget.limit:g} ms"
        table.add_row(query.name, budget, query.mode, str(query.weight), query.title)
    _print(table)


def _print(table: Table) -> None:
    """To stdout; a pipe gets lines as wide as they are."""
    console = Console()
    if not console.is_terminal:
        console.width = 240
    console.print(table)


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        numeric = heading in KINDS or heading == "weight"
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    return table
