"""Processes that fill side by side, each with a connection of its own; a tenant at a time.

They are spawned, never forked: an open connection does not survive a fork. Whoever is free takes
the next tenant, and tells of every unit as it is done. When one ends before its time, all end:
what they noted is there, and the next fill goes on from it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from datagen import loading, tenants, turn
from datagen.plan import FillSettings, plan
from datagen.site import Filled, Site, open_site
from datagen.taken import Taken
from datagen.tenant_rows import load_shared
from datagen.tenants import Tenant
from harness.catalog.model import Catalog
from harness.config import Settings, Tenancy
from harness.db import connect
from harness.errors import DatabaseError

Stage = Callable[[Site, Tenant], Iterator[Filled]]
"""What is done for a tenant; it travels to another process by its name."""
Run = Callable[[Stage, Iterable[int]], Iterator[Filled]]
"""Does a stage for the tenants with these ordinals, and ends when all have it."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What a process is told when it begins."""

    loader: str
    catalog: Catalog
    tenancy: Tenancy
    wanted: FillSettings
    taken: Taken


def alone(site: Site) -> Run:
    """Does every stage in this process."""
    wanted = site.plan.settings

    def run(stage: Stage, ordinals: Iterable[int]) -> Iterator[Filled]:
        for ordinal in ordinals:
            yield from stage(site, tenants.make(wanted.seed, ordinal, wanted.skew))

    return run


@contextmanager
def crew(errand: Errand, size: int) -> Iterator[Run]:
    """So many processes; they end with the block."""
    context = multiprocessing.get_context("spawn")
    members: dict[Pipe, BaseProcess] = {}
    try:
        with _undisturbed():
            for _ in range(size):
                ours, theirs = context.Pipe()
                work = context.Process(target=_work, args=(theirs, errand), daemon=True)
                work.start()
                members[ours] = work
                theirs.close()
        yield lambda stage, ordinals: _hand_out(members, stage, deque(ordinals))
        for pipe in members:
            with suppress(OSError):  # what it had to do is done
                pipe.send(None)
    except BaseException:
        for process in members.values():
            process.terminate()
        raise
    finally:
        for pipe, process in members.items():
            process.join()
            pipe.close()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes that begin meanwhile inherit that Ctrl-C is not for them: it is for the first."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hand_out(members: dict[Pipe, BaseProcess], stage: Stage, left: deque[int]) -> Iterator[Filled]:
    busy = [pipe for pipe in members if _give(members, pipe, stage, left)]
    while busy:
        for pipe in wait(busy):
            assert isinstance(pipe, Pipe)  # noqa: S101 - nothing else was waited for
            if (told := _told(members, pipe)) is not None:
                yield told
            elif not _give(members, pipe, stage, left):
                busy.remove(pipe)


def _give(members: dict[Pipe, BaseProcess], pipe: Pipe, stage: Stage, left: deque[int]) -> bool:
    """Gives a process the next tenant, if there is one."""
    if not left:
        return False
    try:
        pipe.send((stage, left.popleft()))
    except OSError:
        raise _ended(members[pipe]) from None
    return True


def _told(members: dict[Pipe, BaseProcess], pipe: Pipe) -> Filled | None:
    """What a process tells; None when it is free."""
    try:
        told = pipe.recv()
    except (EOFError, OSError):
        raise _ended(members[pipe]) from None
    if isinstance(told, BaseException):
        raise told
    return told if isinstance(told, Filled) else None


def _ended(process: BaseProcess) -> DatabaseError:
    process.join(5)
    code = process.exitcode or 0
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return DatabaseError(
        f"a worker of the fill {how}; run the fill again, it goes on where it stopped"
    )


def _work(pipe: Pipe, errand: Errand) -> None:
    """What each process does. A server soon ends the statement of a process that ended."""
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the first process is gone
        try:
            _serve(pipe, errand)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            error.add_note(traceback.format_exc())
            pipe.send(error)


def _end_with_the_first() -> None:
    if (first := multiprocessing.parent_process()) is not None:
        first.join()
        os._exit(1)


def _serve(pipe: Pipe, errand: Errand) -> None:
    with connect(errand.loader, autocommit=True, application_name="harness fill") as connection:
        turn.work(connection)
        settings = Settings.model_construct(tenancy=errand.tenancy)
        the_plan = plan(errand.catalog, settings, errand.wanted, errand.taken)
        site = open_site(the_plan, errand.loader, connection, loading.load)
        deque(load_shared(site), maxlen=0)  # they are there: what is referred to is made again
        run = alone(site)
        while (job := pipe.recv()) is not None:
            stage, ordinal = job
            for filled in run(stage, [ordinal]):
                pipe.send(filled)
            pipe.send(None)
