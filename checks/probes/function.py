"""A function gives one tenant what belongs to another: SECURITY DEFINER acts with its owner's
rights, past the row security of the caller, and one that takes the tenant as an argument is a
deputy of whoever asks.

Every function that the application may execute is called, with values of the own tenant and with
values of the other, in transactions that only read or are rolled back. Its answer is searched for
what only the other tenant has. One that acts with its owner's rights is also asked again after the
other tenant's rows were removed, in a transaction that is rolled back: if its answer changes, it
told of them. Functions that could not be called to an end are told, never passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import LiteralString

import psycopg
from psycopg import errors

from checks.asking import Answer, ask
from checks.attempt import Session
from checks.calls import Routine, Samples, routines
from checks.evidence import Evidence
from checks.ground import Ground
from checks.removal import Change, Removal, Told
from harness.db import one_line
from harness.run import ProbeResult, ProbeVerdict

_LIMIT: LiteralString = "SET LOCAL statement_timeout = '1s'"
Verdict = tuple[ProbeVerdict, str]
Asked = list[tuple[list[str | None], Answer]]
"""What a function was given, and what it answered."""


def survey(ground: Ground) -> Iterator[ProbeResult]:
    functions = routines(ground)
    asked = _ask(ground, functions)
    evidence, removal = Evidence(ground), Removal(ground)
    for function in functions:
        verdict, detail = _judge(ground, function, asked[function.signature], evidence, removal)
        yield ProbeResult(function.signature, "function", verdict, detail)
    if not functions:
        told = "the application may call no function of its schemas"
        yield ProbeResult(ground.name, "function", "held", told)


def _ask(ground: Ground, functions: list[Routine]) -> dict[str, Asked]:
    """What all functions answer; those that write are asked again where the harness made the
    database, for ROLLBACK does not take back the numbers that they draw."""
    samples = Samples(ground)
    asked = _ask_all(ground, functions, samples, f"SET TRANSACTION READ ONLY; {_LIMIT}")
    if ground.ours:
        writing = [function for function in functions if _writes(asked[function.signature])]
        asked |= _ask_all(ground, writing, samples, _LIMIT)
    ground.app.execute("SELECT pg_advisory_unlock_all()")  # which ROLLBACK does not
    return asked


def _ask_all(
    ground: Ground, functions: list[Routine], samples: Samples, limits: LiteralString
) -> dict[str, Asked]:
    with ground.wire.working_for(ground.own, limits) as session:
        return {f.signature: list(_answers(session, f, samples)) for f in functions}


def _answers(
    session: Session, function: Routine, samples: Samples
) -> Iterator[tuple[list[str | None], Answer]]:
    """With arguments of the own tenant, and of the other where there is a difference."""
    ground = samples.ground
    mine, theirs = (samples.values(function, tenant) for tenant in (ground.own, ground.other))
    for values in [mine] if mine == theirs else [mine, theirs]:
        answer = ask(session, function, values, ground.own)
        yield values, answer
        if isinstance(answer, errors.QueryCanceled):
            return


def _writes(asked: Asked) -> bool:
    return any(isinstance(answer, errors.ReadOnlySqlTransaction) for _, answer in asked)


def _judge(
    ground: Ground, function: Routine, asked: Asked, evidence: Evidence, removal: Removal
) -> Verdict:
    for values, answer in asked:
        if not isinstance(answer, psycopg.Error) and (told := evidence.find(answer, values)):
            return "leak", f"{_called(function, values)} shows {told}"
    if function.definer and (ground.ours or not _writes(asked)):
        changes = [_without_the_other(function, values, removal) for values, _ in asked]
        for (values, _), change in zip(asked, changes, strict=True):
            if change.told:
                return "leak", f"{_called(function, values)} {change.told}"
        if any(change.proved for change in changes):
            return "held", "answers the same without the rows of the other tenant"
    return _without_a_leak(function, [answer for _, answer in asked])


def _without_the_other(function: Routine, values: list[str | None], removal: Removal) -> Change:
    def told(session: Session) -> Told | None:
        answer = ask(session, function, values, removal.ground.own)
        if isinstance(answer, errors.QueryCanceled):
            return None
        if isinstance(answer, psycopg.Error):
            return Told((f"{answer.sqlstate} {answer.diag.message_primary}",), failed=True)
        return Told(tuple(sorted(answer)))

    return removal.changes(function.name.name, told)


def _without_a_leak(function: Routine, answers: list[Answer]) -> Verdict:
    """Held where it answered or refused; else it is told that nothing is known."""
    kind = "SECURITY DEFINER, " if function.definer else ""
    failed = [answer for answer in answers if isinstance(answer, psycopg.Error)]
    answered = [answer for answer in answers if not isinstance(answer, psycopg.Error)]
    rows = sum(map(len, answered))
    if rows and not failed:
        return "held", f"{kind}gave {rows} rows, nothing of another tenant in them"
    if failed and all(isinstance(error, errors.InsufficientPrivilege) for error in failed):
        return "held", f"{kind}refused: {failed[0].diag.message_primary}"
    if rows:
        return "held", f"{kind}gave {rows} rows, nothing of another tenant in them, and refused one"
    if failed:
        told = failed[0].diag.message_primary or one_line(failed[0])
        return "noted", f"{kind}not called to an end: {told}"
    return "noted", f"{kind}gave nothing for arguments that could be made up"


def _called(function: Routine, values: list[str | None]) -> str:
    listed = ", ".join("NULL" if value is None else value[:40] for value in values)
    return f"{function.name}({listed})"
