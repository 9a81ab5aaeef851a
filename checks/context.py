"""The function that tells policies the current tenant, where the settings name one."""

from __future__ import annotations

from collections.abc import Iterator

from harness.catalog.model import Catalog, Function, Name
from harness.config import Tenancy


def context_functions(catalog: Catalog, tenancy: Tenancy) -> Iterator[Function]:
    """The functions of the name that tenancy.current_tenant calls without arguments."""
    called, brackets, rest = tenancy.current_tenant.partition("()")
    if brackets and not rest:
        name = Name.parse(called)
        yield from (function for function in catalog.functions if function.name == name)
