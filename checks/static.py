"""The static check: SQL files in, findings out, no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from checks import allowance_comments
from checks.examined import Examined
from checks.policy import cells, symbolic
from checks.policy.judgment import Judgment
from checks.rules import registry
from checks.selection import known
from harness.catalog import files
from harness.catalog.model import Catalog
from harness.catalog.parsing import uncollected, unvalidated
from harness.config import Settings
from harness.deploy import migrations, source
from harness.errors import SchemaError
from harness.finding import Finding


def check(paths: Sequence[Path], settings: Settings) -> tuple[list[Finding], Catalog]:
    """What `examine` finds, and the catalog it finds it in."""
    examined = examine(paths, settings)
    return examined.findings, examined.catalog


def examine(paths: Sequence[Path], settings: Settings) -> Examined:
    """What the rules find in the SQL files that paths name, in the order of the files.

    A directory is read as order.txt says. A single file of the settings' schema is read with
    the whole schema around it, for it may need what others create, and findings are limited to
    the paths. Locations are relative to the working directory where the files lie below it.
    Raises SchemaError where a path cannot be read; what stands in a file never raises.
    """
    whole = settings.schema_dir
    wanted = texts = read_texts(paths or [whole])
    if paths and all(_is_below(path, whole) for path in paths):
        texts = read_texts([whole]) | wanted
    findings, judgment = _judged(texts, settings)
    catalog = judgment.source.catalog
    return Examined(
        [f for f in findings if f.location is None or f.location.file in wanted],
        judgment.source,
        cells.count(judgment),
        allowance_comments.of_files(wanted, known(), catalog)
        + allowance_comments.of_catalog(catalog, known(), wanted),
    )


def judge(texts: Mapping[str, str], settings: Settings) -> tuple[list[Finding], Catalog]:
    """What the rules find in texts, path to text in load order."""
    findings, judgment = _judged(texts, settings)
    return findings, judgment.source.catalog


def _judged(texts: Mapping[str, str], settings: Settings) -> tuple[list[Finding], Judgment]:
    order = {path: position for position, path in enumerate(texts)}
    with uncollected(), unvalidated():
        read = files.read(texts, settings.partition_functions)
        judgment = symbolic.judgment(read, settings)
        findings = [finding for rule in registry() for finding in rule.findings(judgment)]
    return sorted(findings, key=lambda finding: _place(finding, order)), judgment


def read_texts(paths: Iterable[Path]) -> dict[str, str]:
    """The files that paths name: a file as it is, a directory in its load order."""
    texts: dict[str, str] = {}
    for path in paths:
        if path.is_dir():
            texts |= {_shown(path / file.path): file.text for file in source.read(path)}
        else:
            texts[_shown(path)] = _read_file(path)
    if texts and not any(map(str.strip, texts.values())):
        raise SchemaError(f"{next(iter(texts))}: is empty; name a file with SQL in it")
    return texts


def _read_file(path: Path) -> str:
    try:
        return migrations.forth(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise SchemaError(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        raise SchemaError(f"{path}: cannot be read: {error.strerror}") from None


def _is_below(path: Path, directory: Path) -> bool:
    return path.resolve().is_relative_to(directory.resolve())


def _shown(path: Path) -> str:
    here = Path.cwd()
    path = path.resolve()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_posix()


def _place(finding: Finding, order: Mapping[str, int]) -> tuple[int, int, str]:
    where = finding.location
    return (order.get(where.file, 0), where.line, finding.rule) if where else (-1, 0, finding.rule)
