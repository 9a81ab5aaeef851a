"""What a fill that ended early left behind: figures and verdicts with it mean little."""

from __future__ import annotations

from rich.markup import escape

from harness.cli.options import Context
from harness.db import Target, connect


def tell_missing(ctx: Context, target: Target) -> None:
    """Says in a line each that indexes are missing, or that autovacuum is kept away."""
    from datagen import deferring, unattended  # with its plan; the static check alone does without

    with connect(target.admin) as connection:
        lines = deferring.missing(connection), unattended.left(connection)
    for line in filter(None, lines):
        ctx.say(escape(line))
