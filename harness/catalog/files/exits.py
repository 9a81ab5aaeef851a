"""Ways by which rows leave their table: rewrite rules, publications, foreign tables."""

from __future__ import annotations

from typing import Any

from harness.catalog.files import names
from harness.catalog.files.draft import Draft
from harness.catalog.files.statements import Statement
from harness.catalog.model import Name
from harness.catalog.source import Publication, RewriteRule


def create_rule(node: Any, statement: Statement, draft: Draft) -> None:
    """CREATE RULE on a table; one on a view is how a view is written, and NOTHING does nothing."""
    relation = names.of_relation(node.relation)
    if relation not in draft.views and not node.actions:
        draft.table(relation, statement)
        draft.idle_rules.add((relation, node.rulename))
    elif relation not in draft.views:
        draft.table(relation, statement)
        draft.rewrite_rules.append(RewriteRule(node.rulename, relation, statement.location()))


def create_publication(node: Any, statement: Statement, draft: Draft) -> None:
    """CREATE PUBLICATION of tables, of schemas, or of all."""
    draft.publications += published(node, statement, draft)


def published(node: Any, statement: Statement, draft: Draft) -> list[Publication]:
    """What a statement about a publication names: tables, schemas, or all."""
    if node.for_all_tables:
        found = [(name, False) for name in draft.tables]
    else:
        found = [each for item in node.pubobjects or () for each in _published(item, draft)]
    return [
        Publication(node.pubname, table, filtered, statement.location())
        for table, filtered in found
    ]


def create_foreign_table(node: Any, statement: Statement, draft: Draft) -> None:
    """CREATE FOREIGN TABLE: a relation that cannot have row security."""
    name = names.of_relation(node.base.relation)
    draft.declare_relation(name, statement)
    draft.foreign_tables[name] = ()


def pass_over(_node: Any, _statement: Statement, _draft: Draft) -> None:
    """What says where foreign tables are; no row leaves by it alone."""


def _published(item: Any, draft: Draft) -> list[tuple[Name, bool]]:
    if item.pubtable is not None:
        return [(names.of_relation(item.pubtable.relation), item.pubtable.whereClause is not None)]
    return [(name, False) for name in draft.tables if name.schema in (item.name, None)]
