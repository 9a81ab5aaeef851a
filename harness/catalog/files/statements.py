"""From text to statements: parsed as a whole, or piece by piece where the whole does not parse.

A syntax error costs the statement it stands in, not the file, so that the rest is still
checked and one missing line does not hide another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from pglast import parse_sql
from pglast.parser import ParseError, split

from harness.catalog.files.source import Problem, ProblemKind
from harness.catalog.files.text import SqlText
from harness.errors import SchemaError
from harness.finding import Location

_META_COMMAND = re.compile(r"^\\[^\n]*", re.MULTILINE)
_ATOMIC = re.compile(r"\bBEGIN\s+ATOMIC\b", re.IGNORECASE)
_END = re.compile(r"END\b", re.IGNORECASE)


class Refused(SchemaError):
    """The reader does not take a statement, or cannot find what it names."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.location}: {problem.message}")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its tree, and where in which file its first word stands."""

    file: SqlText
    node: Any = field(repr=False)
    start: int
    stop: int

    @property
    def text(self) -> str:
        """As written, without what stands before its first word."""
        return self.file.text[self.start : self.stop]

    def after(self, words: str) -> int:
        """Where the text goes on after such words; the end of the statement without them."""
        place = self.file.after(words, self.start, self.stop)
        return self.stop if place is None else place

    def bracketed(self, offset: int) -> str:
        """What stands between the first brackets from an offset on."""
        opening = self.file.text.find("(", offset, self.stop)
        return self.file.expression(opening + 1, self.stop) if opening >= 0 else ""

    def location(self, offset: int | None = None) -> Location:
        """The line of an offset in the file, or of the statement."""
        return self.file.location(self.start if offset is None else offset)

    def problem(
        self, kind: ProblemKind, subject: object, message: str, offset: int | None = None
    ) -> Problem:
        """A problem with this statement, at an offset of the file or at its first word."""
        return Problem(kind, str(subject), message, self.location(offset))

    def refuse(
        self, kind: ProblemKind, subject: object, message: str, offset: int | None = None
    ) -> NoReturn:
        """Gives the statement up: raises Refused."""
        raise Refused(self.problem(kind, subject, message, offset))


def parse(file: SqlText) -> tuple[list[Statement], list[Problem]]:
    """The statements of a file, and a problem for each piece of it that does not parse."""
    try:
        return list(_statements(file, file.text, 0)), []
    except ParseError:
        return _salvage(file)


def _statements(file: SqlText, text: str, offset: int) -> Iterator[Statement]:
    """Parses text that stands at an offset of the file, with offsets as in the file."""
    for raw in parse_sql(" " * offset + text if offset else text):
        stop = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(file.text)
        yield Statement(file, raw.stmt, file.skip_trivia(raw.stmt_location or offset), stop)


def _salvage(file: SqlText) -> tuple[list[Statement], list[Problem]]:
    statements: list[Statement] = []
    problems = [_meta_command(file, match) for match in _META_COMMAND.finditer(file.text)]
    text = _META_COMMAND.sub(lambda match: " " * len(match.group()), file.text)
    try:
        pieces = _pieces(text)
    except ParseError as error:
        return [], [*problems, _syntax(file, error, 0)]
    for piece in pieces:
        try:
            statements += _statements(file, text[piece], piece.start)
        except ParseError as error:
            problems.append(_syntax(file, error, piece.start))
    return statements, problems


def _pieces(text: str) -> list[slice]:
    """Where the scanner sees statements, the body of a BEGIN ATOMIC … END put together again."""
    pieces: list[slice] = []
    atomic = False
    for piece in cast("tuple[slice, ...]", split(text, with_parser=False, only_slices=True)):
        if atomic:
            pieces[-1] = slice(pieces[-1].start, piece.stop)
            atomic = not _END.match(text, piece.start)
        else:
            pieces.append(piece)
            atomic = bool(_ATOMIC.search(text, piece.start, piece.stop))
    return pieces


def _meta_command(file: SqlText, match: re.Match[str]) -> Problem:
    message = (
        f"{match.group().split()[0]} is a psql command, which only psql executes;"
        " write what it does in SQL"
    )
    return Problem("opaque", match.group().strip(), message, file.location(match.start()))


def _syntax(file: SqlText, error: ParseError, start: int) -> Problem:
    """The parser's message at the place it names, at the end of the file where it names none."""
    offset = error.args[1] if len(error.args) > 1 else None
    where = file.location(len(file.text.rstrip()) if offset is None else offset)
    statement = file.text[file.skip_trivia(start) :].split("\n", 1)[0].rstrip(" (;")
    return Problem("syntax", statement, f"{error.args[0]}; mend the statement", where)
