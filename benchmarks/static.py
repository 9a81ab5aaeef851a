"""The static check against pglast alone, which parses the same files to nodes and does no more.
Promise: at most twice as long, reading the files and parsing them included."""

from __future__ import annotations

from pglast import parse_sql

from benchmarks.measure import compare, seconds, tell
from checks import static
from harness.catalog.files import expressions
from harness.config import load


def main() -> None:
    """Times both and prints the ratio."""
    settings = load()
    texts = static.read_texts([settings.schema_dir])

    def ours() -> float:
        expressions.parse.cache_clear()
        expressions.canonical.cache_clear()
        return seconds(lambda: static.check([], settings))

    def pglast() -> float:
        return seconds(lambda: [parse_sql(text) for text in texts.values()])

    tell("static check", *compare(ours, pglast, rounds=9), promise="at most 2")


if __name__ == "__main__":
    main()
