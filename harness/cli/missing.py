"""What a fill that ended early left dropped: figures and verdicts without it mean little."""

from __future__ import annotations

from rich.markup import escape

from harness.cli.options import Context
from harness.db import Target, connect


def tell_missing(ctx: Context, target: Target) -> None:
    """Says in one line that indexes are missing, where they are."""
    from datagen import deferring  # with its plan; the static check alone does without

    with connect(target.admin) as connection:
        line = deferring.missing(connection)
    if line:
        ctx.say(escape(line))
