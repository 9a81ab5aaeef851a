"""A file as the statements that it consists of, in steps between which tables are distributed.

Citus takes one statement a message. A table waits, local and empty, for its indexes, policies and
triggers, which cost less before it is distributed than after. It can wait no longer when something
is made that may stand on it: another table, a view, a function whose body PostgreSQL reads. Citus
takes what such a function calls for something that the table needs, and finds a circle.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from pglast import ast, enums, parser

from harness.deploy.source import SourceFile
from harness.errors import SchemaError

_BEFORE = re.compile(r"(?:\s|--[^\n]*|/\*.*?\*/)*", re.DOTALL)


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
    line = file.line_at(place.start + begins)
    return Statement(text[begins:].strip(), line, _waits(tree), _makes(tree))


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


def _waits(tree: Any) -> bool:
    if isinstance(tree, ast.CreateStmt):
        return tree.partbound is not None
    if isinstance(tree, ast.CreateFunctionStmt):
        return tree.sql_body is None
    if isinstance(tree, ast.AlterTableStmt):
        return not any(_refers(command) for command in tree.cmds or ())
    return isinstance(tree, _DRESSING)


def _makes(tree: Any) -> bool:
    if isinstance(tree, ast.CreateStmt):
        return tree.partbound is None
    return isinstance(tree, ast.DoStmt | ast.CallStmt | ast.CreateTableAsStmt | ast.SelectStmt)


def _refers(command: Any) -> bool:
    """Whether an action of ALTER TABLE adds a foreign key: both its tables are distributed then,
    or neither, and a cycle of keys is closed when all its tables are."""
    added = command.def_
    constraints = (
        [added] if isinstance(added, ast.Constraint) else getattr(added, "constraints", ())
    )
    return any(c.contype == enums.ConstrType.CONSTR_FOREIGN for c in constraints or ())
