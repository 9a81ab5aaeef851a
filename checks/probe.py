"""A probe: one module of checks.probes, which its name, docstring and functions describe.

A probe of tables has `attempt(session, subject)`, which tries to cross and says what happened.
It runs twice, on the table as it is and on the table without row security, where it must cross:
a probe that cannot cross an open table proves nothing. WRITES says that triggers must be out of
its way; without it the attempt goes through the application's own connection. UNSET says that the
attempt begins where no tenant is set.

A probe of whatever else there is has `survey(ground)`, which looks for its objects itself and
gives a result for each. One of a Citus cluster has `survey_cluster(ground, cluster)` instead.

RULE names the rule of the catalogue that a probe judges; without it findings are called
isolation.<name>.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from checks import probes
from checks.attempt import Outcome, Session, Subject
from checks.ground import Ground
from harness.catalog.cluster import Cluster
from harness.finding import Severity
from harness.run import ProbeResult

_FIRST_SENTENCE = re.compile(r"(?<=[.])\s")
Attempt = Callable[[Session, Subject], Outcome]
Survey = Callable[[Ground], Iterator[ProbeResult]]
ClusterSurvey = Callable[[Ground, Cluster], Iterator[ProbeResult]]


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe, as its module defines it: it has an attempt or one of the surveys."""

    name: str
    rule: str
    title: str
    why: str
    attempt: Attempt | None
    survey: Survey | None
    survey_cluster: ClusterSurvey | None
    writes: bool
    unset: bool

    @property
    def id(self) -> str:
        """Of the rule that it judges, as reports call it."""
        return self.rule

    @property
    def severity(self) -> Severity:
        """Of a leak."""
        return Severity.ERROR


@cache
def registry() -> Mapping[str, Probe]:
    """All probes by name, found by walking their package."""
    names = sorted(module.name for module in pkgutil.iter_modules(probes.__path__))
    return {name: _probe(name) for name in names}


@cache
def attempts() -> Mapping[str, Attempt]:
    """What is attempted on every table."""
    return {name: probe.attempt for name, probe in registry().items() if probe.attempt}


def surveys() -> Iterator[Probe]:
    """The probes that are done once in a database."""
    return (probe for probe in registry().values() if probe.survey)


def cluster_surveys() -> Iterator[Probe]:
    """The probes that are done once on a Citus cluster."""
    return (probe for probe in registry().values() if probe.survey_cluster)


def own_rules() -> tuple[Probe, ...]:
    """The probes that judge no rule of the catalogue: rules of their own to whoever reads a
    report."""
    return tuple(probe for probe in registry().values() if probe.rule == f"isolation.{probe.name}")


def _probe(name: str) -> Probe:
    module = importlib.import_module(f"checks.probes.{name}")
    why = " ".join(inspect.cleandoc(module.__doc__ or "").split())
    return Probe(
        name=name,
        rule=getattr(module, "RULE", f"isolation.{name}"),
        title=_FIRST_SENTENCE.split(why, maxsplit=1)[0].rstrip("."),
        why=why,
        attempt=getattr(module, "attempt", None),
        survey=getattr(module, "survey", None),
        survey_cluster=getattr(module, "survey_cluster", None),
        writes=getattr(module, "WRITES", False),
        unset=getattr(module, "UNSET", False),
    )
