"""Short ways to enroll methods, for tests of what signs an account in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest

from harness.db import Connection

METHODS = (
    "password",
    "email_otp",
    "sms_otp",
    "voice_otp",
    "magic_link",
    "totp",
    "push_approval",
    "passkey",
    "security_key",
    "biometric",
    "oidc_federation",
    "saml_sso",
    "ldap_directory",
    "client_certificate",
)
"""The fourteen, as the specification lists them."""


def one(connection: Connection, query: str, *values: Any) -> Any:
    """The first column of the first row."""
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def run(connection: Connection, query: str, *values: Any) -> int:
    """Executes a statement and tells how many rows it touched."""
    return connection.execute(query.encode(), values).rowcount


@contextmanager
def refused(connection: Connection, error: type[Exception], message: str) -> Iterator[None]:
    """What is in here is refused, and the transaction goes on."""
    with pytest.raises(error, match=message), connection.transaction():
        yield


def allow_all(connection: Connection) -> None:
    """The tenant allows every method, to everyone."""
    one(connection, "SELECT user_auth.allow_default_methods()")
    run(
        connection,
        "UPDATE user_auth.auth_method_policy SET is_enabled = true, applies_to = 'everyone'",
    )


def enroll(connection: Connection, account: UUID, method: str, status: str = "active") -> UUID:
    """Enrolls a method of an account, proven already unless it is pending."""
    directory = None
    if method == "ldap_directory":
        directory = one(
            connection,
            "INSERT INTO user_mgmt.directory_connection (business_id, kind, base_url,"
            " credential_ref, attribute_mapping, sync_mode) VALUES"
            " (tenant_mgmt.current_business_id(), 'ldap', 'ldaps://ldap.example',"
            """ 'vault:ldap/bind', '{"mail": "email", "active": "status"}', 'bind_only')"""
            " RETURNING directory_connection_id",
        )
    found: UUID = one(
        connection,
        "INSERT INTO user_auth.auth_enrollment (business_id, user_account_id, method, status,"
        " confirmed_at, directory_connection_id) VALUES (tenant_mgmt.current_business_id(), %s,"
        " %s, %s, CASE WHEN %s <> 'pending' THEN now() END, %s) RETURNING auth_enrollment_id",
        account,
        method,
        status,
        status,
        directory,
    )
    return found


def status_of(connection: Connection, enrollment: UUID) -> Any:
    """The status of an enrollment."""
    return one(
        connection,
        "SELECT status FROM user_auth.auth_enrollment WHERE auth_enrollment_id = %s",
        enrollment,
    )


def revoke(connection: Connection, enrollment: UUID) -> None:
    """Revokes an enrollment, for no reason to speak of."""
    run(
        connection,
        "UPDATE user_auth.auth_enrollment SET status = 'revoked', revoked_at = now(),"
        " revoke_reason = 'lost' WHERE auth_enrollment_id = %s",
        enrollment,
    )
