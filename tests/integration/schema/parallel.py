"""Work of several connections at the same time, for tests of what they may not get twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any
from uuid import UUID

import psycopg

from harness.db import Connection, Target
from tests.integration.conftest import become_app


def at_once(
    target: Target, tenant: UUID, hands: int, work: Callable[[Connection, int], Any]
) -> list[Any]:
    """What each of the hands got: `work(connection, number)`, as the tenant, in its transaction."""

    def hand(number: int) -> Any:
        with psycopg.connect(target.app) as connection:
            become_app(connection, tenant)
            return work(connection, number)

    with ThreadPoolExecutor(hands) as pool:
        return list(pool.map(hand, range(hands)))


def after(
    target: Target,
    tenant: UUID,
    first: Connection,
    work: Callable[[Connection], Any],
    meanwhile: Callable[[Connection], Any] = lambda _: None,
) -> Any:
    """What `work` got on a connection of its own, which may have to wait for `first`.

    Once it waits (or is done), `meanwhile` happens on `first`, which then commits.
    """
    with (
        psycopg.connect(target.admin, autocommit=True) as watch,
        psycopg.connect(target.app) as second,
        ThreadPoolExecutor(1) as pool,
    ):
        become_app(second, tenant)
        does = pool.submit(work, second)
        waits = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
        while not (
            does.done() or watch.execute(waits, [second.info.backend_pid]).fetchone() == (True,)
        ):
            wait([does], timeout=0.01)
        try:
            meanwhile(first)
        finally:
            first.commit()
        return does.result()
