"""Looks at what a check is asked for, layer by layer, and keeps what the layers found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from checks import catalog, cluster, isolation, leak_findings, static
from checks.allowance import Allowances
from checks.drift import drift
from checks.rules import registry
from harness.catalog.model import Catalog
from harness.catalog.source import Source
from harness.cli.missing import tell_missing
from harness.cli.options import Context
from harness.errors import UsageError
from harness.finding import Finding
from harness.report import terminal


class Layer(StrEnum):
    """What to check."""

    STATIC = "static"
    CATALOG = "catalog"
    ISOLATION = "isolation"
    CITUS = "citus"
    ALL = "all"


@dataclass(slots=True)
class Looked:
    """What the layers found, as it comes in."""

    layers: tuple[Layer, ...]
    findings: list[Finding] = field(default_factory=list)
    allowances: Allowances = field(default_factory=Allowances)
    source: Source = field(default_factory=lambda: Source(Catalog()))
    """Of the database where one was looked at."""
    cells: Mapping[str, int] = field(default_factory=dict)
    """The policies' truth table, cells by verdict."""
    checked: list[str] = field(default_factory=list)
    """What was looked at, in words."""


ANYWHERE = (Layer.STATIC, Layer.CATALOG, Layer.ISOLATION)
"""The layers of whatever database."""


def look(
    ctx: Context,
    layers: tuple[Layer, ...],
    paths: list[Path],
    owned: str | None,
    tables: list[str],
) -> Looked:
    """At these layers; the tables are those to attack, all where none is named."""
    looked = Looked(layers)
    if Layer.STATIC in looked.layers:
        _at_files(ctx, paths, looked)
    if Layer.CATALOG in looked.layers:
        _at_catalog(ctx, paths, looked)
    if Layer.ISOLATION in looked.layers:
        _attack(ctx, owned, tables, looked)
    if Layer.CITUS in looked.layers:
        _at_cluster(ctx, owned, looked)
    return looked


def _at_files(ctx: Context, paths: list[Path], looked: Looked) -> None:
    examined = static.examine(paths, ctx.settings)
    looked.findings += examined.findings
    looked.allowances = examined.allowances
    looked.source, looked.cells = examined.source, examined.cells
    rules = sum(not rule.judges("cluster") for rule in registry())
    looked.checked.append(f"{len(examined.catalog.tables)} tables by {rules} rules")


def _at_catalog(ctx: Context, paths: list[Path], looked: Looked) -> None:
    """Beside the files, which hold the allowances of both, it is compared with them."""
    with ctx.target() as target:
        tell_missing(ctx, target)
        examined = catalog.examine(target, ctx.settings)
    looked.findings = catalog.merge([*looked.findings, *examined.findings])
    if Layer.STATIC not in looked.layers:
        looked.allowances = examined.allowances
    elif not paths:
        looked.findings += drift(looked.source, examined.source, ctx.settings.roles.owner)
    looked.source, looked.cells = examined.source, examined.cells
    looked.checked.append(f"the catalog's {len(examined.catalog.tables)} tables and partitions")


def _attack(ctx: Context, owned: str | None, tables: list[str], looked: Looked) -> None:
    with ctx.target() as target, ctx.progress("Attacking") as moved:
        if Layer.CATALOG not in looked.layers:
            tell_missing(ctx, target)
        probes = isolation.check(target, ctx.settings, owned, moved, tables)
    looked.findings += leak_findings.findings(probes)
    looked.checked.append(terminal.told_probes(probes))


def _at_cluster(ctx: Context, owned: str | None, looked: Looked) -> None:
    """At what the nodes hold; where there are tenants, what sessions see of them is tried too."""
    with ctx.target() as target:
        with ctx.progress("Counting stray rows") as moved:
            findings, found = cluster.examine(target, ctx.settings, moved)
        looked.findings += findings
        looked.checked.append(cluster.told(found))
        try:
            with ctx.progress("Attacking the cluster") as moved:
                probes = isolation.check_cluster(target, ctx.settings, found, owned, moved)
        except UsageError as error:
            looked.checked.append(f"no session was tried: {error}")
            return
    looked.findings += leak_findings.findings(probes)
    looked.checked.append(terminal.told_probes(probes))
