"""The door of an office, for tests of signing in: devices, sessions, tries and scores."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from tests.integration.schema.access import Office


def sha(text: str) -> bytes:
    """The hash under which a secret is kept."""
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True)
class Door(Office):
    """An office with ways to write rows of any schema."""

    def put(self, table: str, /, **columns: Any) -> UUID:
        """Writes a row of `schema.table` and returns its key."""
        schema, _, name = table.partition(".")
        columns = {"business_id": self.tenant, **columns}
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING {}").format(
            sql.Identifier(schema, name),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(sql.Placeholder() * len(columns)),
            sql.Identifier(f"{name}_id"),
        )
        values = [Jsonb(v) if _is_document(v) else v for v in columns.values()]
        row = self.connection.execute(statement, values).fetchone()
        assert row
        return UUID(str(row[0]))

    def score(self, account: UUID, policy: UUID, points: float, **columns: Any) -> UUID:
        """A risk score that one factor explains."""
        given = {
            "factors": [{"factor": "new_device", "points": points}],
            "expires_at": self.one("SELECT clock_timestamp() + interval '1 day'"),
            **columns,
        }
        return self.put(
            "user_analytics.risk_score",
            user_account_id=account,
            risk_policy_id=policy,
            score=points,
            **given,
        )

    def policy(self, applies_to: str = "sign_in", **columns: Any) -> UUID:
        """An active policy: 25 points ask for more, 60 shut the door."""
        given = {
            "code": applies_to,
            "name": applies_to,
            "factor_weights": {"new_device": 20, "new_country": 25, "history": 80},
            "step_up_threshold": 25,
            "block_threshold": 60,
            "is_active": True,
            "activated_at": "now",
            **columns,
        }
        return self.put("user_analytics.risk_policy", applies_to=applies_to, **given)

    def device(self, account: UUID, name: str = "laptop", **columns: Any) -> UUID:
        """A device that the account was seen on."""
        given = {"device_kind": "laptop", "fingerprint_hash": sha(name), **columns}
        return self.put("user_auth.user_device", user_account_id=account, **given)

    def session(self, account: UUID, token: str, **columns: Any) -> UUID:
        """A session as open_session() would not make it: with anything."""
        given = {"client_kind": "web", "session_token_hash": sha(token), **columns}
        given.setdefault("absolute_expires_at", self.one("SELECT now() + interval '12 hours'"))
        return self.put("user_auth.user_session", user_account_id=account, **given)

    def open(self, account: UUID, text: str = "t", *, amr: str = "{pwd}", **named: Any) -> UUID:
        """Signs in by open_session(), with a token of that text."""
        made: UUID = self.one(
            "SELECT user_auth.open_session(%s, %s, %s, %s, %s, %s)",
            account,
            amr,
            sha(named["device"]) if "device" in named else None,
            sha(text),
            named.get("client_kind", "web"),
            named.get("ip"),
        )
        return made

    def network(self, cidr: str, effect: str, kind: str = "office", **columns: Any) -> UUID:
        """A network with an effect."""
        given = {"name": cidr, "cidr": cidr, "kind": kind, "effect": effect, **columns}
        return self.put("user_auth.trusted_network", **given)

    def setting(self, key: str, value: int) -> None:
        """What the business sets about signing in."""
        self.run(
            "INSERT INTO system_core.setting (business_id, namespace, setting_key, value_type,"
            " value, default_value) VALUES (%s, 'sign_in', %s, 'number', %s, %s)",
            self.tenant,
            key,
            Jsonb(value),
            Jsonb(1),
        )

    def ended(self, session: UUID) -> tuple[Any, ...]:
        """State and reason of a session."""
        return self.rows(
            "SELECT state, end_reason FROM user_auth.user_session WHERE user_session_id = %s",
            session,
        )[0]


def _is_document(value: Any) -> bool:
    """An object or an array of objects; other lists are arrays."""
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    )
