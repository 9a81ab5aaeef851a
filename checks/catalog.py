"""The catalog check: the same rules on what a live database holds, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterable

from checks import allowance_comments
from checks.examined import Examined
from checks.policy import cells, server
from checks.policy.judgment import Judgment
from checks.rules import registry
from checks.selection import known
from harness.catalog import live_source
from harness.catalog.model import Catalog
from harness.config import Settings
from harness.db import Connection, Target, connect
from harness.finding import Finding


def check(database: Target, settings: Settings) -> tuple[list[Finding], Catalog]:
    """What `examine` finds, and the catalog it finds it in."""
    examined = examine(database, settings)
    return examined.findings, examined.catalog


def examine(database: Target, settings: Settings) -> Examined:
    """What the rules find in the database, by object."""
    with connect(database.admin) as connection:
        connection.execute("SET TRANSACTION READ ONLY")
        findings, judgment = _judged(connection, settings)
        allowances = allowance_comments.of_catalog(judgment.source.catalog, known())
        return Examined(findings, judgment.source, cells.count(judgment), allowances)


def judge(connection: Connection, settings: Settings) -> tuple[list[Finding], Catalog]:
    """What the rules find as the connection's transaction sees the database.

    No tenant may have been set on the connection before.
    """
    findings, judgment = _judged(connection, settings)
    return findings, judgment.source.catalog


def _judged(connection: Connection, settings: Settings) -> tuple[list[Finding], Judgment]:
    source = live_source.read(connection)
    judgment = server.judgment(source, settings, connection)
    findings = [finding for rule in registry() for finding in rule.findings(judgment)]
    return sorted(findings, key=lambda f: (f.object, f.rule, f.message)), judgment


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once: what files and database both show is shown where the file has it."""
    known: dict[str, Finding] = {}
    for finding in findings:
        before = known.get(finding.fingerprint)
        if before is None or before.location is None:
            known[finding.fingerprint] = finding
    return list(known.values())
