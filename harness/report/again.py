"""The command that makes a run anew."""

from __future__ import annotations

from shlex import join

from harness.run import Run


def again(run: Run) -> str:
    """With the options that its data and its load were made by; where the server was, it does
    not say, for that may hold a credential."""
    words = ["harness", *run.command.split()]
    if run.fill:
        words += ["--tenants", str(run.fill.tenants), "--scale", f"{run.fill.scale:g}"]
        words += ["--seed", str(run.fill.seed), "--as-of", f"{run.fill.as_of:%Y-%m-%d}"]
    if run.load:
        words += ["--users", str(run.load.users), "--seconds", f"{run.load.seconds:g}"]
        words += ["--warmup", f"{run.load.warmup_seconds:g}"]
        if run.load.arrivals:
            words += ["--rate", f"{run.load.arrivals.rate:g}", "--arrivals", run.load.arrivals.kind]
    return join(words)
