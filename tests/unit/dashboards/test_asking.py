"""What is told of a Prometheus that does not answer all that boards and rules ask."""

from __future__ import annotations

import pytest
import typer

from dashboards.ask import ask
from dashboards.asking import Prometheus, expressions


def test_each_expression_is_asked_with_its_variables_filled() -> None:
    asked = expressions("hs.board")
    assert len(asked) > 200
    assert [each.where for each in asked if "$" in each.expr.replace("$1", "")] == []
    assert any("hs.board" in each.expr for each in asked)


def test_what_has_to_answer_and_does_not_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Prometheus, "fault", lambda *_: "empty")
    with pytest.raises(typer.Exit) as ended:
        ask("http://127.0.0.1:1", "hs.board")
    *lines, last = capsys.readouterr().out.splitlines()
    assert ended.value.exit_code == 1
    failed = [line for line in lines if line.startswith("✗ ")]
    assert "✗ alert PostgresDown: empty" in failed
    assert last == f"{len(lines)} expressions, {len(lines)} without an answer, {len(failed)} failed"


def test_an_error_fails_even_where_there_may_be_no_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Prometheus, "fault", lambda *_: "parse error")
    with pytest.raises(typer.Exit):
        ask("http://127.0.0.1:1", "hs.board")
    assert "– " not in capsys.readouterr().out


def test_nobody_there_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        ask("http://127.0.0.1:1", "hs.board")
    assert ended.value.exit_code == 3
    assert capsys.readouterr().err.startswith("error: http://127.0.0.1:1 does not answer: ")
