"""Small schemas that tell tenants apart in different ways, each with two tenants and their rows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import psycopg

from harness.config import Settings, Tenancy

_ROLES = """
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY array[{roles}] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
    END LOOP;
EXCEPTION WHEN unique_violation OR duplicate_object THEN NULL;
END $$;
"""
_TABLES = """
CREATE SCHEMA shop;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
CREATE TABLE shop.org (id {type} PRIMARY KEY);
CREATE TABLE shop.item (
    {column} {type} NOT NULL, item_id uuid NOT NULL, name text NOT NULL,
    PRIMARY KEY ({column}, item_id)
);
CREATE TABLE shop.line (
    {column} {type} NOT NULL, line_id uuid NOT NULL, item_id uuid NOT NULL, amount integer NOT NULL,
    PRIMARY KEY ({column}, line_id),
    FOREIGN KEY ({column}, item_id) REFERENCES shop.item ({column}, item_id)
);
ALTER TABLE shop.org ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE shop.item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE shop.line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON shop.org USING (id = {context});
CREATE POLICY p ON shop.item USING ({column} = {context});
CREATE POLICY p ON shop.line USING ({column} = {context});
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO {grantees};
INSERT INTO shop.org VALUES ('{own}'), ('{other}');
INSERT INTO shop.item
SELECT o.id, gen_random_uuid(), 'thing ' || n FROM shop.org AS o, generate_series(1, 3) AS n;
INSERT INTO shop.line
SELECT i.{column}, gen_random_uuid(), i.item_id, n FROM shop.item AS i, generate_series(1, 2) AS n;
"""


@dataclass(frozen=True)
class Convention:
    """A way to tell tenants apart."""

    tenancy: Tenancy
    own: str
    other: str
    grantees: str = "app_user"
    roles: tuple[str, ...] = ("app_user",)
    more: str = ""

    def settings(self, settings: Settings) -> Settings:
        """Settings for a database with such a schema."""
        return settings.model_copy(update={"tenancy": self.tenancy})

    def create(self, connection: psycopg.Connection[Any]) -> None:
        """Makes the schema and fills it."""
        tenancy = self.tenancy
        text = _ROLES.format(roles=", ".join(f"'{role}'" for role in self.roles))
        text += _TABLES.format(
            column=tenancy.column,
            type=tenancy.type,
            context=tenancy.current_tenant,
            grantees=self.grantees,
            own=self.own,
            other=self.other,
        )
        connection.execute((text + self.more).encode())


SETTING = Convention(
    Tenancy(
        column="org_id",
        type="uuid",
        setting="shop.org",
        root_table="shop.org",
        current_tenant="nullif(current_setting('shop.org', true), '')::uuid",
        set_tenant="SELECT set_config('shop.org', %s::text, true)",
    ),
    own="00000000-0000-4000-8000-00000000000a",
    other="00000000-0000-4000-8000-00000000000b",
)
CLAIMS = Convention(
    Tenancy(
        column="tenant_id",
        type="bigint",
        setting="request.jwt.claims",
        root_table="shop.org",
        current_tenant="(nullif(current_setting('request.jwt.claims', true), '')::json"
        " ->> 'tenant_id')::bigint",
        set_tenant="SELECT set_config('request.jwt.claims',"
        " json_build_object('tenant_id', %s::text)::text, true)",
    ),
    own="7",
    other="8",
)
_ROLE_NAMES = tuple(f"harness_test_{os.getpid()}_{name}" for name in ("one", "two"))
OWN_ROLES = Convention(
    Tenancy(
        column="owner",
        type="text",
        setting="role",
        root_table="shop.org",
        current_tenant="current_user",
        set_tenant="SELECT set_config('role', %s, true)",
    ),
    own=_ROLE_NAMES[0],
    other=_ROLE_NAMES[1],
    grantees=", ".join(_ROLE_NAMES),
    roles=("app_user", *_ROLE_NAMES),
    more=f"GRANT {', '.join(_ROLE_NAMES)} TO app_user WITH INHERIT FALSE, SET TRUE;",
)
CONVENTIONS = {"setting": SETTING, "claims": CLAIMS, "roles": OWN_ROLES}


def drop_roles(connection: psycopg.Connection[Any]) -> None:
    """The roles of tenants, which are the cluster's, once no database needs them."""
    for name in _ROLE_NAMES:
        connection.execute(f'DROP ROLE IF EXISTS "{name}"'.encode())
