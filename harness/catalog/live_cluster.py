"""Reads a Cluster from its coordinator, which asks the nodes: nobody else need reach them.

Nothing is written. Rows of tenants are not read, but where rows lie is counted by `strayed`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from psycopg import sql
from pydantic import TypeAdapter

from harness.catalog import live
from harness.catalog.cluster import (
    Cluster,
    Copy,
    Distribution,
    Node,
    Protection,
    Relation,
    Telemetry,
)
from harness.catalog.live import Row
from harness.catalog.model import Name
from harness.db import Connection
from harness.errors import UsageError

_IS_COORDINATOR = "SELECT groupid = 0 FROM pg_dist_local_group"
_ASK_ALL = "SELECT nodeid, success, result FROM run_command_on_all_nodes(%s)"
_HEALTH = (
    "SELECT from_nodename || ':' || from_nodeport, to_nodename || ':' || to_nodeport"
    " FROM citus_check_cluster_node_health() WHERE result IS NOT TRUE ORDER BY 1, 2"
)


@dataclass(frozen=True, slots=True)
class _Named:
    name: Name
    protection: Protection


@dataclass(frozen=True, slots=True)
class _Answer:
    started: float
    relations: tuple[_Named, ...]
    telemetry: tuple[tuple[str, str], ...]

    @property
    def protections(self) -> Mapping[Name, Protection]:
        return {relation.name: relation.protection for relation in self.relations}


@cache
def _answer() -> TypeAdapter[_Answer]:
    """Made when it is asked for: no small part of what a command takes to begin."""
    return TypeAdapter(_Answer)


def read(connection: Connection, roles: Collection[str]) -> Cluster:
    """The cluster whose coordinator the connection is on; `roles` are those of applications.

    Raises UsageError where the database is no coordinator's.
    """
    _require_coordinator(connection)
    schemas = live.schemas(connection)
    nodes = live.rows(connection, "cluster/nodes", [])
    command = _command(schemas, roles)
    own = _answer().validate_json(_text(connection, command))
    answers, errors = _ask(connection, command)
    relations = tuple(
        _relation(row, own.protections)
        for row in live.rows(connection, "cluster/relations", schemas)
    )
    shards = live.rows(connection, "cluster/shards", schemas)
    places = {node: place for node, place, *_ in nodes}
    workers = {
        places[node]: answers[node]
        for node, *_, is_worker in nodes
        if is_worker and node in answers
    }
    return Cluster(
        nodes=tuple(_node(row, answers, errors) for row in nodes),
        relations=relations,
        copies=(*_shards(shards, places, answers), *_doors(relations, workers)),
        unreachable=tuple(connection.execute(_HEALTH).fetchall()),
        telemetry=tuple(_telemetry(places, answers)),
    )


def _require_coordinator(connection: Connection) -> None:
    name = connection.info.dbname
    if not live.has_citus(connection):
        raise UsageError(
            f"{name} is no Citus cluster, its database has no extension citus: name the"
            " coordinator with --dsn, and deploy with harness deploy --citus"
        )
    if not _is_true(connection, _IS_COORDINATOR):
        raise UsageError(f"{name} is on a worker: name the coordinator with --dsn")


def _command(schemas: list[str], roles: Collection[str]) -> str:
    path = files("harness.catalog") / "queries" / "cluster" / "answer.sql"
    query = sql.SQL(path.read_text(encoding="utf-8"))
    return query.format(schemas=sql.Literal(schemas), roles=sql.Literal(list(roles))).as_string()


def _ask(connection: Connection, command: str) -> tuple[Mapping[int, _Answer], Mapping[int, str]]:
    """What each node answers, and the errors of those that did not."""
    rows = connection.execute(_ASK_ALL, [command]).fetchall()
    answers = {node: _answer().validate_json(text) for node, success, text in rows if success}
    return answers, {node: " ".join(text.split()) for node, success, text in rows if not success}


def _node(row: Row, answers: Mapping[int, _Answer], errors: Mapping[int, str]) -> Node:
    node, place, active, _ = row
    started = answers[node].started if node in answers else 0
    return Node(place, active, errors.get(node, ""), started)


def _relation(row: Row, protections: Mapping[Name, Protection]) -> Relation:
    schema, name, parent_schema, parent, method, column, colocation = row
    return Relation(
        name=Name(schema, name),
        protection=protections[Name(schema, name)],
        partition_of=Name(parent_schema, parent) if parent else None,
        distribution=Distribution(method, column, colocation) if method else None,
    )


def _shards(
    rows: list[Row], places: Mapping[int, str], answers: Mapping[int, _Answer]
) -> Iterator[Copy]:
    known = {node: answer.protections for node, answer in answers.items()}
    for schema, table, shard, name, node, least, most in rows:
        held = known.get(node, {}).get(Name(schema, name))
        hashes = None if least is None else (least, most)
        yield Copy(Name(schema, table), Name(schema, name), places[node], shard, hashes, held)


def _doors(relations: tuple[Relation, ...], workers: Mapping[str, _Answer]) -> Iterator[Copy]:
    """The relations by which workers reach the shards."""
    for place, answer in workers.items():
        known = answer.protections
        for relation in relations:
            if relation.distribution is not None:
                name = relation.name
                yield Copy(name, name, place, protection=known.get(name))


def _telemetry(places: Mapping[int, str], answers: Mapping[int, _Answer]) -> Iterator[Telemetry]:
    for node, answer in answers.items():
        for view, role in answer.telemetry:
            yield Telemetry(view, role, places[node])


def _text(connection: Connection, query: str) -> str:
    row = connection.execute(query.encode()).fetchone()
    return str(row[0]) if row else ""


def _is_true(connection: Connection, query: str) -> bool:
    row = connection.execute(query.encode()).fetchone()
    return bool(row and row[0])
