"""What of a table can go away while it is loaded, and the statements that bring it back.

The definitions are PostgreSQL's own (pg_get_indexdef, pg_get_constraintdef); indexes of partitions
are made one by one and attached, as pg_dump does, so that they keep their names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from importlib.resources import files
from typing import Any, NamedTuple

from psycopg import sql

from harness.catalog.model import Name
from harness.db import Connection

_READ = re.compile(r"\b(?:from|join|into|update|only)\s+([\w.]+)")
_KINDS = {"u": "UNIQUE", "p": "PRIMARY KEY"}
"""Constraints that an index can be made for beforehand."""
_CALLED = re.compile(r"(?<![\w.])([\w.]++)\s*+\(")


class Stage(IntEnum):
    """When something comes back: all of one stage stands before the next begins."""

    INDEX = 1
    """Indexes, and constraints that make theirs; those of a table can be made at once."""
    CONSTRAINT = 2
    """Constraints on indexes that are there."""
    ATTACH = 3
    """Indexes of partitions to those that they are a part of."""
    KEY = 4
    """Foreign keys, not yet checked."""
    CHECKED_KEY = 5
    """Foreign keys are checked; those of partitioned tables are made, which checks them."""


AT_ONCE = (Stage.INDEX, Stage.CHECKED_KEY)
"""Stages whose statements do not get in each other's way; of the others each takes no time."""


class Statement(NamedTuple):
    """A statement that brings back something or a part of it."""

    stage: Stage
    text: str


@dataclass(frozen=True, slots=True)
class Deferrable:
    """An index or a constraint of a table: how to drop it, and to make it again."""

    table: Name
    name: str
    drop: str
    statements: tuple[Statement, ...]


def deferrable(connection: Connection, tables: Collection[Name]) -> dict[Name, list[Deferrable]]:
    """By table what can go, foreign keys first. Indexes stay where a trigger that loading fires
    may need them: it looks rows up, or relies on ON CONFLICT."""
    found: dict[Name, list[Deferrable]] = defaultdict(list)
    for key in _foreign_keys(connection, tables):
        found[key.table].append(key)
    read = read_by_triggers(_rows(connection, "insert_triggers", None))
    unread = [t for t in tables if not {str(t), t.name} & read]
    for index in _indexes(connection, unread):
        found[index.table].append(index)
    return dict(found)


def read_by_triggers(functions: Iterable[Sequence[Any]]) -> set[str]:
    """Relations, lowercase and as they are written, that functions mention which an INSERT fires or
    which those call. Each function is its name, its source and whether an INSERT fires it."""
    by_name: dict[str, list[str]] = defaultdict(list)
    open_sources = []
    for name, written, fired in functions:
        source = written.lower()
        by_name[name.lower()].append(source)
        by_name[name.lower().partition(".")[2]].append(source)
        open_sources += [source] if fired else []
    read: set[str] = set()
    while open_sources:
        source = open_sources.pop()
        read.update(_READ.findall(source))
        for called in set(_CALLED.findall(source)):
            open_sources += by_name.pop(called, [])
    return read


def _rows(connection: Connection, query: str, tables: Collection[Name] | None) -> list[Any]:
    text = (files("datagen") / "queries" / f"{query}.sql").read_text(encoding="utf-8")
    parameters = None if tables is None else {"tables": [_text("{}", name) for name in tables]}
    return connection.execute(text.encode(), parameters).fetchall()


class _Key(NamedTuple):
    """A row of deferrable_foreign_keys.sql."""

    root_schema: str
    root: str
    schema: str
    table: str
    kind: str
    other_schema: str
    other: str
    key_name: str
    definition: str
    is_checked: bool
    comment: str | None

    @property
    def on(self) -> Name:
        """The table or partition that it is on."""
        return Name(self.schema, self.table)


def _foreign_keys(connection: Connection, tables: Collection[Name]) -> Iterator[Deferrable]:
    for row in _rows(connection, "deferrable_foreign_keys", tables):
        key = _Key(*row)
        drop = _text("ALTER TABLE {} DROP CONSTRAINT {}", key.on, key.key_name)
        table = Name(key.root_schema, key.root)
        yield Deferrable(table, key.key_name, drop, tuple(_made_key(key)))


def _made_key(key: _Key) -> Iterator[Statement]:
    """The statements that make a foreign key again."""
    definition = sql.SQL(key.definition)
    add = _text("ALTER TABLE {} ADD CONSTRAINT {} {}", key.on, key.key_name, definition)
    comments = _comment("CONSTRAINT {} ON {}", key.comment, key.key_name, key.on)
    if key.kind == "p":  # has no NOT VALID; locked in one order, so that none waits for another
        both = sorted((key.on, Name(key.other_schema, key.other)))
        lock = _text("LOCK TABLE {}, {} IN SHARE ROW EXCLUSIVE MODE", *both)
        yield Statement(Stage.CHECKED_KEY, f"{lock}; {add}{comments}")
    elif not key.is_checked:
        yield Statement(Stage.KEY, add + comments)
    else:
        yield Statement(Stage.KEY, f"{add} NOT VALID{comments}")
        check = _text("ALTER TABLE {} VALIDATE CONSTRAINT {}", key.on, key.key_name)
        yield Statement(Stage.CHECKED_KEY, check)


class _Index(NamedTuple):
    """A row of deferrable_indexes.sql."""

    root_schema: str
    root: str
    top: str
    schema: str
    table: str
    kind: str
    index_name: str
    definition: str
    constraint_type: str | None
    constraint: str | None
    parent_schema: str | None
    parent: str | None
    comment: str | None
    constraint_comment: str | None

    @property
    def on(self) -> Name:
        """The table or partition that it is on."""
        return Name(self.schema, self.table)

    @property
    def name(self) -> Name:
        """Its own name."""
        return Name(self.schema, self.index_name)


def _indexes(connection: Connection, tables: Collection[Name]) -> Iterator[Deferrable]:
    trees: dict[tuple[str, str, str], list[_Index]] = defaultdict(list)
    for row in _rows(connection, "deferrable_indexes", tables):
        index = _Index(*row)
        trees[index.root_schema, index.root, index.top].append(index)
    for (schema, root, name), tree in trees.items():
        top = tree[0]
        if top.constraint_type:
            drop = _text("ALTER TABLE {} DROP CONSTRAINT {}", top.on, name)
        else:
            drop = _text("DROP INDEX {}", top.name)
        statements = tuple(s for index in tree for s in _made(index))
        yield Deferrable(Name(schema, root), name, drop, statements)


def _made(index: _Index) -> Iterator[Statement]:
    """The statements that make an index again, without the indexes of partitions below it."""
    comments = _comment("INDEX {}", index.comment, index.name)
    if not index.constraint_type:
        yield Statement(Stage.INDEX, index.definition + comments)
    elif index.constraint_type in _KINDS and index.kind == "r":
        yield Statement(Stage.INDEX, index.definition)
        yield Statement(Stage.CONSTRAINT, _on_index(index) + _constraint_comment(index) + comments)
    else:
        yield Statement(Stage.INDEX, _own_index(index) + _constraint_comment(index) + comments)
    if index.parent_schema and index.parent:
        parent = Name(index.parent_schema, index.parent)
        attach = _text("ALTER INDEX {} ATTACH PARTITION {}", parent, index.name)
        yield Statement(Stage.ATTACH, attach)


def _on_index(index: _Index) -> str:
    """A constraint on an index that is there; what follows the columns is how it defers."""
    deferred = re.search(r" DEFERRABLE( INITIALLY DEFERRED)?$", index.constraint or "")
    kind = sql.SQL(_KINDS[index.constraint_type or ""])
    add = "ALTER TABLE {} ADD CONSTRAINT {} {} USING INDEX {}"
    name = index.index_name
    return _text(add, index.on, name, kind, name) + (deferred[0] if deferred else "")


def _own_index(index: _Index) -> str:
    """A constraint that makes its index: EXCLUDE, or any of a partitioned table."""
    only = sql.SQL("ONLY " if index.kind == "p" else "")
    definition = sql.SQL(index.constraint or "")
    add = "ALTER TABLE {}{} ADD CONSTRAINT {} {}"
    return _text(add, only, index.on, index.index_name, definition)


def _constraint_comment(index: _Index) -> str:
    return _comment("CONSTRAINT {} ON {}", index.constraint_comment, index.index_name, index.on)


def _comment(on: str, comment: str | None, *names: Name | str) -> str:
    """A statement to follow another one, or nothing."""
    if comment is None:
        return ""
    return "; " + _text(f"COMMENT ON {on} IS {{}}", *names, sql.Literal(comment))


def _text(statement: str, *parts: Name | str | sql.Composable) -> str:
    """A statement composed of names and of what PostgreSQL printed."""
    return sql.SQL(statement).format(*map(_composable, parts)).as_string()


def _composable(part: Name | str | sql.Composable) -> sql.Composable:
    if isinstance(part, Name):
        return part.identifier
    return sql.Identifier(part) if isinstance(part, str) else part
