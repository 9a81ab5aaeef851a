"""JSON documents: small objects, or what a CHECK wants them to be."""

from __future__ import annotations

from datagen.generators import json_array, json_object
from datagen.request import Request
from datagen.values import Values, constant, objects, of


def generate(request: Request) -> Values:
    """See datagen.generators."""
    return json_object.generate(request)


def of_kind(kind: str, request: Request) -> Values:
    """Documents of a kind as jsonb_typeof() names it."""
    if kind == "array":
        return json_array.generate(request)
    if kind == "string":
        return of(objects([f'"{request.tenant.canary} {n}"' for n in request.row_numbers]))
    if kind == "number":
        return of(objects([str(n) for n in request.row_numbers]))
    if kind in ("boolean", "null"):
        return constant("true" if kind == "boolean" else "null", request.rows)
    return json_object.generate(request)
