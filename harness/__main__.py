"""`harness` and `python -m harness`: runs a command and turns what went wrong into an exit code.

0 all held; 1 findings, leaks or a budget missed; 2 wrong usage or configuration; 3 the
database could not be reached or failed underway; 130 interrupted.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback

import psycopg
from typer.exceptions import Abort, TyperException

from harness.cli.app import app_for
from harness.db import one_line
from harness.errors import HarnessError

_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    if not debug:  # what psycopg warns of while an interruption unwinds is no news to a user
        logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    try:
        words = [word for word in given if word != "--debug"]
        code = app_for(words)(words, standalone_mode=False)
    except TyperException as error:
        return _fail(f"{error.format_message()} (see --help)", error.exit_code, debug)
    except (KeyboardInterrupt, Abort):
        return _fail("interrupted; everything can be run again", _INTERRUPTED, debug)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except HarnessError as error:
        return _fail(str(error), error.exit_code, debug)
    except psycopg.Error as error:
        return _fail(_told_of_database(error), 3, debug)
    except OSError as error:
        return _fail(_told(error), 3 if error.errno == errno.ENOSPC else 2, debug)
    if code == _INTERRUPTED:  # Typer makes this of a KeyboardInterrupt
        return _fail("interrupted; everything can be run again", code, debug)
    return int(code or 0)


def _told_of_database(error: psycopg.Error) -> str:
    said = error.diag.message_primary or one_line(error)
    match error:
        case psycopg.errors.DiskFull():
            return f"the server's disk is full: {said}; make room there and run it again"
        case psycopg.errors.ReadOnlySqlTransaction():
            return f"the server is read-only: {said}; name one that can be written to"
        case psycopg.errors.InsufficientPrivilege():
            return f"{said}; grant it, or connect as a role that owns the database"
    return f"the database failed: {one_line(error)}"


def _told(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"harness: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
