"""The run document inside a page: compressed, with what was said of many objects said once.

Nothing is missing but the text of queries that missed no budget, which run.json has.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.run import Run, from_json, load, to_json

_ELEMENT = re.compile(r'<script type="application/gzip" id="run">([^<]*)</script>')
_ONE = ("probe", "verdict", "detail")
_ITSELF = "\x1a"
"""Stands in a detail for the object that it is about."""


def pack(run: Run) -> str:
    """The document as base64 of gzip: a tenth of its size. Probes stand grouped by what came of
    them, each with its objects."""
    document = json.loads(to_json(run))
    document["probes"] = _grouped(document["probes"])
    for query in (document["load"] or {"queries": ()})["queries"]:
        if query["verdict"] != "miss":
            query["statement"] = ""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def unpack(page: str, source: str = "page") -> Run:
    """The run that a page was rendered from, but for the text of queries that missed nothing,
    probes in the order of their groups; UsageError where the page holds none."""
    found = _ELEMENT.search(page)
    if found is None:
        raise UsageError(f"{source}: holds no run; name a report.html or a run.json")
    document = json.loads(gzip.decompress(base64.b64decode(found[1])))
    document["probes"] = [
        {
            "object": name,
            **{key: group[key] for key in _ONE},
            "detail": group["detail"].replace(_ITSELF, _short(name)),
        }
        for group in document["probes"]
        for name in group["objects"]
    ]
    return from_json(json.dumps(document), source)


def read(path: Path) -> Run:
    """The run of a page or of a document; UsageError where the file is neither."""
    if path.suffix != ".html":
        return load(path)
    try:
        return unpack(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def _grouped(probes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for probe in probes:
        detail = probe["detail"].replace(_short(probe["object"]), _ITSELF)
        groups.setdefault((probe["probe"], probe["verdict"], detail), []).append(probe["object"])
    return [
        {**dict(zip(_ONE, said, strict=True)), "objects": names} for said, names in groups.items()
    ]


def _short(name: str) -> str:
    """A name without its schema, as PostgreSQL's messages have it; one without any is no name."""
    return name.partition(".")[2] or name
