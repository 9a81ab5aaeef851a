"""The experiment that tells whether an answer depends on another tenant's rows: remove them, ask
again, and roll back."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

import psycopg
from psycopg import errors, sql

from checks.asking import ask
from checks.attempt import Session, Subject, as_application, first
from checks.calls import Routine
from checks.ground import Ground
from harness.db import is_lost

_DEFINITIONS = """
SELECT p.proname, pg_get_functiondef(p.oid) FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname = ANY (%s) AND p.prokind IN ('f', 'p')
"""
_LIMIT = sql.SQL("SET LOCAL statement_timeout = '3s'")
_WORD = re.compile(r"\w+")
_MANY = 100_000
"""Rows from which on a table is left as it is: what is removed must be brought back."""
_COUNT = "SELECT count(*) FROM (SELECT FROM {table} WHERE {tenant} = {other} LIMIT {limit}) AS it"
_REMOVE = "DELETE FROM {table} WHERE {tenant} = {other}"


@dataclass
class Removal:
    """Removes what the other tenant has in the tables that a function names."""

    ground: Ground
    _proved: set[str] = field(default_factory=set)

    def changes(self, function: Routine, values: list[str | None]) -> str | None:
        """How the answer changes without the other tenant's rows, None where it does not."""
        subjects = self._read_by(function)
        with as_application(self.ground.admin, self.ground.settings, [_LIMIT]) as session:
            before = self._answer(session, function, values)
            repeated = self._answer(session, function, values)
            if before is None or before != repeated or not self._remove(session, subjects):
                return None
            after = self._answer(session, function, values)
        if after is None:
            return None
        self._proved.add(function.signature)
        return None if after == before else _difference(before, after)

    def proved(self, function: Routine) -> bool:
        """Whether rows were removed, and the answer came again and did not change."""
        return function.signature in self._proved

    def _answer(
        self, session: Session, function: Routine, values: list[str | None]
    ) -> tuple[str, ...] | None:
        """The answer, or how it failed; None where it took too long."""
        answer = ask(session, function, values, self.ground.own)
        if isinstance(answer, errors.QueryCanceled):
            return None
        if isinstance(answer, psycopg.Error):
            return (f"{answer.sqlstate} {answer.diag.message_primary}",)
        return tuple(sorted(answer))

    def _remove(self, session: Session, subjects: list[Subject]) -> bool:
        """Whether there was anything to remove, and it could be removed."""
        removed = 0
        with session.as_admin() as admin:
            try:
                with admin.transaction():
                    for subject in subjects:
                        counted = subject.compose(_COUNT, limit=sql.Literal(_MANY))
                        if first(admin, counted) == _MANY:
                            return False
                        removed += admin.execute(subject.compose(_REMOVE)).rowcount
            except psycopg.Error as error:
                if is_lost(error):
                    raise
                return False
        return removed > 0

    def _read_by(self, function: Routine) -> list[Subject]:
        """The tables whose names occur in the function, or in what it calls or selects from."""
        words, waiting = set[str](), {function.name.name}
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


def _difference(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    told = f"answers {_short(before)}, and without the other tenant's rows {_short(after)}"
    return f"{told}: it tells of them"


def _short(answer: tuple[str, ...]) -> str:
    """An answer without what might be somebody's data: numbers, and how many rows."""
    if len(answer) == 1 and answer[0].isdecimal():
        return answer[0]
    return f"with {len(answer)} rows" if answer else "nothing"
