"""Settings: harness.toml or [tool.harness] in pyproject.toml, HARNESS_* over it, options over both.

The tenant column, its type, the session setting, the roles and the exemptions are settings, so
that a schema with org_id or tenant_id bigint works as well as the bundled one.
"""

from __future__ import annotations

import os
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from harness.errors import UsageError

BUNDLED_SCHEMA = next(
    path
    for path in (
        Path(__file__).parent / "reference_schema",  # in a wheel
        Path(__file__).parent.parent / "schema",  # in a clone
    )
    if path.is_dir()
)


class Tenancy(BaseModel):
    """How the schema tells its tenants apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = "business_id"
    type: str = "uuid"
    setting: str = "app.business_id"
    root_table: str = "tenant_mgmt.business"
    """The table of tenants; empty where tenants are in no table."""
    current_tenant: str = "tenant_mgmt.current_business_id()"
    """The SQL expression that every policy compares the tenant column with."""
    set_tenant: str = "SELECT tenant_mgmt.set_tenant(%s)"
    """Names the tenant for the rest of a transaction; takes the tenant as its one parameter."""
    claim: str = ""
    """Where the tenant stands in a setting that is a JSON document, as `app_metadata.tenant_id`
    stands in `request.jwt.claims`; empty where the setting is the tenant itself."""
    by_role: bool = False
    """Whether the session's role (current_user) says which tenant it is, and not the setting."""
    examples: tuple[str, str] | None = None
    """Two tenants that exist, where policies ask the database about the session's tenant."""
    identities: tuple[str, str] | None = None
    """What set_tenant is given for each of the examples where that is not the tenant itself: a
    user who is a member of it, a role that works for it."""
    shared_tables: tuple[str, ...] = ()
    """Tables that are exempt on purpose, schema-qualified; `public.ref_*` stands for several."""

    def shares(self, table: object) -> bool:
        """Whether a table of that qualified name is exempt."""
        return any(fnmatchcase(str(table), pattern) for pattern in self.shared_tables)


class Roles(BaseModel):
    """Roles that the schema's files mention; deploy creates those that are missing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str = "app_owner"
    app: str = "app_user"
    readonly: str = "app_readonly"
    others: tuple[str, ...] = ()
    """Further roles that applications use, as `anon` beside `authenticated`."""
    matview_owner: str = "matview_owner"
    loader: str = "harness_loader"
    monitor: str = "harness_monitor"


def _listed(names: Any) -> Any:
    """Names that commas separate, as options and environment give them, as a list."""
    texts = [names] if isinstance(names, str) else names
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return names
    return [name.strip() for text in texts for name in text.split(",")]


RuleNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]
FailOn = Literal["error", "warning", "info", "never"]


class Checks(BaseModel):
    """Which findings count. A rule is named by its id or by what ids begin with: RLS001, POL."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    select: RuleNames = ()
    """Rules to look at; all where it is empty."""
    ignore: RuleNames = ()
    severity: dict[str, Literal["error", "warning", "info"]] = Field(default_factory=dict)
    """Severities that differ from the rules' own."""
    fail_on: FailOn = "warning"
    """The lowest severity that fails a check."""
    baseline: Path | None = None
    """A file of findings that are known and do not count."""
    citus: bool | None = None
    """Whether the schema is meant for Citus, whose rules then count; where it is None, a function
    that sets one of Citus' settings says so, or a database that has the extension."""


class Load(BaseModel):
    """What a load run holds queries to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budgets: dict[str, Any] = Field(default_factory=dict)
    """Budgets over those of the headers, as `p95 < 300ms` or `errors < 0.1%`, one or a list: of
    `all`, of a schema, of a query; the narrower one counts."""


class Settings(BaseSettings):
    """One frozen value that every command is run with."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="HARNESS_", env_nested_delimiter="__"
    )

    dsn: SecretStr | None = None
    """The server to use as an owner or superuser; the embedded server where it is None."""
    app_dsn: SecretStr | None = None
    """As the application role; otherwise `dsn` with that role set at connection start."""
    loader_dsn: SecretStr | None = None
    """As a role that bypasses row security; otherwise `dsn` with the loader role set."""
    history_dsn: SecretStr | None = None
    """Where runs are remembered; a database beside the embedded server's where it is None."""
    database: str = "harness"
    schema_dir: Path = BUNDLED_SCHEMA
    state_dir: Path | None = None
    """Where the embedded server keeps its data; the user's state directory where it is None."""
    recipes_dir: Path | None = None
    """What a fill cannot infer, <schema>/<area>.toml; the bundled recipes where it is None."""
    truths_dir: Path | None = None
    """What must hold of filled data, <schema>/<area>.toml; the bundled truths where it is None."""
    partition_functions: tuple[str, ...] = ("system_core.create_partitions",)
    """Functions that make partitions with row security, forced, and the tenant policy."""
    tenancy: Tenancy = Field(default_factory=Tenancy)
    roles: Roles = Field(default_factory=Roles)
    checks: Checks = Field(default_factory=Checks)
    load: Load = Field(default_factory=Load)

    from_file: ClassVar[dict[str, Any]] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options, then the environment, then the file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, cls.from_file)


def load(options: dict[str, Any] | None = None, config_file: Path | None = None) -> Settings:
    """Settings from options (those that are not None), environment and file.

    Raises UsageError naming the setting that is wrong and where it may have come from.
    """
    source = config_file or _find_file(Path.cwd())
    given = {key: value for key, value in (options or {}).items() if value is not None}

    class FromFile(Settings):
        from_file = _read_file(source) if source else {}

    try:
        return FromFile(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        where = f"{source}, HARNESS_* or an option" if source else "HARNESS_* or an option"
        raise UsageError(f"setting {name} ({where}): {first['msg'].lower()}") from None
    except SettingsError as error:
        raise UsageError(f"HARNESS_*: {error}; what is no text has to be JSON") from None


def server_dsn(settings: Settings) -> str | None:
    """The DSN of the server to use, or None for the embedded one.

    DATABASE_URL, then libpq's own variables, count where no setting names a server.
    """
    if settings.dsn is not None:
        return settings.dsn.get_secret_value()
    if url := os.environ.get("DATABASE_URL"):
        return url
    libpq = ("PGHOST", "PGHOSTADDR", "PGSERVICE")
    return "" if any(os.environ.get(name) for name in libpq) else None


def _find_file(start: Path) -> Path | None:
    for directory in (start, *start.parents):
        own, project = directory / "harness.toml", directory / "pyproject.toml"
        if own.is_file():
            return own
        if project.is_file():
            return project if _read_file(project) else None
    return None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as TOML: {error}") from None
    if path.name == "pyproject.toml":
        section: dict[str, Any] = content.get("tool", {}).get("harness", {})
        return section
    return content
