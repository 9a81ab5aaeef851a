"""What each layer of the checks finds in a specimen: text, catalog, truth table, probes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from checks import isolation, leak_findings, static
from checks.policy import server, symbolic
from checks.policy.judgment import Judgment
from checks.rules import registry
from harness.catalog import live_source
from harness.config import Settings
from harness.db import Target, connect
from harness.finding import Finding

TRUTH_TABLE = frozenset({f"POL00{n}" for n in range(1, 7)} | {"POL011"})
UNSEEN = frozenset({"POL011", "SRC001"})
"""How the check says that it cannot tell, and that a database, or a reader, is asked."""


def in_text(settings: Settings, planted: str = "") -> list[Finding]:
    """From the files alone, the fault being the last of them."""
    texts = static.read_texts([settings.schema_dir])
    return static.judge({**texts, "fault.sql": planted}, settings)[0]


def in_catalog(target: Target, settings: Settings) -> list[Finding]:
    """From the system catalogs alone: PostgreSQL is not asked what a policy admits."""
    with connect(target.admin) as connection:
        return _rules(symbolic.judgment(live_source.read(connection), settings))


def in_truth_table(target: Target, settings: Settings) -> list[Finding]:
    """From rows that PostgreSQL admits or not, where policies are evaluated as they stand."""
    with connect(target.admin) as connection:
        found = _rules(server.judgment(live_source.read(connection), settings, connection))
    return [finding for finding in found if finding.rule in TRUTH_TABLE]


def by_probes(target: Target, settings: Settings) -> list[Finding]:
    """From attempts that crossed the boundary; one that proved nothing has seen nothing."""
    results = isolation.check(target, settings)
    return leak_findings.findings(result for result in results if result.verdict == "leak")


Layer = Callable[[Target, Settings], list[Finding]]
LIVE: Mapping[str, Layer] = {
    "catalog": in_catalog,
    "truth table": in_truth_table,
    "probes": by_probes,
}


def new(after: Iterable[Finding], before: Iterable[Finding]) -> list[Finding]:
    """The findings that were not there before."""
    known = {finding.fingerprint for finding in before}
    return [finding for finding in after if finding.fingerprint not in known]


def _rules(judgment: Judgment) -> list[Finding]:
    return [finding for rule in registry() for finding in rule.findings(judgment)]
