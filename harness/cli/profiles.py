"""Options of harness load under one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import typer

from harness.catalog import live
from harness.db import Target, connect
from loadtests.load import LoadSettings

PROFILES: Mapping[str, Mapping[str, float]] = {
    "gate": {"users": 8, "seconds": 50, "warmup": 5, "think": 0.02, "extend": 90}
}
"""`gate` is for a verdict in at most three minutes, from few enough users that two cores answer
them without a queue."""
CLUSTER_USERS, CLUSTER_EXTEND = 4, 240.0
"""On a cluster: a call takes two servers' time, and budgets are those of one, so half of the users
fill the same cores; they need longer for as many samples."""


def _set_defaults(given: typer.Context, name: str | None) -> str | None:
    given.default_map = {**(given.default_map or {}), **PROFILES.get(name or "", {})}
    return name


Profile = Annotated[
    Literal["gate"] | None,
    typer.Option(
        is_eager=True,
        callback=_set_defaults,
        help="Options under one name: gate decides in at most three minutes, on a Citus cluster"
        " with half of the users in at most five. What is given beside it counts.",
    ),
]


def on(database: Target, given: typer.Context, wanted: LoadSettings) -> LoadSettings:
    """The settings as a profile means them for this server."""
    if not (_is_of_profile(given, "users") or _is_of_profile(given, "extend")):
        return wanted
    with connect(database.admin) as connection:
        if not live.has_citus(connection):
            return wanted
    if _is_of_profile(given, "users"):
        wanted = replace(wanted, users=CLUSTER_USERS)
    if _is_of_profile(given, "extend"):
        wanted = replace(wanted, extend_seconds=CLUSTER_EXTEND)
    return wanted


def _is_of_profile(given: typer.Context, option: str) -> bool:
    source = given.get_parameter_source(option)
    return source is not None and source.name == "DEFAULT_MAP"
