"""What Citus cannot have of what stands in the files, and why: such a statement is left out.

A foreign key may be, and a trigger; whoever deploys is told. The rows stay the tenant's without
them. Anything else that Citus refuses ends the deployment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from harness.catalog.model import Name
from harness.db import Connection
from harness.deploy.script import Statement, Transition

KEY = (
    "Citus 13 adds a key to a distributed table as NOT VALID, which PostgreSQL 17 does not do for "
    "a partitioned one"
)
TRIGGER = (
    "a trigger that reads the changed rows beside tables is given the shards in place of these, "
    "whose rows are not of the type that a function takes: write ROW(alias.*)::schema.table"
)
LANGUAGE = (
    "on a shard the changed rows are not to be had in a query of distributed tables, and only a "
    "trigger in PL/pgSQL is given the shards in place of these"
)
_NOT_VALID = "cannot add NOT VALID foreign key on partitioned table"
_COMMENT = re.compile(r"--[^\n]*")
_QUALIFIED = re.compile(r"\b[a-z_]\w*\.[a-z_]\w*\b", re.IGNORECASE)
_PIECES = re.compile(r";|\bLOOP\b", re.IGNORECASE)
_EXECUTE = re.compile(r"\bEXECUTE\b", re.IGNORECASE)
_ALIAS = re.compile(r"\b(?:FROM|JOIN|UPDATE)\s+[\w.]+\s+(?:AS\s+)?(\w+)", re.IGNORECASE)
_ARGUMENTS = r"\s*\((?:[^()]|\([^()]*\))*\)"
_BODY = """
SELECT p.prosrc, l.lanname = 'plpgsql' FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_language AS l ON l.oid = p.prolang
WHERE (n.nspname, p.proname) = (%s, %s)
"""
_TAKE_ROWS = """
SELECT DISTINCT n.nspname || '.' || p.proname FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_type AS t ON t.oid = ANY (p.proargtypes)
JOIN pg_class AS c ON c.oid = t.typrelid AND c.relkind IN ('r', 'p')
WHERE n.nspname || '.' || p.proname = ANY (%s)
"""
_ARE_TABLES = """
SELECT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
               WHERE c.relkind IN ('r', 'p', 'v') AND n.nspname || '.' || c.relname = ANY (%s))
"""
_VIEWS = """
SELECT n.nspname, c.relname, pg_get_viewdef(c.oid)
FROM unnest(%s::text[]) AS w (name)
JOIN pg_class AS c ON c.relname = split_part(w.name, '.', 2) AND c.relkind = 'v'
JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = split_part(w.name, '.', 1)
WHERE EXISTS (SELECT FROM unnest(c.reloptions) AS o (said)
              WHERE o.said IN ('security_invoker=true', 'security_invoker=on'))
"""


def of_trigger(connection: Connection, statement: Statement) -> str | None:
    """Why a trigger cannot be had, before it is made."""
    transition = statement.transition
    if transition is None:
        return None
    for body, is_plpgsql in connection.execute(_BODY, list(transition.function)).fetchall():
        if _are_tables(connection, set(read_beside(body, transition))):
            if not is_plpgsql:
                return LANGUAGE
            taking = connection.execute(_TAKE_ROWS, [sorted(named(body))])
            if passes_row(body, [name for (name,) in taking]):
                return TRIGGER
    return None


def reads_tables(connection: Connection, body: str) -> bool:
    """Whether the body of a function names tables or views."""
    return _are_tables(connection, named(body))


def views(connection: Connection, names: set[str]) -> dict[Name, str]:
    """Queries of those that are views which read as whoever asks, and of views in these."""
    found: dict[Name, str] = {}
    while names:
        rows = connection.execute(_VIEWS, [sorted(names)]).fetchall()
        more = {Name(schema, view): query for schema, view, query in rows}
        names = {name for query in more.values() for name in named(query)} - set(map(str, found))
        names -= set(map(str, more))
        found |= more
    return found


def named(body: str) -> set[str]:
    """The qualified names in a text."""
    return set(_QUALIFIED.findall(_COMMENT.sub("", body)))


def passes_row(body: str, functions: Iterable[str]) -> bool:
    """Whether a call of one of these has a whole row of a table in it, as the table's alias."""
    text = _COMMENT.sub("", body)
    row = re.compile(rf"(?<![\w.'])(?:{_any(_ALIAS.findall(text))})(?!\s*[\w.('])")
    calls = re.finditer(rf"\b(?:{_any(functions)}){_ARGUMENTS}", text)
    return any(row.search(call[0]) for call in calls)


def _any(words: Iterable[str]) -> str:
    """A pattern for any of the words; for nothing where there is none."""
    return "|".join(map(re.escape, sorted(set(words)))) or "(?!)"


def _are_tables(connection: Connection, names: set[str]) -> bool:
    return connection.execute(_ARE_TABLES, [sorted(names)]).fetchone() == (True,)


def of_key(statement: Statement, message: str) -> str | None:
    """Why a foreign key cannot be had, for what Citus said to it."""
    return KEY if statement.adds_key and _NOT_VALID in message else None


def read_beside(body: str, transition: Transition) -> Iterator[str]:
    """Qualified names that stand in one statement of a function with the changed rows; in one
    that puts statements together, anywhere."""
    changed = re.compile(rf"\b({'|'.join(map(re.escape, transition.tables))})\b")
    text = _COMMENT.sub("", body)
    for piece in [text] if _EXECUTE.search(text) else _PIECES.split(text):
        if changed.search(piece):
            yield from _QUALIFIED.findall(piece)
