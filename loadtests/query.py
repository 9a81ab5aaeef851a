"""A critical query: one statement in a .sql file under a header that says what it promises.

The header is the comment lines on top. The first that is no `key: value` is the title; keys
are budget, weight, mode, rows, params, own, values, growth and fan-out, and an unknown one is an
error. `own` names parameters whose values two users must not use at once, as the carton that a scan
uses up; `growth` states a cost that grows with a table, and why: `linear, a report of all orders`;
`fan-out` says why a query has to ask more than one shard of a cluster.
The name is the path below the directory of queries: `system_core/notification_bell.sql` is
`system_core.notification_bell`, in Locust, Prometheus, the report and the baseline.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from harness.catalog.model import Name
from harness.errors import UsageError
from harness.growth_result import Shape
from loadtests.budget import NO_ERRORS, Budget, overlay, parse

BUNDLED = Path(__file__).parent / "queries"
_KEYS = ("budget", "weight", "mode", "rows", "params", "own", "values", "growth", "fan-out")
_GROWTHS: tuple[Shape, ...] = get_args(Shape)
_LINE = re.compile(r"--\s*(?:(?P<key>[a-z_]+|fan-out):\s*)?(?P<value>.*)")
_PARAMS = re.compile(r"(?P<names>.+?)\s+from\s+(?P<table>\w+\.\w+)(?:\s+where\s+(?P<where>.+))?")
_NAME = re.compile(r"[a-z0-9_.]+")
_PLACEHOLDER = re.compile(r"%(?:%|\((?P<name>\w+)\)s)")


@dataclass(frozen=True, slots=True)
class Samples:
    """Parameters that are drawn together from one row of a table."""

    table: Name
    columns: tuple[tuple[str, str], ...]
    """(parameter, column) pairs."""
    where: str = ""
    owned: bool = False
    """Whether two users must not use the same row at once."""


@dataclass(frozen=True, slots=True)
class Query:
    """A critical query with its promises."""

    name: str
    title: str
    statement: str
    budgets: tuple[Budget, ...]
    mode: Literal["read", "write"]
    weight: int = 1
    minimum_rows: int = 0
    samples: tuple[Samples, ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    """(parameter, expression) pairs, computed anew for every call."""
    growth: tuple[Shape, str] | None = None
    """How its cost may grow with its tables, and why."""
    fan_out: str = ""
    """Why it has to ask more than one shard of a cluster."""

    @property
    def latency_budget(self) -> Budget:
        """The first budget on a latency."""
        return next(budget for budget in self.budgets if budget.metric != "errors")

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the placeholders in the order in which $1, $2, … stand for them."""
        found = (m["name"] for m in _PLACEHOLDER.finditer(self.statement) if m["name"])
        return tuple(dict.fromkeys(found))

    @property
    def numbered(self) -> str:
        """The statement with $n in place of %(name)s, as the protocol wants it."""
        number = {name: f"${position}" for position, name in enumerate(self.parameters, 1)}
        return _PLACEHOLDER.sub(lambda m: number[m["name"]] if m["name"] else "%", self.statement)

    def literal(self, values: Mapping[str, str]) -> str:
        """The same with values, as SQL has them, in their places."""
        return _PLACEHOLDER.sub(lambda m: values[m["name"]] if m["name"] else "%", self.statement)

    @property
    def named(self) -> str:
        """The same behind the query's name, by which the server's views tell it."""
        return f"/* {self.name} */ {self.numbered}" if _NAME.fullmatch(self.name) else self.numbered


def read_all(directory: Path = BUNDLED, tenant_column: str = "business_id") -> tuple[Query, ...]:
    """Every query below the directory, by name; UsageError where there is none or one is bad.

    `%(business_id)s` and a parameter named like the tenant column need nobody to supply them.
    """
    paths = sorted(directory.rglob("*.sql"))
    if not paths:
        raise UsageError(f"{directory}: no critical query (*.sql) in it")
    return tuple(read(path, directory, tenant_column) for path in paths)


def read(path: Path, directory: Path, tenant_column: str = "business_id") -> Query:
    """Reads one file; UsageError with file:line for a header that cannot be understood."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    lines = text.splitlines()
    size = next((n for n, line in enumerate(lines) if not line.startswith("--")), len(lines))
    statement = "\n".join(lines[size:]).strip().removesuffix(";")
    name = ".".join(path.relative_to(directory).with_suffix("").parts)
    header = _Header(path, tuple(lines[:size]))
    query = Query(
        name=name,
        title=header.title(),
        statement=statement,
        budgets=header.budgets(),
        mode=header.mode(),
        weight=header.integer("weight", 1),
        minimum_rows=header.rows(),
        samples=tuple(header.samples()),
        values=tuple(header.values()),
        growth=header.growth(),
        fan_out=header.fan_out(),
    )
    _require_all_bound(path, size + 1, query, tenant_column)
    return query


def _require_all_bound(path: Path, line: int, query: Query, tenant_column: str) -> None:
    if not query.statement:
        raise UsageError(f"{path}:{line}: there is no statement under the header")
    bound = {"business_id", tenant_column, *(p for s in query.samples for p, _ in s.columns)}
    unbound = [p for p in query.parameters if p not in bound | {p for p, _ in query.values}]
    if unbound:
        raise UsageError(
            f"{path}:{line}: nothing supplies {', '.join(unbound)}; add a params: or values: line"
        )


@dataclass(frozen=True, slots=True)
class _Header:
    path: Path
    lines: tuple[str, ...]

    def title(self) -> str:
        titles = [value for _, key, value in self._entries() if key is None and value]
        if not titles:
            raise UsageError(f"{self.path}:1: the header has no title")
        return " ".join(titles)

    def budgets(self) -> tuple[Budget, ...]:
        """At least one of them on a latency."""
        line, value = self._only("budget")
        try:
            budgets = parse(value)
        except ValueError as error:
            raise UsageError(f"{self.path}:{line}: {error}") from None
        if all(budget.metric == "errors" for budget in budgets):
            raise UsageError(f"{self.path}:{line}: a budget on a latency is missing, as `p95 50ms`")
        return overlay((NO_ERRORS,), budgets)

    def mode(self) -> Literal["read", "write"]:
        line, value = self._only("mode")
        if value not in ("read", "write"):
            raise UsageError(f"{self.path}:{line}: mode is read or write, not {value!r}")
        return "read" if value == "read" else "write"

    def fan_out(self) -> str:
        return " ".join(value for _, value in self._all("fan-out"))

    def integer(self, key: str, default: int) -> int:
        for line, value in self._all(key):
            if not value.isdecimal():
                raise UsageError(f"{self.path}:{line}: {key} is a number, not {value!r}")
            return int(value)
        return default

    def rows(self) -> int:
        for line, value in self._all("rows"):
            digits = value.replace("≥", ">=").removeprefix(">=").strip()
            if not digits.isdecimal():
                raise UsageError(f"{self.path}:{line}: rows is like `>=1`, not {value!r}")
            return int(digits)
        return 0

    def samples(self) -> Iterator[Samples]:
        owned = set(self._owned())
        for line, value in self._all("params"):
            found = _PARAMS.fullmatch(value)
            if not found:
                example = "`a, b=column from schema.table where …`"
                raise UsageError(f"{self.path}:{line}: params is like {example}, not {value!r}")
            names = [name.strip() for name in found["names"].split(",")]
            pairs = tuple((n.partition("=")[0], n.rpartition("=")[2]) for n in names)
            mine = not owned.isdisjoint(name for name, _ in pairs)
            yield Samples(Name.parse(found["table"]), pairs, found["where"] or "", mine)

    def _owned(self) -> Iterator[str]:
        params = " ".join(value.partition(" from ")[0] for _, value in self._all("params"))
        known = set(re.findall(r"\w+", params))
        for line, value in self._all("own"):
            for name in value.split(","):
                if name.strip() not in known:
                    raise UsageError(f"{self.path}:{line}: own names no parameter: {name.strip()}")
                yield name.strip()

    def values(self) -> Iterator[tuple[str, str]]:
        for line, value in self._all("values"):
            name, equals, expression = (part.strip() for part in value.partition("="))
            if not equals:
                raise UsageError(f"{self.path}:{line}: values is like `name = uuid()`")
            yield name, expression

    def growth(self) -> tuple[Shape, str] | None:
        """`linear, a report of all orders`."""
        for line, value in self._all("growth"):
            shape, _, reason = (part.strip() for part in value.partition(","))
            for known in _GROWTHS:
                if shape == known and reason:
                    return known, reason
            allowed = ", ".join(_GROWTHS)
            raise UsageError(
                f"{self.path}:{line}: growth is one of {allowed}, a comma and why, not {value!r}"
            )
        return None

    def _only(self, key: str) -> tuple[int, str]:
        found = list(self._all(key))
        if len(found) != 1:
            raise UsageError(f"{self.path}:1: the header needs one `{key}:`, it has {len(found)}")
        return found[0]

    def _all(self, key: str) -> Iterator[tuple[int, str]]:
        return ((line, value) for line, found, value in self._entries() if found == key)

    def _entries(self) -> Iterator[tuple[int, str | None, str]]:
        for number, line in enumerate(self.lines, 1):
            found = _LINE.fullmatch(line.rstrip())
            key = found["key"] if found else None
            if key is not None and key not in _KEYS:
                raise UsageError(
                    f"{self.path}:{number}: unknown key {key!r}; known are {', '.join(_KEYS)}"
                )
            yield number, key, found["value"].strip() if found else ""
