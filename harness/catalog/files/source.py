"""What reading SQL files gives: the catalog, and what the files tell beyond its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.catalog.model import Catalog, Name
from harness.finding import Location

ProblemKind = Literal["opaque", "syntax", "unresolved"]
Switch = Literal["enable", "force"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A statement, or a part of one, that the reader could not turn into facts.

    `opaque`: what it leaves behind is not known; `syntax`: PostgreSQL 17 would not parse it;
    `unresolved`: it names something that does not exist yet, or creates what exists already.
    """

    kind: ProblemKind
    object: str
    message: str
    location: Location


@dataclass(frozen=True, slots=True)
class Privilege:
    """What a role may do with a schema or a function, or with objects of the future."""

    kind: Literal["schema", "function", "default"]
    object: str
    role: str
    privileges: frozenset[str]
    location: Location


@dataclass(frozen=True, slots=True)
class RoleSetting:
    """A setting that ALTER ROLE or ALTER DATABASE … SET gives to every new session."""

    owner: str
    name: str
    location: Location


@dataclass(frozen=True, slots=True)
class Source:
    """All that a set of SQL files defines, as the whole sequence of them leaves it."""

    catalog: Catalog
    problems: tuple[Problem, ...] = ()
    definitions: Mapping[str, str] = field(default_factory=dict)
    """The CREATE FUNCTION statement of each function, by signature."""
    privileges: tuple[Privilege, ...] = ()
    role_settings: tuple[RoleSetting, ...] = ()
    inherits: Mapping[Name, tuple[Name, ...]] = field(default_factory=dict)
    """Parents of the tables that INHERIT, which is not partitioning."""
    switched_off: Mapping[tuple[Name, Switch], Location] = field(default_factory=dict)
    """Where DISABLE or NO FORCE ROW LEVEL SECURITY took back what stood before."""
