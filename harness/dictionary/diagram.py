"""Entity-relationship diagrams: Mermaid for an area, Graphviz for a schema and for the whole.

References to the table of tenants, which every table has, are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from harness.catalog.model import Constraint, Name, Table
from harness.config import Tenancy
from harness.dictionary.areas import Area

_HEAD = """digraph "{name}" {{
  graph [rankdir=LR, ranksep=0.8, nodesep=0.15, fontname="Helvetica", fontsize=16, style=rounded,
         color="#8c959f", bgcolor=white, tooltip="{name}"];
  node [shape=box, style="rounded,filled", fillcolor="#f6f8fa", color="#57606a",
        fontname="Helvetica", fontsize=11, height=0.3];
  edge [color="#57606a", arrowsize=0.6, fontname="Helvetica", fontsize=9];
"""


@dataclass(frozen=True, slots=True)
class Relation:
    """A foreign key: from a table to the one that it refers to."""

    table: Name
    columns: tuple[str, ...]
    """Without the tenant."""
    parent: Name
    optional: bool
    """Whether a column may be NULL."""
    single: bool
    """Whether at most one row refers to a parent."""


def relations(tables: Iterable[Table], tenancy: Tenancy) -> Iterator[Relation]:
    """The foreign keys of tables, but for those to the table of tenants."""
    root = Name.parse(tenancy.root_table)
    for table in tables:
        for key in table.foreign_keys:
            if key.references is not None and key.references != root:
                yield _relation(table, key, key.references, tenancy.column)


def mermaid(area: Area, tenancy: Tenancy) -> str:
    """The tables of an area and those that they refer to, as a Mermaid erDiagram."""
    lines = [f'    "{table.name}"' for table in area.tables]
    for relation in relations(area.tables, tenancy):
        parent, child = "|o" if relation.optional else "||", "o|" if relation.single else "o{"
        label = " ".join(relation.columns)
        lines.append(f'    "{relation.parent}" {parent}--{child} "{relation.table}" : "{label}"')
    return "\n".join(("erDiagram", *lines))


def of_schema(schema: str, areas: Iterable[Area], tenancy: Tenancy) -> str:
    """A schema in the DOT language: a box around each area, tables of other schemas dashed."""
    own = [area for area in areas if area.schema == schema]
    known = {table.name for area in own for table in area.tables}
    edges = [r for area in own for r in relations(area.tables, tenancy)]
    lines = [line for area in own for line in _cluster(area)]
    foreign = dict.fromkeys(edge.parent for edge in edges if edge.parent not in known)
    lines += [f'  {_quoted(name)} [style="rounded,dashed"];' for name in foreign]
    lines += [_edge(edge) for edge in edges]
    return "\n".join((_HEAD.format(name=schema), *lines, "}", ""))


def overview(areas: Collection[Area], tenancy: Tenancy) -> str:
    """The schemas in the DOT language, an arrow with a count where tables of one refer to those of
    another."""
    known = {table.name for area in areas for table in area.tables}
    counted = Counter(
        (relation.table.schema, relation.parent.schema)
        for area in areas
        for relation in relations(area.tables, tenancy)
        if relation.parent in known and relation.table.schema != relation.parent.schema
    )
    schemas = dict.fromkeys(area.schema for area in areas)
    lines = [_node(schema, [area for area in areas if area.schema == schema]) for schema in schemas]
    lines += [
        f'  {_quoted(one)} -> {_quoted(other)} [label="{count}"];'
        for (one, other), count in counted.items()
    ]
    return "\n".join((_HEAD.format(name="overview"), *lines, "}", ""))


def _relation(table: Table, key: Constraint, parent: Name, tenant: str) -> Relation:
    columns = tuple(column for column in key.columns if column != tenant)
    uniques = (set(c.columns) for c in table.constraints if c.kind in ("primary key", "unique"))
    return Relation(
        table=table.name,
        columns=columns,
        parent=parent,
        optional=not all(table.columns[column].not_null for column in columns),
        single=any(unique <= {*key.columns, tenant} for unique in uniques),
    )


def _cluster(area: Area) -> Iterator[str]:
    yield f'  subgraph "cluster_{area.name}" {{ label={_quoted(area.title)};'
    for table in area.tables:
        tip = _quoted(table.comment or str(table.name))
        yield f"    {_quoted(table.name)} [label={_quoted(table.name.name)}, tooltip={tip}];"
    yield "  }"


def _node(schema: str, areas: Collection[Area]) -> str:
    tables = sum(len(area.tables) for area in areas)
    label = f"{schema}\n{tables} tables, {len(areas)} areas"
    return f"  {_quoted(schema)} [label={_quoted(label)}];"


def _edge(relation: Relation) -> str:
    style = ', style="dashed"' if relation.optional else ""
    tip = _quoted(f"{relation.table} ({', '.join(relation.columns)})")
    ends = f"{_quoted(relation.table)} -> {_quoted(relation.parent)}"
    return f"  {ends} [tooltip={tip}{style}];"


def _quoted(text: object) -> str:
    """A string of the DOT language."""
    escaped = " ".join(str(text).split(" ")).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n") + '"'
