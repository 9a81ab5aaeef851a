"""Which columns of a table say who somebody is, because policies of others look the user up."""

from __future__ import annotations

from checks import static
from checks.policy import identity
from harness.catalog.model import Name
from harness.config import Settings, Tenancy

TENANCY = Tenancy(column="org_id", setting="app.user_id")
MEMBERS = """
CREATE SCHEMA team;
CREATE FUNCTION team.user_id() RETURNS uuid LANGUAGE sql STABLE
    RETURN nullif(current_setting('app.user_id', true), '')::uuid;
CREATE TABLE team.member (org_id uuid NOT NULL, user_id uuid NOT NULL, invited_by uuid);
ALTER TABLE team.member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT SELECT ON team.member TO app_user;
CREATE TABLE team.note (org_id uuid NOT NULL);
ALTER TABLE team.note ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON team.note USING (org_id IN (
    SELECT m.org_id FROM team.member AS m WHERE m.user_id = (SELECT team.user_id())));
"""


def rules(settings: Settings, policy: str) -> set[str]:
    told = settings.model_copy(update={"tenancy": TENANCY})
    findings, _ = static.judge({"a.sql": MEMBERS + policy}, told)
    return {f.rule for f in findings if f.object == "team.member" and f.rule.startswith("POL")}


def test_what_is_compared_with_the_session_tells_who_somebody_is(settings: Settings) -> None:
    _, catalog = static.judge({"a.sql": MEMBERS}, settings)
    assert identity.columns(catalog, TENANCY) == {Name("team", "member"): {"user_id"}}


def test_a_member_sees_its_own_memberships(settings: Settings) -> None:
    own = "CREATE POLICY own ON team.member USING (user_id = (SELECT team.user_id()));"
    assert rules(settings, own) == set()


def test_another_column_is_no_identity(settings: Settings) -> None:
    invited = "CREATE POLICY i ON team.member USING (invited_by = (SELECT team.user_id()));"
    assert "POL001" in rules(settings, invited)


def test_all_memberships_are_a_leak(settings: Settings) -> None:
    assert "POL001" in rules(settings, "CREATE POLICY a ON team.member USING (true);")
