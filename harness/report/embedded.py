"""The run document inside a page: compressed, with what was said of many objects said once.

Nothing is missing but the text of queries that missed no budget, which run.json has; how long
each table took to fill stands to the millisecond.
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

Document = dict[str, Any]


def pack(run: Run) -> str:
    """The document as base64 of gzip: a twentieth of its size."""
    document = json.loads(to_json(run))
    document["probes"] = _grouped(document["probes"])
    for query in _queries(document):
        query["histogram"] = sparse.of(query["histogram"])
        if query["verdict"] != "miss":
            query["statement"] = ""
    if document["fill"]:
        document["fill"]["tables"] = _columns(document["fill"]["tables"])
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def unpack(page: str, source: str = "page") -> Run:
    """The run that a page was rendered from, but for what `pack` leaves out, probes in the order
    of their objects; UsageError where the page holds none."""
    found = _ELEMENT.search(page)
    if found is None:
        raise UsageError(f"{source}: holds no run; name a report.html or a run.json")
    document = json.loads(gzip.decompress(base64.b64decode(found[1])))
    document["probes"] = list(_apart(document["probes"]))
    for query in _queries(document):
        query["histogram"] = sparse.encoded(query["histogram"])
    if document["fill"]:
        document["fill"]["tables"] = _rows(document["fill"]["tables"])
    return from_json(json.dumps(document), source)


def read(path: Path) -> Run:
    """The run of a page or of a document; UsageError where the file is neither."""
    if path.suffix != ".html":
        return load(path)
    try:
        return unpack(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def _queries(document: Document) -> list[Document]:
    return document["load"]["queries"] if document["load"] else []


def _grouped(probes: Iterable[Document]) -> list[Document]:
    """Objects of which all the same is told stand together, so that most tables of a schema are
    told of once."""
    said: dict[str, list[tuple[str, str, str]]] = {}
    for probe in probes:
        detail = probe["detail"].replace(_short(probe["object"]), _ITSELF)
        said.setdefault(probe["object"], []).append((probe["probe"], probe["verdict"], detail))
    groups: dict[tuple[tuple[str, str, str], ...], list[str]] = {}
    for name, told in said.items():
        groups.setdefault(tuple(told), []).append(name)
    return [{"objects": names, "told": told} for told, names in groups.items()]


def _apart(groups: Iterable[Document]) -> Iterator[Document]:
    for group in groups:
        for name in group["objects"]:
            for probe, verdict, detail in group["told"]:
                told = detail.replace(_ITSELF, _short(name))
                yield {"object": name, "probe": probe, "verdict": verdict, "detail": told}


def _columns(tables: list[Document]) -> Document:
    seconds = [round(table["seconds"], 3) for table in tables]
    return {key: [table[key] for table in tables] for key in ("table", "rows")} | {
        "seconds": seconds
    }


def _rows(columns: Document) -> list[Document]:
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _short(name: str) -> str:
    """A name without its schema, as PostgreSQL's messages have it; one without any is no name."""
    return name.partition(".")[2] or name
