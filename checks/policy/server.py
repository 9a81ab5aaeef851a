"""Lets PostgreSQL evaluate policies, as the application's role, on rows that exist nowhere.

Expressions stand over a row of typed values named as the table is, so that they mean what they
mean in the policy. Everything happens in transactions that are rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from checks.keys import tenant_key
from checks.policy import returns, symbolic
from checks.policy.judgment import Judgment
from checks.policy.question import Answer, Candidate, Context, Outcome, Question, Tenants
from harness.catalog.model import Table
from harness.catalog.source import Source
from harness.config import Settings
from harness.db import Connection, is_lost, one_line
from harness.errors import UsageError


def judgment(source: Source, settings: Settings, connection: Connection) -> Judgment:
    """The truth table of a database's policies, over a connection that never set a tenant."""
    tenants = Tenants.of_settings(settings.tenancy)
    server = Server(connection, settings, tenants)

    def evaluator(questions: Sequence[Question]) -> dict[Question, Answer]:
        answers = server.evaluate(questions)
        reading = any(question.reads_tables for question in questions)
        named = settings.tenancy.examples is not None or not reading
        if named or _is_there(tenants.a, source, settings, connection):
            return answers
        known = returns.bodies(source)
        return {
            question: _doubted(answer, symbolic.evaluate(question, known, settings, tenants))
            if question.reads_tables
            else answer
            for question, answer in answers.items()
        }

    return Judgment(source, settings, tenants, evaluator)


def _is_there(tenant: str, source: Source, settings: Settings, connection: Connection) -> bool:
    """Whether the table of tenants, as far as the role may look, has one of this key."""
    root = next((t for t in source.catalog.tables.values() if _is_root(t, settings)), None)
    key = tenant_key(root, settings.tenancy) if root else None
    if root is None or key is None:
        return False
    column = sql.Identifier(key)
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {}::text = %s)")
    try:
        with connection.transaction():
            asked = query.format(root.name.identifier, column)
            found = connection.execute(asked, [tenant]).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return False
    return bool(found and found[0])


def _is_root(table: Table, settings: Settings) -> bool:
    return str(table.name) == settings.tenancy.root_table


def _doubted(answer: Answer, told: Answer) -> Answer:
    """What an expression that reads tables says of tenants that are made up, of whom no table has
    a row: that it admits none of their rows is no proof where the text does not tell it too."""
    return {
        context: {
            candidate: tuple(
                "unknown" if (held, said) == ("false", "unknown") else held
                for held, said in zip(outcomes, told[context][candidate], strict=True)
            )
            for candidate, outcomes in rows.items()
        }
        for context, rows in answer.items()
    }


@dataclass(frozen=True, slots=True)
class Server:
    """A connection on which no tenant was ever set; inside a transaction it uses savepoints."""

    connection: Connection
    settings: Settings
    tenants: Tenants

    def evaluate(self, questions: Sequence[Question]) -> dict[Question, Answer]:
        """The answers. A session that had a tenant never forgets it: what is asked without one is
        asked first."""
        found: dict[Question, dict[Context, dict[Candidate, tuple[Outcome, ...]]]] = {
            question: {} for question in questions
        }
        for context in Context:
            if context is Context.EMPTY:
                self._begin_and_end_a_tenant()
            for question, answer in found.items():
                answer[context] = self._in(context, question)
        return dict(found)

    def _begin_and_end_a_tenant(self) -> None:
        with self._session(Context.A):
            pass

    def _in(self, context: Context, question: Question) -> dict[Candidate, tuple[Outcome, ...]]:
        columns = [self._outcomes(context, question, text) for text in question.expressions]
        rows = zip(*columns, strict=True) if columns else ((),) * len(question.candidates)
        return dict(zip(question.candidates, rows, strict=True))

    def _outcomes(self, context: Context, question: Question, expression: str) -> list[Outcome]:
        """The outcome for each candidate; one by one where all at once end in an error."""
        try:
            return self._asked(context, question, expression, question.candidates)
        except psycopg.Error as error:
            if is_lost(error):
                raise
        found: list[Outcome] = []
        for candidate in question.candidates:
            try:
                found += self._asked(context, question, expression, (candidate,))
            except psycopg.Error as error:
                if is_lost(error):
                    raise
                found.append("error")
        return found

    def _asked(
        self,
        context: Context,
        question: Question,
        expression: str,
        candidates: tuple[Candidate, ...],
    ) -> list[Outcome]:
        statement = _statement(question, expression, candidates, self.tenants)
        with self._session(context):
            rows = self.connection.execute(statement).fetchall()
        return ["true" if admitted else "false" for _, admitted in sorted(rows)]

    @contextmanager
    def _session(self, context: Context) -> Iterator[None]:
        connection = self.connection
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL statement_timeout = '5s'")
            self._become_application()
            tenant = self.tenants.said(context)
            if tenant is not None:
                self._set_tenant(tenant)
            yield

    def _become_application(self) -> None:
        role = self.settings.roles.app
        try:
            self.connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        except psycopg.Error as error:
            if is_lost(error):
                raise
            message = f"cannot become the application's role: {_said(error)}; set roles.app"
            raise UsageError(message) from None

    def _set_tenant(self, tenant: str) -> None:
        try:
            self.connection.execute(self.settings.tenancy.set_tenant.encode(), [tenant])
        except psycopg.Error as error:
            if is_lost(error):
                raise
            advice = "set tenancy.set_tenant"
            if self.settings.tenancy.by_role:
                advice += ", and two roles that exist as tenancy.identities"
            message = f"the tenant cannot be set: {_said(error)}; {advice}"
            raise UsageError(message) from None


def _said(error: psycopg.Error) -> str:
    """What PostgreSQL says, without the place in a statement that nobody wrote."""
    return error.diag.message_primary or one_line(error)


def _statement(
    question: Question, expression: str, candidates: tuple[Candidate, ...], tenants: Tenants
) -> sql.Composed:
    """SELECT number, (expression) IS TRUE FROM (VALUES …) AS table (columns)."""
    types = [question.tenant_type, *(type for _, type in question.others)]
    names = [question.tenant_column, *(name for name, _ in question.others)]
    rows = [
        sql.SQL("({})").format(
            sql.SQL(", ").join(
                [
                    sql.Literal(number),
                    *(
                        sql.SQL("CAST({} AS {})").format(sql.Literal(value), sql.SQL(type))
                        for value, type in zip(_values(candidate, tenants), types, strict=True)
                    ),
                ]
            )
        )
        for number, candidate in enumerate(candidates)
    ]
    columns: list[Any] = [sql.Identifier(name) for name in ("harness_row", *names)]
    # OFFSET keeps the planner from putting the values into the expression, where it would leave
    # out what raises.
    return sql.SQL(
        "SELECT harness_row, ({}) IS TRUE FROM (SELECT * FROM (VALUES {}) AS v OFFSET 0) AS {} ({})"
    ).format(
        sql.SQL(expression),
        sql.SQL(", ").join(rows),
        sql.Identifier(question.relation or "harness_rows"),
        sql.SQL(", ").join(columns),
    )


def _values(candidate: Candidate, tenants: Tenants) -> tuple[str | None, ...]:
    return (tenants.of(candidate.tenant), *candidate.others)
