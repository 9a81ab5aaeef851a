"""Standing on a row of another tenant without having read it.

A statement without WHERE would touch every row there is. The cursor of a role that bypasses row
security stands on one row, and what WHERE CURRENT OF does to it as the application is what the
whole statement would do.
"""

from __future__ import annotations

from checks.attempt import Outcome, Session, Subject

NO_ROW = Outcome(False, "there is no row of another tenant to stand on")
# An index-only scan names a row by the root of its HOT chain, which is not always the row.
_PLAIN = "SET LOCAL enable_indexonlyscan = off"
_FIND = "DECLARE foreign_row CURSOR FOR SELECT FROM {table} WHERE {tenant} = %s"


def stand_on_foreign_row(session: Session, subject: Subject) -> bool:
    """Opens the cursor `foreign_row` on a row of the other tenant; False where there is none."""
    with session.as_admin() as admin:
        admin.execute(_PLAIN)
        admin.execute(subject.compose(_FIND), [subject.other])
        return admin.execute("FETCH foreign_row").fetchone() is not None
