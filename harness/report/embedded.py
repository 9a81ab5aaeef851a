"""The run document inside a page: compressed, with what was said of many objects said once.

Nothing is missing but the text of queries, of which the first that missed their budgets have
theirs, for run.json has them; how long each table took to fill stands to the millisecond.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.report import sparse
from harness.run import Run, from_json, load, to_json

_ELEMENT = re.compile(r'<script type="application/gzip" id="run">([^<]*)</script>')
_ITSELF = "\x1a"
"""Stands in a detail for the object that it is about."""

STATEMENTS = 20
"""So many queries that missed their budgets have their text in a page."""

Document = dict[str, Any]


def pack(run: Run) -> str:
    """The document as base64 of gzip: a twentieth of its size."""
    document = json.loads(to_json(run))
    names: dict[str, int] = {}
    document["probes"] = _grouped(document["probes"], names)
    if document["load"]:
        document["load"]["queries"] = _packed_queries(document["load"]["queries"])
    if document["fill"]:
        document["fill"]["tables"] = _packed_tables(document["fill"]["tables"], names)
    document["names"] = list(names)
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def unpack(page: str, source: str = "page") -> Run:
    """The run that a page was rendered from, but for what `pack` leaves out, probes in the order
    of their objects; UsageError where the page holds none."""
    found = _ELEMENT.search(page)
    if found is None:
        raise UsageError(f"{source}: holds no run; name a report.html or a run.json")
    document = json.loads(gzip.decompress(base64.b64decode(found[1])))
    names = document.pop("names")
    document["probes"] = list(_apart(document["probes"], names))
    if document["load"]:
        queries = document["load"]["queries"]
        queries["histogram"] = [sparse.encoded(each) for each in queries["histogram"]]
        document["load"]["queries"] = _rows(queries)
    if document["fill"]:
        tables = document["fill"]["tables"]
        tables["table"] = [names[index] for index in tables["table"]]
        document["fill"]["tables"] = _rows(tables)
    return from_json(json.dumps(document), source)


def read(path: Path) -> Run:
    """The run of a page or of a document; UsageError where the file is neither."""
    if path.suffix != ".html":
        return load(path)
    try:
        return unpack(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def _packed_queries(queries: list[Document]) -> Document:
    missed = [query["name"] for query in queries if query["verdict"] == "miss"][:STATEMENTS]
    columns = _columns(queries)
    columns["histogram"] = [sparse.of(histogram) for histogram in columns["histogram"]]
    columns["statement"] = [
        query["statement"] if query["name"] in missed else "" for query in queries
    ]
    return columns


def _packed_tables(tables: list[Document], names: dict[str, int]) -> Document:
    columns = _columns(tables)
    columns["table"] = [_numbered(name, names) for name in columns["table"]]
    columns["seconds"] = [round(seconds, 3) for seconds in columns["seconds"]]
    return columns


def _numbered(name: str, names: dict[str, int]) -> int:
    return names.setdefault(name, len(names))


def _grouped(probes: Iterable[Document], names: dict[str, int]) -> list[Document]:
    """Objects of which all the same is told stand together, so that most tables of a schema are
    told of once."""
    said: dict[str, list[tuple[str, str, str]]] = {}
    for probe in probes:
        detail = probe["detail"].replace(_short(probe["object"]), _ITSELF)
        said.setdefault(probe["object"], []).append((probe["probe"], probe["verdict"], detail))
    groups: dict[tuple[tuple[str, str, str], ...], list[int]] = {}
    for name, told in said.items():
        groups.setdefault(tuple(told), []).append(_numbered(name, names))
    return [{"objects": objects, "told": told} for told, objects in groups.items()]


def _apart(groups: Iterable[Document], names: list[str]) -> Iterator[Document]:
    for group in groups:
        for name in (names[index] for index in group["objects"]):
            for probe, verdict, detail in group["told"]:
                told = detail.replace(_ITSELF, _short(name))
                yield {"object": name, "probe": probe, "verdict": verdict, "detail": told}


def _columns(rows: list[Document]) -> Document:
    """What is alike stands together and is compressed together."""
    return {key: [row[key] for row in rows] for key in (rows[0] if rows else ())}


def _rows(columns: Document) -> list[Document]:
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _short(name: str) -> str:
    """A name without its schema, as PostgreSQL's messages have it; one without any is no name."""
    return name.partition(".")[2] or name
