"""Sessions of the application role on a node of a cluster, past the coordinator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from checks.attempt import Session, first
from checks.ground import Ground, limit
from harness.catalog.cluster import Node
from harness.db import connect
from harness.errors import DatabaseError

_STARTED = "SELECT extract(epoch FROM pg_postmaster_start_time())::double precision"


class RefusedHere(Exception):
    """The application role cannot connect there from here, which is as it should be."""


@contextmanager
def session_on(ground: Ground, node: Node) -> Iterator[Session]:
    """A session on a node; raises RefusedHere where there can be none."""
    with ExitStack() as opened:
        try:
            app = opened.enter_context(connect(_conninfo(ground, node), autocommit=True))
        except DatabaseError as error:
            raise RefusedHere(f"the application role does not get in: {error}") from None
        if first(app, _STARTED) != node.started:
            raise RefusedHere(f"from here {node.place} is another server")
        limit(app)
        yield Session(app, ground.settings.tenancy)


def _conninfo(ground: Ground, node: Node) -> str:
    known = conninfo_to_dict(ground.database.app)
    known.pop("hostaddr", None)
    host, _, port = node.place.rpartition(":")
    return make_conninfo("", **{**known, "host": host, "port": port})
