"""Loads the rows of a frame that PostgreSQL takes.

All of them at once; where something stands against one of them that was not understood before
(a CHECK that calls a function, a trigger, rows that were there already), by halves, so that those
rows are refused which have to be and no others. They are drawn anew a few times, then left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
import psycopg
from psycopg import sql

from datagen.building import closed
from datagen.frame import Frame
from datagen.loading import Copy
from datagen.present import present
from datagen.repair import redraw
from datagen.unmet import brief
from datagen.values import Array
from harness.catalog.model import Table
from harness.db import Connection

REDRAWS = 3
"""Times that refused rows are drawn anew."""
HOPELESS = 20
"""Rows that were refused one by one, before any was taken, after which the table is given up."""
TRIES = 400
"""Refusals after which the rest of the rows are given up."""
_UNDEFINED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedObject,
)
_CHANGED = (
    "SELECT pg_stat_get_xact_tuples_inserted(%s::regclass),"
    " pg_stat_get_xact_tuples_deleted(%s::regclass)"
)
_GONE = "triggers of the table do not let them stay"
Loaded = tuple[Sequence[Sequence[int]], Sequence[str]]
"""Which rows were refused each time, and why at last."""
_OF_ROWS = ("21", "22", "23", "44", "P0", "38", "39")
"""Classes of SQLSTATE that tell of rows, and not of the table: data, constraints, triggers."""


def load_all(connection: Connection, frame: Frame, copy_in: Copy) -> Loaded:
    """Copies all rows in, without the savepoint that finding the refused ones takes. Where one is
    refused, or triggers take one away, psycopg.Error: the transaction is to be given up."""
    copy_in(connection, frame)
    if _is_judged_later(frame.table.table):
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    may_be = _may_be_changed(frame.table.table)
    if may_be and _was_changed(connection, frame, frame.rows) and len(_gone(connection, frame)):
        raise psycopg.errors.TriggeredActionException(_GONE)
    return (), ()


def load(connection: Connection, frame: Frame, copy_in: Copy) -> Loaded:
    """Copies in what can be and leaves only that in the frame; returns which rows were refused
    each time, and why at last. Raises psycopg.Error where nothing can be."""
    attempt = _Attempt(connection, frame, copy_in)
    attempt.put(np.arange(frame.rows))
    rounds: list[list[int]] = []
    while attempt.refused and len(rounds) < REDRAWS and attempt.may_be_luck():
        rounds.append(sorted(attempt.refused))
        attempt.once_more(rounds)
    may_be = attempt.taken and _may_be_changed(frame.table.table)
    if may_be and _was_changed(connection, frame, attempt.taken):
        attempt.look_again()
    if attempt.refused and len(attempt.refused) == frame.rows:
        raise next(iter(attempt.reasons.values()))
    rounds.append(sorted(attempt.refused))
    leave_out(frame, rounds[-1])
    told = [brief(error) for error in attempt.reasons.values()]
    return (rounds, told) if any(rounds) else ((), ())


def again(frame: Frame, rounds: Sequence[Sequence[int]]) -> None:
    """Makes of a frame what load() made of it when so many rows were refused."""
    for number, refused in enumerate(rounds[:-1]):
        redraw(frame, np.array(refused, "int64"), number)
    if rounds:
        leave_out(frame, rounds[-1])


def leave_out(frame: Frame, refused: Sequence[int]) -> None:
    """Leaves the frame without these rows."""
    if refused:
        held = np.ones(frame.rows, bool)
        held[list(refused)] = False
        frame.keep(np.flatnonzero(held))


class _Attempt:
    """What was refused so far."""

    def __init__(self, connection: Connection, frame: Frame, copy_in: Copy) -> None:
        self.connection, self.frame, self.copy_in = connection, frame, copy_in
        self.refused: set[int] = set()
        self.reasons: dict[str, psycopg.Error] = {}
        self.taken = self.tries = 0
        self.searches_all = False

    def put(self, rows: Array) -> None:
        """Copies rows in, all or by halves."""
        if self.refused:
            rows = self._with_their_parents(rows)
        if not len(rows):
            return
        error = self._copied(rows)
        if isinstance(error, _UNDEFINED) and not self.searches_all:
            self._search_all_schemas()
            error = self._copied(rows)
        if error is None:
            self.taken += len(rows)
            return
        self.tries += 1
        if isinstance(error, psycopg.errors.UniqueViolation) and self.tries == 1:
            rows = self._not_there(rows)
        hopeless = not self.taken and len(self.refused) >= HOPELESS
        if not len(rows):
            return
        if len(rows) == 1 or hopeless or self.tries > TRIES:
            self.refused.update(rows.tolist())
            self.reasons.setdefault(_kind(error), error)
            return
        for half in np.array_split(rows, 2):
            self.put(half)

    def _search_all_schemas(self) -> None:
        """For the rest of the transaction: triggers and CHECKs may rely on the search path of an
        application."""
        self.searches_all = True
        (own,) = self.connection.execute("SELECT current_schemas(false)::text[]").fetchone() or (
            [],
        )
        schemas = dict.fromkeys([*own, *self.frame.plan.catalog.schemas])
        path = sql.SQL(", ").join(map(sql.Identifier, schemas))
        self.connection.execute(sql.SQL("SET LOCAL search_path = {}").format(path))

    def _not_there(self, rows: Array) -> Array:
        """The rows whose key no trigger has put there."""
        there = present(self.connection, self.frame)
        if there is None or not there.any():
            return rows
        self.taken += int(there.sum())
        return rows[~there[rows]]

    def look_again(self) -> None:
        """Leaves out what triggers did not let in, or removed again."""
        gone = set(_gone(self.connection, self.frame).tolist()) - self.refused
        self.refused |= gone
        if gone:
            self.reasons.setdefault("triggers", psycopg.errors.TriggeredActionException(_GONE))

    def may_be_luck(self) -> bool:
        """Whether other values may be taken: what was missing once is missing always."""
        return not any(
            isinstance(e, psycopg.errors.ForeignKeyViolation) for e in self.reasons.values()
        )

    def once_more(self, rounds: Sequence[Sequence[int]]) -> None:
        """Draws the rows anew that were refused the last time, and tries them."""
        rows = np.array(rounds[-1], "int64")
        redraw(self.frame, rows, len(rounds) - 1)
        self.refused.clear()
        self.reasons.clear()
        self.tries = 0
        self.put(rows)

    def _with_their_parents(self, rows: Array) -> Array:
        """Of the rows those that refer to no row of the table that was refused; so are the rest."""
        held = np.ones(self.frame.rows, bool)
        held[list(self.refused)] = False
        kept: Array = closed(self.frame, held)[rows]
        self.refused.update(rows[~kept].tolist())
        return rows[kept]

    def _copied(self, rows: Array) -> psycopg.Error | None:
        """What PostgreSQL has against the rows; None when they are in."""
        part = copy(self.frame)
        if len(rows) < self.frame.rows:
            part.keep(rows)
        try:
            with self.connection.transaction():
                self.copy_in(self.connection, part)
                if _is_judged_later(self.frame.table.table):
                    self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            undefined = isinstance(error, _UNDEFINED) and not self.searches_all
            if not undefined and not (error.sqlstate or "").startswith(_OF_ROWS):
                raise
            return error
        return None


def _was_changed(connection: Connection, frame: Frame, taken: int) -> bool:
    """Whether other rows went in than were loaded, as the transaction counts them."""
    name = frame.table.name.identifier.as_string(connection)
    row = connection.execute(_CHANGED, [name, name]).fetchone()
    return row is None or row != (taken, 0)


def _gone(connection: Connection, frame: Frame) -> Array:
    """Rows that are not there, as far as can be told."""
    there = present(connection, frame)
    return np.zeros(0, "int64") if there is None else np.flatnonzero(~there)


def _may_be_changed(table: Table) -> bool:
    """Whether a trigger may keep rows out, or take them away."""
    return table.partition_by is None and any("insert" in t.events for t in table.triggers)


def _is_judged_later(table: Table) -> bool:
    """Whether something may be said of the rows at the end of the transaction only."""
    return bool(table.triggers) or any(constraint.deferrable for constraint in table.constraints)


def _kind(error: psycopg.Error) -> str:
    return error.diag.constraint_name or error.diag.message_primary or str(error.sqlstate)
