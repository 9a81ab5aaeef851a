"""What the answers mean: per role, table and command, the faults that they show.

The effective predicate is PostgreSQL's own: any of the permissive policies that apply to the
role and the command, and all of the restrictive ones; no permissive policy admits nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from checks.bodies import reaching
from checks.policy import identity
from checks.policy.question import (
    Answer,
    Candidate,
    Context,
    Outcome,
    Question,
    Tenants,
    ask,
    functions_called,
)
from checks.reach import applications, inherited
from harness.catalog.model import Grant, Name, Policy, Table
from harness.catalog.source import Source
from harness.config import Settings

Command = Literal["select", "insert", "update", "delete"]
Kind = Literal["other", "nobody", "open", "denied", "raises", "breaks", "undecided"]
Evaluator = Callable[[Sequence[Question]], Mapping[Question, Answer]]
_COMMANDS: tuple[Command, ...] = ("select", "insert", "update", "delete")
CELLS_OF_A_STEP = len(Context) * 3
"""Contexts times rows: of A, of B, of nobody."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a step of a command: `other` and `nobody` are rows that it admits."""

    kind: Kind
    context: Context
    policies: tuple[int, ...] = ()
    """The positions of the policies that are to blame, among those of the step."""
    when: str = ""
    """What the other columns hold where that makes the difference."""


@dataclass(frozen=True, slots=True)
class Step:
    """One predicate of a command: rows that it finds, or rows that it writes."""

    command: Command
    writes: bool
    policies: tuple[Policy, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A step of a command of a role on a table, and the faults that were found in it."""

    table: Table
    role: str
    step: Step
    faults: tuple[Fault, ...]


@dataclass
class Judgment:
    """All steps that the application's roles may take; equal questions are asked once."""

    source: Source
    settings: Settings
    tenants: Tenants
    evaluator: Evaluator
    of_text: bool = False
    """Whether there is no database: rights may be granted where the source does not look, and where
    no application role has any, they are taken to have all."""
    _asked: dict[tuple[Name, tuple[str, ...]], Question | None] = field(
        default_factory=dict, init=False
    )

    @cached_property
    def steps(self) -> tuple[Judged, ...]:
        """Every step of every role that exists, table by table."""
        asked = [(table, role, step, self._ask(table, step)) for table, role, step in self._all()]
        distinct = dict.fromkeys(case.question for *_, case in asked if case is not None)
        answers = self.evaluator(tuple(distinct))
        faults = {
            case: tuple(_read(case, answers[case.question]))
            for case in dict.fromkeys(case for *_, case in asked if case is not None)
        }
        return tuple(
            Judged(table, role, step, faults[case] if case else ())
            for table, role, step, case in asked
        )

    @cached_property
    def faulty(self) -> tuple[Judged, ...]:
        """The steps in which faults were found; every rule on policies looks at them."""
        return tuple(judged for judged in self.steps if judged.faults)

    def _all(self) -> Iterator[tuple[Table, str, Step]]:
        roles = applications(self.settings.roles)
        held = {role: _grantees(role, self.source) for role in roles}
        tables = self.source.catalog.tables.values()
        unsaid = self.of_text and not any(
            grantees.intersection(g.role for g in table.grants)
            for grantees in held.values()
            for table in tables
        )
        for table in tables:
            if table.row_security and not self.settings.tenancy.shares(table.name):
                for role, grantees in held.items():
                    for step in _steps(table, grantees, unsaid):
                        yield table, role, step

    @cached_property
    def _readers(self) -> frozenset[str]:
        """Functions whose answer depends on rows of tables."""
        called = {
            name
            for table in self.source.catalog.tables.values()
            for policy in table.policies
            for text in (policy.using, policy.check)
            for name in functions_called(text or "")
        }
        return reaching(self.source, r"(?<!DISTINCT )\bFROM\s+[\w\"]", called)

    @cached_property
    def _identities(self) -> Mapping[Name, frozenset[str]]:
        return identity.columns(self.source.catalog, self.settings.tenancy)

    def _ask(self, table: Table, step: Step) -> _Case | None:
        """None for a table without the tenant's column, which is a finding of its own."""
        expressions = tuple(_expression(policy, writes=step.writes) for policy in step.policies)
        question = self._question(table, expressions)
        if question is None:
            return None
        permissive = tuple(policy.permissive for policy in step.policies)
        nullable = not table.columns[question.tenant_column].not_null
        return _Case(question, permissive, nullable)

    def _question(self, table: Table, expressions: tuple[str, ...]) -> Question | None:
        """One question for all commands of which the same is asked."""
        key = table.name, expressions
        if key not in self._asked:
            known = self._identities.get(table.name, frozenset())
            tenancy, tenants = self.settings.tenancy, self.tenants
            self._asked[key] = ask(table, expressions, tenancy, tenants, self._readers, known)
        return self._asked[key]


@dataclass(frozen=True, slots=True)
class _Case:
    """A question, and what decides how its answer is read."""

    question: Question
    permissive: tuple[bool, ...]
    nullable: bool


def _grantees(role: str, source: Source) -> frozenset[str]:
    """Whose grants and policies are the role's too."""
    return frozenset({role, "public", *inherited(role, source.roles)})


def _steps(table: Table, grantees: frozenset[str], granted: bool) -> Iterator[Step]:
    for command in _COMMANDS:
        if granted or _is_granted(table.grants, command, grantees):
            policies = tuple(
                policy
                for policy in table.policies
                if policy.command in ("all", command) and grantees.intersection(policy.roles)
            )
            if command != "insert":
                yield Step(command, False, policies)
            if command in ("insert", "update"):
                yield Step(command, True, policies)


def _is_granted(grants: Sequence[Grant], command: str, grantees: frozenset[str]) -> bool:
    return any(grant.role in grantees and command in grant.privileges for grant in grants)


def _expression(policy: Policy, *, writes: bool) -> str:
    """What a policy asks of a row; a policy without WITH CHECK checks by its USING."""
    if writes and policy.check is not None:
        return policy.check
    return policy.using if policy.using is not None else "true"


def _read(case: _Case, answer: Answer) -> Iterator[Fault]:
    """The faults that an answer shows, one of a kind and context."""
    question, permissive, nullable = case.question, case.permissive, case.nullable
    for context, rows in answer.items():
        found: dict[Kind, Fault] = {}
        for candidate, outcomes in rows.items():
            whole = _effective(outcomes, permissive)
            kind = _kind(context, candidate, whole, nullable=nullable)
            if kind and kind not in found:
                blamed = _blamed(outcomes, permissive)
                found[kind] = Fault(kind, context, blamed, _when(question, candidate))
        yield from found.values()
        if context in (Context.A, Context.B):
            yield from _own(context, rows, permissive, question.reads_tables)
    if _raises(answer[Context.EMPTY], permissive) and not _raises(
        answer[Context.UNSET], permissive
    ):
        yield Fault("breaks", Context.EMPTY)


def _kind(
    context: Context, candidate: Candidate, outcome: Outcome, *, nullable: bool
) -> Kind | None:
    if candidate.tenant is None and not nullable:
        return None
    own = {Context.A: "A", Context.B: "B"}.get(context, "")
    if candidate.tenant == own:
        return None
    if outcome == "unknown":
        return "undecided"
    if outcome != "true":
        return None
    if not own:
        return "open"
    return "nobody" if candidate.tenant is None else "other"


def _own(
    context: Context,
    rows: Mapping[Candidate, tuple[Outcome, ...]],
    permissive: tuple[bool, ...],
    reads_tables: bool,
) -> Iterator[Fault]:
    """A session has to reach rows of its own tenant, at least some; where that depends on rows of
    other tables, these may not be there. A command without a policy is closed to all on purpose."""
    if not permissive:
        return
    own = "A" if context is Context.A else "B"
    outcomes = {_effective(o, permissive) for row, o in rows.items() if row.tenant == own}
    if "true" in outcomes:
        return
    if "unknown" in outcomes or reads_tables:
        yield Fault("undecided", context)
    else:
        yield Fault("raises" if outcomes == {"error"} else "denied", context)


def _raises(rows: Mapping[Candidate, tuple[Outcome, ...]], permissive: tuple[bool, ...]) -> bool:
    return any(_effective(outcomes, permissive) == "error" for outcomes in rows.values())


def _effective(outcomes: tuple[Outcome, ...], permissive: tuple[bool, ...]) -> Outcome:
    pairs = list(zip(outcomes, permissive, strict=True))
    wide = [outcome for outcome, grants in pairs if grants]
    narrow = [outcome for outcome, grants in pairs if not grants]
    admitted = _most(wide, ("true", "unknown", "error")) if wide else "false"
    return _most([admitted, *narrow], ("false", "error", "unknown"))


def _most(outcomes: Sequence[Outcome], order: tuple[Outcome, ...]) -> Outcome:
    """The first of an order that occurs; else what is left when none does."""
    rest: Outcome = "false" if order[0] == "true" else "true"
    return next((outcome for outcome in order if outcome in outcomes), rest)


def _blamed(outcomes: tuple[Outcome, ...], permissive: tuple[bool, ...]) -> tuple[int, ...]:
    pairs = enumerate(zip(outcomes, permissive, strict=True))
    return tuple(n for n, (outcome, grants) in pairs if grants and outcome in ("true", "unknown"))


def _when(question: Question, candidate: Candidate) -> str:
    pairs = zip(question.others, candidate.others, strict=True)
    return ", ".join(f"{name} = {value}" for (name, _), value in pairs if value is not None)
