"""The database that keeps the history: `harness_history` beside the runs, or one by DSN.

A run makes its own database anew, so its history lives in another one. That holds what the
bundled schema has of observability and what it stands on, whatever schema the runs are about, and
in it one business, the operator's. When a later release brings other files, the history is derived
anew from the run documents that it keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from psycopg import sql

from harness.config import Settings, server_dsn
from harness.db import Connection, Target, as_role, connect
from harness.deploy import target as targets
from harness.deploy.deploy import deploy_files
from harness.deploy.source import read
from harness.errors import RefusedError, UsageError
from harness.server import database as databases
from harness.server.embedded import Embedded, embedded, running

NAME = "harness_history"
SCHEMAS = (
    "system_core",
    "tenant_mgmt",
    "user_mgmt",
    "user_auth",
    "user_rbac",
    "observability",
)
OPERATOR = UUID("ffffffff-6861-8e65-b373-000000000001")
"""The business that the history belongs to; sorts behind every tenant that a fill makes."""

Restore = Callable[[Target, str], None]
"""Stores a run document, as text, in a history."""

_LOCK = 0x686973746F7279  # "history": one process at a time prepares it

_PROVISION = """
INSERT INTO tenant_mgmt.business (
    business_id, legal_name, display_name, slug, industry, country_code, currency_code,
    time_zone, locale, employee_band, is_platform_operator)
VALUES (%s, 'Operator of the harness', 'Operator', 'harness-operator', 'multi', 'US', 'USD',
        'UTC', 'en-US', '1_9', true)
ON CONFLICT DO NOTHING
"""


class NoHistory(UsageError):
    """No history is kept for the server in use."""


@contextmanager
def history(settings: Settings, restore: Restore) -> Iterator[Target]:
    """The history's database, ready to be written and read.

    Raises NoHistory for a server by DSN without the setting history_dsn, RefusedError where
    that names a database that holds something else.
    """
    # Everything else as it comes: the settings of the run may be about another schema.
    own = Settings.model_construct(state_dir=settings.state_dir)
    if settings.history_dsn is not None:
        external = _external(settings.history_dsn.get_secret_value(), own)
        _prepare(external, own)
        yield external
        return
    if server_dsn(settings) is not None:
        raise NoHistory(
            "no history is kept for a server by DSN until one is named: "
            "HARNESS_HISTORY_DSN, an empty database or one that is a history"
        )
    with running(embedded(own)) as server:
        with _one_at_a_time(server):
            _make_current(server, own, restore)
        yield server.target(NAME, own.roles)


def _external(dsn: str, own: Settings) -> Target:
    return Target(dsn, as_role(dsn, own.roles.app), as_role(dsn, own.roles.loader))


def _prepare(target: Target, own: Settings) -> None:
    """Deploys where nothing is yet, and makes the operator's business."""
    files = [file for file in read(own.schema_dir) if file.path.partition("/")[0] in SCHEMAS]
    deploy_files(target, files, own)
    with connect(target.loader) as connection:
        connection.execute(_PROVISION, [OPERATOR])


@contextmanager
def _one_at_a_time(server: Embedded) -> Iterator[None]:
    with connect(server.conninfo("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        yield


def _make_current(server: Embedded, own: Settings, restore: Restore) -> None:
    """The history's database under this release's schema.

    An older one is copied, document by document, into one made anew beside it, which then takes
    its place: whatever stops this underway, the old one is still there.
    """
    maintenance = server.conninfo("postgres")
    databases.ensure(maintenance, NAME)
    current = server.target(NAME, own.roles)
    try:
        _prepare(current, own)
    except RefusedError:
        aside = f"{NAME}_anew"
        databases.drop(maintenance, aside)
        databases.ensure(maintenance, aside)
        anew = server.target(aside, own.roles)
        _prepare(anew, own)
        for text in _documents(current):
            restore(anew, text)
        _replace(maintenance, aside)


def _documents(old: Target) -> list[str]:
    with connect(old.admin) as connection:
        targets.require(connection)
        rows = connection.execute(
            "SELECT document::text FROM observability.harness_run ORDER BY started_at"
        )
        return [text for (text,) in rows]


def _replace(maintenance: str, aside: str) -> None:
    databases.drop(maintenance, NAME)
    with connect(maintenance, autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                sql.Identifier(aside), sql.Identifier(NAME)
            )
        )


def as_operator(connection: Connection) -> None:
    """From here to the end of the transaction: the operator's business is the tenant."""
    connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [OPERATOR])
