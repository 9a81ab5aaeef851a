"""The system catalogs as they would answer after the statements read so far.

Names stand for object identifiers, so that the joins that migrations write hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.catalog.files.draft import Draft
from harness.catalog.model import Name, Table

Row = Mapping[str, Any]


def relation(draft: Draft) -> Callable[[str], list[Row] | None]:
    """The rows of a system catalog by its qualified name; None for one that is not kept here."""

    def rows_of(name: str) -> list[Row] | None:
        reader = _RELATIONS.get(name)
        return None if reader is None else list(reader(draft))

    return rows_of


def _tables(draft: Draft) -> Iterator[Row]:
    for name, table in draft.tables.items():
        yield {
            "schemaname": name.schema,
            "tablename": name.name,
            "rowsecurity": table.row_security,
        }


def _standard_tables(draft: Draft) -> Iterator[Row]:
    for kind, names in (("BASE TABLE", draft.tables), ("VIEW", draft.views)):
        for name in names:
            yield {"table_schema": name.schema, "table_name": name.name, "table_type": kind}


def _standard_columns(draft: Draft) -> Iterator[Row]:
    for name, table in draft.tables.items():
        for column in table.columns.values():
            yield {
                "table_schema": name.schema,
                "table_name": name.name,
                "column_name": column.name,
                "data_type": column.type.partition("(")[0],
                "is_nullable": "NO" if column.not_null else "YES",
            }


def _classes(draft: Draft) -> Iterator[Row]:
    for name, table in draft.tables.items():
        yield {
            **_class(name, "p" if table.partition_by else "r"),
            "relrowsecurity": table.row_security,
            "relforcerowsecurity": table.force_row_security,
            "relispartition": table.partition_of is not None,
        }
    for name, view in draft.views.items():
        yield _class(name, "m" if view.materialized else "v")
    yield from (_class(name, "i") for name in draft.indexes)
    yield from (_class(name, "S") for name in draft.sequences)


def _class(name: Name, kind: str) -> Row:
    return {"oid": str(name), "relname": name.name, "relnamespace": name.schema, "relkind": kind}


def _attributes(draft: Draft) -> Iterator[Row]:
    for name, table in draft.tables.items():
        for number, column in enumerate(table.columns.values(), 1):
            yield {
                "attrelid": str(name),
                "attname": column.name,
                "attnum": number,
                "attisdropped": False,
                "attnotnull": column.not_null,
            }


def _policies(draft: Draft) -> Iterator[Row]:
    for name, policy in _parts(draft, "policies"):
        yield {"schemaname": name.schema, "tablename": name.name, "policyname": policy.name}


def _policy_objects(draft: Draft) -> Iterator[Row]:
    for name, policy in _parts(draft, "policies"):
        yield {"polname": policy.name, "polrelid": str(name)}


def _triggers(draft: Draft) -> Iterator[Row]:
    for name, trigger in _parts(draft, "triggers"):
        yield {"tgname": trigger.name, "tgrelid": str(name), "tgisinternal": False}


_KINDS = {"primary key": "p", "unique": "u", "foreign key": "f", "check": "c", "exclude": "x"}


def _constraints(draft: Draft) -> Iterator[Row]:
    for name, constraint in _parts(draft, "constraints"):
        yield {
            "conname": constraint.name,
            "conrelid": str(name),
            "connamespace": name.schema,
            "contype": _KINDS[constraint.kind],
        }


def _standard_constraints(draft: Draft) -> Iterator[Row]:
    for name, constraint in _parts(draft, "constraints"):
        yield {
            "constraint_name": constraint.name,
            "constraint_schema": name.schema,
            "table_schema": name.schema,
            "table_name": name.name,
            "constraint_type": constraint.kind.upper(),
        }


def _indexes(draft: Draft) -> Iterator[Row]:
    for index, table in draft.indexes.items():
        yield {"schemaname": index.schema, "tablename": table.name, "indexname": index.name}


def _types(draft: Draft) -> Iterator[Row]:
    for name in (*draft.enums, *draft.domains, *draft.other_types):
        yield {"oid": str(name), "typname": name.name, "typnamespace": name.schema}


def _functions(draft: Draft) -> Iterator[Row]:
    for key, function in draft.functions.items():
        yield {
            "oid": function.signature,
            "proname": key[0].name,
            "pronamespace": key[0].schema,
            "prosrc": draft.definitions.get(function.signature, ""),
            "types": key[1],
        }


def _namespaces(draft: Draft) -> Iterator[Row]:
    for schema in dict.fromkeys(("public", *draft.schemas)):
        yield {"oid": schema, "nspname": schema}


def _schemata(draft: Draft) -> Iterator[Row]:
    yield from ({"schema_name": row["nspname"]} for row in _namespaces(draft))


def _parts(draft: Draft, kind: str) -> Iterator[tuple[Name, Any]]:
    tables: Iterator[Table] = iter(draft.tables.values())
    for table in tables:
        yield from ((table.name, part) for part in getattr(table, kind))


def _rules(draft: Draft) -> Iterator[Row]:
    named = {(rule.table, rule.name) for rule in draft.rewrite_rules}
    for table, name in named | draft.idle_rules:
        yield {"schemaname": table.schema, "tablename": table.name, "rulename": name}


def _views(draft: Draft) -> Iterator[Row]:
    for name in draft.views:
        yield {"schemaname": name.schema, "viewname": name.name}


_RELATIONS: dict[str, Callable[[Draft], Iterator[Row]]] = {
    "information_schema.columns": _standard_columns,
    "information_schema.schemata": _schemata,
    "information_schema.table_constraints": _standard_constraints,
    "information_schema.tables": _standard_tables,
    "pg_catalog.pg_attribute": _attributes,
    "pg_catalog.pg_class": _classes,
    "pg_catalog.pg_constraint": _constraints,
    "pg_catalog.pg_indexes": _indexes,
    "pg_catalog.pg_namespace": _namespaces,
    "pg_catalog.pg_policies": _policies,
    "pg_catalog.pg_policy": _policy_objects,
    "pg_catalog.pg_proc": _functions,
    "pg_catalog.pg_rules": _rules,
    "pg_catalog.pg_tables": _tables,
    "pg_catalog.pg_trigger": _triggers,
    "pg_catalog.pg_type": _types,
    "pg_catalog.pg_views": _views,
}
