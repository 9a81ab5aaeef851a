"""From text to statements: parsed as a whole, or piece by piece where the whole does not parse.

A syntax error costs the statement it stands in, not the file, so that the rest is still
checked and one missing line does not hide another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from pglast.parser import ParseError

from harness.catalog.files import placeholders
from harness.catalog.files.text import SqlText, semicolons
from harness.catalog.parsing import parse_sql
from harness.catalog.source import Problem, ProblemKind
from harness.errors import SchemaError
from harness.finding import Location

_NOT_SQL = re.compile(r"^\\[^\n]*|\0", re.MULTILINE)
_COPIED = re.compile(r"^(COPY\b[^;]*\bFROM\s+stdin\b[^;]*;)(.*?)^\\\.$", re.S | re.M | re.I)
_SHOWN_ALONE = re.compile(r"\\(echo|qecho|timing|pset|set|unset|restrict|unrestrict|encoding|q)\b")
_BEGINS = re.compile(
    r"(?<![^\n])[ \t]*(CREATE|ALTER|DROP|GRANT|REVOKE|COMMENT|INSERT|UPDATE|DELETE|DO|SELECT)\b",
    re.IGNORECASE,
)
_ATOMIC = re.compile(r"\bBEGIN\s+ATOMIC\b", re.IGNORECASE)
_END = re.compile(r";\s*END\s*$", re.IGNORECASE)


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
        if "\0" not in file.text:  # where the parser, written in C, would stop
            return list(_statements(file, 0, len(file.text))), []
    except ParseError:
        pass
    return _salvage(file)


def _statements(file: SqlText, start: int, stop: int) -> Iterator[Statement]:
    """Parses a part of a file; the offsets are those in the file."""
    for raw in parse_sql(" " * start + file.text[start:stop]):
        begin = file.skip_trivia(max(raw.stmt_location, start))
        end = raw.stmt_location + raw.stmt_len if raw.stmt_len else stop
        yield Statement(file, raw.stmt, begin, end)


def _salvage(file: SqlText) -> tuple[list[Statement], list[Problem]]:
    """What can be read of a file that does not parse as a whole."""
    text = _COPIED.sub(_without_rows, file.text)
    commands = [m for m in _NOT_SQL.finditer(text) if not _SHOWN_ALONE.match(m.group())]
    problems = [_not_sql(file, match) for match in commands]
    blanked = _NOT_SQL.sub(lambda match: " " * len(match.group()), text)
    blanked, templates = placeholders.filled(replace(file, text=blanked))
    problems += templates
    file = replace(file, text=blanked)
    statements: list[Statement] = []
    for piece in _pieces(blanked):
        read, errors = _parse_piece(file, piece)
        statements += read
        problems += errors
    return statements, problems


def _parse_piece(file: SqlText, piece: slice) -> tuple[list[Statement], list[Problem]]:
    """The statements of a piece. Where it does not parse and another statement begins at the
    error, a semicolon was forgotten: what stands on both sides is read for itself."""
    try:
        return list(_statements(file, piece.start, piece.stop)), []
    except ParseError as error:
        named = error.args[1] if len(error.args) > 1 else None
        found = _syntax(file, error, piece)
        if named is None or named <= piece.start or not _BEGINS.match(file.text, named):
            return [], [found]
    before, _ = _parse_piece(file, slice(piece.start, named))
    after, further = _parse_piece(file, slice(named, piece.stop))
    return before + after, [found, *further]


def _without_rows(copied: re.Match[str]) -> str:
    """COPY … FROM stdin without the rows that follow it, on as many lines."""
    rows = re.sub(r"[^\n]", " ", copied.group(2))
    return f"{copied.group(1)}{rows}  "


def _pieces(text: str) -> Iterator[slice]:
    """From semicolon to semicolon, but for those inside a body BEGIN ATOMIC … END.

    Not pglast's own split, which drops what follows a bracket that is never closed.
    """
    start = 0
    for stop in (*semicolons(text), len(text)):
        piece = text[start:stop]
        atomic = _ATOMIC.search(piece)
        if atomic is None or _END.search(piece, atomic.end()) or stop == len(text):
            yield slice(start, stop + 1)
            start = stop + 1


def _not_sql(file: SqlText, match: re.Match[str]) -> Problem:
    text = match.group().strip().replace("\0", "NUL")
    if text == "NUL":
        message = "a NUL character ends the text for PostgreSQL; delete it"
    elif (command := text.split()[0]) in ("\\i", "\\ir", "\\include", "\\include_relative"):
        message = f"{command} reads another file in psql alone; name that file to the check too"
    else:
        message = f"{command} is executed by psql alone; write what it does in SQL"
    return Problem("opaque", text, message, file.location(match.start()))


def _syntax(file: SqlText, error: ParseError, piece: slice) -> Problem:
    """The parser's message at the place it names, at the end of the piece where it names none."""
    named = error.args[1] if len(error.args) > 1 else None
    end = len(file.text[: piece.stop].rstrip())
    statement = file.text[file.skip_trivia(piece.start) :].split("\n", 1)[0].rstrip(" (;")
    message = f"{error.args[0]}; mend the statement"
    return Problem("syntax", statement, message, file.location(end if named is None else named))
