"""A schema of three tables of tenants of its own kind, one of them partitioned, to fill."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

from datagen.plan import FillSettings
from harness.config import Settings, Tenancy

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.org (org_id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE shop.item (
    org_id  uuid NOT NULL REFERENCES shop.org,
    item_id uuid NOT NULL,
    code    integer NOT NULL,
    price   numeric(8, 2) NOT NULL CHECK (price BETWEEN 1 AND 9),
    PRIMARY KEY (org_id, item_id),
    UNIQUE (org_id, code)
);
CREATE INDEX item_price_idx ON shop.item (org_id, price);
CREATE TABLE shop.sale (
    org_id  uuid NOT NULL,
    sale_id uuid NOT NULL,
    sold_on date NOT NULL,
    item_id uuid NOT NULL,
    PRIMARY KEY (org_id, sale_id, sold_on),
    FOREIGN KEY (org_id, item_id) REFERENCES shop.item
) PARTITION BY RANGE (sold_on);
CREATE TABLE shop.sale_all PARTITION OF shop.sale DEFAULT;
CREATE INDEX sale_item_idx ON shop.sale (org_id, item_id);
"""
WANTED = FillSettings(tenants=2, scale=1.0, seed=7, as_of=datetime(2026, 6, 1, tzinfo=UTC))
SETTINGS = """
[tenancy]
column = "org_id"
setting = "app.org"
root_table = "shop.org"
current_tenant = "current_setting('app.org')::uuid"
set_tenant = "SELECT set_config('app.org', %s::text, true)"
"""
"""What harness.toml says of a shop whose tenants are orgs."""


def settings_of_shop(settings: Settings, directory: Path) -> Settings:
    """Settings that name it, once it is written to the directory."""
    (directory / "shop.sql").write_text(SCHEMA)
    tenancy = Tenancy(**tomllib.loads(SETTINGS)["tenancy"])
    return settings.model_copy(update={"schema_dir": directory, "tenancy": tenancy})
