"""What a DO block leaves behind, or a call of a function in PL/pgSQL that the files define."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pglast import parse_plpgsql
from pglast.parser import ParseError

from harness.catalog.files import constants, holdings, names, placeholders, steps
from harness.catalog.files.constants import Scope, Unknown
from harness.catalog.files.draft import Draft
from harness.catalog.files.operations import Value
from harness.catalog.files.statements import Statement, parse
from harness.catalog.files.text import SqlText
from harness.finding import Location

_NO_TREE = (ParseError, json.JSONDecodeError, ValueError)


def do(node: Any, statement: Statement, draft: Draft, run: steps.Run) -> None:
    """DO: goes through its body; one in another language is refused."""
    options = {option.defname: option.arg.sval for option in node.args}
    if options.get("language", "plpgsql") != "plpgsql":
        statement.refuse("opaque", "DO", f"what {options['language']} does cannot be read")
    begin = statement.file.text.find(options["as"], statement.start)
    place = statement.location(max(begin, statement.start))

    def located(line: int) -> Location:
        return statement.file.at or Location(place.file, place.line + line - 1)

    body = _parsed(statement.text, statement, draft)
    steps.go(body, {}, located, draft, run)


def is_known(call: Any, draft: Draft) -> bool:
    """Whether a call is one of a function in PL/pgSQL whose body the files hold."""
    return _definition(call, draft) is not None


def call(node: Any, statement: Statement, draft: Draft, run: steps.Run) -> None:
    """SELECT f(…) or CALL f(…): goes through the body of f, with arguments as far as they are told.

    What it finds stands on the line of the call, for one body is called for many tables.
    """
    text = _definition(node, draft)
    if text is None:
        return
    scope = Scope({}, holdings.relation(draft))
    given = [_told(argument, scope) for argument in node.args or ()]
    arguments = dict(zip(_parameters(text), given, strict=False))
    arguments |= {f"${number}": value for number, value in enumerate(given, 1)}
    place = statement.location()
    steps.go(_parsed(text, statement, draft), arguments, lambda _: place, draft, run)


def _told(node: Any, scope: Scope) -> Value:
    """A value, or the reason why there is none, which whoever uses it meets."""
    try:
        return constants.of_node(node, scope)
    except Unknown as unknown:
        return unknown


def _definition(call: Any, draft: Draft) -> str | None:
    name, count = names.of_strings(call.funcname), len(call.args or ())
    for key, function in draft.functions.items():
        if key[0] == name and len(key[1]) == count and function.language == "plpgsql":
            return draft.definitions[function.signature]
    return None


def _parameters(text: str) -> list[str]:
    (statement,), _ = parse(SqlText.of("", text))
    return [parameter.name or "" for parameter in statement.node.parameters or ()]


def _parsed(text: str, statement: Statement, draft: Draft) -> Any:
    """The tree of a body; one with placeholders in it is read with names in their places."""
    try:
        return _tree(text)
    except _NO_TREE:
        filled, problems = placeholders.filled(SqlText.of(statement.file.path, text))
    try:
        tree = _tree(filled)
    except _NO_TREE as error:
        reason = error.args[0] if error.args else "it is not known here"
        message = f"the body cannot be read ({reason}); write its statements out"
        statement.refuse("opaque", "DO", message)
    before = statement.location().line - 1
    draft.problems += [
        replace(p, location=replace(p.location, line=p.location.line + before)) for p in problems
    ]
    return tree


def _tree(text: str) -> Any:
    (parsed,) = parse_plpgsql(text)
    return parsed["PLpgSQL_function"]
