"""Roles inherit in one step at any depth; what is assigned is held once, in time and by few."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.access import Office


@pytest.fixture
def office(admin: Connection, tenant: UUID) -> Office:
    return Office.of(admin, tenant)


@pytest.fixture
def chain(office: Office) -> dict[str, UUID]:
    """Four roles, each inheriting from the next."""
    roles = {code: office.role(code) for code in ("owner", "manager", "lead", "staff")}
    for senior, junior in (("manager", "lead"), ("owner", "manager"), ("lead", "staff")):
        office.inherit(roles[senior], roles[junior])
    return roles


def _pairs(office: Office) -> set[tuple[Any, ...]]:
    return set(
        office.rows(
            "SELECT s.code, j.code, h.depth, h.is_direct, h.path_count, h.effective_inherits"
            " FROM user_rbac.role_hierarchy AS h"
            " JOIN user_rbac.role AS s ON s.role_id = h.senior_role_id"
            " JOIN user_rbac.role AS j ON j.role_id = h.junior_role_id"
        )
    )


def test_every_pair_follows_from_the_edges(office: Office, chain: dict[str, UUID]) -> None:
    assert _pairs(office) == {
        ("owner", "manager", 1, True, 1, "all"),
        ("manager", "lead", 1, True, 1, "all"),
        ("lead", "staff", 1, True, 1, "all"),
        ("owner", "lead", 2, False, 1, "all"),
        ("manager", "staff", 2, False, 1, "all"),
        ("owner", "staff", 3, False, 1, "all"),
    }


def test_a_drawn_edge_takes_the_place_of_a_pair_that_followed(
    office: Office, chain: dict[str, UUID]
) -> None:
    edge = office.inherit(chain["owner"], chain["staff"], inherits="read_only")
    assert ("owner", "staff", 1, True, 2, "all") in _pairs(office)
    office.run("DELETE FROM user_rbac.role_hierarchy WHERE role_hierarchy_id = %s", edge)
    assert ("owner", "staff", 3, False, 1, "all") in _pairs(office)


def test_a_path_passes_on_what_all_its_edges_do(office: Office, chain: dict[str, UUID]) -> None:
    office.run(
        "UPDATE user_rbac.role_hierarchy SET inherits = 'read_only'"
        " WHERE is_direct AND junior_role_id = %s",
        chain["lead"],
    )
    found = {(s, j): inherits for s, j, *_, inherits in _pairs(office)}
    assert found["owner", "staff"] == found["owner", "lead"] == "read_only"
    assert found["lead", "staff"] == found["owner", "manager"] == "all"


def test_what_followed_from_an_edge_goes_with_it(office: Office, chain: dict[str, UUID]) -> None:
    office.run(
        "DELETE FROM user_rbac.role_hierarchy WHERE is_direct AND senior_role_id = %s",
        chain["manager"],
    )
    assert {pair[:2] for pair in _pairs(office)} == {("owner", "manager"), ("lead", "staff")}


def test_pairs_written_by_hand_are_put_right(office: Office, chain: dict[str, UUID]) -> None:
    before = _pairs(office)
    office.run("DELETE FROM user_rbac.role_hierarchy WHERE NOT is_direct")
    assert _pairs(office) == before
    office.inherit(chain["staff"], office.role("extra"), is_direct=False, depth=2)
    assert _pairs(office) == before


@pytest.mark.parametrize("senior", ["staff", "lead", "manager"])
def test_no_role_inherits_from_itself(office: Office, chain: dict[str, UUID], senior: str) -> None:
    with pytest.raises(errors.CheckViolation, match="would inherit from itself"):
        office.inherit(chain[senior], chain["owner"])


def test_two_edges_of_one_statement_close_no_circle(office: Office) -> None:
    first, second = office.role("first"), office.role("second")
    with pytest.raises(errors.CheckViolation, match="would inherit from itself"):
        office.run(
            "INSERT INTO user_rbac.role_hierarchy (business_id, senior_role_id, junior_role_id)"
            " VALUES (%s, %s, %s), (%s, %s, %s)",
            *(office.tenant, first, second, office.tenant, second, first),
        )


def test_a_tree_is_eight_steps_deep_and_no_deeper(office: Office) -> None:
    roles = [office.role(f"level_{number}") for number in range(10)]
    for senior, junior in pairwise(roles[:9]):
        office.inherit(senior, junior)
    assert max(depth for _, _, depth, *_ in _pairs(office)) == 8
    with pytest.raises(errors.CheckViolation, match="more than 8 steps"):
        office.inherit(roles[8], roles[9])


def test_an_edge_is_not_moved(office: Office, chain: dict[str, UUID]) -> None:
    with pytest.raises(errors.RestrictViolation, match="not moved"):
        office.run(
            "UPDATE user_rbac.role_hierarchy SET junior_role_id = %s WHERE senior_role_id = %s",
            *(chain["owner"], chain["lead"]),
        )


def test_system_roles_are_the_platforms(office: Office) -> None:
    with pytest.raises(errors.RestrictViolation, match="kept by the platform"):
        office.role("root", kind="system")


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE user_rbac.role SET name = 'Mine' WHERE code = 'root'",
        "UPDATE user_rbac.role SET kind = 'custom' WHERE code = 'root'",
        "UPDATE user_rbac.role SET kind = 'system' WHERE code = 'own'",
        "DELETE FROM user_rbac.role WHERE code = 'root'",
        "UPDATE user_rbac.role_permission SET effect = 'deny'",
        "DELETE FROM user_rbac.role_permission",
        "UPDATE user_rbac.role_permission AS g SET role_id = r.role_id FROM user_rbac.role AS r"
        " WHERE r.code = 'root' AND g.note = 'own'",
        "INSERT INTO user_rbac.role_hierarchy (business_id, senior_role_id, junior_role_id)"
        " SELECT s.business_id, s.role_id, j.role_id FROM user_rbac.role AS s,"
        " user_rbac.role AS j WHERE s.code = 'root' AND j.code = 'own'",
    ],
)
def test_a_tenant_edits_no_system_role(office: Office, edit: str) -> None:
    with office.as_platform():
        root = office.role("root", kind="system")
        office.grant(root, office.permission("invoice:read"))
    office.grant(office.role("own"), office.permission("invoice:print"), note="own")
    with pytest.raises(errors.RestrictViolation, match="kept by the platform"):
        office.run(edit)


def test_a_role_of_the_tenant_inherits_from_a_system_role(office: Office) -> None:
    with office.as_platform():
        root = office.role("root", kind="system")
    office.inherit(office.role("own"), root)
    assert ("own", "root", 1, True, 1, "all") in _pairs(office)


def test_a_version_rises_with_each_change(office: Office) -> None:
    role = office.role("clerk")
    office.run("UPDATE user_rbac.role SET name = 'Clerk of the court'")
    office.run("UPDATE user_rbac.role SET name = name")
    version = "SELECT version_no FROM user_rbac.role WHERE role_id = %s"
    assert office.one(version, role) == 2


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"max_holders": 0}, "role_has_room_for_a_holder"),
        ({"risk_tier": "critical"}, "role_critical_requires_mfa"),
        ({"kind": "template"}, "role_template_is_not_held"),
        ({"default_duration_days": 0}, "role_duration_positive"),
    ],
)
def test_a_role_is_sound(office: Office, columns: dict[str, Any], constraint: str) -> None:
    with pytest.raises(errors.CheckViolation, match=constraint):
        office.role("odd", **columns)


@pytest.mark.parametrize(
    ("permission", "columns", "message"),
    [
        ("invoice:read", {"amount_limit": 5}, "about no amount"),
        ("setting:configure", {"row_scope": "own"}, "for all rows or none"),
        ("order:refund", {"amount_limit": 0}, "role_permission_limit_positive"),
        ("order:refund", {"effect": "deny", "field_mask": ["x"]}, "only_an_allowance_masks"),
    ],
)
def test_a_grant_fits_its_permission(
    office: Office, permission: str, columns: dict[str, Any], message: str
) -> None:
    made = office.permission(permission, is_scopable=not permission.startswith("setting"))
    with pytest.raises(errors.CheckViolation, match=message):
        office.grant(office.role("clerk"), made, **columns)


def test_amounts_are_limited_where_there_are_some(office: Office) -> None:
    role = office.role("clerk")
    for code in ("order:refund", "order:void", "order:approve"):
        assert office.grant(role, office.permission(code), amount_limit=50)


def test_a_permission_that_is_granted_for_some_rows_stays_scopable(office: Office) -> None:
    permission = office.permission("invoice:read")
    office.grant(office.role("clerk"), permission, row_scope="own")
    with pytest.raises(errors.CheckViolation, match="for all rows or none"):
        office.run("UPDATE user_rbac.permission SET is_scopable = false")


def test_a_permission_keeps_its_code(office: Office) -> None:
    office.permission("invoice:read")
    assert office.one("SELECT code FROM user_rbac.permission") == "invoice:read"
    with pytest.raises(errors.RestrictViolation, match="cannot become invoice:delete"):
        office.run("UPDATE user_rbac.permission SET action = 'delete'")


@pytest.mark.parametrize("code", ["user:impersonate", "role:update"])
def test_what_is_sensitive_is_stepped_up_for(office: Office, code: str) -> None:
    sensitivity = "security" if code.startswith("role") else "normal"
    with pytest.raises(errors.CheckViolation, match="sensitive_is_stepped_up_for"):
        office.permission(code, sensitivity=sensitivity)


@pytest.mark.parametrize(
    ("starts", "ends", "state"),
    [
        ("-1 day", None, "active"),
        ("-1 day", "1 day", "active"),
        ("1 day", "2 days", "scheduled"),
    ],
)
def test_an_assignment_is_where_the_clock_is(
    office: Office, starts: str, ends: str | None, state: str
) -> None:
    when = "SELECT now() + %s::interval"
    made = office.assign(
        office.ada,
        office.role("clerk"),
        valid_from=office.one(when, starts),
        valid_until=office.one(when, ends) if ends else None,
    )
    assert office.state_of("role_assignment", made) == state


def test_what_is_over_is_not_granted(office: Office) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as expired"):
        office.assign(
            office.ada,
            office.role("clerk"),
            valid_from=office.one("SELECT now() - interval '2 days'"),
            valid_until=office.one("SELECT now() - interval '1 day'"),
        )


def test_a_role_gives_its_duration_to_what_has_no_end(office: Office) -> None:
    office.assign(office.ada, office.role("clerk", default_duration_days=30))
    until = "SELECT valid_until = now() + interval '30 days' FROM user_rbac.role_assignment"
    assert office.one(until) is True


def test_states_follow_the_clock(office: Office) -> None:
    role = office.role("clerk")
    made = office.assign(office.ada, role)
    with office.as_platform():
        office.run("ALTER TABLE user_rbac.role_assignment DISABLE TRIGGER USER")
        office.run(
            "UPDATE user_rbac.role_assignment SET valid_from = now() - interval '2 days',"
            " valid_until = now() - interval '1 day'"
        )
        office.run("ALTER TABLE user_rbac.role_assignment ENABLE TRIGGER USER")
    assert office.one("SELECT user_rbac.expire_grants()") == 1
    assert office.state_of("role_assignment", made) == "expired"
    assert office.one("SELECT user_rbac.expire_grants()") == 0, "once"


STATES = {
    "scheduled": {"active", "expired", "revoked"},
    "active": {"expired", "revoked"},
    "expired": set(),
    "revoked": set(),
}


@pytest.mark.parametrize("old", STATES)
@pytest.mark.parametrize("new", STATES)
def test_an_assignment_moves_by_its_table(office: Office, old: str, new: str) -> None:
    window = {
        "scheduled": ("1 day", "2 days"),
        "active": ("-1 day", "1 day"),
        "expired": ("-2 days", "-1 day"),
        "revoked": ("-2 days", "2 days"),
    }
    with office.as_platform():
        starts, ends = (office.one("SELECT now() + %s::interval", w) for w in window[old])
        made = office.assign(
            office.ada,
            office.role("clerk"),
            state=old,
            valid_from=starts,
            valid_until=ends,
            revoked_at=starts if old == "revoked" else None,
        )
    starts, ends = (office.one("SELECT now() + %s::interval", w) for w in window[new])
    change = (
        "UPDATE user_rbac.role_assignment SET state = %s, valid_from = %s, valid_until = %s,"
        " revoked_at = CASE %s WHEN 'revoked' THEN now() END WHERE role_assignment_id = %s"
    )
    if new in STATES[old] | {old}:
        office.run(change, new, starts, ends, new, made)
        assert office.state_of("role_assignment", made) == new
    else:
        with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}"):
            office.run(change, new, starts, ends, new, made)


def test_a_role_is_not_held_twice_at_a_time(office: Office) -> None:
    role = office.role("clerk")
    made = office.assign(office.ada, role)
    office.assign(office.ada, role, scope_kind="record", scope_entity_id=uuid4())
    office.assign(office.bob, role)
    with office.refusing(errors.ExclusionViolation, "role_assignment"):
        office.assign(office.ada, role)
    office.run(
        "UPDATE user_rbac.role_assignment SET state = 'revoked', revoked_at = now()"
        " WHERE role_assignment_id = %s",
        made,
    )
    assert office.assign(office.ada, role)


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"user_account_id": None}, "not-null|has_one_holder"),
        ({"scope_kind": "record"}, "scope_names_its_place"),
        ({"scope_entity_id": uuid4()}, "scope_names_its_place"),
        ({"origin": "delegation"}, "delegated_names_its_delegation"),
        ({"origin": "emergency"}, "emergency_names_its_access"),
    ],
)
def test_an_assignment_is_sound(office: Office, columns: dict[str, Any], constraint: str) -> None:
    values = {"user_account_id": office.ada, "role_id": office.role("clerk"), **columns}
    with pytest.raises(errors.IntegrityError, match=constraint):
        office.insert("role_assignment", **values)


def test_a_role_has_room_for_so_many(office: Office) -> None:
    role = office.role("owner", max_holders=2)
    office.assign(office.ada, role)
    office.assign(office.bob, role)
    office.assign(office.bob, role, scope_kind="record", scope_entity_id=uuid4())
    with pytest.raises(errors.CheckViolation, match="has 2 holders already"):
        office.assign(office.cleo, role)


@pytest.mark.parametrize(
    "columns", [{"is_assignable": False}, {"status": "draft"}, {"status": "deprecated"}]
)
def test_only_active_and_assignable_roles_are_given(
    office: Office, columns: dict[str, Any]
) -> None:
    with pytest.raises(errors.CheckViolation, match="is not given to anybody"):
        office.assign(office.ada, office.role("clerk", **columns))


def test_who_left_is_given_nothing(office: Office) -> None:
    with office.as_platform():
        office.run(
            "UPDATE user_mgmt.user_account SET status = 'deactivated', deactivated_at = now()"
            " WHERE user_account_id = %s",
            office.ada,
        )
    with pytest.raises(errors.CheckViolation, match="deactivated is given no role"):
        office.assign(office.ada, office.role("clerk"))


def test_an_assignment_keeps_what_it_is_about(office: Office) -> None:
    office.assign(office.ada, office.role("clerk"))
    with pytest.raises(errors.RestrictViolation, match="keeps its role, holder and scope"):
        office.run("UPDATE user_rbac.role_assignment SET user_account_id = %s", office.bob)


def test_an_invitation_names_a_role(office: Office) -> None:
    role = office.role("clerk")
    invite = (
        "INSERT INTO user_mgmt.user_invitation (business_id, invited_by_user_account_id,"
        " email_normalized, token_hash, expires_at, role_id) VALUES (%s, %s, 'new@example.com',"
        " sha256('x'), now() + interval '1 day', %s)"
    )
    office.run(invite, office.tenant, office.ada, role)
    with pytest.raises(errors.ForeignKeyViolation):
        office.run("DELETE FROM user_rbac.role WHERE role_id = %s", role)


def test_the_tree_tells_levels_permissions_and_holders(
    office: Office, chain: dict[str, UUID]
) -> None:
    office.grant(chain["staff"], office.permission("job:read"))
    office.grant(chain["manager"], office.permission("job:approve"))
    office.assign(office.ada, chain["owner"])
    office.assign(office.bob, chain["staff"])
    tree = office.rows(
        "SELECT code, level_count, junior_codes, own_permission_count,"
        " inherited_permission_count, holder_count, holder_and_senior_count"
        " FROM user_rbac.v_role_tree ORDER BY level_count DESC"
    )
    assert tree == [
        ("owner", 4, ["manager"], 0, 2, 1, 1),
        ("manager", 3, ["lead"], 1, 1, 0, 1),
        ("lead", 2, ["staff"], 0, 1, 0, 1),
        ("staff", 1, [], 1, 0, 1, 2),
    ]


@pytest.mark.parametrize(
    ("valid_from", "last_used", "days"),
    [("100 days", None, 100), ("89 days", None, None), ("200 days", "91 days", 91)],
)
def test_a_grant_is_unused_after_90_days(
    office: Office, valid_from: str, last_used: str | None, days: int | None
) -> None:
    ago = "SELECT now() - %s::interval"
    office.assign(
        office.ada,
        office.role("clerk"),
        valid_from=office.one(ago, valid_from),
        last_used_at=office.one(ago, last_used) if last_used else None,
    )
    assert office.one("SELECT unused_days FROM user_rbac.v_unused_grant") == days
