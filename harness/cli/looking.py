"""Looks at what a check is asked for, layer by layer, and keeps what the layers found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from checks import catalog, isolation, leak_findings, static
from checks.allowance import Allowances
from checks.drift import drift
from checks.rules import registry
from harness.catalog.model import Catalog
from harness.cli.missing import tell_missing
from harness.cli.options import Context
from harness.finding import Finding
from harness.report import terminal


class Layer(StrEnum):
    """What to check."""

    STATIC = "static"
    CATALOG = "catalog"
    ISOLATION = "isolation"
    ALL = "all"


@dataclass(slots=True)
class Looked:
    """What the layers found, as it comes in."""

    layers: tuple[Layer, ...]
    findings: list[Finding] = field(default_factory=list)
    allowances: Allowances = field(default_factory=Allowances)
    catalog: Catalog = field(default_factory=Catalog)
    """Of the database where one was looked at."""
    cells: Mapping[str, int] = field(default_factory=dict)
    """The policies' truth table, cells by verdict."""
    checked: list[str] = field(default_factory=list)
    """What was looked at, in words."""


def look(
    ctx: Context, layer: Layer, paths: list[Path], owned: str | None, tables: list[str]
) -> Looked:
    """One layer, or all of them; the tables are those to attack, all where none is named."""
    single = tuple(each for each in Layer if each is not Layer.ALL)
    looked = Looked(single if layer is Layer.ALL else (layer,))
    if Layer.STATIC in looked.layers:
        _at_files(ctx, paths, looked)
    if Layer.CATALOG in looked.layers:
        _at_catalog(ctx, paths, looked)
    if Layer.ISOLATION in looked.layers:
        _attack(ctx, owned, tables, looked)
    return looked


def _at_files(ctx: Context, paths: list[Path], looked: Looked) -> None:
    examined = static.examine(paths, ctx.settings)
    looked.findings += examined.findings
    looked.allowances = examined.allowances
    looked.catalog, looked.cells = examined.catalog, examined.cells
    looked.checked.append(f"{len(examined.catalog.tables)} tables by {len(registry())} rules")


def _at_catalog(ctx: Context, paths: list[Path], looked: Looked) -> None:
    """Beside the files, which hold the allowances of both, it is compared with them."""
    with ctx.target() as target:
        tell_missing(ctx, target)
        examined = catalog.examine(target, ctx.settings)
    looked.findings = catalog.merge([*looked.findings, *examined.findings])
    if Layer.STATIC not in looked.layers:
        looked.allowances = examined.allowances
    elif not paths:
        looked.findings += drift(looked.catalog, examined.catalog, ctx.settings.roles.owner)
    looked.catalog, looked.cells = examined.catalog, examined.cells
    looked.checked.append(f"the catalog's {len(looked.catalog.tables)} tables and partitions")


def _attack(ctx: Context, owned: str | None, tables: list[str], looked: Looked) -> None:
    with ctx.target() as target, ctx.progress("Attacking") as moved:
        if Layer.CATALOG not in looked.layers:
            tell_missing(ctx, target)
        probes = isolation.check(target, ctx.settings, owned, moved, tables)
    looked.findings += leak_findings.findings(probes)
    looked.checked.append(terminal.told_probes(probes))
