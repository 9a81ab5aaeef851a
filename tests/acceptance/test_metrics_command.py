"""The command harness metrics, with a run and without a server."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from urllib.request import urlopen

from harness.run import Environment, Run, now, to_json

NOBODY = "postgresql://somebody:secret@127.0.0.1:1/nowhere"


def test_the_run_is_served_while_the_server_is_down(tmp_path: Path) -> None:
    (tmp_path / "harness.toml").write_text("")
    here = Environment("0.1.0", "3.11", "Linux", 2, 2**34)
    (tmp_path / "run.json").write_text(to_json(Run("0" * 32, "run", now(), now(), here)))
    command = [sys.executable, "-m", "harness", "metrics", "run.json", "--port", "0"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job of a script ignores it
    serving = subprocess.Popen(
        [*command, "--dsn", NOBODY],
        cwd=tmp_path,
        preexec_fn=heard,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert serving.stderr
    try:
        told = [serving.stderr.readline() for _ in range(2)]
        found = re.match(
            r"http://127\.0\.0\.1:(\d+)/metrics serves the server and run.json", told[1]
        )
        assert found, told
        with urlopen(f"http://127.0.0.1:{found[1]}/metrics") as answer:
            text = answer.read().decode()
        serving.send_signal(signal.SIGINT)
        assert serving.wait(20) == 130
    finally:
        serving.kill()
        serving.communicate()
    assert "its metrics are served as soon as it answers" in told[0]
    assert "secret" not in told[0]
    assert "\npg_up 0.0\n" in text
    assert "\nharness_run_held 1.0\n" in text
