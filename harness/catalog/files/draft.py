"""What the statements read so far leave behind: the one place where state is kept.

A statement that names something finds it here or is refused, which is how "used before it is
created" is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar

from pglast import ast

from harness.catalog.files import names, types
from harness.catalog.files.statements import Statement
from harness.catalog.model import Catalog, Domain, Function, Grant, Name, Table, View
from harness.catalog.source import (
    Privilege,
    Problem,
    Publication,
    RewriteRule,
    Role,
    RoleSetting,
    Source,
    Switch,
)
from harness.finding import Location

Thing = TypeVar("Thing")
_QUALIFIED = re.compile(r"(\w+)\.\w")
_FACTS = tuple(fact.name for fact in fields(Table))
_facts_of = attrgetter(*_FACTS)
FunctionKey = tuple[Name, tuple[str, ...]]


class Default(NamedTuple):
    """What ALTER DEFAULT PRIVILEGES hands out with every later object."""

    kind: Literal["table", "function", "sequence"]
    schema: str | None
    """None for every schema."""
    role: str
    privileges: frozenset[str]


@dataclass(slots=True)
class Draft:
    """The catalog in the making."""

    partition_functions: frozenset[Name] = frozenset()
    schemas: list[str] = field(default_factory=list)
    tables: dict[Name, Table] = field(default_factory=dict)
    views: dict[Name, View] = field(default_factory=dict)
    indexes: dict[Name, Name] = field(default_factory=dict)
    """The table of each index."""
    functions: dict[FunctionKey, Function] = field(default_factory=dict)
    function_names: set[Name] = field(default_factory=set)
    domains: dict[Name, Domain] = field(default_factory=dict)
    enums: dict[Name, tuple[str, ...]] = field(default_factory=dict)
    other_types: set[Name] = field(default_factory=set)
    extensions: set[str] = field(default_factory=set)
    unseen_schemas: set[str] = field(
        default_factory=lambda: {"public", "pg_catalog", "information_schema"}
    )
    """Schemas with objects in them that no file creates."""
    statistics: set[Name] = field(default_factory=set)
    definitions: dict[str, str] = field(default_factory=dict)
    privileges: list[Privilege] = field(default_factory=list)
    defaults: list[Default] = field(default_factory=list)
    public_executes: bool = True
    """Whether everybody may execute a function that is created from now on."""
    role_settings: list[RoleSetting] = field(default_factory=list)
    inherits: dict[Name, tuple[Name, ...]] = field(default_factory=dict)
    switched_off: dict[tuple[Name, Switch], Location] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    publications: list[Publication] = field(default_factory=list)
    rewrite_rules: list[RewriteRule] = field(default_factory=list)
    idle_rules: set[tuple[Name, str]] = field(default_factory=set)
    """Rules that do NOTHING, which only the system catalogs know."""
    foreign_tables: dict[Name, tuple[Grant, ...]] = field(default_factory=dict)
    sequences: set[Name] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def copy(self) -> Draft:
        """Another draft that begins where this one stands."""
        return replace(self, **{f.name: copy(getattr(self, f.name)) for f in fields(self)})

    def go_back_to(self, before: Draft) -> None:
        """Undoes what came after a copy was made, but for the problems, which stay noted."""
        for kept in fields(self):
            if kept.name != "problems":
                setattr(self, kept.name, getattr(before, kept.name))

    def finish(self) -> Source:
        """The draft as it stands, frozen."""
        catalog = Catalog(
            tables=self.tables,
            views=self.views,
            functions=tuple(self.functions.values()),
            domains=self.domains,
            enums=self.enums,
            schemas=tuple(self.schemas),
        )
        return Source(
            catalog=catalog,
            problems=tuple(filter(self._is_ours, dict.fromkeys(self.problems))),
            definitions=self.definitions,
            privileges=tuple(self.privileges),
            role_settings=tuple(self.role_settings),
            inherits=self.inherits,
            switched_off=self.switched_off,
            roles=self.roles,
            publications=tuple(self.publications),
            rewrite_rules=tuple(self.rewrite_rules),
            foreign_tables=self.foreign_tables,
        )

    def _is_ours(self, problem: Problem) -> bool:
        """Whether a name that was not found should have been: of a schema that no file creates
        nothing is known."""
        named = _QUALIFIED.search(problem.object)
        foreign = named is not None and named[1] not in self.schemas
        return problem.kind != "unresolved" or not foreign

    def require_schema(self, schema: str, statement: Statement) -> None:
        """Notes a schema that no statement created; what goes into it is read all the same."""
        if schema not in self.schemas and schema not in self.unseen_schemas:
            self.note_missing("schema", schema, statement, statement.start)

    def knows(self, name: Name) -> bool:
        """Whether a relation of that name is there."""
        known = (self.tables, self.views, self.indexes, self.foreign_tables, self.sequences)
        return any(name in relations for relations in known)

    def declare_relation(self, name: Name, statement: Statement) -> None:
        """Refuses a relation whose name is taken."""
        self.require_schema(name.schema, statement)
        if self.knows(name):
            statement.refuse("unresolved", name, f"{name} exists already; create it once")

    def table(self, name: Name, statement: Statement) -> Table:
        """The table of that name, or the statement is refused."""
        return _find(self.tables, "table", name, statement)

    def domain(self, name: Name, statement: Statement) -> Domain:
        """The domain of that name, or the statement is refused."""
        return _find(self.domains, "domain", name, statement)

    def function(self, node: Any, statement: Statement) -> FunctionKey:
        """The key of the function that an ObjectWithArgs names, or the statement is refused."""
        name = names.of_strings(node.objname)
        if node.args_unspecified:
            key = next((key for key in self.functions if key[0] == name), None)
        else:
            key = (name, tuple(types.spell_bare(argument) for argument in node.objargs or ()))
        listed = ", ".join(key[1]) if key else ""
        if key is None or key not in self.functions:
            missing("function", f"{name}({listed})", statement)
        return key

    def require_columns(
        self, table: Table, columns: Iterable[str], statement: Statement, offset: int | None = None
    ) -> None:
        """Refuses columns that the table does not have."""
        for column in columns:
            if column not in table.columns:
                missing("column", f"{table.name}.{column}", statement, offset)

    def change(self, name: Name, **changes: Any) -> None:
        """Replaces facts of a table; dataclasses.replace would take three times as long, and a
        table changes with each of its constraints, indexes and comments."""
        facts = dict(zip(_FACTS, _facts_of(self.tables[name]), strict=True))
        self.tables[name] = Table(**(facts | changes))

    def resolve(self, parts: Iterable[Any], statement: Statement) -> None:
        """Notes every table, type and function among nodes that does not exist yet.

        Names in schemas that an extension or PostgreSQL itself fills cannot be judged.
        """
        for part in parts:
            kind = _REFERENCES.get(type(part))
            if kind is not None:
                self._resolve_one(kind, part, statement)

    def resolve_type(self, node: Any, statement: Statement) -> None:
        """Notes a type that does not exist yet."""
        if len(node.names) > 1:
            self._resolve_one("type", node, statement)

    def note_missing(self, kind: str, name: object, statement: Statement, offset: int) -> None:
        """Notes a name that nothing before it created, and lets the statement be read."""
        problem = statement.problem("unresolved", name, _not_yet(kind, name), offset)
        self.problems.append(problem)

    def _resolve_one(self, kind: str, node: Any, statement: Statement) -> None:
        if kind == "relation":
            name = names.of_relation(node)
        else:
            name = names.of_strings(node.names if kind == "type" else node.funcname)
        if name.schema not in self.unseen_schemas and not self._exists(kind, name):
            self.note_missing(kind, name, statement, node.location)

    def _exists(self, kind: str, name: Name) -> bool:
        relations = (self.tables, self.views, self.foreign_tables, self.sequences)
        relation = any(name in known for known in relations)
        if kind == "relation":
            return relation
        if kind == "type":
            return relation or any(
                name in known for known in (self.domains, self.enums, self.other_types)
            )
        return name in self.function_names


_REFERENCES = {ast.RangeVar: "relation", ast.TypeName: "type", ast.FuncCall: "function"}


def missing(kind: str, name: object, statement: Statement, offset: int | None = None) -> NoReturn:
    """Refuses a statement that names something that no statement before it created."""
    statement.refuse("unresolved", name, _not_yet(kind, name), offset)


def _find(known: Mapping[Name, Thing], kind: str, name: Name, statement: Statement) -> Thing:
    thing = known.get(name)
    if thing is None:
        missing(kind, name, statement)
    return thing


def _not_yet(kind: str, name: object) -> str:
    return f"{kind} {name} is used before it is created; create it above, in load order"
