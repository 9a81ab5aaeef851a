"""What a Citus cluster holds: relations as the coordinator knows them, and their copies on nodes.

A copy is a shard, or the relation of the same name by which a worker reaches all shards. Each has
row security and policies of its own in its node's catalog: what the coordinator shows is a promise,
what a copy has is what holds. Frozen values; harness.catalog.live_cluster reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness.catalog.model import Name, Policy


@dataclass(frozen=True, slots=True)
class Protection:
    """Row security of a relation on one node."""

    row_security: bool = False
    force_row_security: bool = False
    policies: tuple[Policy, ...] = ()
    """By name, roles sorted."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How Citus spreads a relation."""

    method: Literal["hash", "reference", "local", "other"]
    """`local` is a table of one node that Citus keeps in its metadata."""
    column: str | None
    """None where it is not distributed by a column."""
    colocation: int
    """Relations of one number keep rows of equal keys on the same node."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, partitioned table or partition, as the coordinator knows it."""

    name: Name
    protection: Protection
    partition_of: Name | None = None
    distribution: Distribution | None = None
    """None where Citus does not know it."""


@dataclass(frozen=True, slots=True)
class Node:
    """A server of the cluster; `place` is `host:port` as the coordinator reaches it."""

    place: str
    active: bool = True
    error: str = ""
    """What it said instead of its catalog."""
    started: float = 0
    """When its server began, in seconds since 1970, by which it is known under every address."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A relation as one node has it."""

    relation: Name
    name: Name
    """`auto.bay_102008` for a shard."""
    node: str
    """The place of a node."""
    shard: int | None = None
    """None for the relation of the same name on a worker."""
    hashes: tuple[int, int] | None = None
    """The least and the greatest hash of a key that belongs here; None where all do."""
    protection: Protection | None = None
    """None where the node has no such relation."""
    strayed: int = 0
    """Rows that another shard should hold, as far as they were counted."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """A view of Citus that tells tenants' ids, and a role that may read it on a node."""

    view: str
    role: str
    node: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """All that is proven about; relations in the order in which they were created."""

    nodes: tuple[Node, ...]
    relations: tuple[Relation, ...]
    copies: tuple[Copy, ...]
    unreachable: tuple[tuple[str, str], ...] = ()
    """Pairs of places: the first cannot connect to the second."""
    telemetry: tuple[Telemetry, ...] = ()

    @property
    def holding(self) -> tuple[Node, ...]:
        """The nodes that hold shards."""
        places = {copy.node for copy in self.copies if copy.shard is not None}
        return tuple(node for node in self.nodes if node.place in places)

    def copies_of(self) -> Iterator[tuple[Relation, tuple[Copy, ...]]]:
        """Each relation with its copies on the nodes that answered."""
        silent = {node.place for node in self.nodes if node.error or not node.active}
        grouped: dict[Name, list[Copy]] = {relation.name: [] for relation in self.relations}
        for copy in self.copies:
            if copy.node not in silent:
                grouped[copy.relation].append(copy)
        yield from ((relation, tuple(grouped[relation.name])) for relation in self.relations)
