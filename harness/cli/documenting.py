"""harness schema docs, erd and diff: what a schema says of itself, in its files and a database."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from checks import static
from checks.drift import drift
from harness.catalog import files, live, live_source
from harness.catalog.model import Name
from harness.catalog.source import Source
from harness.cli.options import (
    ConfigFile,
    Context,
    Database,
    Dsn,
    NoColor,
    Output,
    SchemaDir,
    context,
    write,
)
from harness.config import Settings, Tenancy, server_dsn
from harness.db import Connection, connect
from harness.dictionary import diagram, drawing, pages
from harness.dictionary.areas import Area, areas
from harness.errors import UsageError
from harness.report import text
from harness.verdict import Verdict


class Format(StrEnum):
    """What a diagram can be written as."""

    SVG = "svg"
    DOT = "dot"
    MERMAID = "mermaid"


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of a schema; row estimates only of a database."""

    areas: tuple[Area, ...]
    tenancy: Tenancy
    rows: Mapping[Name, int]


def docs(
    directory: Annotated[Path, typer.Argument(help="Where the pages go.", file_okay=False)] = Path(
        "docs/schema"
    ),
    dsn: Dsn = None,
    database: Database = None,
    schema_dir: SchemaDir = None,
    config: ConfigFile = None,
) -> None:
    """Write the data dictionary as Markdown: from the SQL files, or a database with --dsn."""
    read = _read(context(dsn=dsn, database=database, schema_dir=schema_dir, config=config))
    found = pages.pages(read.areas, read.tenancy, read.rows)
    try:
        pages.write(found, directory)
    except OSError as error:
        raise UsageError(f"{directory}: cannot be written: {error.strerror}") from None
    typer.echo(f"{len(found)} pages in {directory}")


def erd(
    schema: Annotated[
        str | None, typer.Argument(help="A schema.", show_default="an overview of all")
    ] = None,
    format: Annotated[Format, typer.Option(help="What to write.")] = Format.SVG,
    output: Output = None,
    dsn: Dsn = None,
    database: Database = None,
    schema_dir: SchemaDir = None,
    config: ConfigFile = None,
) -> None:
    """Draw the tables of a schema and their references, or how all schemas refer to each other."""
    read = _read(context(dsn=dsn, database=database, schema_dir=schema_dir, config=config))
    known = sorted({area.schema for area in read.areas})
    if schema is not None and schema not in known:
        raise UsageError(f"there is no schema {schema}; there are {', '.join(known)}")
    write(_drawn(read, schema, format), output)


def diff(
    dsn: Dsn = None,
    database: Database = None,
    schema_dir: SchemaDir = None,
    config: ConfigFile = None,
    no_color: NoColor = False,
) -> None:
    """Tell where a database differs from the files, policies and grants included; 1 if it does."""
    ctx = context(
        dsn=dsn, database=database, schema_dir=schema_dir, config=config, no_color=no_color
    )
    _, written = _written(ctx.settings)
    with _reading(ctx) as connection:
        found = drift(written, live_source.read(connection), ctx.settings.roles.owner)
    verdict = Verdict(tuple(found), fail_on="info")
    color = sys.stdout.isatty() and not ctx.console.no_color
    write(text.render(verdict, f"{len(written.catalog.tables)} tables", color=color), None)
    raise typer.Exit(1 if verdict.failed else 0)


def _drawn(read: _Read, schema: str | None, format: Format) -> str:
    if format is Format.MERMAID:
        own = (area for area in read.areas if schema in (None, area.schema) and area.tables)
        return "\n".join(diagram.mermaid(area, read.tenancy) for area in own) + "\n"
    if schema is None:
        dot = diagram.overview(read.areas, read.tenancy)
    else:
        dot = diagram.of_schema(schema, read.areas, read.tenancy)
    return drawing.svg(dot) if format is Format.SVG else dot


def _read(ctx: Context) -> _Read:
    """The database that a DSN names, else the files."""
    settings = ctx.settings
    if server_dsn(settings) is None:
        texts, written = _written(settings)
        return _Read(areas(written.catalog, texts), settings.tenancy, {})
    with _reading(ctx) as connection:
        found = areas(live.read(connection), {})
        return _Read(found, settings.tenancy, _estimates(connection))


def _written(settings: Settings) -> tuple[dict[str, str], Source]:
    """The files of the schema, path to text, and what they define."""
    texts = static.read_texts([settings.schema_dir])
    return texts, files.read(texts, settings.partition_functions)


@contextmanager
def _reading(ctx: Context) -> Iterator[Connection]:
    """The database, to be looked at alone."""
    with ctx.target() as target, connect(target.admin) as connection:
        connection.execute("SET TRANSACTION READ ONLY")
        yield connection


def _estimates(connection: Connection) -> dict[Name, int]:
    """Rows of each table as the planner estimates them, partitions together."""
    query = """
        SELECT n.nspname, c.relname, sum(greatest(leaf.reltuples, 0))::bigint
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL (
            SELECT p.reltuples
            FROM pg_partition_tree(c.oid) AS t JOIN pg_class AS p ON p.oid = t.relid
            WHERE t.isleaf
            UNION ALL
            SELECT c.reltuples WHERE c.relkind = 'r' AND NOT c.relispartition
        ) AS leaf
        WHERE c.relkind IN ('r', 'p')
        GROUP BY n.nspname, c.relname"""
    rows = connection.execute(query).fetchall()
    return {Name(schema, name): count for schema, name, count in rows}
