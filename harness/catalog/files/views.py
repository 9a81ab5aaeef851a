"""CREATE VIEW and CREATE MATERIALIZED VIEW."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from pglast import ast
from pglast.enums import ObjectType, ViewCheckOption

from harness.catalog.files import defaults, names
from harness.catalog.files.draft import Draft
from harness.catalog.files.expressions import walk
from harness.catalog.files.statements import Statement
from harness.catalog.model import Column, Grant, Name, Table, View

_VIEW_OPTIONS = ("security_invoker", "security_barrier", "check_option")
_TAIL = re.compile(
    r"\s+WITH\s+(?:(?:NO\s+)?DATA|(?:CASCADED\s+|LOCAL\s+)?CHECK\s+OPTION)\s*$", re.IGNORECASE
)


def create(node: Any, statement: Statement, draft: Draft) -> None:
    """Adds the view, or replaces it where OR REPLACE says so."""
    name = names.of_relation(node.view)
    replaced = draft.views.get(name) if node.replace else None
    if replaced is None:
        draft.declare_relation(name, statement)
    if node.view.relpersistence == "t":
        statement.refuse("opaque", name, "a temporary view is gone after the deploy; leave it out")
    draft.resolve(walk(node.query), statement)
    options = {option.defname: value_of(option) for option in node.options or ()}
    if unknown := sorted(options.keys() - set(_VIEW_OPTIONS)):
        statement.refuse("opaque", name, f"view option {unknown[0]} is not known here; drop it")
    if node.withCheckOption != ViewCheckOption.NO_CHECK_OPTION:
        options["check_option"] = node.withCheckOption.name.split("_")[0].lower()
    draft.views[name] = View(
        name=name,
        query=_query(statement),
        options=options,
        grants=replaced.grants if replaced else _granted(name, statement, draft),
        location=statement.location(),
    )


def create_materialized(node: Any, statement: Statement, draft: Draft) -> None:
    """Adds the materialized view; CREATE TABLE AS, which copies rows, is refused."""
    name = names.of_relation(node.into.rel)
    if node.into.rel.relpersistence == "t" or (node.if_not_exists and draft.knows(name)):
        return
    draft.declare_relation(name, statement)
    if node.objtype != ObjectType.OBJECT_MATVIEW:
        table_of_query(name, node.query, statement, draft)
        return
    draft.resolve(walk(node.query), statement)
    draft.views[name] = View(
        name=name,
        query=_query(statement),
        materialized=True,
        grants=_granted(name, statement, draft),
        location=statement.location(),
    )


def table_of_query(name: Name, query: Any, statement: Statement, draft: Draft) -> None:
    """CREATE TABLE AS and SELECT INTO: columns of the tables that are read, and nothing else of
    them; those that are computed are not known."""
    read = [
        draft.tables[names.of_relation(node)]
        for node in walk(query)
        if isinstance(node, ast.RangeVar) and names.of_relation(node) in draft.tables
    ]
    known = {key: column for table in read for key, column in table.columns.items()}
    columns: dict[str, Column] = {}
    for target in query.targetList or ():
        fields = getattr(target.val, "fields", ())
        if fields and isinstance(fields[-1], ast.A_Star):
            columns |= {key: replace(column, not_null=False) for key, column in known.items()}
        elif fields and fields[-1].sval in known:
            called = target.name or fields[-1].sval
            columns[called] = replace(known[fields[-1].sval], name=called, not_null=False)
    draft.tables[name] = Table(
        name=name,
        columns=columns,
        grants=_granted(name, statement, draft),
        location=statement.location(),
    )


def _granted(name: Name, statement: Statement, draft: Draft) -> tuple[Grant, ...]:
    return defaults.of_table(name, statement.location(), draft)


def value_of(option: Any) -> str:
    """`true` for an option without a value; on, yes and 1 mean the same."""
    if option.arg is None:
        return "true"
    written = str(getattr(option.arg, "sval", None) or getattr(option.arg, "ival", "")).lower()
    return {"on": "true", "yes": "true", "1": "true"}.get(written, written)


def _query(statement: Statement) -> str:
    text = statement.file.text[statement.after("AS") : statement.stop]
    return _TAIL.sub("", text).strip()
