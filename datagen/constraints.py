"""What the constraints of a table ask of its rows, as far as it can be told without a server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from datagen.expression import Expression, UnknownExpression, compile_expression
from datagen.expression.analysis import (
    allowed_elements,
    allowed_values,
    assigned,
    bound,
    conjuncts,
    constants,
    document_kind,
    length_bound,
    order,
    pattern,
    sizes,
)
from datagen.expression.support import is_supported
from datagen.windows import Window, moments
from harness.catalog.model import Catalog, Column, Constraint, Index, Name, Table

_EXCLUDED = re.compile(r'("(?:[^"]|"")+"|\w+) WITH (\S+?)(?=[,)])')
_EXCLUDED_WHERE = re.compile(r"WHERE \((.*)\)\s*$", re.DOTALL)
_VALUE = re.compile(r"'(?:[^']|'')*'|\bVALUE\b")
Bounds = tuple[float | None, float | None]
Part = TypeVar("Part", Constraint, Index)


@dataclass(frozen=True, slots=True, eq=False)
class Unique:
    """Values, without the tenant, that are distinct where the predicate holds."""

    name: str
    keys: tuple[Expression, ...]
    columns: tuple[str, ...]
    """Columns that the keys mention."""
    predicate: Expression | None = None
    nulls_equal: bool = False
    across: bool = False
    """Whether rows of one tenant may not be like those of another."""

    @property
    def only_one(self) -> bool:
        """Whether there can be one row only."""
        return not self.keys and self.predicate is None


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """A CHECK that can be evaluated, of the table or of a column's domain."""

    name: str
    expression: Expression
    swap: tuple[str, str] | None = None
    """Two columns whose exchange may mend it."""
    assign: tuple[str, Expression] | None = None
    """A column, and what it has to be."""
    by_construction: bool = False
    """A closed list whose column is drawn from it."""
    of_domain: bool = False
    """Whether its values come from a generator that mostly knows the domain."""


@dataclass(frozen=True, slots=True)
class Told:
    """What checks say about single columns."""

    choices: dict[str, list[Any]] = field(default_factory=dict)
    elements: dict[str, list[Any]] = field(default_factory=dict)
    """What an array column may hold."""
    bounds: dict[str, Bounds] = field(default_factory=dict)
    lengths: dict[str, Bounds] = field(default_factory=dict)
    """The least and the greatest length of a text."""
    patterns: dict[str, str] = field(default_factory=dict)
    """A regular expression that a text has to match."""
    moments: dict[str, Window] = field(default_factory=dict)
    """Between which moments a column lies."""
    kinds: dict[str, str] = field(default_factory=dict)
    """What a JSON document is: object, array, …"""
    sizes: dict[str, list[float]] = field(default_factory=dict)
    """Numbers with which the length of a column is compared anywhere."""
    constants: dict[str, list[Any]] = field(default_factory=dict)
    """Values with which a column is compared anywhere."""


def checks(
    table: Table, catalog: Catalog, fixed: frozenset[str]
) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    """CHECKs of the table and of its domains, and the names of those that only PostgreSQL can
    judge; `fixed` are the columns whose values a recipe makes."""
    known, unknown = [], []
    for name, text, of_domain in _texts(table, catalog):
        try:
            expression = compile_expression(text)
        except UnknownExpression:
            unknown.append(name)
            continue
        if not of_domain and not is_supported(expression.node):
            unknown.append(name)
        else:
            known.append(_check(name, expression, of_domain, fixed))
    return tuple(known), tuple(unknown)


def told(checks: tuple[Check, ...], choices: dict[str, list[Any]], as_of: datetime) -> Told:
    """What the conjuncts of checks say about single columns, besides `choices`, at a moment."""
    parts = [part for check in checks for part in conjuncts(check.expression)]
    found = Told(choices, moments=moments(parts, as_of))
    for check in checks:
        for part in conjuncts(check.expression):
            _tell(part, found)
        if check.of_domain:
            continue
        for column, value in constants(check.expression.node):
            found.constants.setdefault(column, []).append(value)
        for column, number in sizes(check.expression.node):
            found.sizes.setdefault(column, []).append(number)
    return found


def uniques(table: Table, tenant: str | None, fixed: frozenset[str]) -> Iterator[Unique]:
    """What has to be distinct: by a key, a unique index or an exclusion constraint; `fixed` are
    the columns whose values a recipe makes."""
    for constraint in by_name(table.constraints):
        if constraint.kind in ("primary key", "unique"):
            nulls = constraint.nulls_not_distinct
            yield _unique(constraint.name, constraint.columns, tenant, None, nulls)
        elif constraint.kind == "exclude":
            yield from _excluded(constraint, tenant, disjoint(table) - fixed)
    for index in by_name(table.indexes):
        if index.unique:
            try:
                nulls = index.nulls_not_distinct
                yield _unique(index.name, index.columns, tenant, index.predicate, nulls, table)
            except UnknownExpression:
                continue  # PostgreSQL will tell


def by_name(parts: Iterable[Part]) -> list[Part]:
    """Constraints or indexes that were dropped and made again stand last, and are the same."""
    return sorted(parts, key=lambda part: part.name)


def disjoint(table: Table) -> frozenset[str]:
    """Columns of ranges that an exclusion constraint keeps from overlapping."""
    return frozenset(
        column.strip('"')
        for constraint in table.constraints
        if constraint.kind == "exclude"
        for column, operator in _EXCLUDED.findall(constraint.expression or "")
        if operator == "&&" and column.strip('"') in table.columns
    )


def _texts(table: Table, catalog: Catalog) -> Iterator[tuple[str, str, bool]]:
    """Name and text of each CHECK, and whether it is a domain's."""
    for constraint in table.checks:
        yield constraint.name, constraint.expression or "true", False
    for column in table.columns.values():
        for number, text in enumerate(_of_domain(column, catalog)):
            yield f"{column.type} of {column.name} ({number + 1})", text, True


def _of_domain(column: Column, catalog: Catalog) -> Iterator[str]:
    domain = catalog.domains.get(Name.parse(column.type))
    while domain is not None:
        for text in domain.checks:
            yield _VALUE.sub(lambda m: quoted(column.name) if m[0] == "VALUE" else m[0], text)
        domain = catalog.domains.get(Name.parse(domain.base_type))


def quoted(name: str) -> str:
    """A name as an expression."""
    return '"' + name.replace('"', '""') + '"'


def _check(name: str, expression: Expression, of_domain: bool, fixed: frozenset[str]) -> Check:
    listed = allowed_values(expression.node)
    return Check(
        name,
        expression,
        swap=order(expression.node),
        assign=assigned(expression),
        by_construction=listed is not None and listed[0] not in fixed,
        of_domain=of_domain,
    )


def _tell(part: Any, found: Told) -> None:
    if (listed := allowed_values(part)) is not None:
        name, values = listed
        both = [value for value in found.choices.get(name, values) if value in values]
        found.choices[name] = both or values
    if (listed := allowed_elements(part)) is not None:
        found.elements[listed[0]] = listed[1]
    if (kind := document_kind(part)) is not None:
        found.kinds.setdefault(*kind)
    if (matched := pattern(part)) is not None:
        found.patterns.setdefault(*matched)
    for column, operator, number in bound(part):
        found.bounds[column] = narrowed(found.bounds.get(column), operator, number)
    for column, operator, number in length_bound(part):
        found.lengths[column] = narrowed(found.lengths.get(column), operator, number)


def narrowed(known: Bounds | None, operator: str, number: float) -> Bounds:
    """Inclusive bounds with one more comparison."""
    low, high = known or (None, None)
    if operator in (">", ">=", "="):
        at_least = number + 1 if operator == ">" else number
        low = at_least if low is None else max(low, at_least)
    if operator in ("<", "<=", "="):
        at_most = number - 1 if operator == "<" else number
        high = at_most if high is None else min(high, at_most)
    return low, high


def _unique(
    name: str,
    columns: tuple[str, ...],
    tenant: str | None,
    predicate: str | None = None,
    nulls_equal: bool = False,
    table: Table | None = None,
) -> Unique:
    """`columns` may be expressions where a table tells which are not."""
    plain = table.columns if table else dict.fromkeys(columns)
    texts = [c if c not in plain else quoted(c) for c in columns if c != tenant]
    keys = tuple(compile_expression(text) for text in texts)
    mentioned = frozenset[str]().union(*(key.columns for key in keys))
    return Unique(
        name,
        keys,
        tuple(sorted(mentioned)),
        _predicate(predicate),
        nulls_equal,
        across=tenant is None or tenant not in columns,
    )


def _excluded(
    constraint: Constraint, tenant: str | None, apart: frozenset[str]
) -> Iterator[Unique]:
    """An exclusion constraint holds when its equal columns are distinct, and where its ranges are
    drawn apart. One without an equal column is left to PostgreSQL."""
    definition = constraint.expression or ""
    pairs = [(column.strip('"'), operator) for column, operator in _EXCLUDED.findall(definition)]
    columns = tuple(column for column, operator in pairs if operator == "=")
    if not columns or apart.intersection(column for column, operator in pairs if operator == "&&"):
        return
    where = _EXCLUDED_WHERE.search(definition)
    yield _unique(constraint.name, columns, tenant, where[1] if where else None)


def _predicate(text: str | None) -> Expression | None:
    try:
        return compile_expression(text) if text else None
    except UnknownExpression:
        return None
