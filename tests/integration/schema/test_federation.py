"""A subject is bound to an account by what its provider verified, and a domain to a provider."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import add_account, become_app
from tests.integration.schema.signing import allow_all, enroll, one, refused, run, status_of

TENANT = "tenant_mgmt.current_business_id()"
ADA = {"email": "Ada@Example.com", "email_verified": True, "name": "Ada"}


@pytest.fixture
def allowed(app: Connection) -> Connection:
    """The application, for a tenant that allows every method."""
    allow_all(app)
    return app


def add_provider(connection: Connection, name: str = "idp", **columns: Any) -> UUID:
    values = {
        "kind": "oidc",
        "name": name,
        "issuer": f"https://{name}.example",
        "client_identifier": "acme",
        "status": "active",
        **columns,
    }
    made: UUID = one(
        connection,
        f"INSERT INTO user_auth.identity_provider (business_id, {', '.join(values)})"
        f" VALUES ({TENANT}, {', '.join(['%s'] * len(values))}) RETURNING identity_provider_id",
        *values.values(),
    )
    return made


def link(
    connection: Connection, provider: UUID, claims: dict[str, Any], subject: str = "s-1"
) -> Any:
    query = "SELECT user_auth.link_identity(%s, %s, %s::jsonb)"
    return one(connection, query, provider, subject, json.dumps(claims))


def identity(connection: Connection, columns: str) -> Any:
    """Columns of the one identity."""
    return connection.execute(
        f"SELECT {columns} FROM user_auth.federated_identity".encode()
    ).fetchone()


def test_a_verified_address_is_linked_to_its_account(allowed: Connection, account: UUID) -> None:
    provider = add_provider(allowed)
    claims = ADA | {"amr": ["pwd", "otp"], "acr": "phr"}
    assert link(allowed, provider, claims) == account
    columns = "user_account_id, method, subject, provider_email, last_amr, last_acr"
    assert identity(allowed, columns) == (
        account,
        "oidc_federation",
        "s-1",
        "Ada@Example.com",
        ["pwd", "otp"],
        "phr",
    )
    assert identity(allowed, "claims") == (claims,)
    assert one(allowed, "SELECT status FROM user_auth.auth_enrollment") == "active"


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"email_verified": True},
        {"email": "ada@example.com"},
        {"email": "ada@example.com", "email_verified": False},
        {"email": "ada@example.com", "email_verified": "no"},
    ],
)
def test_an_address_that_was_not_verified_is_not_linked(
    allowed: Connection, account: UUID, claims: dict[str, Any]
) -> None:
    provider = add_provider(allowed)
    with refused(allowed, errors.InsufficientPrivilege, "did not verify"):
        link(allowed, provider, claims)
    assert identity(allowed, "1") is None


def test_a_subject_that_is_bound_stays_with_its_account(
    admin: Connection, allowed: Connection, account: UUID, tenant: UUID
) -> None:
    admin.execute("RESET ROLE")
    add_account(admin, tenant, "bob")
    become_app(admin, tenant)
    provider = add_provider(allowed)
    link(allowed, provider, ADA)
    moved = {"email": "bob@example.com", "email_verified": True}
    assert link(allowed, provider, moved) == account, "the subject counts, not the address"
    assert link(allowed, provider, {}) == account
    assert identity(allowed, "provider_email, is_email_verified_by_provider") == (None, False)
    assert one(allowed, "SELECT count(*) FROM user_auth.auth_enrollment") == 1


def test_the_mapping_names_the_claims(allowed: Connection, account: UUID) -> None:
    mapping = {"email": "upn", "email_verified": "xms_edov"}
    provider = add_provider(allowed, attribute_mapping=json.dumps(mapping))
    with refused(allowed, errors.InsufficientPrivilege, "did not verify"):
        link(allowed, provider, ADA)
    claims = {"upn": "ada@example.com", "xms_edov": "1"}
    assert link(allowed, provider, claims) == account


@pytest.mark.parametrize("acr", [None, "weak"])
def test_the_authentication_context_may_be_required(
    allowed: Connection, account: UUID, acr: str | None
) -> None:
    provider = add_provider(allowed, required_acr="phr")
    with refused(allowed, errors.InsufficientPrivilege, "phr is required"):
        link(allowed, provider, ADA | ({"acr": acr} if acr else {}))
    assert link(allowed, provider, ADA | {"acr": "phr"}) == account


def test_a_disabled_provider_vouches_for_nobody(allowed: Connection, account: UUID) -> None:
    provider = add_provider(allowed, status="disabled")
    with pytest.raises(errors.NoDataFound, match="disabled"):
        link(allowed, provider, ADA)


def test_somebody_unknown_is_not_let_in(allowed: Connection, account: UUID) -> None:
    provider = add_provider(allowed)
    with pytest.raises(errors.NoDataFound, match="nobody here"):
        link(allowed, provider, {"email": "eve@example.com", "email_verified": True})


def add_role(connection: Connection) -> UUID:
    made: UUID = one(
        connection,
        "INSERT INTO user_rbac.role (business_id, code, name)"
        f" VALUES ({TENANT}, 'guest', 'Guest') RETURNING role_id",
    )
    return made


def test_a_provider_may_make_accounts_with_its_role(allowed: Connection) -> None:
    role = add_role(allowed)
    provider = add_provider(allowed, jit_provisioning=True, default_role_id=role)
    claims = {"email": "Eve@Example.com", "email_verified": True, "name": "Eve Adams"}
    eve = link(allowed, provider, claims)
    row = allowed.execute(
        "SELECT a.username, a.display_name, a.status, g.role_id FROM user_mgmt.user_account AS a"
        " JOIN user_rbac.role_assignment AS g USING (business_id, user_account_id)"
        " WHERE a.user_account_id = %s",
        [eve],
    ).fetchone()
    assert row == ("eve@example.com", "Eve Adams", "active", role)
    assert link(allowed, provider, claims) == eve


def test_a_provider_on_trial_makes_no_accounts(allowed: Connection) -> None:
    provider = add_provider(
        allowed, jit_provisioning=True, default_role_id=add_role(allowed), status="testing"
    )
    with pytest.raises(errors.NoDataFound, match="nobody here"):
        link(allowed, provider, {"email": "eve@example.com", "email_verified": True})


def test_accounts_are_made_with_a_role_only(allowed: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="makes_accounts_with_role"):
        add_provider(allowed, jit_provisioning=True)


def test_an_identity_is_unlinked_and_linked_again(allowed: Connection, account: UUID) -> None:
    enroll(allowed, account, "password")
    provider = add_provider(allowed)
    link(allowed, provider, ADA)
    (found, behind) = identity(allowed, "federated_identity_id, auth_enrollment_id")
    one(allowed, "SELECT user_auth.unlink_identity(%s)", found)
    assert identity(allowed, "unlinked_at IS NOT NULL") == (True,)
    assert status_of(allowed, behind) == "revoked"
    with refused(allowed, errors.NoDataFound, "not linked"):
        one(allowed, "SELECT user_auth.unlink_identity(%s)", found)
    assert link(allowed, provider, ADA) == account
    assert identity(allowed, "unlinked_at, auth_enrollment_id <> %s".replace("%s", f"'{behind}'"))


def test_the_last_way_in_is_not_unlinked(allowed: Connection, account: UUID) -> None:
    link(allowed, add_provider(allowed), ADA)
    (found,) = identity(allowed, "federated_identity_id")
    with pytest.raises(errors.CheckViolation, match="last primary method"):
        one(allowed, "SELECT user_auth.unlink_identity(%s)", found)


@pytest.mark.parametrize(("kind", "method"), [("oidc", "saml_sso"), ("saml", "oidc_federation")])
def test_the_method_is_that_of_the_provider(
    allowed: Connection, account: UUID, kind: str, method: str
) -> None:
    expires = "2999-01-01" if kind == "saml" else None
    provider = add_provider(allowed, kind=kind, certificate_expires_at=expires)
    with pytest.raises(errors.CheckViolation, match="method_of_provider"):
        run(
            allowed,
            "INSERT INTO user_auth.federated_identity (business_id, user_account_id,"
            " auth_enrollment_id, method, identity_provider_id, provider_kind, subject)"
            f" VALUES ({TENANT}, %s, %s, %s, %s, %s, 's')",
            account,
            enroll(allowed, account, method),
            method,
            provider,
            kind,
        )


def test_saml_is_linked_as_saml(allowed: Connection, account: UUID) -> None:
    provider = add_provider(allowed, kind="saml", certificate_expires_at="2999-01-01")
    assert link(allowed, provider, ADA) == account
    assert identity(allowed, "method, provider_kind") == ("saml_sso", "saml")


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"kind": "saml"}, "saml_certificate_expires"),
        ({"issuer": "http://idp.example"}, "oidc_issuer_is_https"),
        ({"domain_hints": ["Acme.example"]}, "hints_are_lower_case"),
        ({"attribute_mapping": "{}"}, "maps_email"),
    ],
)
def test_a_provider_is_set_up_whole(
    allowed: Connection, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"identity_provider_{truth}"):
        add_provider(allowed, **columns)


def test_an_issuer_is_trusted_once(allowed: Connection) -> None:
    add_provider(allowed)
    with pytest.raises(errors.UniqueViolation):
        add_provider(allowed)


def test_a_domain_belongs_to_one_provider(allowed: Connection) -> None:
    add_provider(allowed, "one", domain_hints=["acme.example", "acme.test"])
    other = add_provider(allowed, "two", domain_hints=["other.example"])
    with refused(allowed, errors.ExclusionViolation, "acme.test belongs to provider one"):
        add_provider(allowed, "three", domain_hints=["new.example", "acme.test"])
    with refused(allowed, errors.ExclusionViolation, "acme.example belongs to provider one"):
        run(
            allowed,
            "UPDATE user_auth.identity_provider SET domain_hints = '{acme.example}'"
            " WHERE identity_provider_id = %s",
            other,
        )
    run(allowed, "UPDATE user_auth.identity_provider SET domain_hints = '{}' WHERE name = 'one'")
    add_provider(allowed, "three", domain_hints=["acme.test"])
