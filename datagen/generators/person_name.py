"""Names of people, in the tenant's language."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, of

PATTERNS = ("(^|_)(full_name|contact_name|person_name|given_by)$",)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    first = request.pick(request.pools.get("first_name", request.tenant.locale))
    last = request.pick(request.pools.get("last_name", request.tenant.locale))
    return of(first + " " + last)
