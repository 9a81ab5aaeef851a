"""Goes through the body of a block in PL/pgSQL and reads the statements in the order they run.

EXECUTE as far as its text is built of constants, loops over constants or over what exists,
conditions as far as the statements before tell. The first thing that the text does not tell is a
problem that names its line; what comes after it is read all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pglast import ast
from pglast.parser import ParseError

from harness.catalog.files import constants, holdings
from harness.catalog.files.constants import Scope, Unknown
from harness.catalog.files.draft import Draft
from harness.catalog.files.expressions import walk
from harness.catalog.files.operations import Value
from harness.catalog.files.statements import Statement, parse
from harness.catalog.files.text import SqlText
from harness.catalog.parsing import parse_sql
from harness.catalog.source import Problem
from harness.finding import Location

Run = Callable[[Statement, Draft], None]
Step = Mapping[str, Any]
Body = Iterable[Mapping[str, Step]]
_MOST_TURNS = 10_000
_WRITE_OUT = "write the statements out"
_EXCEPTION = 21
"""The elog_level of RAISE EXCEPTION; what is below only says something."""
_ON_DATA = re.compile(r"\s*(INSERT|UPDATE|DELETE|MERGE|SELECT|WITH|LOCK|NOTIFY|ANALYZE)\b", re.I)
_IDLE = ("raise", "return", "return_next", "return_query", "assert", "assign", "exit", "getdiag")


class _Left(Exception):
    """RETURN, EXIT or RAISE EXCEPTION: what follows does not run."""


class _Failed(Exception):
    """A statement that fails inside a block with handlers of exceptions."""


@dataclass(slots=True)
class _Frame:
    """A body while somebody goes through it."""

    draft: Draft
    run: Run
    located: Callable[[int], Location]
    names: list[str]
    """Variables by their number in the parsed body."""
    variables: dict[str, Value] = field(default_factory=dict)
    catches: bool = False
    """Whether a handler waits for what fails."""
    uncertain: bool = False
    """Whether nobody knows if this runs: what fails here would not have run."""
    turns: int = 0

    @property
    def scope(self) -> Scope:
        """What names mean at this point."""
        return Scope(self.variables, holdings.relation(self.draft))

    def value(self, expression: Mapping[str, Any]) -> Value:
        """The value of an expression; Unknown where the text does not tell it."""
        return constants.value(expression["PLpgSQL_expr"]["query"], self.scope)

    def note(self, step: Step, message: str) -> None:
        """A problem on the line of a step."""
        place = self.located(step.get("lineno", 1))
        problem = Problem("opaque", "DO", f"{message}; {_WRITE_OUT}", place)
        if problem not in self.draft.problems:
            self.draft.problems.append(problem)


def go(
    body: Any,
    arguments: Mapping[str, Value],
    located: Callable[[int], Location],
    draft: Draft,
    run: Run,
) -> None:
    """Goes through a parsed body; `located` says where a line of it stands."""
    datums = [next(iter(datum.values())) for datum in body.get("datums", ())]
    frame = _Frame(draft, run, located, [datum.get("refname", "") for datum in datums])
    for datum in datums:
        frame.variables[datum.get("refname", "")] = _initial(datum, frame)
    frame.variables.update(arguments)
    with suppress(_Left, _Failed):
        _go_through([body["action"]], frame)


def _initial(datum: Step, frame: _Frame) -> Value:
    if "default_val" not in datum:
        return None
    return _value_or_reason(datum["default_val"], frame)


def _value_or_reason(expression: Mapping[str, Any], frame: _Frame) -> Value:
    try:
        return frame.value(expression)
    except Unknown as unknown:
        return unknown


def _go_through(body: Body, frame: _Frame) -> None:
    for item in body:
        ((kind, step),) = item.items()
        kind = kind.removeprefix("PLpgSQL_stmt_")
        walker = _WALKERS.get(kind)
        if walker is not None:
            walker(step, frame)
        elif not _is_idle([item]):
            frame.note(step, f"what {_word(kind)} leaves behind cannot be read")


def _word(kind: str) -> str:
    return {"while": "WHILE", "loop": "LOOP", "case": "CASE", "dynfors": "FOR … IN EXECUTE"}.get(
        kind, "this statement"
    )


def _is_idle(body: Body) -> bool:
    """Whether nothing in a body could change what the files define."""
    return all(_idles(kind.removeprefix("PLpgSQL_stmt_"), s) for i in body for kind, s in i.items())


def _idles(kind: str, step: Step) -> bool:
    if kind == "execsql":
        return bool(_ON_DATA.match(step["sqlstmt"]["PLpgSQL_expr"]["query"]))
    if kind in _IDLE:
        return True
    inner = [body for name, body in step.items() if name in ("body", "then_body", "else_body")]
    known = kind in ("block", "if", "fors", "fori", "foreach_a", "loop", "while", "dynfors")
    known = known and "elsif_list" not in step
    return known and all(_is_idle(body) for body in inner)


def _block(step: Step, frame: _Frame) -> None:
    handlers = step.get("exceptions")
    if handlers is None:
        _go_through(step.get("body", ()), frame)
        return
    before, outside, frame.catches = frame.draft.copy(), frame.catches, True
    try:
        _go_through(step.get("body", ()), frame)
    except _Failed:
        frame.catches = outside
        frame.draft.go_back_to(before)
        for handler in handlers["PLpgSQL_exception_block"]["exc_list"][:1]:
            _go_through(handler["PLpgSQL_exception"].get("action", ()), frame)
    finally:
        frame.catches = outside


def _if(step: Step, frame: _Frame) -> None:
    branches = [(step["cond"], step.get("then_body", ()))]
    for item in step.get("elsif_list", ()):
        branch = item["PLpgSQL_if_elsif"]
        branches.append((branch["cond"], branch.get("stmts", ())))
    rest = [body for _, body in branches[1:]] + [step.get("else_body", ())]
    for position, (condition, body) in enumerate(branches):
        try:
            holds = frame.value(condition)
        except Unknown as unknown:
            _either([body, *rest[position:]], step, unknown, frame)
            return
        if holds is True:
            _go_through(body, frame)
            return
    _go_through(rest[-1], frame)


def _either(bodies: list[Body], step: Step, unknown: Unknown, frame: _Frame) -> None:
    """Branches of which nobody knows which one runs. Whether a role exists is the cluster's
    matter: then all are read, for what they grant may be granted."""
    if not unknown.platform and not all(map(_is_idle, bodies)):
        frame.note(step, f"whether this IF holds depends on {unknown}")
    for body in bodies:
        with _unsure(frame):
            _go_through(body, frame)


@contextmanager
def _unsure(frame: _Frame) -> Iterator[None]:
    before, frame.uncertain = frame.uncertain, True
    try:
        yield
    except (_Left, _Failed):
        pass
    finally:
        frame.uncertain = before


def _assign(step: Step, frame: _Frame) -> None:
    name, _, expression = step["expr"]["PLpgSQL_expr"]["query"].partition("=")
    told = {"PLpgSQL_expr": {"query": expression}}
    frame.variables[name.rstrip(": ").strip()] = _value_or_reason(told, frame)


def _for_each(step: Step, frame: _Frame) -> None:
    name = frame.names[step["varno"]]
    _loop(step, frame, lambda: [{name: item} for item in frame.value(step["expr"])])


def _for_number(step: Step, frame: _Frame) -> None:
    name = next(iter(step["var"].values()))["refname"]
    _loop(
        step,
        frame,
        lambda: [
            {name: n} for n in range(frame.value(step["lower"]), frame.value(step["upper"]) + 1)
        ],
    )


def _for_row(step: Step, frame: _Frame) -> None:
    query = step["query"]["PLpgSQL_expr"]["query"]
    _loop(
        step,
        frame,
        lambda: [_bound(step["var"], row) for row in constants.rows(query, frame.scope)],
    )


def _bound(target: Mapping[str, Any], row: Mapping[str, Value]) -> dict[str, Value]:
    """The variables that a target names, with the values of a row."""
    ((kind, named),) = target.items()
    if kind == "PLpgSQL_rec":
        return {named["refname"]: row}
    if kind == "PLpgSQL_row":
        return dict(zip([f["name"] for f in named["fields"]], row.values(), strict=False))
    return {named["refname"]: next(iter(row.values()), None)}


def _loop(step: Step, frame: _Frame, turns: Callable[[], list[dict[str, Value]]]) -> None:
    body = step.get("body", ())
    try:
        found = turns()
    except (Unknown, TypeError) as unknown:
        if not _is_idle(body):
            frame.note(step, f"what this loop goes over depends on {unknown}")
        return
    for variables in found:
        frame.turns += 1
        if frame.turns > _MOST_TURNS:
            frame.note(step, f"this loop takes more than {_MOST_TURNS} turns")
            return
        frame.variables.update(variables)
        _go_through(body, frame)


def _statement(step: Step, frame: _Frame) -> None:
    text = step["sqlstmt"]["PLpgSQL_expr"]["query"]
    if step.get("into"):
        _assign_row(text, step["target"], frame)
    elif not _ON_DATA.match(text):
        _read(text, step, frame)


def _assign_row(text: str, target: Mapping[str, Any], frame: _Frame) -> None:
    try:
        found = constants.rows(text, frame.scope)
        row = found[0] if found else {}
        frame.variables.update(_bound(target, row))
    except Unknown as unknown:
        ((kind, named),) = target.items()
        fields = [f["name"] for f in named["fields"]] if kind == "PLpgSQL_row" else None
        for name in fields or [named["refname"]]:
            frame.variables[name] = unknown


def _execute(step: Step, frame: _Frame) -> None:
    try:
        text = frame.value(step["query"])
    except Unknown as unknown:
        frame.note(step, f"what EXECUTE runs depends on {unknown}")
        return
    if text is not None:
        _read(str(text), step, frame)


def _call(step: Step, frame: _Frame) -> None:
    """PERFORM and CALL; a query without functions changes nothing."""
    text = step["expr"]["PLpgSQL_expr"]["query"]
    try:
        calls = any(isinstance(node, ast.FuncCall | ast.CallStmt) for node in walk(parse_sql(text)))
    except ParseError:
        calls = True
    if calls:
        _read(text, step, frame)


def _read(text: str, step: Step, frame: _Frame) -> None:
    """Reads SQL as if it stood in the file on the line of the step."""
    place, draft = frame.located(step.get("lineno", 1)), frame.draft
    statements, problems = parse(SqlText.of(place.file, text, place))
    draft.problems += problems
    for statement in statements:
        before = len(draft.problems)
        frame.run(statement, draft)
        noted = draft.problems[before:]
        failed = any(problem.kind == "unresolved" for problem in noted)
        if failed and (frame.catches or frame.uncertain):
            draft.problems[before:] = [p for p in noted if p.kind != "unresolved"]
            if frame.catches:
                raise _Failed


def _leave(_: Step, __: _Frame) -> None:
    raise _Left


def _raise(step: Step, _: _Frame) -> None:
    if step.get("elog_level", _EXCEPTION) >= _EXCEPTION:
        raise _Left


_WALKERS: dict[str, Callable[[Step, _Frame], None]] = {
    "assign": _assign,
    "block": _block,
    "call": _call,
    "dynexecute": _execute,
    "execsql": _statement,
    "exit": _leave,
    "foreach_a": _for_each,
    "fori": _for_number,
    "fors": _for_row,
    "if": _if,
    "perform": _call,
    "raise": _raise,
    "return": _leave,
}
