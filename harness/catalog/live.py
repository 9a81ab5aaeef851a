"""Reads the Catalog of a live database: one query per kind of object, in queries/*.sql.

The harness's own schema, the system's and whatever an extension brought are left out. Tables
come in the order in which they were created.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from importlib.resources import files
from typing import Any, TypeVar, cast

from harness.catalog.model import (
    Catalog,
    Column,
    Constraint,
    Domain,
    Function,
    Grant,
    Index,
    Name,
    Policy,
    Table,
    Trigger,
    View,
)
from harness.db import Connection

Row = tuple[Any, ...]
Part = TypeVar("Part")
_ACTIONS = {
    "a": "no action",
    "r": "restrict",
    "c": "cascade",
    "n": "set null",
    "d": "set default",
    " ": "no action",
}


def read(connection: Connection, only: Collection[str] | None = None) -> Catalog:
    """The catalog of the database that the connection is on, as its role sees it; of some schemas
    only where they are named."""
    found = schemas(connection, only)

    def of(kind: str) -> list[Row]:
        return rows(connection, kind, found)

    columns = _grouped(of("columns"), _column)
    constraints = _grouped(of("constraints"), _constraint)
    indexes = _grouped(of("indexes"), _index)
    policies = _grouped(of("policies"), _policy)
    triggers = _grouped(of("triggers"), _trigger)
    grants = _grouped(of("grants"), _grant)

    def table(row: Row) -> Table:
        schema, name, enabled, forced, partition_by, parent_schema, parent, owner, comment = row
        key = Name(schema, name)
        return Table(
            name=key,
            columns={column.name: column for column in columns[key]},
            constraints=tuple(constraints[key]),
            indexes=tuple(indexes[key]),
            policies=tuple(policies[key]),
            triggers=tuple(triggers[key]),
            grants=tuple(grants[key]),
            row_security=enabled,
            force_row_security=forced,
            partition_by=partition_by,
            partition_of=Name(parent_schema, parent) if parent else None,
            owner=owner,
            comment=comment,
        )

    return Catalog(
        tables=_by_name(map(table, of("tables"))),
        views=_by_name(_view(row, grants) for row in of("views")),
        functions=tuple(map(_function, of("functions"))),
        domains=_by_name(map(_domain, of("domains"))),
        enums={Name(schema, name): tuple(labels) for schema, name, labels in of("enums")},
        schemas=tuple(found),
        composites=_tupled(of("composites"), lambda row: Column(*row)),
        ranges={Name(schema, name): subtype for schema, name, subtype in of("ranges")},
        partitions=_tupled(of("partitions"), lambda row: str(row[0])),
    )


def schemas(connection: Connection, only: Collection[str] | None = None) -> list[str]:
    """The schemas that are the user's, in the order in which they were created."""
    found = [schema for (schema,) in rows(connection, "schemas", [])]
    return found if only is None else [schema for schema in found if schema in only]


def has_citus(connection: Connection) -> bool:
    """Whether the database has the extension citus."""
    query = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
    row = connection.execute(query).fetchone()
    return bool(row and row[0])


def rows(connection: Connection, kind: str, schemas: list[str]) -> list[Row]:
    """What queries/<kind>.sql finds in schemas."""
    text = (files("harness.catalog") / "queries" / f"{kind}.sql").read_text(encoding="utf-8")
    parameters = {"schemas": schemas} if "%(schemas)s" in text else None
    return connection.execute(text.encode(), parameters).fetchall()


def _grouped(rows: Iterable[Row], make: Callable[[Row], Part]) -> defaultdict[Name, list[Part]]:
    """Parts by the relation that the first two columns name."""
    parts: defaultdict[Name, list[Part]] = defaultdict(list)
    for row in rows:
        parts[Name(row[0], row[1])].append(make(row[2:]))
    return parts


def _tupled(rows: Iterable[Row], make: Callable[[Row], Part]) -> dict[Name, tuple[Part, ...]]:
    return {name: tuple(parts) for name, parts in _grouped(rows, make).items()}


def _by_name(objects: Iterable[Any]) -> dict[Name, Any]:
    return {thing.name: thing for thing in objects}


def _column(row: Row) -> Column:
    return Column(*row)


def _constraint(row: Row) -> Constraint:
    (name, kind, columns, expression, schema, table, referenced, on_delete, on_update, *rest) = row
    deferrable, operators, nulls_not_distinct = rest
    return Constraint(
        name=name,
        kind=kind,
        columns=tuple(columns),
        expression=expression,
        references=Name(schema, table) if table else None,
        referenced_columns=tuple(referenced),
        on_delete=cast(Any, _ACTIONS[on_delete]),
        on_update=cast(Any, _ACTIONS[on_update]),
        deferrable=deferrable,
        operators=tuple(operators),
        nulls_not_distinct=nulls_not_distinct,
    )


def _index(row: Row) -> Index:
    name, columns, *rest = row
    return Index(name, tuple(map(_plain, columns)), *rest)


def _plain(column: str) -> str:
    """A column without the quotes that some names need; an expression as it is."""
    quoted = column.startswith('"') and column.endswith('"') and column.count('"') == 2
    return column[1:-1] if quoted else column


def _policy(row: Row) -> Policy:
    name, permissive, command, roles, using, check = row
    return Policy(name, permissive, command, tuple(roles), using, check)


def _trigger(row: Row) -> Trigger:
    name, timing, events, level, schema, function, arguments = row
    literal = tuple(part.decode() for part in bytes(arguments).split(b"\0")[:-1])
    return Trigger(name, timing, tuple(events), level, Name(schema, function), literal)


def _grant(row: Row) -> Grant:
    role, privileges, columns = row
    return Grant(role, frozenset(privileges), tuple(columns))


def _view(row: Row, grants: defaultdict[Name, list[Grant]]) -> View:
    schema, name, query, materialized, options, owner, comment = row
    key = Name(schema, name)
    written = dict(option.split("=", 1) for option in options)
    return View(key, query, materialized, written, tuple(grants[key]), owner, comment)


def _function(row: Row) -> Function:
    schema, name, signature, language, returns, definer, volatility, leakproof, *rest = row
    settings, owner, comment = rest
    return Function(
        name=Name(schema, name),
        signature=f"{schema}.{signature}",
        language=language,
        returns=returns or "",
        security_definer=definer,
        volatility=volatility,
        leakproof=leakproof,
        settings=tuple(settings),
        owner=owner,
        comment=comment,
    )


def _domain(row: Row) -> Domain:
    schema, name, base_type, not_null, checks, comment = row
    return Domain(Name(schema, name), base_type, not_null, tuple(checks), comment)
