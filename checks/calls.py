"""Functions that the application may call, and arguments for them made from their signatures.

Nobody wrote a test for them. An argument that is called like a column gets a value of that column
in a row of the tenant, one of the tenant column's type gets the tenant, the rest gets something of
its type.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql

from checks.attempt import first
from checks.ground import Ground, tenant_column
from harness.catalog.model import Name, Table
from harness.db import is_lost

_ROUTINES = """
SELECT n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), p.prokind = 'p',
       p.prosecdef, p.prorettype = 'void'::regtype, p.provariadic <> 0,
       ARRAY(SELECT i.name FROM unnest(p.proargnames, p.proargmodes) AS i (name, mode)
             WHERE coalesce(i.mode, 'i') IN ('i', 'b', 'v')),
       a.types, a.bases, a.kinds, a.categories
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(format_type(t.oid, NULL) ORDER BY i.at), '{}'),
           coalesce(array_agg(format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL)
                              ORDER BY i.at), '{}'),
           coalesce(array_agg(t.typtype::text ORDER BY i.at), '{}'),
           coalesce(array_agg(t.typcategory::text ORDER BY i.at), '{}')
    FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS i (type, at)
    JOIN pg_type AS t ON t.oid = i.type
) AS a (types, bases, kinds, categories)
WHERE n.nspname = ANY (%s) AND p.prokind IN ('f', 'p')
  AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype)
  AND has_function_privilege(p.oid, 'EXECUTE') AND has_schema_privilege(n.oid, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_depend AS d
                  WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY p.oid
"""
_PREFIX = re.compile(r"^(p|in|v|a|arg|the|new|wanted|of|for)?_+")
_SAMPLE = "SELECT {column}::text FROM {table} AS it WHERE {tenant} = {whose} LIMIT 1"
_TRIES = 3
"""So many tables are looked into for a value."""
_OF_TYPE = {
    "boolean": "true",
    "date": "today",
    "time without time zone": "12:00",
    "timestamp with time zone": "now",
    "timestamp without time zone": "now",
    "interval": "1 day",
    "json": "{}",
    "jsonb": "{}",
    "bytea": "\\x00",
    "inet": "127.0.0.1",
    "cidr": "127.0.0.0/8",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_OF_CATEGORY = {"N": "1", "S": "a", "Z": "a", "A": "{}", "R": "empty", "V": "0"}
_POLYMORPHIC = {"anyelement": "text", "anynonarray": "text", "anycompatible": "text"} | {
    "anyarray": "text[]",
    "anycompatiblearray": "text[]",
}


@dataclass(frozen=True, slots=True)
class Argument:
    """What a function is given."""

    name: str
    type: str
    base: str
    """Of a domain the type below it."""
    kind: str
    """pg_type.typtype."""
    category: str
    """pg_type.typcategory."""

    @property
    def column(self) -> str:
        """The column that it may be called after."""
        return _PREFIX.sub("", self.name)


@dataclass(frozen=True, slots=True)
class Routine:
    """A function or procedure that the application may call."""

    name: Name
    signature: str
    procedure: bool
    definer: bool
    void: bool
    variadic: bool
    arguments: tuple[Argument, ...]

    def statement(self, values: list[str | None]) -> sql.Composed:
        """The call with values of its arguments; every row comes as one text of JSON."""
        casts: list[sql.Composable] = [
            sql.SQL("CAST({} AS {})").format(
                sql.Literal(value), sql.SQL(_POLYMORPHIC.get(argument.type, argument.type))
            )
            for argument, value in zip(self.arguments, values, strict=True)
        ]
        if self.variadic:
            casts[-1] = sql.SQL("VARIADIC ") + casts[-1]
        call = sql.SQL("{}({})").format(self.name.identifier, sql.SQL(", ").join(casts))
        if self.procedure:
            return sql.SQL("CALL ") + call
        row = sql.SQL("''" if self.void else "to_jsonb(it)::text")
        return sql.SQL("SELECT {} FROM {} AS it LIMIT 1000").format(row, call)


def routines(ground: Ground) -> list[Routine]:
    """All that the tenant may call, trigger functions aside, which nobody calls."""
    with ground.wire.transaction(ground.own) as connection:
        connection.execute("SET LOCAL search_path = pg_catalog")  # so that types are qualified
        rows = connection.execute(_ROUTINES, [list(ground.catalog.schemas)]).fetchall()
    return [_routine(*row) for row in rows]


def _routine(
    schema: str, name: str, identity: str, procedure: bool, definer: bool, void: bool,
    variadic: bool, names: list[str], *parts: list[str],
) -> Routine:  # fmt: skip
    named = [*(names or []), *([""] * len(parts[0]))]
    arguments = tuple(Argument(n or "", *of) for n, *of in zip(named, *parts, strict=False))
    signature = f"{schema}.{name}({identity})"
    return Routine(Name(schema, name), signature, procedure, definer, void, variadic, arguments)


@dataclass
class Samples:
    """Values out of the rows of tenants, each looked up once."""

    ground: Ground
    _known: dict[tuple[str, str, Any], str | None] = field(default_factory=dict)

    def values(self, function: Routine, tenant: Any) -> list[str | None]:
        """Arguments that make sense to the tenant."""
        return [self._value(argument, tenant) for argument in function.arguments]

    def _value(self, argument: Argument, tenant: Any) -> str | None:
        tenancy = self.ground.settings.tenancy
        if argument.column == tenancy.column:
            return str(tenant)
        sample = self._sample(argument, tenant)
        if sample is not None:
            return sample
        if argument.base == tenancy.type:
            return str(tenant)
        return self._made_up(argument, tenant)

    def _made_up(self, argument: Argument, tenant: Any) -> str | None:
        if argument.base in _OF_TYPE:
            return _OF_TYPE[argument.base]
        if argument.base == "regclass":
            return self.ground.settings.tenancy.root_table
        if argument.kind == "e":
            labels = self.ground.catalog.enums.get(Name.parse(argument.type), ())
            return next(iter(labels), None)
        if argument.base == f"{self.ground.settings.tenancy.type}[]":
            return f"{{{tenant}}}"
        return _OF_CATEGORY.get(argument.category, "a" if argument.kind == "p" else None)

    def _sample(self, argument: Argument, tenant: Any) -> str | None:
        key = (argument.column, argument.type, tenant)
        if key not in self._known:
            found = (self._look(*place, tenant) for place in self._places(argument))
            self._known[key] = next((value for value in found if value is not None), None)
        return self._known[key]

    def _places(self, argument: Argument) -> list[tuple[Table, str]]:
        """Where values of an argument may be found; the text of a whole row for a composite."""
        if argument.kind == "c":
            table = self.ground.catalog.tables.get(Name.parse(argument.type))
            return [(table, "it")] if table else []
        named = self._by_column.get(argument.column, [])
        fitting = [p for p in named if p[0].columns[p[1]].type in (argument.type, argument.base)]
        return [*fitting[:_TRIES], *self._by_domain.get(argument.type, [])[:_TRIES]]

    def _look(self, table: Table, column: str, tenant: Any) -> str | None:
        tenant_is = tenant_column(table, self.ground.settings.tenancy)
        if tenant_is is None:
            return None
        query = sql.SQL(_SAMPLE).format(
            column=sql.Identifier(column),
            table=table.name.identifier,
            tenant=sql.Identifier("it", tenant_is),
            whose=sql.Literal(tenant),
        )
        try:
            value = first(self.ground.admin, query)
        except psycopg.Error as error:
            if is_lost(error):
                raise
            return None
        return None if value is None else str(value)

    @cached_property
    def _by_column(self) -> dict[str, list[tuple[Table, str]]]:
        """A table's own key comes before references to it."""
        places: defaultdict[str, list[tuple[Table, str]]] = defaultdict(list)
        for table, column in self._columns():
            key = table.primary_key.columns if table.primary_key else ()
            places[column].insert(0 if column in key else len(places[column]), (table, column))
        return dict(places)

    @cached_property
    def _by_domain(self) -> dict[str, list[tuple[Table, str]]]:
        places: defaultdict[str, list[tuple[Table, str]]] = defaultdict(list)
        for table, column in self._columns():
            if Name.parse(table.columns[column].type) in self.ground.catalog.domains:
                places[table.columns[column].type].append((table, column))
        return dict(places)

    def _columns(self) -> Iterator[tuple[Table, str]]:
        return ((table, column) for table in self.ground.tables() for column in table.columns)
