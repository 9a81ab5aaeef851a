"""postgresql.conf of the embedded server, sized from the machine.

Durable as production is (fsync and synchronous_commit stay on): write budgets would be
meaningless otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil

_MIB = 1024 * 1024


def render(socket_dir: Path) -> str:
    """The settings that differ from PostgreSQL's defaults."""
    memory = psutil.virtual_memory().total
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(socket_dir),
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "shared_buffers": _mib(min(memory // 4, 4096 * _MIB)),
        "effective_cache_size": _mib(memory // 2),
        "maintenance_work_mem": "256MB",
        "work_mem": "16MB",
        "wal_compression": "lz4",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        # A deployment creates some thousand objects in one transaction.
        "max_locks_per_transaction": "256",
        # An OLTP server on local storage; compiling a query would cost more than it saves.
        "random_page_cost": "1.1",
        "jit": "off",
        "shared_preload_libraries": "pg_stat_statements,auto_explain",
        "pg_stat_statements.max": "10000",
        "auto_explain.log_min_duration": "1s",
        "track_io_timing": "on",
        "track_wal_io_timing": "on",
        "track_functions": "pl",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d ",
    }
    return text(settings)


def text(settings: Mapping[str, str]) -> str:
    """Settings as lines of a configuration file."""
    return "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items())


def _mib(size: int) -> str:
    return f"{size // _MIB}MB"


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
