"""Which tenants keep the server busy, and how big each is.

Statements' statistics cannot be told apart by tenant. An application that names the tenant in
`application_name` for a transaction can be: sampled often enough, the tenant that is seen most is
the one that the server works for most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, LiteralString

import psycopg

Connection = psycopg.Connection[Any]
SizeClass = Literal["small", "medium", "giant"]

PREFIX = "bh:"
"""Before the tenant in application_name."""
INTERVAL = 0.2
"""Seconds between samples: five a second tell a noisy tenant and cost next to nothing."""
SMALL, GIANT = 0.5, 4.0
"""A small tenant has less than half an equal share of all rows, a giant more than four."""

_ACTIVE: LiteralString = """/* harness metrics: tenants */
SELECT a.application_name, count(*) AS sessions
FROM pg_stat_get_activity(NULL) AS a
WHERE a.application_name <> '' AND a.state = 'active' AND a.backend_type = 'client backend'
  AND a.pid <> pg_backend_pid()
  AND a.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
GROUP BY a.application_name
"""

_ROWS: LiteralString = """/* harness metrics: sizes */
SELECT v.tenant, sum(v.frequency * c.reltuples)::bigint AS n
FROM pg_stats AS s
JOIN pg_class AS c
    ON c.oid = to_regclass(format('%%I.%%I', s.schemaname, s.tablename)) AND c.relkind = 'r'
CROSS JOIN LATERAL unnest(s.most_common_vals::text::text[], s.most_common_freqs)
    AS v (tenant, frequency)
WHERE s.attname = %s AND NOT s.inherited AND c.reltuples > 0
GROUP BY v.tenant
"""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A tenant among others."""

    rank: int
    """1 for the one with most."""
    tenant: str
    amount: float
    share: float
    """Of what all have together."""


def applications(connection: Connection) -> Counter[str]:
    """Names of the sessions at work at this moment, with how many have each."""
    cursor = connection.cursor(row_factory=psycopg.rows.tuple_row)
    return Counter(dict(cursor.execute(_ACTIVE).fetchall()))


def sample(connection: Connection) -> Counter[str]:
    """Tenants for which a session works at this moment, with how many do."""
    working = applications(connection).items()
    return Counter({n.removeprefix(PREFIX): c for n, c in working if n.startswith(PREFIX)})


def rows(connection: Connection, column: str) -> dict[str, int]:
    """About how many rows each tenant has, by what the planner knows of the tenant column.

    pg_stats hides tables with row security from whoever it is for, as from pg_monitor: there it
    tells nothing.
    """
    cursor = connection.cursor(row_factory=psycopg.rows.tuple_row)
    return {tenant: int(count) for tenant, count in cursor.execute(_ROWS, [column]).fetchall()}


def ranked(amounts: Mapping[str, float], top: int) -> tuple[Ranked, ...]:
    """The tenants with most, the first first; what the others have is left of 1."""
    whole = sum(amounts.values())
    most = sorted(amounts.items(), key=lambda item: (-item[1], item[0]))[:top]
    return tuple(
        Ranked(place, tenant, amount, amount / whole if whole else 0.0)
        for place, (tenant, amount) in enumerate(most, 1)
    )


def size_classes(sizes: Mapping[str, int]) -> dict[str, SizeClass]:
    """small, medium or giant, by what a tenant would have if all had the same."""
    equal = sum(sizes.values()) / len(sizes) if sizes else 0.0
    return {tenant: size_class(count, equal) for tenant, count in sizes.items()}


def size_class(count: int, equal_share: float) -> SizeClass:
    """The same for one tenant."""
    if count < SMALL * equal_share:
        return "small"
    return "giant" if count > GIANT * equal_share else "medium"
