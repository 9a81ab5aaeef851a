"""The database that settings name: on a server of the user's, or on the embedded one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from harness.config import Settings, server_dsn
from harness.db import Target, as_role
from harness.server import database
from harness.server.embedded import embedded, running


@contextmanager
def reached(settings: Settings) -> Iterator[Target]:
    """The database to work on; the embedded server runs for as long as the block takes."""
    dsn = server_dsn(settings)
    if dsn is not None:
        yield _external(dsn, settings)
        return
    with running(embedded(settings)) as server:
        database.ensure(server.conninfo("postgres"), settings.database)
        yield server.target(settings.database, settings.roles)


def _external(dsn: str, settings: Settings) -> Target:
    def given(secret: SecretStr | None, role: str) -> str:
        return secret.get_secret_value() if secret is not None else as_role(dsn, role)

    return Target(
        admin=dsn,
        app=given(settings.app_dsn, settings.roles.app),
        loader=given(settings.loader_dsn, settings.roles.loader),
    )
