"""harness check --init: settings for a schema, proposed from its files or its database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from checks import static
from checks.proposal import inference, toml
from harness.catalog import files, live_source
from harness.catalog.source import Source
from harness.cli.options import Context, write
from harness.config import server_dsn
from harness.db import connect
from harness.errors import UsageError


def propose(ctx: Context, paths: Sequence[Path], output: Path | None) -> None:
    """Prints a harness.toml, or writes it to a file that is not there yet."""
    if output is not None and output.exists():
        raise UsageError(f"{output}: is there already; name another file with --output")
    proposal = inference.propose(_source(ctx, paths), ctx.settings.roles)
    if proposal is None:
        raise UsageError("no table was found to propose settings for; name SQL files or --dsn")
    write(toml.render(proposal), output)


def _source(ctx: Context, paths: Sequence[Path]) -> Source:
    """Files where they are named, else the server's database, else the files of the schema."""
    if paths or server_dsn(ctx.settings) is None:
        texts = static.read_texts(paths or [ctx.settings.schema_dir])
        return files.read(texts, ctx.settings.partition_functions)
    with ctx.target() as target, connect(target.admin) as connection:
        connection.execute("SET TRANSACTION READ ONLY")
        return live_source.read(connection)
