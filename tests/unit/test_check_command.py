"""harness check as it is typed: options, exit codes, and what goes to which stream."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from harness.__main__ import main
from tests.conftest import ROOT

Check = Callable[..., tuple[int, str, str]]
OPEN = """CREATE TABLE public.page (business_id uuid NOT NULL, slug varchar(9));
COMMENT ON TABLE public.page IS 'A page.';
"""
LIST = "CREATE TABLE public.country (code text);\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one file, x.sql, in which six things are wrong."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harness.toml").write_text("")
    (tmp_path / "x.sql").write_text(OPEN)
    return tmp_path


@pytest.fixture
def check(here: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs `harness check static x.sql …`: exit code, what it printed, what it said."""

    def run(*options: str) -> tuple[int, str, str]:
        code = main(["check", "static", "x.sql", *options])
        return code, *capsys.readouterr()

    return run


def found(printed: str) -> list[str]:
    return re.findall(r"^ +\d+  \w+ +(\w{3}\d{3}) ", printed, re.MULTILINE)


def test_findings_fail(check: Check) -> None:
    code, printed, _ = check()
    assert code == 1
    assert found(printed) == ["PRF001", "RLS001", "RLS002", "RLS003", "TEN007", "TYP001"]


def test_files_alone_are_checked_statically(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "x.sql", "--select", "TYP"]) == 1
    assert found(capsys.readouterr().out) == ["TYP001"]
    assert main(["check", "--init", "x.sql"]) == 0
    assert 'column = "business_id"' in capsys.readouterr().out


def test_a_cluster_stands_beside_all_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "static", "x.sql", "--citus"]) == 2
    assert "--citus stands with all: harness check all --citus" in capsys.readouterr().err


@pytest.mark.parametrize(("meant", "rules"), [("true", ["CIT001"]), ("false", [])])
def test_settings_say_whether_a_schema_is_meant_for_citus(
    meant: str, rules: list[str], check: Check, here: Path
) -> None:
    floor = "CREATE POLICY floor ON public.page AS RESTRICTIVE USING (true);\n"
    (here / "x.sql").write_text(OPEN + floor)
    assert found(check("--select", "CIT")[1]) == []
    (here / "harness.toml").write_text(f"[checks]\ncitus = {meant}\n")
    assert found(check("--select", "CIT001")[1]) == rules


def test_what_is_neither_a_layer_nor_a_file_is_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "statics"]) == 2
    assert "statics: neither a file nor one of static, catalog" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "rules"),
    [
        (["--select", "TYP,RLS001"], 1, ["RLS001", "TYP001"]),
        (["--select", "TYP", "--select", "RLS001"], 1, ["RLS001", "TYP001"]),
        (["--select", "TYP", "--fail-on", "error"], 0, ["TYP001"]),
        (["--select", "RLS", "--fail-on", "never"], 0, ["RLS001", "RLS002", "RLS003"]),
        (["--ignore", "RLS,TYP,TEN,PRF"], 0, []),
    ],
)
def test_options_say_what_counts(
    check: Check, options: list[str], code: int, rules: list[str]
) -> None:
    done, printed, _ = check(*options)
    assert (done, found(printed)) == (code, rules)


def test_settings_say_what_counts_and_options_win(check: Check, here: Path) -> None:
    (here / "harness.toml").write_text(
        '[checks]\nselect = ["RLS", "TYP"]\nignore = ["RLS003"]\nfail_on = "error"\n'
        '[checks.severity]\nRLS = "warning"\nRLS001 = "info"\n'
    )
    code, printed, _ = check()
    assert (code, found(printed)) == (0, ["RLS001", "RLS002", "TYP001"])
    assert " info     RLS001 " in printed
    assert check("--fail-on", "warning")[0] == 1
    assert found(check("--ignore", "RLS")[1]) == ["TYP001"]


def test_the_environment_says_what_counts(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CHECKS__SELECT", "TYP, RLS001")
    monkeypatch.setenv("HARNESS_CHECKS__FAIL_ON", "never")
    code, printed, _ = check()
    assert (code, found(printed)) == (0, ["RLS001", "TYP001"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--select", "RLS999"], "RLS999 is no rule, and none begins so: harness rules lists them"),
        (["--ignore", "RLS,,"], "an empty name is no rule, and none begins so"),
        (["--fail-on", "sometimes"], "'sometimes' is not one of"),
        (["--baseline", "none.json"], "none.json: cannot be read: No such file or directory"),
        (["--baseline", "x.sql"], "x.sql: not a baseline: Invalid JSON"),
        (["--write-baseline", "x.sql"], "x.sql: not a baseline: Invalid JSON"),
        (["--write-baseline", "."], ".: cannot be read: Is a directory"),
    ],
)
def test_wrong_usage_is_one_line(check: Check, options: list[str], message: str) -> None:
    code, printed, said = check(*options)
    assert (code, printed) == (2, "")
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("HARNESS_CHECKS__FAIL_ON", "sometimes", "setting checks.fail_on"),
        ("HARNESS_CHECKS__SEVERITY", "RLS", "HARNESS_*: "),
    ],
)
def test_a_wrong_variable_is_one_line(
    check: Check, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    code, _, said = check()
    assert code == 2
    assert message in said
    assert said.count("\n") == 1


def test_a_baseline_is_written_held_to_and_renewed(check: Check, here: Path) -> None:
    code, printed, _ = check("--write-baseline", "known.json")
    assert code == 0
    assert printed.splitlines()[:2] == [
        "HELD nothing found in 1 tables by " + printed.split(" by ")[1].splitlines()[0],
        "6 findings held back by the baseline",
    ]
    (here / "x.sql").write_text("\n\n" + OPEN.replace("varchar(9)", "text") + LIST)
    code, printed, _ = check("--baseline", "known.json", "--ignore", "DOC")
    assert code == 1
    assert set(found(printed)) == {"RLS001", "RLS002", "RLS003", "TEN001"}
    assert "public.page" not in printed
    assert "1 entry of the baseline no longer occurs" in printed
    assert check("--write-baseline", "known.json")[0] == 0
    (here / "harness.toml").write_text('checks.baseline = "known.json"\n')
    code, printed, _ = check()
    assert code == 0
    assert "no longer" not in printed


def test_an_allowance_is_told_and_does_not_fail(check: Check, here: Path) -> None:
    allow = '-- harness: allow RLS001, RLS002, RLS003, TEN001, TEN007 reason="a list"\n'
    (here / "x.sql").write_text(allow + LIST)
    code, printed, _ = check()
    assert code == 0
    assert "6 findings allowed beside the statement" in printed
    document = json.loads(check("--format", "json")[1])
    assert {s["suppression"]["reason"] for s in document["suppressed"]} == {"a list"}
    assert (check("--format", "prometheus")[0], check("--format", "sarif")[0]) == (0, 0)


def test_a_stale_allowance_fails(check: Check, here: Path) -> None:
    allow = '-- harness: allow PRV001 reason="nobody knows"\n'
    (here / "x.sql").write_text(allow + LIST)
    code, printed, _ = check("--select", "SRC")
    assert (code, found(printed)) == (1, ["SRC007"])


def test_the_hook_runs_on_the_files_that_changed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert (hook["id"], hook["types"], hook["language"]) == ("harness-check", ["sql"], "python")
    assert hook["require_serial"]
    program, *arguments = shlex.split(hook["entry"])
    (here / "my y.sql").write_text(LIST)
    assert program == "harness"
    assert main([*arguments, "x.sql", "my y.sql"]) == 1
    printed = capsys.readouterr().out
    assert "\nx.sql\n" in printed
    assert "\nmy y.sql\n" in printed
