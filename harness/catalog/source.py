"""What rules judge: the catalog, and what files or a database tell beyond its model.

Both readers make one: harness.catalog.files of SQL files, harness.catalog.live_source of a
database. What only one of them can tell is empty in the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.catalog.model import Catalog, Grant, Name
from harness.finding import Location

ProblemKind = Literal["opaque", "syntax", "unresolved", "deploy", "template"]
Switch = Literal["enable", "force"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A statement, or a part of one, that the reader could not turn into facts.

    `opaque`: what it leaves behind is not known; `syntax`: PostgreSQL 17 would not parse it;
    `unresolved`: it names something that does not exist yet, or creates what exists already;
    `deploy`: it is understood, but cannot run in the one transaction of a deploy; `template`: it
    holds a placeholder, in the place of which a name was read.
    """

    kind: ProblemKind
    object: str
    message: str
    location: Location


@dataclass(frozen=True, slots=True)
class Privilege:
    """What a role may do with a schema, a function or a sequence, or with objects of the future."""

    kind: Literal["schema", "function", "sequence", "default"]
    object: str
    role: str
    privileges: frozenset[str]
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class RoleSetting:
    """A setting that ALTER ROLE or ALTER DATABASE … SET gives to every new session."""

    owner: str
    name: str
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """A role that another one is in: what it is, it may do too, or may become."""

    role: str
    inherits: bool
    sets: bool
    """Whether SET ROLE to it is allowed."""
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Role:
    """A role of the cluster."""

    name: str
    superuser: bool = False
    bypasses_row_security: bool = False
    login: bool = False
    member_of: tuple[Membership, ...] = ()
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """A table that a publication sends to whoever subscribes."""

    name: str
    table: Name
    filtered: bool
    """Whether it has a row filter."""
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class RewriteRule:
    """A rule of CREATE RULE: what it does is done with the rights of its table's owner."""

    name: str
    table: Name
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """All that SQL files define, as the whole sequence of them leaves it, or a database holds."""

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
    roles: Mapping[str, Role] = field(default_factory=dict)
    publications: tuple[Publication, ...] = ()
    rewrite_rules: tuple[RewriteRule, ...] = ()
    foreign_tables: Mapping[Name, tuple[Grant, ...]] = field(default_factory=dict)
    """What roles may do with each foreign table."""
    server_version: int | None = None
    """`server_version_num` of the server: 170006 is 17.6. Files have none."""
    has_citus: bool = False
    """Whether the database has the extension citus."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why statements of files were left out of a cluster when it was deployed to, by their places:
    `path:line` below the schema's directory."""
