"""What an allowance suppresses, and what is found wrong with it."""

from __future__ import annotations

from datetime import date

import pytest

from checks import allowance_comments, probe, static
from checks.allowance import PROBED
from checks.rules import registry
from checks.selection import known
from checks.settling import settle
from harness.catalog.model import Catalog
from harness.config import Settings
from harness.finding import Finding, Severity
from harness.verdict import Verdict

TODAY = date(2026, 11, 27)
SCHEMA = "CREATE SCHEMA s;\n"
ALLOW = '-- harness: allow TEN001 reason="a list of countries"'
"""Of the rule that a table without the tenant's column breaks."""


def judged(text: str, settings: Settings, *layers: str) -> Verdict:
    findings, catalog = static.judge({"x.sql": text}, settings)
    allowances = allowance_comments.of_files({"x.sql": text}, known(), catalog)
    allowances += allowance_comments.of_catalog(catalog, known())
    return settle(findings, allowances, layers or ("static",), settings.checks, TODAY)


def told(verdict: Verdict, *rules: str) -> list[str]:
    """The findings of these rules, as rule:line."""
    return [
        f"{f.rule}:{f.location.line}" for f in verdict.findings if f.rule in rules and f.location
    ]


def held(verdict: Verdict) -> list[str]:
    return [f"{s.finding.rule}:{s.finding.object}" for s in verdict.suppressed]


@pytest.mark.parametrize(
    "text",
    [
        f"{ALLOW}\nCREATE TABLE s.country (code text);",
        f"{ALLOW}\n-- Countries of the world.\n\nCREATE TABLE s.country (code text);",
        f"CREATE TABLE s.country (code text); {ALLOW}",
        f"CREATE TABLE s.country ( {ALLOW}\n    code text\n);",
        f"CREATE TABLE s.country (\n    code text\n); {ALLOW}\nCREATE TABLE s.other (code text);",
        f"CREATE TABLE s.other (code text);\n{ALLOW}\nCREATE TABLE s.country (code text)",
        f"SET search_path = s;\n{ALLOW}\nCREATE TABLE country (code text);",
        f"CREATE TABLE s.other (a int); CREATE TABLE s.country (code text); {ALLOW}",
    ],
)
def test_it_suppresses_what_is_found_in_its_statement(text: str, settings: Settings) -> None:
    verdict = judged(SCHEMA + text, settings)
    assert "TEN001:s.country" in held(verdict)
    assert "s.country" not in [f.object for f in verdict.findings if f.rule == "TEN001"]
    assert told(verdict, "SRC006", "SRC007", "SRC008") == []
    assert {s.reason for s in verdict.suppressed} == {"a list of countries"}


def test_it_does_not_reach_the_next_statement(settings: Settings) -> None:
    text = f"{SCHEMA}{ALLOW}\nCREATE TABLE s.country (code text);\nCREATE TABLE s.other (a text);"
    assert told(judged(text, settings), "TEN001") == ["TEN001:4"]


def test_it_allows_only_its_own_rules(settings: Settings) -> None:
    text = f"""{SCHEMA}-- harness: allow TEN001, RLS001 reason="countries"
CREATE TABLE s.country (code varchar(2));"""
    verdict = judged(text, settings)
    assert held(verdict) == ["RLS001:s.country", "TEN001:s.country"]
    assert told(verdict, "TYP001") == ["TYP001:3"]


def test_it_follows_what_the_statement_creates(settings: Settings) -> None:
    text = f"""{SCHEMA}-- harness: allow RLS002 reason="its owner loads it"
CREATE TABLE s.a (business_id uuid NOT NULL);
ALTER TABLE s.a ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE s.a NO FORCE ROW LEVEL SECURITY;"""
    assert held(judged(text, settings)) == ["RLS002:s.a"]


def test_without_a_schema_it_is_that_of_the_search_path(settings: Settings) -> None:
    text = f"""{SCHEMA}CREATE SCHEMA t;
SET search_path = s;
-- harness: allow RLS002 reason="its owner loads it"
CREATE TABLE a (business_id uuid NOT NULL);
SET search_path = t;
CREATE TABLE a (business_id uuid NOT NULL);
ALTER TABLE s.a ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE s.a NO FORCE ROW LEVEL SECURITY;
ALTER TABLE t.a ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE t.a NO FORCE ROW LEVEL SECURITY;"""
    verdict = judged(text, settings)
    assert (held(verdict), told(verdict, "RLS002")) == (["RLS002:s.a"], ["RLS002:11"])


def test_of_a_policy_it_allows_what_is_said_of_that_policy(settings: Settings) -> None:
    text = f"""{SCHEMA}CREATE TABLE s.a (business_id uuid NOT NULL);
ALTER TABLE s.a ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE ROLE app_user;
GRANT SELECT ON s.a TO app_user;
-- harness: allow POL001 reason="everybody reads it"
CREATE POLICY p ON s.a FOR SELECT USING (business_id IS NOT NULL);
CREATE POLICY q ON s.a FOR SELECT USING (true);"""
    verdict = judged(text, settings)
    assert held(verdict) == ["POL001:s.a"]
    of_database = [_without_place(f, "(select as app_user; another)") for f in _all(verdict)]
    allowances = allowance_comments.of_files({"x.sql": text}, known(), Catalog())
    again = settle(of_database, allowances, ("catalog",), settings.checks, TODAY)
    assert held(again) == ["POL001:s.a"]


def _all(verdict: Verdict) -> list[Finding]:
    return [*verdict.findings, *(s.finding for s in verdict.suppressed)]


def _without_place(finding: Finding, ending: str) -> Finding:
    """As the catalog reports it."""
    message = finding.message.partition("(")[0] + ending
    return Finding(finding.rule, finding.severity, finding.object, message, finding.why)


@pytest.mark.parametrize(
    "text",
    [
        f"CREATE TABLE s.country (code text DEFAULT '{ALLOW}');",
        f"CREATE TABLE s.country (code text DEFAULT $t$\n{ALLOW}\n$t$);",
        f"/* /* no */\n{ALLOW}\n*/\nCREATE TABLE s.country (code text);",
    ],
)
def test_a_string_or_a_block_comment_is_no_allowance(text: str, settings: Settings) -> None:
    verdict = judged(SCHEMA + text, settings)
    assert verdict.suppressed == ()
    assert told(verdict, "SRC006", "SRC007") == []


def test_a_psql_command_can_be_allowed(settings: Settings) -> None:
    text = '-- harness: allow SRC001 reason="seed data"\n\\i seed.sql\nSELECT broken();\n'
    verdict = judged(text, settings)
    assert [s.finding.location.line for s in verdict.suppressed if s.finding.location] == [2]
    assert told(verdict, "SRC001") == ["SRC001:3"]


def test_rows_that_are_no_sql_do_not_hide_it(settings: Settings) -> None:
    text = f"""CREATE TABLE public.a (business_id uuid, note text);
COPY public.a FROM stdin;
\\N\tit's
\\.
{ALLOW}
CREATE TABLE public.country (code text, "n" text DEFAULT 'x');
"""
    verdict = judged(text, settings)
    assert held(verdict) == ["TEN001:public.country"]


def test_an_open_quote_behind_it_does_not_hide_it(settings: Settings) -> None:
    text = f"{SCHEMA}{ALLOW}\nCREATE TABLE s.country (code text);\nSELECT 'open;"
    assert held(judged(text, settings)) == ["TEN001:s.country"]


def test_the_comment_on_a_table_may_allow(settings: Settings) -> None:
    text = f"""{SCHEMA}CREATE TABLE s.country (code text);
COMMENT ON TABLE s.country IS 'Countries. harness: allow TEN001 reason="everybody''s list"';"""
    verdict = judged(text, settings)
    assert [(s.finding.rule, s.reason) for s in verdict.suppressed] == [
        ("TEN001", "everybody's list")
    ]


def test_what_has_expired_is_found_again(settings: Settings) -> None:
    table = "CREATE TABLE s.country (code text);"
    last = judged(f"{SCHEMA}{ALLOW} until=2026-11-27\n{table}", settings)
    assert (told(last, "TEN001", "SRC008"), held(last)) == ([], ["TEN001:s.country"])
    over = judged(f"{SCHEMA}{ALLOW} until=2026-11-26\n{table}", settings)
    assert told(over, "TEN001", "SRC008", "SRC007") == ["SRC008:2", "TEN001:3"]


def test_what_suppresses_nothing_is_stale(settings: Settings) -> None:
    verdict = judged(f"{SCHEMA}{ALLOW}\n", settings)
    (stale,) = [f for f in verdict.findings if f.rule == "SRC007"]
    assert stale.severity is Severity.WARNING
    assert (str(stale.location), stale.object) == ("x.sql:2", "x.sql")


def test_what_is_wrong_with_it_is_told_among_the_findings_of_its_file(settings: Settings) -> None:
    table = "CREATE TABLE s.{} (code text);\n"
    text = f"{SCHEMA}{table.format('a')}-- harness: allow TEN001\n{table.format('b')}"
    lines = [f.location.line for f in judged(text, settings).findings if f.location]
    assert lines == sorted(lines)
    assert 3 in lines


@pytest.mark.parametrize(
    ("rule", "layers", "stale"),
    [
        ("SRC002", ("static",), False),
        ("SRC002", ("static", "catalog"), True),
        ("isolation.select", ("static", "catalog"), False),
        ("isolation.select", ("static", "catalog", "isolation"), True),
        ("CIT104", ("static", "catalog", "isolation"), False),
        ("CIT104", ("citus",), True),
        ("CIT201", ("isolation",), False),
        ("CIT201", ("citus",), True),
        ("POL001", ("static",), False),
        ("POL001", ("static", "catalog"), True),
    ],
)
def test_what_was_not_looked_for_is_not_stale(
    rule: str, layers: tuple[str, ...], stale: bool, settings: Settings
) -> None:
    text = f"""{SCHEMA}CREATE TABLE s.a (business_id uuid NOT NULL, a integer);
ALTER TABLE s.a ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE ROLE app_user;
GRANT SELECT ON s.a TO app_user;
-- harness: allow {rule} reason="x"
CREATE POLICY p ON s.a USING (business_id = public.unseen(a));"""
    assert bool(told(judged(text, settings, *layers), "SRC007")) is stale


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("allow TEN001", "allowing TEN001 takes a reason"),
        ('allow TEN001 reason=""', "allowing TEN001 takes a reason"),
        ('allow reason="x"', "an allowance without a rule"),
        ('allow TEN0001 reason="x"', "there is no rule TEN0001; do you mean TEN001?"),
        ('allow zzz reason="x"', "there is no rule zzz; harness rules lists them"),
        ('allow TEN001 reason="x" until=tomorrow', "until=tomorrow is no date"),
        ('allow TEN001 reason="x" until=2027-02-30', "until=2027-02-30 is no date"),
        ('allow TEN001 reason="x" forever', "forever is not understood"),
        ('allow TEN001 because="x"', "is not understood"),
        ('allow TEN001 reason="x', "is not understood"),
        ("silence TEN001", "silence TEN001 is not understood"),
        ('ten001 reason="x"', "is not understood"),
    ],
)
def test_what_is_not_understood_is_an_error(words: str, message: str, settings: Settings) -> None:
    verdict = judged(f"{SCHEMA}-- harness: {words}\nCREATE TABLE s.c (code text);", settings)
    (found,) = [f for f in verdict.findings if f.rule == "SRC006"]
    assert message in found.message
    assert "\n" not in found.message
    assert (found.severity, str(found.location)) == (Severity.ERROR, "x.sql:2")
    assert verdict.suppressed == ()


def test_a_remark_on_harnesses_is_no_allowance(settings: Settings) -> None:
    text = f"{SCHEMA}-- harness: the wiring of a car, see page 12\nCREATE TABLE s.c (code text);"
    assert told(judged(text, settings), "SRC006") == []


def test_the_known_rules_beside_an_unknown_one_count(settings: Settings) -> None:
    text = f'{SCHEMA}-- harness: allow TEN001, XYZ reason="x"\nCREATE TABLE s.c (code text);'
    verdict = judged(text, settings)
    assert (held(verdict), told(verdict, "SRC006")) == (["TEN001:s.c"], ["SRC006:2"])


def test_what_only_probes_find_is_known_as_such() -> None:
    probed = {each.rule for each in probe.registry().values()} - {rule.id for rule in registry()}
    assert all(rule.startswith(PROBED) for rule in probed)
    assert not any(rule.id.startswith(PROBED) for rule in registry())
    assert all(any(rule.startswith(name) for rule in probed) for name in PROBED)
