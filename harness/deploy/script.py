"""A file as the statements that it consists of, in steps between which tables are distributed.

Citus takes one statement a message. A table waits, local and empty, for its indexes, policies and
triggers, which cost less before it is distributed than after. It can wait no longer when something
is made that may stand on it: another table, a view, a function.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from pglast import ast, enums, parser

from harness.catalog.model import Name
from harness.deploy.source import SourceFile
from harness.errors import SchemaError

_ADD = re.compile(r"\bADD\b", re.IGNORECASE)
_BEFORE = re.compile(r"(?:\s|--[^\n]*|/\*.*?\*/)*", re.DOTALL)


class Transition(NamedTuple):
    """What a trigger sees of the rows that a statement changed."""

    function: Name
    tables: tuple[str, ...]
    """The names by which it sees them."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a file."""

    text: str
    line: int
    """From 1, where it begins."""
    waits: bool = True
    """Whether tables that are not distributed yet may stay so until after it."""
    makes: bool = False
    """Whether it may make a table that is to be distributed."""
    adds_key: bool = False
    """Whether it adds a foreign key to a table that is there."""
    is_sql: bool = False
    """Whether it makes a function whose body is SQL."""
    transition: Transition | None = None
    """Of the trigger that it makes."""
    table: Name | None = None
    """The table that it makes."""
    columns: frozenset[str] = frozenset()
    """That this has."""

    @property
    def told_at(self) -> int:
        """The line by which findings know it: that of the key it adds, or where it begins."""
        added = _ADD.search(self.text) if self.adds_key else None
        return self.line + (self.text[: added.start()].count("\n") if added else 0)

    def shown(self) -> str:
        """Its beginning, on one line."""
        return " ".join(self.text.split())[:80]


def statements(file: SourceFile) -> tuple[Statement, ...]:
    """The statements of a file in its order; SchemaError where it cannot be read."""
    try:
        slices = cast("Sequence[slice]", parser.split(file.text, only_slices=True))
        trees = parser.parse_sql(file.text)
    except parser.ParseError as error:
        line = file.line_at(error.args[1] if len(error.args) > 1 else 0)
        raise SchemaError(f"{file.path}:{line}: {error.args[0]}") from None
    pairs = zip(slices, trees, strict=True)
    return tuple(_statement(file, place, tree.stmt) for place, tree in pairs)


def steps(script: Sequence[Statement]) -> list[Sequence[Statement]]:
    """The statements in their order, divided where a table can wait no longer."""
    divided: list[list[Statement]] = [[]]
    for statement in script:
        if not statement.waits and any(earlier.makes for earlier in divided[-1]):
            divided.append([])
        divided[-1].append(statement)
    return [step for step in divided if step]


def _statement(file: SourceFile, place: slice, tree: Any) -> Statement:
    text = file.text[place]
    before = _BEFORE.match(text)
    begins = before.end() if before else 0
    return Statement(
        text[begins:].strip(),
        file.line_at(place.start + begins),
        _waits(tree),
        _makes(tree),
        _adds_key(tree),
        isinstance(tree, ast.CreateFunctionStmt) and _is_sql(tree),
        _transition(tree),
        *_table(tree),
    )


_DRESSING = (
    ast.AlterOwnerStmt,
    ast.CommentStmt,
    ast.CreatePolicyStmt,
    ast.CreateStatsStmt,
    ast.CreateTrigStmt,
    ast.GrantRoleStmt,
    ast.GrantStmt,
    ast.IndexStmt,
    ast.SelectStmt,
    ast.VariableSetStmt,
)
"""What belongs to a table, or to nothing of tables."""


def _is_sql(tree: Any) -> bool:
    named = [option.arg.sval for option in tree.options or () if option.defname == "language"]
    return tree.sql_body is not None or named == ["sql"]


def _waits(tree: Any) -> bool:
    if isinstance(tree, ast.CreateStmt):
        return tree.partbound is not None
    if isinstance(tree, ast.CreateFunctionStmt):  # another may take or return a table's rows
        return tree.returnType is not None and tree.returnType.names[-1].sval == "trigger"
    if isinstance(tree, ast.AlterTableStmt):
        return not _adds_key(tree)
    return isinstance(tree, _DRESSING)


def _makes(tree: Any) -> bool:
    if isinstance(tree, ast.CreateStmt):
        return tree.partbound is None
    return isinstance(tree, ast.DoStmt | ast.CallStmt | ast.CreateTableAsStmt | ast.SelectStmt)


def _table(tree: Any) -> tuple[Name | None, frozenset[str]]:
    if not isinstance(tree, ast.CreateStmt):
        return None, frozenset()
    columns = (part.colname for part in tree.tableElts or () if isinstance(part, ast.ColumnDef))
    return Name(tree.relation.schemaname or "public", tree.relation.relname), frozenset(columns)


def _adds_key(tree: Any) -> bool:
    """Both its tables are distributed then, or neither, and a circle of keys is closed when all
    of them are."""
    actions = tree.cmds or () if isinstance(tree, ast.AlterTableStmt) else ()
    return any(_refers(action.def_) for action in actions)


def _refers(added: Any) -> bool:
    of_column = getattr(added, "constraints", None) or ()
    constraints = [added] if isinstance(added, ast.Constraint) else of_column
    return any(c.contype == enums.ConstrType.CONSTR_FOREIGN for c in constraints)


def _transition(tree: Any) -> Transition | None:
    if not (isinstance(tree, ast.CreateTrigStmt) and tree.transitionRels):
        return None
    function = Name.parse(".".join(part.sval for part in tree.funcname))
    return Transition(function, tuple(relation.name for relation in tree.transitionRels))
