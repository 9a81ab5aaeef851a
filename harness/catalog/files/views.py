"""CREATE VIEW and CREATE MATERIALIZED VIEW."""

from __future__ import annotations

import re
from typing import Any

from pglast.enums import ObjectType, ViewCheckOption

from harness.catalog.files import names
from harness.catalog.files.draft import Draft
from harness.catalog.files.expressions import walk
from harness.catalog.files.statements import Statement
from harness.catalog.model import View

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
        grants=replaced.grants if replaced else (),
        location=statement.location(),
    )


def create_materialized(node: Any, statement: Statement, draft: Draft) -> None:
    """Adds the materialized view; CREATE TABLE AS, which copies rows, is refused."""
    name = names.of_relation(node.into.rel)
    if node.objtype != ObjectType.OBJECT_MATVIEW:
        message = "CREATE TABLE AS copies rows without row security; write CREATE TABLE"
        statement.refuse("opaque", name, message)
    draft.declare_relation(name, statement)
    draft.resolve(walk(node.query), statement)
    draft.views[name] = View(
        name=name, query=_query(statement), materialized=True, location=statement.location()
    )


def value_of(option: Any) -> str:
    """`true` for an option without a value; on, yes and 1 mean the same."""
    if option.arg is None:
        return "true"
    written = str(getattr(option.arg, "sval", None) or getattr(option.arg, "ival", "")).lower()
    return {"on": "true", "yes": "true", "1": "true"}.get(written, written)


def _query(statement: Statement) -> str:
    text = statement.file.text[statement.after("AS") : statement.stop]
    return _TAIL.sub("", text).strip()
