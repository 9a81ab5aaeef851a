"""What surveys share: a table that can be read, and results about a whole database."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from checks.attempt import Outcome, Subject, judge, verdict_of
from checks.ground import Ground
from harness.db import is_lost
from harness.run import ProbeResult

_HAS_ROWS = "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {tenant} = {own} LIMIT 1) AS it"


def on_one_table(
    ground: Ground, probe: str, attempt: Callable[[Ground, Subject], Outcome]
) -> ProbeResult:
    """What an attempt on any one table shows that holds for the whole database: to be known, no
    leak. The subject's own tenant is the one that leaves something behind."""
    subject = first_readable(ground)
    if subject is None:
        return ProbeResult(ground.name, probe, "vacuous", "the application reads no table")
    return noted(ground, probe, judge(lambda: attempt(ground, subject)))


def first_readable(ground: Ground) -> Subject | None:
    """The first table of which the other tenant sees rows of its own, with that tenant as the own
    one; None where there is none."""
    for known in ground.subjects():
        subject = Subject(known.table, known.tenant_column, ground.other, ground.own)
        try:
            if ground.wire.figures(ground.other, subject.compose(_HAS_ROWS)) == [1]:
                return subject
        except psycopg.Error as error:
            if is_lost(error):
                raise
    return None


def noted(ground: Ground, probe: str, outcome: Outcome) -> ProbeResult:
    """A result about the database for what PostgreSQL does by design: to be known, no leak."""
    return ProbeResult(ground.name, probe, verdict_of(outcome, "noted"), outcome.detail)
