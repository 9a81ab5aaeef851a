"""Reads allowances from the comments of SQL files and from the comments on objects.

    -- harness: allow ORA001, PRF001 reason="slugs are global on purpose" until=2027-06-30

stands above its statement, in it, or behind it on its last line. COMMENT ON … may end with the
same words, without the dashes, and then speaks for the object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from difflib import get_close_matches
from typing import Any

from pglast import ast
from pglast.parser import ParseError, scan

from checks.allowance import Allowance, Allowances, Extent, Misread
from harness.catalog.files.statements import Statement, parse
from harness.catalog.files.text import SqlText, comments
from harness.catalog.model import Catalog, Function, Table, View
from harness.finding import Location

_MARK = re.compile(r"--+\s*harness:", re.I)
_MEANT = re.compile(r"\s*allow\b|.*(\b[a-z]{3}\d{3}\b|\breason\s*=)", re.I)
"""What tells an allowance, well written or not, from a remark on harnesses."""
_IN_COMMENT = re.compile(r"\bharness:\s*allow\b.*", re.S | re.I)
_ALLOW = re.compile(
    r"\s*allow\b(?P<rules>(?:[\s,]*(?!reason=|until=)[\w.]+)*)(?P<rest>.*)", re.S | re.I
)
_SETTING = re.compile(r"""\s*(?P<name>reason|until)=(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"]+))""")
_FORM = 'write harness: allow RULE reason="…" until=DATE'
_PSQL = re.compile(r"\s*\\")


def of_files(texts: Mapping[str, str], known: Collection[str], catalog: Catalog) -> Allowances:
    """The allowances of files, path to text, that left a catalog behind; `known` are the rules that
    there are."""
    marked = {path: text for path, text in texts.items() if _MARK.search(text)}
    places = _places(catalog) if marked else {}
    found = Allowances()
    for path, text in marked.items():
        found += _of_file(SqlText.of(path, text), known, places)
    return found


def of_catalog(
    catalog: Catalog, known: Collection[str], files: Collection[str] | None = None
) -> Allowances:
    """The allowances in comments on tables, views and functions, of some files or of all."""
    found = Allowances()
    for thing in _commented(catalog):
        said = _IN_COMMENT.search(thing.comment or "")
        if said and (files is None or (thing.location and thing.location.file in files)):
            extent = Extent(object=str(thing.name))
            words = said.group().partition(":")[2]
            found += _understood(words, extent, str(thing.name), thing.location, known)
    return found


def _places(catalog: Catalog) -> dict[Location | None, str]:
    """By where it was created, what a name without a schema means there; a policy is its table."""
    return {
        **{policy.location: str(t.name) for t in catalog.tables.values() for policy in t.policies},
        **{thing.location: str(thing.name) for thing in _commented(catalog)},
    }


def _commented(catalog: Catalog) -> tuple[Table | View | Function, ...]:
    return (*catalog.tables.values(), *catalog.views.values(), *catalog.functions)


def _of_file(
    file: SqlText, known: Collection[str], places: Mapping[Location | None, str]
) -> Allowances:
    statements, _ = parse(file)
    read = statements[0].file if statements else file  # without the rows of COPY
    found = Allowances()
    for offset, comment in _comments(read.text):
        mark = _MARK.match(comment)
        if mark and _MEANT.match(comment, mark.end()):
            extent = _extent(offset, file, statements)
            extent = replace(extent, object=_resolved(extent, places))
            words = _without_remark(comment[mark.end() :])
            subject = extent.object or file.path
            found += _understood(words, extent, subject, file.location(offset), known)
    return found


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """Where a comment of one line begins, and its text. PostgreSQL's scanner tells it from a
    string; in a file that it cannot read to its end, the reader's own does."""
    try:
        tokens = scan(text)
    except ParseError:
        return comments(text)
    lines = (token for token in tokens if token.name == "SQL_COMMENT")
    return ((token.start, text[token.start : token.end + 1]) for token in lines)


def _without_remark(words: str) -> str:
    """Another `--` outside quotes ends what is said to the harness."""
    parts = words.split('"')
    for position in range(0, len(parts), 2):
        before, dashes, _ = parts[position].partition("--")
        if dashes:
            return '"'.join((*parts[:position], before))
    return words


def _extent(offset: int, file: SqlText, statements: Sequence[Statement]) -> Extent:
    """The statement that a comment stands in or behind; else the next one."""
    before = [s for s in statements if s.start <= offset]
    if before and "\n" not in file.text[min(before[-1].stop, offset) : offset]:
        return _of_statement(before[-1], before[-1].start, file)
    following = statements[len(before)] if len(before) < len(statements) else None
    line = file.location(offset).line
    if following is None or _PSQL.match(file.text, file.skip_trivia(offset)):
        last = file.location(file.skip_trivia(offset)).line
        return Extent(file.path, range(line, last + 1))
    return _of_statement(following, offset, file)


def _resolved(extent: Extent, places: Mapping[Location | None, str]) -> str:
    """The object with its schema."""
    if "." in extent.object:
        return extent.object
    names = (places.get(Location(extent.file, line), "") for line in extent.lines)
    return next((n for n in names if n.endswith(f".{extent.object}")), extent.object)


def _of_statement(statement: Statement, start: int, file: SqlText) -> Extent:
    end = statement.start + len(statement.text.rstrip())
    lines = range(file.location(start).line, file.location(end).line + 1)
    object, part = _created(statement.node)
    return Extent(file.path, lines, object, part)


def _understood(
    words: str,
    extent: Extent,
    subject: str,
    location: Location | None,
    known: Collection[str],
) -> Allowances:
    """What the words after `harness:` allow, and what is wrong with them."""
    try:
        rules, reason, until = _parsed(words)
    except ValueError as error:
        return Allowances(misread=(Misread(subject, str(error), location),))
    return Allowances(
        tuple(Allowance(r, reason, extent, until, location) for r in rules if r in known),
        tuple(
            Misread(subject, f"there is no rule {rule}{_like(rule, known)}", location)
            for rule in rules
            if rule not in known
        ),
    )


def _parsed(words: str) -> tuple[list[str], str, date | None]:
    """Rules, reason and last day; ValueError says what is missing."""
    match = _ALLOW.fullmatch(words)
    if match is None:
        raise ValueError(f"{words.strip() or 'nothing'} is not understood; {_FORM}")
    rules = re.findall(r"[\w.]+", match["rules"])
    said = {m["name"]: m["quoted"] or m["bare"] or "" for m in _SETTING.finditer(match["rest"])}
    left = _SETTING.sub("", match["rest"]).strip()
    if left or not rules:
        raise ValueError(f"{left or 'an allowance without a rule'} is not understood; {_FORM}")
    if not said.get("reason", "").strip():
        raise ValueError(f"allowing {', '.join(rules)} takes a reason; {_FORM}")
    return rules, said["reason"], _day(said["until"]) if "until" in said else None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"until={text} is no date; write until=2027-06-30") from None


def _like(rule: str, known: Collection[str]) -> str:
    close = get_close_matches(rule.upper(), known, n=1)
    return f"; do you mean {close[0]}?" if close else "; harness rules lists them"


def _created(node: Any) -> tuple[str, str]:
    """What a statement creates, and the part of it that it is about; empty for others."""
    reader = _CREATED.get(type(node))
    return reader(node) if reader else ("", "")


def _relation(relation: Any) -> str:
    return ".".join(filter(None, (relation.schemaname, relation.relname)))


def _strings(strings: Iterable[Any]) -> str:
    return ".".join(part.sval for part in strings)


def _index(node: Any) -> tuple[str, str]:
    schema = node.relation.schemaname
    return ".".join(filter(None, (schema, node.idxname))), ""


def _policy(node: Any) -> tuple[str, str]:
    return _relation(node.table), f"policy {node.policy_name} on "


_CREATED: dict[type, Callable[[Any], tuple[str, str]]] = {
    ast.AlterPolicyStmt: _policy,
    ast.CreateForeignTableStmt: lambda node: (_relation(node.base.relation), ""),
    ast.CreateFunctionStmt: lambda node: (_strings(node.funcname), ""),
    ast.CreatePolicyStmt: _policy,
    ast.CreateRoleStmt: lambda node: (node.role, ""),
    ast.CreateSchemaStmt: lambda node: (node.schemaname or "", ""),
    ast.CreateSeqStmt: lambda node: (_relation(node.sequence), ""),
    ast.CreateStmt: lambda node: (_relation(node.relation), ""),
    ast.CreateTableAsStmt: lambda node: (_relation(node.into.rel), ""),
    ast.IndexStmt: _index,
    ast.ViewStmt: lambda node: (_relation(node.view), ""),
}
