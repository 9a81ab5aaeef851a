"""A database name that one run has to itself, so that two runs at once do not collide."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

from harness.config import Settings
from harness.server import lock
from harness.server.embedded import embedded


@contextmanager
def claimed_database(settings: Settings) -> Iterator[Settings]:
    """Settings whose database nobody else claims: the configured one, or the first of
    `name_2`, `name_3`, … that is free. The claim ends with the block or the process."""
    home = embedded(settings).home
    for number in itertools.count(1):
        name = settings.database if number == 1 else f"{settings.database}_{number}"
        descriptor = lock.claim(home / f"{name}.lock")
        if descriptor is None:
            continue
        try:
            yield settings.model_copy(update={"database": name})
        finally:
            os.close(descriptor)
        return
