"""The model of a schema: tables with their columns, keys, policies and grants, and what
stands beside them. Frozen values; both readers fill the same types.

Expressions are SQL text. From a live database they are what PostgreSQL prints
(pg_get_expr, pg_get_constraintdef); from files they are the deparsed source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Literal, NamedTuple

from psycopg import sql

from harness.finding import Location


class Name(NamedTuple):
    """A schema-qualified name."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        """For composing statements."""
        return sql.Identifier(self.schema, self.name)

    @classmethod
    @cache  # a fill asks some hundred times for each
    def parse(cls, text: str, default_schema: str = "public") -> Name:
        """`schema.name` or `name`, as settings, query headers and format_type write it."""
        schema, dot, name = text.replace('"', "").partition(".")
        return cls(schema, name) if dot else cls(default_schema, schema)


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `type` is as format_type prints it, a domain by its qualified name."""

    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    generated: str | None = None
    """The expression of a GENERATED ALWAYS AS … STORED column."""
    identity: Literal["always", "by default"] | None = None
    comment: str | None = None
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Constraint:
    """A table constraint; an inline column constraint is one too."""

    name: str
    kind: Literal["primary key", "unique", "foreign key", "check", "exclude"]
    columns: tuple[str, ...]
    expression: str | None = None
    """The predicate of a CHECK; of an EXCLUDE its definition."""
    references: Name | None = None
    referenced_columns: tuple[str, ...] = ()
    on_delete: Literal["no action", "restrict", "cascade", "set null", "set default"] = "no action"
    on_update: Literal["no action", "restrict", "cascade", "set null", "set default"] = "no action"
    deferrable: bool = False
    operators: tuple[str, ...] = ()
    """Of an EXCLUDE: the operator of each column, `=` or `&&`."""
    nulls_not_distinct: bool = False
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """An index that no constraint made."""

    name: str
    columns: tuple[str, ...]
    """Key columns in order; an expression stands as its text."""
    unique: bool = False
    predicate: str | None = None
    method: str = "btree"
    nulls_not_distinct: bool = False
    comment: str | None = None
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A row security policy."""

    name: str
    permissive: bool = True
    command: Literal["all", "select", "insert", "update", "delete"] = "all"
    roles: tuple[str, ...] = ("public",)
    using: str | None = None
    check: str | None = None
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger; `function` is qualified, `arguments` are its literal arguments."""

    name: str
    timing: Literal["before", "after", "instead of"]
    events: tuple[str, ...]
    """Of insert, update, delete, truncate."""
    level: Literal["row", "statement"]
    function: Name
    arguments: tuple[str, ...] = ()
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a role may do with a relation; `columns` is empty for the whole relation."""

    role: str
    privileges: frozenset[str]
    """Lowercase: select, insert, update, delete, truncate, references, trigger, maintain."""
    columns: tuple[str, ...] = ()
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table, a partitioned table or a partition."""

    name: Name
    columns: Mapping[str, Column] = field(default_factory=dict)
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    policies: tuple[Policy, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    grants: tuple[Grant, ...] = ()
    row_security: bool = False
    force_row_security: bool = False
    partition_by: str | None = None
    """`RANGE (occurred_at)` for a partitioned table."""
    partition_of: Name | None = None
    owner: str | None = None
    comment: str | None = None
    location: Location | None = None

    @property
    def primary_key(self) -> Constraint | None:
        """The primary key, if it has one."""
        return next((c for c in self.constraints if c.kind == "primary key"), None)

    @property
    def foreign_keys(self) -> tuple[Constraint, ...]:
        """Foreign keys in the order they stand."""
        return tuple(c for c in self.constraints if c.kind == "foreign key")

    @property
    def checks(self) -> tuple[Constraint, ...]:
        """CHECK constraints in the order they stand."""
        return tuple(c for c in self.constraints if c.kind == "check")


@dataclass(frozen=True, slots=True)
class View:
    """A view or materialized view with its defining query."""

    name: Name
    query: str
    materialized: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    """security_invoker, security_barrier … as written."""
    grants: tuple[Grant, ...] = ()
    owner: str | None = None
    comment: str | None = None
    location: Location | None = None

    def is_on(self, option: str) -> bool:
        """Whether a boolean option is on, in any of PostgreSQL's spellings."""
        return self.options.get(option, "").lower() in ("true", "on", "yes", "1", "t", "y")


@dataclass(frozen=True, slots=True)
class Function:
    """A function or procedure; `signature` is `name(argument types)`."""

    name: Name
    signature: str
    language: str = "sql"
    returns: str = ""
    security_definer: bool = False
    volatility: Literal["immutable", "stable", "volatile"] = "volatile"
    leakproof: bool = False
    settings: tuple[str, ...] = ()
    """`name=value` of its SET clauses."""
    owner: str | None = None
    comment: str | None = None
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain: its base type and the checks on VALUE."""

    name: Name
    base_type: str
    not_null: bool = False
    checks: tuple[str, ...] = ()
    comment: str | None = None
    location: Location | None = None


@dataclass(frozen=True)
class Catalog:
    """All that a set of files or a database defines, in load order."""

    tables: Mapping[Name, Table] = field(default_factory=dict)
    views: Mapping[Name, View] = field(default_factory=dict)
    functions: tuple[Function, ...] = ()
    domains: Mapping[Name, Domain] = field(default_factory=dict)
    enums: Mapping[Name, tuple[str, ...]] = field(default_factory=dict)
    schemas: tuple[str, ...] = ()
    composites: Mapping[Name, tuple[Column, ...]] = field(default_factory=dict)
    """Composite types; as what follows, from a database alone."""
    ranges: Mapping[Name, str] = field(default_factory=dict)
    """The type of the bounds of the user's own range types; of a multirange, `type[]`."""
    partitions: Mapping[Name, tuple[str, ...]] = field(default_factory=dict)
    """What is true of the rows of each partition of a partitioned table, as an expression."""

    @cached_property
    def functions_by_name(self) -> Mapping[str, Sequence[Function]]:
        """The functions of each name, whatever their schema and arguments."""
        named: dict[str, list[Function]] = {}
        for function in self.functions:
            named.setdefault(function.name.name, []).append(function)
        return named
