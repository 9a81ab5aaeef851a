"""Functions that read tables, as a cluster needs them.

Citus plans no query of a distributed table with the parameters of an SQL function in it, and takes
the functions that a body calls, which PostgreSQL notes where it reads the body, for something that
the tables of the body need: a circle, as soon as one of those reads them too. A body in PL/pgSQL is
planned with its parameters as any statement is, and nobody reads it before it is called.

A query is sent to the one shard of its tenant where the tenant is a value or a parameter, and to
all of them where it is the answer of a function. So a function in PL/pgSQL asks once whose turn it
is, as it begins, and gives the answer to its queries, beside each table of those that join several.
It asks for the time then, too: an UPDATE may not ask for it beside what it finds in a row.

What has the same name means the same: in PL/pgSQL too, columns come before parameters here.
"""

from __future__ import annotations

import re
from typing import Any, cast

from pglast import ast, enums, parser
from pglast.stream import RawStream

from harness.config import Tenancy
from harness.deploy.bodies import UNTOUCHED, declaring
from harness.deploy.returning import returning
from harness.deploy.routing import Relations, Whose, row_tenant, with_tenant
from harness.deploy.searched import searched

_LANGUAGE = re.compile(r"\bLANGUAGE\s+sql\b", re.IGNORECASE)
_ATOMIC = re.compile(r"\bBEGIN\s+ATOMIC\b(?P<body>.*)\bEND\s*$", re.IGNORECASE | re.DOTALL)
_TEXT = re.compile(
    r"\bAS\s+(?P<quote>\$\w*\$)(?P<body>.*)(?P=quote)\s*$", re.IGNORECASE | re.DOTALL
)
_RETURN = re.compile(r"\bRETURN\b(?P<body>.*)$", re.IGNORECASE | re.DOTALL)
_OUT = (
    enums.FunctionParameterMode.FUNC_PARAM_TABLE,
    enums.FunctionParameterMode.FUNC_PARAM_OUT,
    enums.FunctionParameterMode.FUNC_PARAM_INOUT,
)
_ANSWER = "harness_answer"
_CONFLICT = "#variable_conflict use_column"
_TENANT, _MOMENT = "harness_tenant", "harness_moment"
_ASKED_TIME = r"(?<![\w.])now\(\)"
_UPDATE = re.compile(r"\bUPDATE\b", re.IGNORECASE)
GENERIC = "plan_cache_mode=force_generic_plan"
"""What no function of a cluster is set to."""
_GENERIC = re.compile(r"\bSET\s+plan_cache_mode\s*=\s*force_generic_plan\b", re.IGNORECASE)
_COMMIT = re.compile(r"\bCOMMIT\b", re.IGNORECASE)
_ROUTINE = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b.*\bLANGUAGE\s+plpgsql\b",
    re.IGNORECASE | re.DOTALL,
)
_TRIGGER = re.compile(r"\bRETURNS\s+trigger\b", re.IGNORECASE)
_DEFINER = re.compile(r"\bSECURITY\s+DEFINER\b", re.IGNORECASE)
_QUOTED_BODY = re.compile(r"(?P<quote>\$\w*\$)(?P<body>.*)(?P=quote)", re.DOTALL)


def body_of(text: str) -> str:
    """The body of a function that is written in SQL; empty for any other."""
    found = _body(text)
    return found["body"] if found else ""


def is_in_plpgsql(text: str) -> bool:
    """Whether a statement makes a function or a procedure in PL/pgSQL."""
    return _ROUTINE.match(text) is not None


def in_plpgsql(text: str) -> str:
    """CREATE FUNCTION with its SQL body in PL/pgSQL."""
    tree = cast("ast.CreateFunctionStmt", parser.parse_sql(text)[0].stmt)
    found = _body(text)
    assert found  # noqa: S101 - it was asked whether there is one
    head = _LANGUAGE.sub("LANGUAGE plpgsql", text[: found.start()], count=1)
    returns = tree.returnType
    simple = isinstance(tree.sql_body, ast.ReturnStmt)
    body = _value(tree, found["body"]) if simple else _statements(tree, found["body"])
    declared = "" if simple or returns is None or _names(tree) else _declared(returns)
    return (
        f"{head}AS $harness$\n#variable_conflict use_column\n{declared}BEGIN\n{body}\nEND $harness$"
    )


def for_a_cluster(text: str, tenancy: Tenancy, relations: Relations) -> str:
    """CREATE FUNCTION in PL/pgSQL, which asks once, with statements that Citus can have."""
    text = with_tenant(text, tenancy.column, relations, _whose(text, tenancy))
    found = _QUOTED_BODY.search(text)
    assert found  # noqa: S101 - it was asked whether there is one
    body = returning(searched(found["body"]))
    return text[: found.start("body")] + body + text[found.end("body") :]


def _whose(text: str, tenancy: Tenancy) -> Whose:
    """Whose a query of the function is: of a trigger, the row's; of any other, who it asks for."""
    head, quote, body = text.partition("$")
    if _TRIGGER.search(head):
        return lambda query: row_tenant(query, tenancy.column)
    if _DEFINER.search(head):
        return lambda _: ""
    body = quote + body
    tenant = _TENANT if f"{_TENANT} CONSTANT" in body else _given(head, body, tenancy)
    return lambda _: tenant


def whose_function(definition: str, tenancy: Tenancy) -> str:
    """Whose the queries of a function are, as it is written where the body begins: who it asks for
    or the one parameter that says so; empty where neither is known."""
    head, quote, body = definition.partition("$")
    body = quote + body
    if f"{_TENANT} CONSTANT" in body:
        return tenancy.current_tenant
    return _given(head, body, tenancy) or _row_given(head, body, tenancy)


def _row_given(head: str, body: str, tenancy: Tenancy) -> str:
    """The tenant of the one row that is a parameter, if the body holds tenants against it."""
    column = re.escape(tenancy.column)
    held = set(re.findall(rf"(?<=\.){column} = (\w+)\.{column}\b", body))
    rows = {name for name in held if re.search(rf"[(,]\s*{name}\s+\w+\.\w+", head)}
    return f"{rows.pop()}.{tenancy.column}" if len(rows) == 1 else ""


def planned_anew(text: str) -> str:
    """CREATE FUNCTION whose queries are planned with the values that they are called with.

    Citus tells a shard by them; a plan that is made without ends the server (seen with 13.2.2).
    """
    found = _QUOTED_BODY.search(text)
    head = text[: found.start()] if found else text
    return _GENERIC.sub("", head) + text[len(head) :]


def asking_once(text: str, tenancy: Tenancy) -> str:
    """CREATE FUNCTION in PL/pgSQL that asks for its tenant as it begins and not in its queries, and
    for the time, where it updates something.

    A trigger runs where data are loaded, too, and there is no tenant then. A function that names
    a tenant itself may have several: it and any other text stay as they are.
    """
    found = _QUOTED_BODY.search(text)
    if found is None or not is_in_plpgsql(text) or _names_tenant(found["body"], tenancy):
        return text
    is_trigger = _TRIGGER.search(text[: found.start()])
    tenant = _if_any(tenancy) if is_trigger else tenancy.current_tenant
    body = found["body"]
    if tenant:
        asked = re.escape(tenancy.current_tenant)
        body = _with_variable(body, asked, f"{_TENANT} CONSTANT {tenancy.type} := {tenant}")
    if _UPDATE.search(body) and not _COMMIT.search(body):
        body = _with_variable(body, _ASKED_TIME, f"{_MOMENT} CONSTANT timestamptz := now()")
    return text[: found.start("body")] + body + text[found.end("body") :]


def _names_tenant(body: str, tenancy: Tenancy) -> bool:
    setter = re.search(r"[\w.]+(?=\s*\()", tenancy.set_tenant)
    return tenancy.setting in body or (setter is not None and setter[0] in body)


def _given(head: str, body: str, tenancy: Tenancy) -> str:
    """The one parameter that the body holds tenants against; empty where there is none."""
    column = re.escape(tenancy.column)
    held = set(re.findall(rf"(?<=\.){column} = (\w+)\b(?!\s*[.(])", body))
    parameters = {name for name in held if re.search(rf"[(,]\s*{name}\s+{tenancy.type}\b", head)}
    return parameters.pop() if len(parameters) == 1 else ""


def _if_any(tenancy: Tenancy) -> str:
    """The tenant, NULL where there is none; empty where that cannot be asked."""
    if tenancy.claim or tenancy.by_role:
        return ""
    return f"nullif(current_setting('{tenancy.setting}', true), '')::{tenancy.type}"


def _with_variable(body: str, asked: str, declared: str) -> str:
    """A body in which a variable stands for what it asked for."""
    name = declared.split()[0]
    pattern = re.compile(f"{UNTOUCHED}|(?P<asked>{asked})", re.DOTALL)
    if not any(found["asked"] for found in pattern.finditer(body)):
        return body
    replaced = pattern.sub(lambda found: name if found["asked"] else found[0], body)
    return declaring(replaced, declared) or body


def _body(text: str) -> re.Match[str] | None:
    """Its place; a text is one of SQL where the language is named before it."""
    if found := _TEXT.search(text):
        return found if _LANGUAGE.search(text, 0, found.start()) else None
    return _ATOMIC.search(text) or _RETURN.search(text)


def _names(tree: ast.CreateFunctionStmt) -> list[str]:
    """The columns that it answers with, where they have names."""
    return [f'"{p.name}"' for p in tree.parameters or () if p.mode in _OUT]


def _declared(returns: Any) -> str:
    if _is_void(returns):
        return ""
    printed = RawStream()(returns)  # type: ignore[no-untyped-call]
    return f"DECLARE {_ANSWER} {re.sub(r'(?i)^SETOF ', '', printed)};\n"


def _is_void(returns: Any) -> bool:
    return bool(returns) and str(returns.names[-1].sval) == "void"


def _value(tree: ast.CreateFunctionStmt, expression: str) -> str:
    """A body that is one expression."""
    done = "PERFORM" if _is_void(tree.returnType) else "RETURN"
    return f"    {done} ({expression.strip()});"


def _statements(tree: ast.CreateFunctionStmt, body: str) -> str:
    *before, last = (text.strip() for text in cast("list[str]", parser.split(body)))
    return "\n".join([*map(_done, before), _answer(tree, last)])


def _done(text: str) -> str:
    """A statement for what it does."""
    if isinstance(parser.parse_sql(text)[0].stmt, ast.SelectStmt):
        return f"PERFORM * FROM ({text}) AS done;"
    return f"{text};"


def _answer(tree: ast.CreateFunctionStmt, text: str) -> str:
    """The last statement, for its rows."""
    returns, names = tree.returnType, _names(tree)
    if _is_void(returns):
        return _done(text)
    into = ", ".join(names) or _ANSWER
    if returns is not None and returns.setof:
        each = "RETURN NEXT;" if names else f"RETURN NEXT {_ANSWER};"
        return f"FOR {into} IN\n{text}\nLOOP\n    {each}\nEND LOOP;"
    return f"{text}\nINTO {into};\nRETURN{'' if names else f' {_ANSWER}'};"
