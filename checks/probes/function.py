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

import psycopg
from psycopg import errors

from checks.asking import Answer, ask
from checks.calls import Callable, Samples, callables
from checks.evidence import Evidence
from checks.ground import Ground
from checks.removal import Removal
from harness.db import one_line
from harness.run import ProbeResult, ProbeVerdict

_READ_ONLY = "SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = '3s'"
_ROLLED_BACK = "SET LOCAL statement_timeout = '3s'"
Verdict = tuple[ProbeVerdict, str]


def survey(ground: Ground) -> Iterator[ProbeResult]:
    functions = callables(ground)
    samples, evidence, removal = Samples(ground), Evidence(ground), Removal(ground)
    for function in functions:
        verdict, detail = _probe(ground, function, samples, evidence, removal)
        yield ProbeResult(function.signature, "function", verdict, detail)
    if not functions:
        told = "the application may call no function of its schemas"
        yield ProbeResult(ground.name, "function", "held", told)
    ground.app.execute("SELECT pg_advisory_unlock_all()")  # which ROLLBACK does not


def _probe(
    ground: Ground, function: Callable, samples: Samples, evidence: Evidence, removal: Removal
) -> Verdict:
    sets = [samples.values(function, tenant) for tenant in (ground.own, ground.other)]
    given = sets[:1] if sets[0] == sets[1] else sets
    answers = [_ask(ground, function, values) for values in given]
    for values, answer in zip(given, answers, strict=True):
        if not isinstance(answer, psycopg.Error) and (told := evidence.find(answer, values)):
            return "leak", f"{_called(function, values)} shows {told}"
    if function.definer:
        for values in given:
            if told := removal.changes(function, values):
                return "leak", f"{_called(function, values)} {told}"
        if removal.proved(function):
            return "held", "answers the same without the rows of the other tenant"
    return _without_a_leak(function, answers)


def _without_a_leak(function: Callable, answers: list[Answer]) -> Verdict:
    """Held where it answered or refused; else it is told that nothing is known."""
    kind = "SECURITY DEFINER, " if function.definer else ""
    failed = [answer for answer in answers if isinstance(answer, psycopg.Error)]
    answered = [answer for answer in answers if not isinstance(answer, psycopg.Error)]
    rows = sum(map(len, answered))
    if rows and not failed:
        return "held", f"{kind}gave {rows} rows, nothing of another tenant in them"
    if failed and all(isinstance(error, errors.InsufficientPrivilege) for error in failed):
        return "held", f"{kind}refused: {one_line(failed[0])}"
    if rows:
        return "held", f"{kind}gave {rows} rows, nothing of another tenant in them, and refused one"
    if failed:
        return "noted", f"{kind}not called to an end: {one_line(failed[0])}"
    return "noted", f"{kind}gave nothing for arguments that could be made up"


def _ask(ground: Ground, function: Callable, values: list[str | None]) -> Answer:
    """What a function answers; one that writes is asked again where the harness made the
    database, for ROLLBACK does not take back the numbers that it draws."""
    answer = ask(ground.wire, function, values, ground.own, _READ_ONLY)
    if isinstance(answer, errors.ReadOnlySqlTransaction) and ground.ours:
        return ask(ground.wire, function, values, ground.own, _ROLLED_BACK)
    return answer


def _called(function: Callable, values: list[str | None]) -> str:
    listed = ", ".join("NULL" if value is None else value[:40] for value in values)
    return f"{function.name}({listed})"
