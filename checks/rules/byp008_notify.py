"""No function sends a notification.

Every role that may connect can LISTEN on any channel, and reads the payload whatever its
tenant; row security does not reach it.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.bodies import mentions, saying
from checks.rule import Violation
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
CREATE FUNCTION auto.act() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- no NOTIFY here
    PERFORM 1;
END $$;
"""
BAD = (
    """
CREATE FUNCTION auto.act() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('orders', '42'); -- here
END $$;
""",
    """
CREATE FUNCTION auto.act() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY orders; -- here
END $$;
""",
)


_NOTIFIES = r"\bpg_notify\s*\(|\bNOTIFY\s+\w+"


def check(source: Source) -> Iterator[Violation]:
    for function, location in mentions(source, _NOTIFIES, saying(source, "notify")):
        yield Violation(
            function.signature,
            f"function {function.signature} sends a notification, which every role can read",
            location,
        )
