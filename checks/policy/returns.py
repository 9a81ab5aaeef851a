"""What functions without arguments return, where that is one expression."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pglast import ast, parse_plpgsql
from pglast.parser import ParseError

from harness.catalog.files.expressions import deparse
from harness.catalog.parsing import parse_sql
from harness.catalog.source import Source

_CLAIMS = "nullif(current_setting('request.jwt.claims', true), '')::jsonb"
_PLATFORM = {
    "auth.jwt": _CLAIMS,
    "auth.uid": f"nullif({_CLAIMS} ->> 'sub', '')::uuid",
    "auth.role": f"nullif({_CLAIMS} ->> 'role', '')",
    "auth.email": f"nullif({_CLAIMS} ->> 'email', '')",
}
"""What Supabase's functions return, which come with the platform and stand in no file."""


def bodies(source: Source) -> dict[str, str]:
    """The expressions of functions without arguments, by qualified and by bare name."""
    found: dict[str, str] = dict(_PLATFORM)
    for function in source.catalog.functions:
        if function.returns == "trigger":
            continue  # no expression can call it
        reader = {"sql": _expression, "plpgsql": _returned}.get(function.language)
        if reader is not None and function.signature.endswith("()"):
            body = reader(source.definitions.get(function.signature, ""))
            if body is not None:
                found[str(function.name)] = body
                found.setdefault(function.name.name, body)
    return found


@lru_cache(maxsize=4096)
def _returned(definition: str) -> str | None:
    """What a function in PL/pgSQL returns whose body is one RETURN."""
    try:
        (parsed,) = parse_plpgsql(definition)
    except (ParseError, ValueError):
        return None
    block = parsed["PLpgSQL_function"]["action"]["PLpgSQL_stmt_block"]
    steps = [step for step in block.get("body", ()) if step.get("PLpgSQL_stmt_return")]
    alone = len(steps) == 1 == len([s for s in block["body"] if s != {"PLpgSQL_stmt_return": {}}])
    if not alone or "exceptions" in block or "expr" not in steps[0]["PLpgSQL_stmt_return"]:
        return None
    return str(steps[0]["PLpgSQL_stmt_return"]["expr"]["PLpgSQL_expr"]["query"])


@lru_cache(maxsize=4096)
def _expression(definition: str) -> str | None:
    """What a function returns, where it is one expression."""
    try:
        (statement,) = parse_sql(definition)
    except (ParseError, ValueError):
        return None
    node: Any = statement.stmt
    if isinstance(node.sql_body, ast.ReturnStmt):
        return deparse(node.sql_body.returnval)
    texts = [o.arg[0].sval for o in node.options or () if o.defname == "as"]
    return _selected(texts[0]) if texts else None


def _selected(body: str) -> str | None:
    """The expression of SELECT expression."""
    try:
        (statement,) = parse_sql(body)
    except (ParseError, ValueError):
        return None
    query: Any = statement.stmt
    plain = isinstance(query, ast.SelectStmt) and not query.fromClause and not query.whereClause
    return deparse(query.targetList[0].val) if plain and query.targetList else None
