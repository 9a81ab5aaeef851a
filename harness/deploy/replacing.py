"""Other bodies for functions that every node of a cluster has already.

Citus takes whatever a function refers to along when it is replaced, and refuses where that leads
back to the function, as by a row's type, a table and its CHECK. Nothing but the body changes here,
so each node is told for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg import sql

from harness.db import Connection
from harness.errors import SchemaError

_TOGETHER = 500_000
"""Characters that are sent to a worker at once."""
_QUIETLY = "SET LOCAL citus.enable_ddl_propagation = off"
_ON_WORKERS = "SELECT nodename, result FROM run_command_on_workers(%s) WHERE NOT success"


def replace(connection: Connection, definitions: Sequence[str]) -> None:
    """Runs CREATE OR REPLACE FUNCTION on every node; to be called in a transaction, which the
    workers do not wait for: done again, it does the same. SchemaError where a node refuses."""
    for some in _batches(definitions):
        command = sql.SQL("DO {}").format(sql.Literal(_block(some))).as_string(None)
        if failed := connection.execute(_ON_WORKERS, [command]).fetchone():
            raise SchemaError(f"{failed[0]} does not take a function's body: {failed[1]}")
    connection.execute(_QUIETLY)
    for definition in definitions:
        connection.execute(definition.encode())
    connection.execute("SET LOCAL citus.enable_ddl_propagation = on")


def _batches(definitions: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for definition in definitions:
        batch.append(definition)
        if sum(map(len, batch)) > _TOGETHER:
            yield batch
            batch = []
    if batch:
        yield batch


def _block(commands: Sequence[str]) -> str:
    """Statements for PL/pgSQL, in which each is a text."""
    texts = [sql.Literal(each).as_string(None) for each in (_QUIETLY, *commands)]
    return "\n".join(["BEGIN", *(f"EXECUTE {text};" for text in texts), "END"])
