"""Expressions against PostgreSQL itself: on random rows, NULLs among them, both say the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pytest
from psycopg import sql

from datagen.encode import encode
from datagen.expression import compile_expression
from datagen.values import Array, Values, of
from harness.catalog.model import Catalog, Column
from harness.db import Connection, Target

ROWS = 300
_WORDS = ["paid", "draft", "Void 1", "", " x ", "a_b%", "INV-0042", "a.b@c.org", "100", "ÄÖ\nß"]
_DOCUMENTS = ['{"k": 1, "s": "x"}', '{"k": null}', "[1, 2]", "[]", "{}", '"s"', "7", "true", "null"]
_DOCUMENTS += ['{"list": ["a"], "s": "y"}', '{"s":"x","k":1}']

EXPRESSIONS = (
    """
i = j
i <> j
i < j
i >= j
i + j * 2 - 1
i / 7
i % 7
mod(i, 7)
-i
i * 1.5
i / 2.0
n * 3
(n)::numeric + (1)::numeric
round(n, 1)
round(n)
n::integer
n::bigint
floor(n)
ceil(n)
trunc(n)
abs(i)
sign(n)
power(j, 2)
sqrt(abs(i))
n = round(n, 2)
n BETWEEN -5 AND 5
i BETWEEN j AND 5
i NOT BETWEEN j AND 5
i BETWEEN SYMMETRIC 20 AND -20
i IS NULL
i IS NOT NULL
i IS NULL OR j IS NULL
(i IS NULL) = (j IS NULL)
i > 0 AND j > 0
i > 0 OR j > 0
NOT i > 0
NOT (i > 0 AND ok)
ok
ok = false
ok IS TRUE
ok IS NOT TRUE
ok IS FALSE
ok IS NOT FALSE
ok IS UNKNOWN
ok <> (i > 0)
i IS DISTINCT FROM j
i IS NOT DISTINCT FROM j
i IN (1, 2, 3)
i IN (1, NULL)
i NOT IN (1, 2, j)
i NOT IN (1, NULL)
i = ANY (ARRAY[1, 2, 3])
i <> ALL (ARRAY[1, 2, 3])
i >= ALL (ARRAY[1, j])
t = ANY (ARRAY['paid'::text, 'draft'::text])
t = ANY ('{paid,"Void 1"}'::text[])
t <> ALL (ARRAY['paid'::text, NULL::text])
t = ANY (tags)
t IN ('paid', 'draft')
CASE WHEN i > 0 THEN 'up' WHEN i < 0 THEN 'down' ELSE 'flat' END
CASE WHEN ok THEN i END
CASE t WHEN 'paid' THEN i WHEN 'draft' THEN j ELSE 0 END
CASE WHEN ok THEN NULL ELSE at END
CASE WHEN i <> 0 THEN 100 / i ELSE 0 END
coalesce(i, j, 0)
coalesce(i, 0) + coalesce(j, 0) > 0
coalesce(n, i)
nullif(i, j)
nullif(t, '')
greatest(i, j, 0)
least(i, j)
greatest(at, at2)
length(t)
char_length(t) BETWEEN 1 AND 5
octet_length(t)
octet_length(b)
length(b) = 4
lower(t)
upper(t)
btrim(t)
ltrim(t)
rtrim(t)
trim(both 'x ' from t)
t = lower(t)
t ~ '\\S'
left(t, 2)
left(t, -2)
right(t, 2)
right(t, 0)
right(t, -2)
substr(t, 2)
substr(t, 0, 3)
substring(t from 2 for 3)
substring(t from '[0-9]+')
replace(t, 'a', 'A')
concat(t, '-', i)
concat_ws('-', t, i, j)
t || '/' || i::text
t || coalesce(i, 0)
split_part(t, '-', 1)
split_part(t, '-', 2)
strpos(t, 'a')
position('a' in t)
starts_with(t, 'a')
t ^@ 'a'
lpad(i::text, 5, '0')
rpad(t, 4)
repeat(t, 2)
reverse(t)
initcap('x' || lower(left(t, 2)))
translate(t, 'ab', 'x')
md5(t)
encode(b, 'hex')
encode(sha256(b), 'hex')
sha256(convert_to(t, 'UTF8'))
octet_length(decode(md5(t), 'hex'))
b = '\\x00010203'::bytea
t LIKE 'a%'
t LIKE '%\\%'
t LIKE 'a\\_b_'
t NOT LIKE '%a%'
t ILIKE 'VOID%'
t NOT ILIKE '%A%'
t SIMILAR TO '(paid|draft|INV-[0-9]+)'
t ~ '^[a-z]+$'
t ~ '^(paid|draft)$'
t ~ '^[[:alpha:]_%]+$'
t ~ '^INV-[0-9]{4}$'
t ~ '^.*$'
t ~ '^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$'
t ~* '^VOID'
t !~ '[0-9]'
t !~* 'VOID'
t ~ 'a$|^p'
t ~ '\\mb'
regexp_replace(t, '[^a-z]', '', 'g')
regexp_replace(t, '([a-z])', '<\\1>')
t < 'd'
t >= 'a' COLLATE "C"
t::text = 'paid'::text
i::text
ok::text
d::text
at::text
u::text
'7'::integer + i
(i = 1)::integer
at > at2
at <= at2
at2 >= at AND (at2 - at) < interval '20 days'
at2 - at
at2 - at > '1 day'::interval
at + interval '1 day'
at - interval '90 minutes'
at + interval '1 month'
at - interval '1 year 2 mons'
at + i * interval '1 hour'
at + make_interval(days => 2)
at + make_interval(hours => i, mins => 30)
at + '01:30:00'::interval
d + 1
d - 30
d - d2
d - d2 > 14
d + i
d < d2
d >= '2026-01-01'::date
d + interval '1 month'
at::date = d
at::date
d::timestamptz
at >= d
date_trunc('day', at)
date_trunc('hour', at) = at
date_trunc('week', at)
date_trunc('month', at)
date_trunc('quarter', at)
date_trunc('year', at)
extract(year FROM at)
extract(month FROM d)
extract(day FROM d) = 1
extract(dow FROM d)
extract(isodow FROM at)
extract(doy FROM d)
extract(quarter FROM d)
extract(week FROM d)
extract(hour FROM at)
extract(minute FROM at)
extract(second FROM at)
extract(epoch FROM at)
extract(epoch FROM at2 - at) > 3600
extract(day FROM at2 - at)
extract(hour FROM w)
date_part('year', at)
isfinite(at)
to_char(at, 'YYYY-MM-DD')
to_char(at, 'YYYYMM"x"DD HH24:MI:SS')
to_char(d, 'YYMMDD')
to_char(i, 'FM00000')
w < w2
w + interval '30 minutes'
w2 - w > '1 hour'::interval
w >= '08:00'::time
u = '00000000-0000-0000-0000-000000000001'::uuid
u <> u2
u < u2
cardinality(tags)
cardinality(tags) BETWEEN 1 AND 2
array_length(tags, 1)
array_length(tags, 1) > 0
array_position(tags, 'a')
array_position(tags, t)
array_to_string(tags, ',')
tags = ARRAY['a']
tags <> '{}'::text[]
tags @> ARRAY['a']
tags <@ ARRAY['a'::text, 'b'::text]
tags && ARRAY['b', 'c']
coalesce(tags, '{}'::text[]) || 'z'::text
array_append(tags, 'z')
array_remove(tags, 'a')
tags[1]
tags[1] = 'a'
array_remove(tags, NULL) = tags
'a' = ANY (tags)
doc = '{}'::jsonb
doc <> '{}'::jsonb
doc = '{"k": 1, "s": "x"}'::jsonb
jsonb_typeof(doc)
jsonb_typeof(doc) = 'object'
jsonb_typeof(doc -> 'k')
(doc -> 'k')::text
doc ->> 's'
(doc ->> 'k')::integer > 0
doc ? 'k'
doc ?| ARRAY['k', 'list']
doc ?& ARRAY['k', 's']
doc @> '{"s": "x"}'
doc @> '{"list": ["a"]}'::jsonb
doc <@ '{"k": 1, "s": "x", "z": 0}'::jsonb
doc #>> '{list,0}'
(doc -> 0)::text
doc ->> -1
(doc -> 'list' -> 0)::text
CASE WHEN jsonb_typeof(doc) = 'array' THEN jsonb_array_length(doc) ELSE 0 END
doc IS NULL OR jsonb_typeof(doc) = ANY (ARRAY['object'::text, 'array'::text])
num_nulls(i, j, t)
num_nonnulls(i, j, t) = 1
(i, j) = (j, i)
(i, j) < (j, 3)
(i, t) IS NOT DISTINCT FROM (j, t)
ROW(i, j) >= ROW(0, 0)
(i, j) IN ((1, 2), (2, 1))
format('%s-%s', t, i)
lower(t) = t AND length(t) > 2 OR t IS NULL
to_hex(abs(i))
ascii(t)
chr(65 + abs(i))
""".strip()
    .replace("\\\\", "\\")
    .splitlines()
)


@pytest.fixture(scope="module")
def columns() -> dict[str, tuple[str, Values]]:
    """Random columns by name, with their types; a fifth of the values is NULL."""
    rng = np.random.default_rng(17)

    def some(data: Any) -> Values:
        return Values(data, rng.random(ROWS) < 0.2)

    def whole() -> Array:
        return rng.choice(np.arange(-8, 9), ROWS)

    def moments() -> Array:
        days = rng.integers(0, 40, ROWS).astype("timedelta64[D]")
        span = np.where(rng.random(ROWS) < 0.3, 0, rng.integers(0, 86_400 * 10**6, ROWS))
        return np.datetime64("2025-12-20", "us") + days + span.astype("timedelta64[us]")

    def pick(items: list[Any]) -> Array:
        pool = np.empty(len(items), object)
        pool[:] = items
        return pool[rng.integers(0, len(items), ROWS)]

    def uuids() -> Array:
        ids = [UUID(int=k).bytes for k in (1, 2, 2**127)]
        return np.array(ids, "V16")[rng.integers(0, 3, ROWS)]

    cents = rng.integers(-2000, 2000, ROWS) / 100
    return {
        "row": ("bigint", of(np.arange(ROWS))),
        "i": ("integer", some(whole())),
        "j": ("bigint", some(whole())),
        "n": ("numeric(10,2)", some(np.where(rng.random(ROWS) < 0.4, whole() / 2, cents))),
        "ok": ("boolean", some(rng.random(ROWS) < 0.5)),
        "t": ("text", some(pick(_WORDS))),
        "at": ("timestamp with time zone", some(moments())),
        "at2": ("timestamp with time zone", some(moments())),
        "d": ("date", some(moments().astype("datetime64[D]"))),
        "d2": ("date", some(moments().astype("datetime64[D]"))),
        "w": ("time without time zone", some(rng.integers(0, 48, ROWS) * 1_800_000_000)),
        "w2": ("time without time zone", some(rng.integers(0, 48, ROWS) * 1_800_000_000)),
        "u": ("uuid", some(uuids())),
        "u2": ("uuid", some(uuids())),
        "b": ("bytea", some(pick([b"\x00\x01\x02\x03", b"", b"abc"]))),
        "doc": ("jsonb", some(pick(_DOCUMENTS))),
        "tags": ("text[]", some(pick([["a"], ["a", "b"], ["c", "a"], [], ["paid"]]))),
    }


@pytest.fixture(scope="module")
def loaded(server: Target, columns: dict[str, tuple[str, Values]]) -> Iterator[Connection]:
    """A connection with the columns in the temporary table `sample`."""
    definition = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_name))  # type: ignore[arg-type]
        for name, (type_name, _) in columns.items()
    )
    with psycopg.connect(server.admin) as connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL timezone = 'UTC'; SET LOCAL intervalstyle = 'postgres'")
        cursor.execute(sql.SQL("CREATE TEMP TABLE sample ({})").format(definition))
        with cursor.copy("COPY sample FROM STDIN (FORMAT binary)") as copy:
            made = [(Column(name, kind), values) for name, (kind, values) in columns.items()]
            copy.write(encode(made, Catalog()))
        yield connection


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression_is_evaluated_as_postgresql_does(
    text: str, loaded: Connection, columns: dict[str, tuple[str, Values]]
) -> None:
    with loaded.transaction():
        query = sql.SQL("SELECT {} FROM sample ORDER BY row").format(sql.SQL(text))  # type: ignore[arg-type]
        expected = [_plain(row[0]) for row in loaded.execute(query)]
    found = compile_expression(text).evaluate(lambda name: columns[name][1], ROWS)
    values = [None if n else _plain(v) for v, n in zip(found.data, found.null, strict=True)]
    differing = [
        (row, theirs, ours)
        for row, (theirs, ours) in enumerate(zip(expected, values, strict=True))
        if not _alike(theirs, ours)
    ]
    assert differing[:5] == []


def _plain(value: Any) -> Any:
    """A value of PostgreSQL's or of ours as the plain Python value that it stands for."""
    value = value.item() if isinstance(value, np.generic) else value
    match value:
        case datetime():
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        case Decimal():
            return float(value)
        case bytes() if len(value) == 16:
            return UUID(bytes=value)
        case time():
            return (value.hour * 60 + value.minute) * 60_000_000 + value.second * 1_000_000
    return value


def _alike(theirs: Any, ours: Any) -> bool:
    if isinstance(theirs, dict | list) and isinstance(ours, str):
        import json

        return bool(json.loads(ours) == theirs)
    if isinstance(theirs, date) != isinstance(ours, date) or isinstance(ours, timedelta):
        return bool(theirs == ours)
    if isinstance(theirs, float) and isinstance(ours, int | float):
        return ours == pytest.approx(theirs, abs=1e-9)
    return bool(theirs == ours)
