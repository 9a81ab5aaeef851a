"""Every statement is one that the check understands.

Blocks are gone through as far as constants, loops over them and questions to the system catalogs
carry. What other dynamic SQL, a psql command or an unknown statement leaves behind cannot be read
from the file. Passing over it would turn "nothing found" into "nothing understood".
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.source import Source
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
"""
BAD = (
    """
DO $$ BEGIN EXECUTE (SELECT statement FROM auto.migration); END $$; -- here
""",
    r"""
\i other.sql -- here
""",
    """
SELECT auto.protect_all(); -- here
""",
    """
CALL auto.protect_all(); -- here
""",
    """
ALTER TABLE tenant_mgmt.business DISABLE TRIGGER ALL; -- here
""",
    """
CREATE EVENT TRIGGER watch ON ddl_command_end -- here
    EXECUTE FUNCTION tenant_mgmt.note();
""",
)


def check(source: Source) -> Iterator[Violation]:
    for problem in source.problems:
        if problem.kind == "opaque":
            yield Violation(problem.object, problem.message, problem.location)
