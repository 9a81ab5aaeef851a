"""Names: as the parser gives them, as PostgreSQL chooses them, as SQL writes them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from contextvars import ContextVar
from itertools import count
from typing import Any

from pglast.keywords import COL_NAME_KEYWORDS, RESERVED_KEYWORDS, TYPE_FUNC_NAME_KEYWORDS

from harness.catalog.model import Constraint, Name

_KEYWORDS = COL_NAME_KEYWORDS | RESERVED_KEYWORDS | TYPE_FUNC_NAME_KEYWORDS
_PLAIN = re.compile("[a-z_][a-z0-9_]*")
_NAME_BYTES = 63
_SUFFIX = {"primary key": "pkey", "unique": "key", "foreign key": "fkey", "exclude": "excl"}


_first_schema: ContextVar[str] = ContextVar("first_schema", default="public")


def look_in(schema: str) -> None:
    """Where names without a schema are from now on, as the first of SET search_path says."""
    _first_schema.set(schema or "public")


def schema_in_use() -> str:
    """Where names without a schema are."""
    return _first_schema.get()


def of_text(text: str) -> Name:
    """The name that a text such as '"public".orders' spells, as a cast to regclass reads it."""
    parts = re.findall(r'"((?:[^"]|"")*)"|([^".]+)', text)
    spelled = [quoted.replace('""', '"') or plain.lower() for quoted, plain in parts]
    return Name(spelled[-2] if len(spelled) > 1 else _first_schema.get(), spelled[-1])


def of_relation(relation: Any) -> Name:
    """The name of a RangeVar; one without a schema is in the first of the search path."""
    return Name(relation.schemaname or _first_schema.get(), relation.relname)


def of_strings(strings: Iterable[Any]) -> Name:
    """The name that a list of String nodes spells."""
    parts = [part.sval for part in strings]
    return Name(parts[-2] if len(parts) > 1 else _first_schema.get(), parts[-1])


def of_role(role: Any) -> str:
    """The name of a RoleSpec; PUBLIC and CURRENT_USER in lowercase."""
    return str(role.rolename or role.roletype.name.removeprefix("ROLESPEC_").lower())


def quoted(name: str) -> str:
    """The name as PostgreSQL writes it: in quotes where it needs them (quote_identifier)."""
    plain = _PLAIN.fullmatch(name) and name not in _KEYWORDS
    return name if plain else '"{}"'.format(name.replace('"', '""'))


def choose(table: Name, constraint: Constraint, taken: Collection[str]) -> str:
    """The name that PostgreSQL gives to a constraint without one."""
    suffix = _SUFFIX.get(constraint.kind, "check")
    one = len(constraint.columns) == 1
    told = {"primary key": False, "check": one}.get(constraint.kind, True)
    middle = "_".join(map(_short, constraint.columns)) if told else ""
    numbered = (_fit(table.name, middle, f"{suffix}{number or ''}") for number in count())
    return next(name for name in numbered if name not in taken)


def choose_index(table: Name, columns: Iterable[str], taken: Collection[str]) -> str:
    """The name that PostgreSQL gives to an index without one (ChooseIndexName)."""
    numbered = (_fit(table.name, "_".join(columns), f"idx{number or ''}") for number in count())
    return next(name for name in numbered if name not in taken)


def choose_sequence(table: Name, column: str, taken: Collection[Name]) -> Name:
    """The name that PostgreSQL gives to the sequence of a serial column."""
    numbered = (_fit(table.name, column, f"seq{number or ''}") for number in count())
    found = (Name(table.schema, name) for name in numbered)
    return next(name for name in found if name not in taken)


def _short(column: str) -> str:
    """A column, or what PostgreSQL calls an expression in a name: its function."""
    called, bracket, _ = column.partition("(")
    if not bracket:
        return column
    return called.rpartition(".")[2] if called.replace(".", "_").isidentifier() else "expr"


def _fit(first: str, middle: str, suffix: str) -> str:
    """Shortens the longer of the two names until all fit in a name (makeObjectName)."""
    room = _NAME_BYTES - len(suffix) - 1 - (1 if middle else 0)
    head, tail = first.encode(), middle.encode()
    while len(head) + len(tail) > room:
        if len(head) > len(tail):
            head = head[:-1]
        else:
            tail = tail[:-1]
    parts = (head.decode(errors="ignore"), tail.decode(errors="ignore"), suffix)
    return "_".join(part for part in parts if part)
