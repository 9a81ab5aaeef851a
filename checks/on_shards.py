"""Tables of a Citus cluster as subjects of an attack: each by the shard that holds the tenant.

What keeps tenants apart on a cluster is the row security of shards, and a shard is a plain table of
its node. There row security can be switched off and the role be taken in one transaction that is
rolled back; by way of the coordinator these are two connections to the node, one of which does not
see what the other did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from checks.attempt import Subject
from checks.ground import Ground, Place, limit
from harness.catalog import shards
from harness.catalog.model import Name, Table
from harness.catalog.shard_names import Named, Spread, on_shards
from harness.catalog.shards import Shard
from harness.db import Connection, connect
from harness.deploy import nodes

_ALLOWED = (
    "SET citus.enable_manual_changes_to_shards = on",
    # What a probe makes for its own time is the node's alone.
    "SET citus.enable_ddl_propagation = off",
)


@dataclass(frozen=True)
class Shards:
    """The shards of the tenant that is attacked, and a connection to each of their nodes."""

    ground: Ground
    known: Mapping[Name, Shard]
    opened: ExitStack
    connections: dict[nodes.Node, Connection] = field(default_factory=dict)

    def place(self, subject: Subject) -> Place:
        """Where the shard of a table is attacked, as the admin reaches its node."""
        shard = self.known.get(subject.table.name)
        if shard is None:
            return self.ground.admin, subject
        table = _as_shard(subject.table, shard.name)
        return self._node(nodes.Node(shard.host, shard.port)), replace(subject, table=table)

    def query(self, text: str) -> tuple[Connection, str]:
        """A query of views and tables, as it is on the node of the tenant."""
        tables = {name: Spread((shard.name.name,)) for name, shard in self.known.items()}
        views = {name: view.query for name, view in self.ground.catalog.views.items()}
        root = next(iter(self.known.values()))
        return self._node(nodes.Node(root.host, root.port)), on_shards(
            text.rstrip("; "), 0, Named(tables, views)
        )

    def _node(self, node: nodes.Node) -> Connection:
        if node not in self.connections:
            dsn = nodes.dsn_of(self.ground.database.admin, node)
            admin = self.opened.enter_context(connect(dsn, autocommit=True))
            limit(admin)
            for setting in _ALLOWED:
                admin.execute(setting.encode())
            self.connections[node] = admin
        return self.connections[node]


def _as_shard(table: Table, name: Name) -> Table:
    """The table as its shard is called, with the names of what is on it."""
    number = name.name.rpartition("_")[2]
    return replace(
        table,
        name=name,
        constraints=tuple(replace(c, name=f"{c.name}_{number}") for c in table.constraints),
        indexes=tuple(replace(i, name=f"{i.name}_{number}") for i in table.indexes),
    )


@contextmanager
def placed(ground: Ground) -> Iterator[Ground]:
    """The ground with the places of shards, where it is a cluster's."""
    if not nodes.is_cluster(ground.admin):
        yield ground
        return
    with ExitStack() as opened:
        known = shards.of_tenant(ground.admin, ground.other)
        yield replace(ground, nodes=Shards(ground, known, opened))
