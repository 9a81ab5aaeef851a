"""A sentence that carries the tenant's canary."""

from __future__ import annotations

from datagen.request import Request
from datagen.values import Values, of

PATTERNS = (
    "(note|comment|description|reason|memo|detail|excerpt|message|body|error|summary)(_text|_markdown|_html)?$",
)


def generate(request: Request) -> Values:
    """See datagen.generators."""
    words = request.pick(request.pools.get("sentence", "en_US"))
    return of(words + f" ({request.tenant.canary})")
