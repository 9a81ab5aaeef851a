"""Values of types that need no generator of their own, as the texts that PostgreSQL reads:
arrays, composite types, ranges, figures of geometry and what else a server or an extension has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

import numpy as np

from datagen import constraints, encode
from datagen.apart import number_of
from datagen.fitting import fitted
from datagen.generators import base_type, choose, underlying
from datagen.matching import matching
from datagen.request import Request
from datagen.values import Values, objects, of
from harness.catalog.model import Catalog, Column, Name, Table

_MODIFIER = re.compile(r"\((\d+)\)")
_RANGES = {
    "int4range": "integer",
    "int8range": "bigint",
    "numrange": "numeric",
    "daterange": "date",
    "tsrange": "timestamp without time zone",
    "tstzrange": "timestamp with time zone",
}
_MOST_ELEMENTS = 3


def make(type_name: str, request: Request, catalog: Catalog) -> Values | None:
    """Values of a type, or None where it is not known."""
    texts = _texts(type_name, request, catalog)
    return None if texts is None else of(objects(list(texts)))


def spans(type_name: str, request: Request, catalog: Catalog) -> Values | None:
    """Ranges of which no two overlap; None where the type is no range."""
    bounds = _bounds_type(base_type(type_name, catalog), catalog)
    across = max(request.across, 1)
    numbers = [number_of(int(row), request.tenant, across) for row in request.row_numbers]
    return None if bounds is None else of(objects(_ranges(bounds, numbers, request)))


def _texts(type_name: str, request: Request, catalog: Catalog) -> Sequence[Any] | None:
    below = underlying(type_name, catalog)
    if Name.parse(type_name) in catalog.domains and not below.endswith("[]"):
        return _of_domain(type_name, request, catalog)
    if below.endswith("[]"):
        return _arrays(below.removesuffix("[]"), request, catalog)
    if (labels := catalog.enums.get(Name.parse(below))) is not None:
        return list(request.pick(objects(list(labels))))
    if (attributes := catalog.composites.get(Name.parse(below))) is not None:
        return _composites(attributes, request, catalog)
    base = base_type(below, catalog)
    if (bounds := _bounds_type(base, catalog)) is not None:
        made = _ranges(bounds, list(request.rng.integers(0, 2_000, request.rows)), request)
        return [f"{{{text}}}" for text in made] if _is_multirange(base, catalog) else made
    if (maker := _MAKERS.get(base)) is not None:
        width = _MODIFIER.search(below)
        length = int(width[1]) if width else None
        numbers = (
            request.row_numbers if request.unique else request.rng.integers(0, 9_999, request.rows)
        )
        return [maker(int(number), length) for number in numbers]
    return _generated(type_name, request, catalog)


def _of_domain(type_name: str, request: Request, catalog: Catalog) -> Sequence[Any] | None:
    """Values of a domain inside of another type, which satisfy what its checks say plainly."""
    table = Table(Name("", ""), {"value": Column("value", type_name)})
    checks, _ = constraints.checks(table, catalog, frozenset())
    told = constraints.told(checks, {}, request.as_of)
    if choices := told.choices.get("value"):
        return [str(choice) for choice in request.pick(objects(choices))]
    low, high = told.bounds.get("value", (None, None))
    below = underlying(type_name, catalog)
    made = _texts(below, replace(request, lower=low, upper=high), catalog)
    if made is None or not all(isinstance(text, str) for text in made):
        return made
    values = of(objects(list(made)))
    if (pattern := told.patterns.get("value")) is not None:
        values = matching(values, pattern, request)
    lengths = told.lengths.get("value", (None, None))
    return list(fitted(values, below, lengths, request).data)


def _generated(type_name: str, request: Request, catalog: Catalog) -> Sequence[Any] | None:
    """What the generator of a type makes, as texts."""
    column = Column("value", type_name)
    generator = choose(column, catalog)
    if generator is None:
        return None
    values = fitted(
        generator.generate(request), underlying(type_name, catalog), (None, None), request
    )
    return [_text(value) for (value,) in encode.rows([(column, values)], catalog)]


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "t" if value else "f"
    return (
        "\\x" + value.hex() if isinstance(value, bytes) else value if value is None else str(value)
    )


def _arrays(element: str, request: Request, catalog: Catalog) -> Sequence[Any] | None:
    """One to three elements each."""
    made = [_texts(element, request, catalog) for _ in range(_MOST_ELEMENTS)]
    if any(column is None for column in made):
        return None
    counts = request.rng.integers(1, _MOST_ELEMENTS + 1, request.rows)
    rows = zip(*(column for column in made if column is not None), strict=True)
    return [list(row[:count]) for row, count in zip(rows, counts, strict=True)]


def _composites(
    attributes: Sequence[Column], request: Request, catalog: Catalog
) -> Sequence[str] | None:
    columns = [_texts(a.type, replace(request, name=a.name), catalog) for a in attributes]
    if any(column is None for column in columns):
        return None
    rows = zip(*(column for column in columns if column is not None), strict=True)
    return ["(" + ",".join(map(_quoted, row)) + ")" for row in rows]


def _quoted(value: Any) -> str:
    if value is None:
        return ""
    text = "{" + ",".join(map(_quoted, value)) + "}" if isinstance(value, list) else str(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _bounds_type(base: str, catalog: Catalog) -> str | None:
    own = catalog.ranges.get(Name.parse(base))
    return own.removesuffix("[]") if own else _RANGES.get(base.replace("multirange", "range"))


def _is_multirange(base: str, catalog: Catalog) -> bool:
    return base.endswith("multirange") or catalog.ranges.get(Name.parse(base), "").endswith("[]")


def _ranges(bounds: str, numbers: Sequence[int], request: Request) -> list[str]:
    """The n-th range is the n-th of a row of ranges that do not touch."""
    return [
        f"[{_bound(bounds, 2 * int(n), request)},{_bound(bounds, 2 * int(n) + 1, request)})"
        for n in numbers
    ]


def _bound(bounds: str, number: int, request: Request) -> str:
    """Bounds that rise with a number."""
    hours = request.as_of.replace(tzinfo=None) - timedelta(days=365) + timedelta(hours=number)
    if bounds == "date":
        return f"{(request.as_of - timedelta(days=365) + timedelta(days=number)).date()}"
    if bounds.startswith("timestamp"):
        return f'"{hours}+00"' if bounds.endswith("with time zone") else f'"{hours}"'
    if bounds.startswith("time"):
        return f'"{datetime.fromtimestamp(number % 86_400, UTC):%H:%M:%S}"'
    return _BOUNDS.get(bounds, str)(number)


_BOUNDS: dict[str, Callable[[int], str]] = {
    "text": "{:012d}".format,
    "character varying": "{:012d}".format,
    "uuid": lambda number: str(UUID(int=number << 64)),
    "inet": lambda number: str(IPv4Address("10.0.0.0") + number),
}


def _bits(number: int, length: int | None) -> str:
    width = length or 8
    return format(number % 2**width, f"0{width}b")


def _vector(number: int, length: int | None) -> str:
    rng = np.random.default_rng(number)
    return "[" + ",".join(f"{x:.4f}" for x in rng.normal(size=length or 3)) + "]"


_MAKERS: dict[str, Callable[[int, int | None], str]] = {
    "point": lambda n, _: f"({n % 180},{n % 90})",
    "lseg": lambda n, _: f"[({n},0),({n},1)]",
    "box": lambda n, _: f"({n + 1},1),({n},0)",
    "path": lambda n, _: f"[(0,0),({n},1)]",
    "polygon": lambda n, _: f"((0,0),({n + 1},0),({n + 1},1))",
    "line": lambda n, _: f"{{1,-1,{n}}}",
    "circle": lambda n, _: f"<({n},0),1>",
    "bit": lambda n, length: _bits(n, length or 1),
    "bit varying": _bits,
    "xml": lambda n, _: f"<item><n>{n}</n></item>",
    "tsvector": lambda n, _: f"'word':1 'n{n}':2",
    "tsquery": lambda n, _: f"'word' & 'n{n}'",
    "cidr": lambda n, _: f"10.{n // 256 % 256}.{n % 256}.0/24",
    "macaddr": lambda n, _: f"02:00:5e:{n // 65536 % 256:02x}:{n // 256 % 256:02x}:{n % 256:02x}",
    "macaddr8": lambda n, _: (
        f"02:00:5e:ff:fe:{n // 65536 % 256:02x}:{n // 256 % 256:02x}:{n % 256:02x}"
    ),
    "oid": lambda n, _: str(100_000 + n),
    "xid": lambda n, _: str(1_000 + n),
    "xid8": lambda n, _: str(1_000 + n),
    "cid": lambda n, _: str(n),
    "tid": lambda n, _: f"({n},1)",
    "name": lambda n, _: f"name_{n}",
    '"char"': lambda n, _: chr(97 + n % 26),
    "pg_lsn": lambda n, _: f"1/{n:X}",
    "pg_snapshot": lambda n, _: f"{n + 1}:{n + 3}:{n + 2}",
    "txid_snapshot": lambda n, _: f"{n + 1}:{n + 3}:{n + 2}",
    "regclass": lambda _, __: "pg_class",
    "regtype": lambda _, __: "text",
    "regconfig": lambda _, __: "simple",
    "regproc": lambda _, __: "now",
    "regrole": lambda _, __: "pg_monitor",
    "int2vector": lambda n, _: f"1 {n % 100}",
    "oidvector": lambda n, _: f"1 {n % 100}",
    "jsonpath": lambda n, _: f"$.n{n}",
    "hstore": lambda n, _: f'"n"=>"{n}"',
    "ltree": lambda n, _: f"top.branch.n{n}",
    "lquery": lambda n, _: f"top.*.n{n}",
    "ltxtquery": lambda n, _: f"top & n{n}",
    "cube": lambda n, _: f"({n},{n % 7},1)",
    "earth": lambda _, __: "(6378168,0,0)",
    "seg": lambda n, _: f"{n} .. {n + 1}",
    "geometry": lambda n, _: f"POINT({n % 180} {n % 90})",
    "geography": lambda n, _: f"POINT({n % 180} {n % 90})",
    "vector": _vector,
    "halfvec": _vector,
}
