"""Given what somebody wrote and what PostgreSQL prints of it, the two compare as equal."""

from __future__ import annotations

import pytest

from harness.catalog.files.comparable import comparable


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        (
            "org = (SELECT current_setting('app.org'))",
            "((org)::text = ( SELECT current_setting('app.org'::text) AS current_setting))",
        ),
        ("kind IN ('a', 'b')", "(kind = ANY (ARRAY['a'::text, 'b'::text]))"),
        (
            "kind NOT IN ('a', 'b')",
            "((kind)::text <> ALL ((ARRAY['a'::varchar, 'b'::character varying])::text[]))",
        ),
        ("org = (auth.jwt() ->> 'org')", "(org = (auth.jwt() ->> 'org'::text))"),
        (
            "org IN (SELECT m.org FROM public.member AS m WHERE m.id = auth.uid())",
            "(org IN ( SELECT member.org\n   FROM member\n  WHERE (member.id = auth.uid())))",
        ),
        ("has_role(org, 'owner')", "has_role(org, 'owner'::s.role)"),
        ("a BETWEEN 1 AND 2 AND b LIKE 'x%'", "(((a >= 1) AND (a <= 2)) AND (b ~~ 'x%'::text))"),
        ("at > now() - '24 hours'::interval", "(at > (now() - '24:00:00'::interval))"),
        ("a ILIKE 'x%'", "(a ~~* 'x%'::text)"),
        ("t.org = public.f() AND true", "((org = f()) AND true)"),
    ],
)
def test_what_is_written_compares_with_what_is_printed(written: str, printed: str) -> None:
    assert comparable(written) == comparable(printed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("org = 'a'", "org = 'b'"),
        ("org = f()", "org = g()"),
        ("org = s.f()", "org = r.f()"),
        ("a AND (b OR c)", "a AND b OR c"),
        ("kind IN ('a', 'b')", "kind NOT IN ('a', 'b')"),
        ("org = current_setting('a')::uuid", "org = current_setting('a')::bigint"),
    ],
)
def test_what_means_something_else_does_not(one: str, other: str) -> None:
    assert comparable(one) != comparable(other)
