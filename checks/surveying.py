"""What surveys share: a table that can be read, and results about a whole database."""

from __future__ import annotations

from typing import Any

import psycopg

from checks.attempt import Outcome, Subject, first
from checks.ground import Ground
from harness.db import is_lost
from harness.run import ProbeResult

_HAS_ROWS = "SELECT count(*) FROM (SELECT FROM {table} WHERE {tenant} = %s LIMIT 1) AS it"


def first_readable(ground: Ground, tenant: Any) -> Subject | None:
    """The first table of which the tenant sees rows of its own; None where there is none."""
    for subject in ground.subjects():
        try:
            with ground.wire.transaction(tenant) as connection:
                if first(connection, subject.compose(_HAS_ROWS), [tenant]):
                    return subject
        except psycopg.Error as error:
            if is_lost(error):
                raise
    return None


def noted(ground: Ground, probe: str, outcome: Outcome) -> ProbeResult:
    """A result about the database for what PostgreSQL does by design: to be known, no leak."""
    if outcome.crossed is None:
        return ProbeResult(ground.name, probe, "error", outcome.detail)
    verdict = "noted" if outcome.crossed else "held"
    return ProbeResult(ground.name, probe, verdict, outcome.detail)  # type: ignore[arg-type]
