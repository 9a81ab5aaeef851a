"""Asks a filled database for the rows that break what a practitioner says must hold of it.

`truths/<schema>/<area>.toml` states each truth as `"sentence" = "query"`, the query selecting the
rows that break it; `%(as_of)s` in it is the moment that the data are of, `%%` a percent sign.
Beside them go the schema's own proofs: functions that recompute figures and return what differs.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from datagen.node import Node, Server, delegate
from harness.catalog.model import Name
from harness.config import Settings, Tenancy
from harness.db import Connection, Target, connect, is_lost, one_line
from harness.deploy import nodes
from harness.errors import UsageError
from harness.run import Audit, BrokenTruth

BUNDLED = Path(__file__).parent / "truths"
SHOWN = 5
"""So many of the rows that break a truth are kept."""
TIMEOUT = "10min"
"""A query that takes longer proves nothing, and is told."""
Progress = Callable[[int, int], None]
Question = Callable[[], BrokenTruth | None]

# The whole query runs once and only what it found is looked at further.
_FOUND = """
WITH broken AS MATERIALIZED (
{query}
), broken_row AS (
    SELECT to_jsonb(broken) AS content FROM broken
)
SELECT ARRAY[(SELECT count(*) FROM broken)::text,
             (SELECT count(DISTINCT content ->> %(tenant_column)s::text) FROM broken_row)::text]
       || ARRAY(SELECT left(content::text, 400) FROM broken_row
                WHERE content <> '{{}}' LIMIT {shown})
"""
_PROOFS = """
    SELECT n.nspname, p.proname
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.prokind = 'f' AND p.proretset AND p.pronargs = p.pronargdefaults
      AND (p.proname LIKE '%\\_differences'
           OR p.proname IN ('reconcile_receivables', 'verify_audit_chain'))
    ORDER BY 1, 2"""

_MATERIALIZED = """
    SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'm'"""


@dataclass(frozen=True, slots=True)
class Truth:
    """What must hold, and the query of the rows that break it."""

    sentence: str
    query: str
    schema: str
    place: str
    """File below the directory of truths, and line."""


def audit(
    database: Target,
    settings: Settings,
    as_of: datetime,
    truths: Path = BUNDLED,
    on_progress: Progress = lambda *_: None,
) -> Audit:
    """Checks every truth of the schemas that are there, and their proofs for every tenant.

    It reads as the loader, whom row security does not bind, and writes nothing. A query that
    PostgreSQL refuses is told as broken, with the reason. Raises UsageError where `truths` is no
    directory of truths.
    """
    started = time.perf_counter()
    stated = read(truths)
    with connect(database.loader, autocommit=True) as connection:
        _read_only(connection)
        there = {name for (name,) in connection.execute("SELECT nspname FROM pg_namespace")}
        checked = [truth for truth in stated if truth.schema in there]
        questions = [*_truths(connection, checked, settings, as_of), *_proofs(connection, settings)]
        broken = []
        for done, ask in enumerate(questions):
            on_progress(done, len(questions))
            broken.append(ask())
        on_progress(len(questions), len(questions))
    return Audit(
        checked=len(questions),
        skipped=len(stated) - len(checked),
        broken=tuple(found for found in broken if found is not None),
        seconds=time.perf_counter() - started,
    )


def read(directory: Path) -> tuple[Truth, ...]:
    """All truths of a directory; UsageError where there are none or a file is not of truths."""
    truths = tuple(
        truth for path in sorted(directory.glob("*/*.toml")) for truth in _read(path, directory)
    )
    if not truths:
        raise UsageError(f"{directory}: there are no truths; write <schema>/<area>.toml in it")
    return truths


def _read(path: Path, directory: Path) -> Iterator[Truth]:
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    for sentence, query in content.items():
        place = f"{path.relative_to(directory).as_posix()}:{_line(text, sentence)}"
        if not isinstance(query, str):
            raise UsageError(f'{place}: "{sentence}": write a query, in quotes, of what breaks it')
        yield Truth(sentence, query.strip().removesuffix(";"), path.parent.name, place)


def _line(text: str, sentence: str) -> int:
    """The line that a sentence begins; 1 where it is written with escapes."""
    keys = tuple(f"{quote}{sentence}{quote}" for quote in ('"', "'", ""))
    lines = enumerate(text.splitlines(), 1)
    return next((number for number, line in lines if line.lstrip().startswith(keys)), 1)


def _read_only(connection: Connection) -> None:
    connection.execute("SET default_transaction_read_only = on")
    connection.execute("SET TimeZone = 'UTC'")  # the days of the fill
    connection.execute(
        sql.SQL("SET statement_timeout = {timeout}").format(timeout=sql.Literal(TIMEOUT))
    )


def _truths(
    connection: Connection, truths: Sequence[Truth], settings: Settings, as_of: datetime
) -> Iterator[Question]:
    given = {"as_of": as_of, "tenant_column": settings.tenancy.column}
    places = _places(connection, settings.tenancy) if truths else ()
    views = [str(Name(*row)) for row in connection.execute(_MATERIALIZED)]
    for truth in truths:
        named = any(view in truth.query for view in views)
        yield partial(_broken, [Server(connection)] if named else places, truth, given)


def _places(connection: Connection, tenancy: Tenancy) -> Sequence[Node]:
    """Who has rows: the server, or of a cluster the shards of each interval of tenants.

    What a coordinator is asked of all tenants' rows together, it can mostly not plan. It is asked
    of materialized views alone, which no other node has.
    """
    if not nodes.is_cluster(connection):
        return [Server(connection)]
    there = [delegate(connection, tenant) for tenant in _tenants(connection, tenancy)]
    return list({frozenset(place.shards.values()): place for place in there}.values())


def _proofs(connection: Connection, settings: Settings) -> Iterator[Question]:
    proofs = [Name(*row) for row in connection.execute(_PROOFS)]
    tenants = _tenants(connection, settings.tenancy) if proofs else ()
    return (partial(_failed, connection, proof, tenants, settings.tenancy) for proof in proofs)


def _tenants(connection: Connection, tenancy: Tenancy) -> Sequence[Any]:
    query = sql.SQL("SELECT {column} FROM {root} ORDER BY 1").format(
        column=sql.Identifier(tenancy.column), root=Name.parse(tenancy.root_table).identifier
    )
    return [tenant for (tenant,) in connection.execute(query)]


def _broken(places: Sequence[Node], truth: Truth, given: Mapping[str, Any]) -> BrokenTruth | None:
    try:
        found = [_found(place, sql.SQL(truth.query), given) for place in places]
    except psycopg.Error as error:
        return BrokenTruth(truth.sentence, truth.place, error=_reason(error))
    rows, tenants = sum(each[0] for each in found), sum(each[1] for each in found)
    shown = [row for *_, told in found for row in told][:SHOWN]
    return BrokenTruth(truth.sentence, truth.place, rows, tenants, tuple(shown)) if rows else None


def _failed(
    connection: Connection,
    proof: Name,
    tenants: Sequence[Any],
    tenancy: Tenancy,
) -> BrokenTruth | None:
    """What a proof found, all tenants together."""
    given = {"tenant_column": tenancy.column}
    sentence, place = f"{proof.name} finds nothing", f"{proof}()"
    query = sql.SQL("SELECT * FROM {}()").format(proof.identifier)
    failed: dict[Any, tuple[int, list[str]]] = {}
    try:
        for tenant in tenants:
            with _as_tenant(connection, tenant, tenancy) as node:
                rows, _, shown = _found(node, query, given)
            if rows:
                failed[tenant] = rows, [f"{tenant}: {row}" for row in shown]
    except psycopg.Error as error:
        return BrokenTruth(sentence, place, error=_reason(error))
    if not failed:
        return None
    shown = [row for _, rows in failed.values() for row in rows]
    count = sum(rows for rows, _ in failed.values())
    return BrokenTruth(sentence, place, count, len(failed), tuple(shown[:SHOWN]))


@contextmanager
def _as_tenant(connection: Connection, tenant: object, tenancy: Tenancy) -> Iterator[Node]:
    """Where a tenant's functions run, with the tenant set."""
    on_cluster = nodes.is_cluster(connection)
    with connection.transaction():
        connection.execute(tenancy.set_tenant.encode(), [tenant])
        yield delegate(connection, tenant) if on_cluster else Server(connection)


def _found(
    node: Node, query: sql.Composable, given: Mapping[str, Any]
) -> tuple[int, int, list[str]]:
    """How many rows a query has, of how many tenants, and the first ones as JSON."""
    statement = sql.SQL(_FOUND).format(query=query, shown=sql.Literal(SHOWN))
    with node.connection.transaction():
        ((rows, tenants, *shown),) = node.told(
            psycopg.ClientCursor(node.connection).mogrify(statement, given)
        )
    return int(rows), int(tenants), shown


def _reason(error: psycopg.Error) -> str:
    """Why a query could not be judged; what concerns more than the query is raised."""
    if is_lost(error):
        raise error
    return error.diag.message_primary or one_line(error)
