"""The experiment that tells whether an answer depends on another tenant's rows: remove them, ask
again, and roll back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import psycopg
from psycopg import sql

from checks.attempt import Session, Subject, as_application, first
from checks.ground import Ground
from harness.db import Connection, is_lost

_DEFINITIONS = """
SELECT p.proname, pg_get_functiondef(p.oid) FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname = ANY (%s) AND p.prokind IN ('f', 'p')
"""
_LIMIT = sql.SQL("SET LOCAL statement_timeout = '3s'")
_WORD = re.compile(r"\w+")
_TRIGGERS = "session_replication_role"
_MANY = 100_000
"""Rows from which on a table is left as it is: what is removed must be brought back."""
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {tenant} = {other} LIMIT {limit}) AS it"
_REMOVE = "DELETE FROM {table} WHERE {tenant} = {other}"


class _TooManyError(Exception):
    """A table is too large for the experiment."""


class Told(NamedTuple):
    """An answer that can be compared with another: its rows as texts, or the error."""

    rows: tuple[str, ...]
    failed: bool = False


class Change(NamedTuple):
    """What the removal showed."""

    told: str | None
    """How the answer changed, None where it did not."""
    proved: bool
    """Whether there was an answer, it repeats itself, and there were rows to remove."""


UNKNOWN = Change(None, proved=False)


@dataclass
class Removal:
    """Removes what the other tenant has in the tables that a function names.

    On a cluster all of it is done in one session of the node that holds the tenant: through the
    coordinator the application would have another connection there than who removes.
    """

    ground: Ground

    def changes(
        self,
        function: str,
        answer: Callable[[Session], Told | None],
        before: Sequence[sql.Composable] = (),
    ) -> Change:
        """How an answer, None where it takes too long, changes without the other tenant's rows in
        what a function reads; with what the admin does `before` it is asked for."""
        subjects = [self.ground.place_of(subject)[1] for subject in self._read_by(function)]
        with as_application(self.ground.home, self.ground.settings, [_LIMIT, *before]) as session:
            first_told, again = answer(session), answer(session)
            if first_told is None or first_told != again or not self._remove(session, subjects):
                return UNKNOWN
            after = answer(session)
        if after is None:
            return UNKNOWN
        told = None if after == first_told else _difference(first_told, after)
        return Change(told, proved=not first_told.failed)

    def _remove(self, session: Session, subjects: list[Subject]) -> bool:
        """Whether there was anything to remove, and it could be removed."""
        with session.as_admin() as admin:
            triggers = first(admin, "SELECT current_setting('session_replication_role')")
            try:
                with admin.transaction():
                    admin.execute("SET LOCAL session_replication_role = replica")
                    counts = [_count_and_remove(admin, subject) for subject in subjects]
                    admin.execute("SELECT set_config(%s, %s, true)", [_TRIGGERS, triggers])
            except (psycopg.Error, _TooManyError) as error:
                if isinstance(error, psycopg.Error) and is_lost(error):
                    raise
                return False
        return sum(counts) > 0

    def _read_by(self, function: str) -> list[Subject]:
        """The tables whose names occur in the function, or in what it calls or selects from."""
        words, waiting = set[str](), {function}
        while waiting:
            word = waiting.pop()
            words.add(word)
            found = self._words.get(word, set())
            waiting |= (found & self._words.keys()) - words
            words |= found - self._words.keys()
        return [subject for subject in self.ground.subjects() if subject.table.name.name in words]

    @cached_property
    def _words(self) -> dict[str, set[str]]:
        """The words of every function and view, by its name."""
        values = [list(self.ground.catalog.schemas)]
        texts = self.ground.admin.execute(_DEFINITIONS, values).fetchall()
        texts += [(view.name.name, view.query) for view in self.ground.catalog.views.values()]
        names = {name for name, _ in texts} | {s.table.name.name for s in self.ground.subjects()}
        odd = {name for name in names if not _WORD.fullmatch(name)}
        words: dict[str, set[str]] = {}
        for name, text in texts:
            said = words.setdefault(name, set())
            said.update(_WORD.findall(text), (other for other in odd if other in text))
        return words


def _count_and_remove(admin: Connection, subject: Subject) -> int:
    if first(admin, subject.compose(_COUNT, limit=sql.Literal(_MANY))) == _MANY:
        raise _TooManyError
    return admin.execute(subject.compose(_REMOVE)).rowcount


def _difference(before: Told, after: Told) -> str:
    told = f"answers {_short(before)}, and without the other tenant's rows {_short(after)}"
    return f"{told}: it tells of them"


def _short(answer: Told) -> str:
    """An answer without what might be somebody's data: numbers, and how many rows."""
    rows, failed = answer
    if failed:
        return "with an error"
    if len(rows) == 1:
        return rows[0] if rows[0].isdecimal() else "one thing"
    return f"with {len(rows)} rows" if rows else "nothing"
