"""The catalog check: the same rules on what a live database holds, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterable

from checks.policy import server
from checks.rules import registry
from harness.catalog import live_source
from harness.catalog.model import Catalog
from harness.config import Settings
from harness.db import Connection, Target, connect
from harness.finding import Finding


def check(database: Target, settings: Settings) -> tuple[list[Finding], Catalog]:
    """What the rules find in the database, by object."""
    with connect(database.admin) as connection:
        connection.execute("SET TRANSACTION READ ONLY")
        return judge(connection, settings)


def judge(connection: Connection, settings: Settings) -> tuple[list[Finding], Catalog]:
    """What the rules find as the connection's transaction sees the database.

    No tenant may have been set on the connection before.
    """
    source = live_source.read(connection)
    judgment = server.judgment(source, settings, connection)
    findings = [finding for rule in registry() for finding in rule.findings(judgment)]
    return sorted(findings, key=lambda f: (f.object, f.rule, f.message)), source.catalog


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once: what files and database both show is shown where the file has it."""
    known: dict[str, Finding] = {}
    for finding in findings:
        before = known.get(finding.fingerprint)
        if before is None or before.location is None:
            known[finding.fingerprint] = finding
    return list(known.values())
