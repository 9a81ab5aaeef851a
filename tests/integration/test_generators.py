"""Generators against PostgreSQL itself: what they make for a domain, the domain takes."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import psycopg
import pytest
from psycopg import sql

from datagen import tenants
from datagen.encode import encode
from datagen.generators import choose
from datagen.pools import Pools
from datagen.request import Request
from harness.catalog import live
from harness.catalog.model import Catalog, Column, Name
from harness.config import load
from harness.db import Target
from harness.deploy.source import read

ROWS = 500
POOLS = Pools(1)
TYPES = ["integer", "bigint", "boolean", "uuid", "text", "date", "inet", "jsonb", "bytea"]
TYPES += ["text[]", "numeric(12,2)", "timestamp with time zone", "interval"]
TYPES += ["time without time zone", "double precision", "smallint"]


def _domains() -> list[str]:
    text = read(load().schema_dir)[0].text
    return [line.split()[2] for line in text.splitlines() if line.startswith("CREATE DOMAIN")]


@pytest.fixture(scope="module")
def catalog(deployed: Target) -> Catalog:
    with psycopg.connect(deployed.admin) as connection:
        return live.read(connection)


@pytest.mark.parametrize("locale", [0, 3, 4, 5])
@pytest.mark.parametrize("type_name", [*_domains(), *TYPES])
def test_a_type_takes_what_its_generator_makes(
    deployed: Target, catalog: Catalog, type_name: str, locale: int
) -> None:
    column = Column("it", type_name)
    generator = choose(column, catalog)
    assert generator is not None
    request = Request(
        row_numbers=np.arange(ROWS),
        rng=np.random.default_rng(locale),
        tenant=tenants.make(1, locale),
        pools=POOLS,
        as_of=datetime(2026, 6, 1, tzinfo=UTC),
        name="it",
        upper=30_000 if type_name == "smallint" else None,
    )
    values = generator.generate(request)
    with psycopg.connect(deployed.admin) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE TEMP TABLE sink (it {})").format(sql.SQL(type_name)))  # type: ignore[arg-type]
        with cursor.copy("COPY sink FROM STDIN (FORMAT binary)") as copy:
            copy.write(encode([(column, values)], catalog))
        assert cursor.execute("SELECT count(it) FROM sink").fetchone() == (ROWS,)


@pytest.mark.parametrize("name", ["email", "slug", "code", "host_name", "sha256", "vault_ref"])
def test_identifiers_do_not_repeat(catalog: Catalog, name: str) -> None:
    module = choose(Column("it", f"system_core.{name}"), catalog)
    assert module is not None
    request = Request(
        np.arange(5000),
        np.random.default_rng(1),
        tenants.make(1, 0),
        POOLS,
        datetime(2026, 6, 1, tzinfo=UTC),
        unique=True,
    )
    assert len(set(module.generate(request).data)) == 5000


def test_every_domain_has_a_generator_of_its_name(catalog: Catalog) -> None:
    from datagen.generators import modules

    missing = [str(d) for d in catalog.domains if Name(d.schema, d.name).name not in modules()]
    assert missing == []
