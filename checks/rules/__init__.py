"""The rules, one module each: whoever adds a rule adds one file (see checks.rule)."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from checks.rule import Rule, of_module


@cache
def registry() -> tuple[Rule, ...]:
    """All rules, found by walking this package, by id."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(of_module(importlib.import_module(f"{__name__}.{name}")) for name in names)
