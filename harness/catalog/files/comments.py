"""COMMENT ON: the data dictionary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pglast.enums import ObjectType

from harness.catalog.files import names
from harness.catalog.files.draft import Draft, missing
from harness.catalog.files.statements import Statement

Reader = Callable[[Any, Statement, Draft], None]


def read(node: Any, statement: Statement, draft: Draft) -> None:
    """Keeps the comment where the model has a place for it, and checks that its object exists."""
    reader = _READERS.get(node.objtype)
    if reader is None:
        kind = node.objtype.name.removeprefix("OBJECT_").lower()
        message = f"COMMENT ON a {kind} is not known here; leave it out"
        statement.refuse("opaque", kind, message)
    reader(node, statement, draft)


def _on_relation(node: Any, statement: Statement, draft: Draft) -> None:
    name = names.of_strings(node.object)
    if name in draft.views:
        draft.views[name] = replace(draft.views[name], comment=node.comment)
    else:
        draft.table(name, statement)
        draft.change(name, comment=node.comment)


def _on_column(node: Any, statement: Statement, draft: Draft) -> None:
    name, column = names.of_strings(node.object[:-1]), node.object[-1].sval
    if name in draft.views or name in draft.other_types:
        return
    table = draft.table(name, statement)
    draft.require_columns(table, [column], statement)
    commented = replace(table.columns[column], comment=node.comment)
    draft.change(name, columns={**table.columns, column: commented})


def _on_index(node: Any, statement: Statement, draft: Draft) -> None:
    name = names.of_strings(node.object)
    if name not in draft.indexes:
        missing("index", name, statement)
    table = draft.tables.get(draft.indexes[name])
    if table is not None:
        indexes = tuple(
            replace(index, comment=node.comment) if index.name == name.name else index
            for index in table.indexes
        )
        draft.change(table.name, indexes=indexes)


def _on_function(node: Any, statement: Statement, draft: Draft) -> None:
    key = draft.function(node.object, statement)
    draft.functions[key] = replace(draft.functions[key], comment=node.comment)


def _on_domain(node: Any, statement: Statement, draft: Draft) -> None:
    name = names.of_strings(node.object.names)
    draft.domains[name] = replace(draft.domain(name, statement), comment=node.comment)


def _on_domain_constraint(node: Any, statement: Statement, draft: Draft) -> None:
    draft.domain(names.of_strings(node.object[0].names), statement)


def _on_type(node: Any, statement: Statement, draft: Draft) -> None:
    name = names.of_strings(node.object.names)
    if name not in draft.enums and name not in draft.other_types:
        missing("type", name, statement)


def _on_schema(node: Any, statement: Statement, draft: Draft) -> None:
    draft.require_schema(node.object.sval, statement)


def _on_extension(node: Any, statement: Statement, draft: Draft) -> None:
    if node.object.sval not in draft.extensions:
        missing("extension", node.object.sval, statement)


def _on_statistics(node: Any, statement: Statement, draft: Draft) -> None:
    name = names.of_strings(node.object)
    if name not in draft.statistics:
        missing("statistics", name, statement)


def _part_of_table(kind: str, parts: str) -> Reader:
    """A reader for what has no name of its own outside a table."""

    def read_part(node: Any, statement: Statement, draft: Draft) -> None:
        table = draft.table(names.of_strings(node.object[:-1]), statement)
        name = node.object[-1].sval
        if all(part.name != name for part in getattr(table, parts)):
            missing(kind, f"{name} on {table.name}", statement)

    return read_part


_READERS: dict[ObjectType, Reader] = {
    ObjectType.OBJECT_TABLE: _on_relation,
    ObjectType.OBJECT_VIEW: _on_relation,
    ObjectType.OBJECT_MATVIEW: _on_relation,
    ObjectType.OBJECT_COLUMN: _on_column,
    ObjectType.OBJECT_INDEX: _on_index,
    ObjectType.OBJECT_FUNCTION: _on_function,
    ObjectType.OBJECT_PROCEDURE: _on_function,
    ObjectType.OBJECT_DOMAIN: _on_domain,
    ObjectType.OBJECT_DOMCONSTRAINT: _on_domain_constraint,
    ObjectType.OBJECT_TYPE: _on_type,
    ObjectType.OBJECT_SCHEMA: _on_schema,
    ObjectType.OBJECT_EXTENSION: _on_extension,
    ObjectType.OBJECT_STATISTIC_EXT: _on_statistics,
    ObjectType.OBJECT_POLICY: _part_of_table("policy", "policies"),
    ObjectType.OBJECT_TRIGGER: _part_of_table("trigger", "triggers"),
    ObjectType.OBJECT_TABCONSTRAINT: _part_of_table("constraint", "constraints"),
}
