"""A rule: one module of checks.rules, and the findings it makes.

The module's name is the rule's: `rls001_not_enabled` is RLS001. Its docstring is the reason,
the first line of it the title. It has SEVERITY, GOOD and BAD (examples, each one text or
several; in a BAD the line to be found ends with `-- here`), and `check`, whose parameters say
what it judges: `catalog`, `source` (what stands beside it), `distributed` (the source of a schema
that is meant for Citus; there is none of another), `for_citus` (whether it is), `judgment` (the
truth table of its policies), `tenancy`, `roles`; or `cluster`, what the nodes of a Citus cluster
hold; or `allowances`, what came of them once all else was found.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from checks import citus
from checks.policy.judgment import Judgment
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Finding, Location, Severity


@dataclass(frozen=True, slots=True)
class Violation:
    """What breaks a rule: the object, what is wrong with it, where, and the SQL that mends it."""

    object: str
    message: str
    location: Location | None = None
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, as its module defines it."""

    id: str
    name: str
    severity: Severity
    title: str
    why: str
    good: tuple[str, ...]
    bad: tuple[str, ...]
    check: Callable[..., Iterator[Violation]]
    tenancy: Tenancy | None = None
    """What the examples assume, where it is not the default."""
    read: Callable[[str], Source] | None = None
    """How an example becomes a source, where it is not SQL that files hold."""

    def findings(self, judgment: Judgment) -> Iterator[Finding]:
        """What the rule finds in the source that is judged."""
        source, settings = judgment.source, judgment.settings
        known: dict[str, object] = {
            "judgment": judgment,
            "source": source,
            "catalog": source.catalog,
            "for_citus": citus.is_meant(source, settings.checks),
            "tenancy": settings.tenancy,
            "roles": settings.roles,
        }
        if known["for_citus"]:
            known["distributed"] = source
        return self.found(known)

    def judges(self, what: str) -> bool:
        """Whether it asks for this, of what there is to judge."""
        return what in inspect.signature(self.check).parameters

    def found(self, known: Mapping[str, object]) -> Iterator[Finding]:
        """What the rule finds in what is known, by name; nothing where it judges something else."""
        wanted = inspect.signature(self.check).parameters.keys()
        if not wanted <= known.keys():
            return
        for found in self.check(**{name: known[name] for name in wanted}):
            yield Finding(
                rule=self.id,
                severity=self.severity,
                object=found.object,
                message=" ".join(found.message.split()),
                why=self.why,
                fix=found.fix,
                location=found.location,
            )


def of_module(module: ModuleType) -> Rule:
    """The rule that a module defines; AttributeError names what it lacks."""
    code, _, name = module.__name__.rpartition(".")[2].partition("_")
    title, _, rest = inspect.cleandoc(module.__doc__ or "").partition("\n")
    return Rule(
        id=code.upper(),
        name=name,
        severity=module.SEVERITY,
        title=title.rstrip("."),
        why=" ".join(rest.split()) or title,
        good=_several(module.GOOD),
        bad=_several(module.BAD),
        check=module.check,
        tenancy=getattr(module, "TENANCY", None),
        read=getattr(module, "READ", None),
    )


def _several(examples: Any) -> tuple[str, ...]:
    return (examples,) if isinstance(examples, str) else tuple(examples)
