"""Progress on a terminal, in a log, and as JSON."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from cli import progress
from cli.progress import JsonLog, ProgressView
from tests.trainer.made import trained_model
from trainer.evidence.verdict import Verdict
from trainer.job import Job, JobResult
from trainer.jobs.train import Registration
from trainer.registry.newest import KeptVersion

NAMES = ["gru-X", "ppo-X", "gru-Y"]


def ended(model: str, symbol: str, version: str | None) -> Registration:
    if version is None:
        return Registration(
            JobResult(Job(symbol, model), 0.0, 12.34, error="no [bars]"), None, None
        )
    trained = trained_model({"net_sharpe": 0.5, "dsr": math.nan})
    result = JobResult(Job(symbol, model), 0.0, 12.34, trained)
    return Registration(result, version, Verdict("unproven", "it loses", []), run_id="r")


def kept(model: str, symbol: str) -> Registration:
    verdict = Verdict("flat", "no threshold paid", [])
    version = KeptVersion("7", "r", verdict, {"net_sharpe": 0.25})
    return Registration.of_kept(JobResult(Job(symbol, model), 0.0, 0.0), version)


def console_of(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=terminal, color_system=None)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in its only element."""
    now = [1_000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_each_job_that_ends_is_one_line() -> None:
    console = console_of(terminal=False)
    with ProgressView(console, NAMES, 36) as view:
        view.on_progress("gru-X", "fits", 1, 36)
        view.on_result(ended("gru", "X", "3"))
        view.on_result(ended("ppo", "X", None))
        view.on_result(kept("gru", "Y"))
    assert text_of(console).splitlines() == [
        "[1/3] gru-X: version 3 after 12.3 s",
        "[2/3] ppo-X: failed after 12.3 s: no [bars]",
        "[3/3] gru-Y: version 7 is unchanged",
    ]
    alone = console_of(terminal=False)
    with ProgressView(alone, ["gru-X"], 36) as view:
        view.on_result(ended("gru", "X", "3"))
    assert text_of(alone) == "gru-X: version 3 after 12.3 s\n"


def test_without_a_terminal_a_line_a_minute_says_how_long_it_will_take(clock: list[float]) -> None:
    console = console_of(terminal=False)
    with ProgressView(console, NAMES, 36) as view:
        view.on_result(kept("gru", "Y"))  # takes no time, so it tells nothing of the others
        view.on_progress("gru-X", "features", 0, 1)
        view.on_progress("gru-X", "fits", 6, 36)  # were read from the cache
        clock[0] += 59.9
        view.on_progress("gru-X", "fits", 17, 36)
        clock[0] += 0.1
        view.on_progress("gru-X", "fits", 18, 36)
        clock[0] += 1
        view.on_progress("gru-X", "fits", 19, 36)
    # 12 fits a minute, and 54 are left.
    line = "54 of 108 fits, 1 of 3 models, about 0:04:30 left"
    assert text_of(console).splitlines()[1:] == [line]


def test_on_a_terminal_there_is_a_bar_for_the_whole_and_for_each_job_at_work() -> None:
    console = console_of(terminal=True)
    with ProgressView(console, NAMES, 36) as view:
        view.on_progress("gru-X", "fits", 1, 36)
        view.on_result(ended("ppo", "X", "3"))
        view._progress.refresh()
    text = text_of(console)
    for part in ("gru-X", " 1/36 ", "1 of 3 models", "37/108", "ppo-X: version 3 after"):
        assert part in text, part
    assert "gru-Y" not in text, "it does not work yet"


def lines_of(printed: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in printed.splitlines()]
    for line in lines:
        assert line.pop("time").endswith("+00:00")
    return lines


def test_json_has_the_begin_the_progress_and_each_end(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with JsonLog(NAMES, 36) as log:
        log.on_progress("gru-X", "fits", 0, 36)
        clock[0] += 10
        log.on_progress("gru-X", "fits", 12, 36)
        log.on_result(ended("gru", "X", "3"))
        log.on_result(ended("ppo", "X", None))
        log.on_result(kept("gru", "Y"))
    begin, told, first, second, third = lines_of(capsys.readouterr().out)
    assert begin == {"event": "begin", "jobs": NAMES, "fits": 108}
    assert told == {
        "event": "progress", "fits_done": 12, "fits": 108, "jobs_done": 0, "jobs": 3,
        "seconds_left": 80.0,
    }  # fmt: skip
    assert first == {
        "event": "job", "name": "gru-X", "symbol": "X", "model": "gru", "version": "3",
        "unchanged": False, "error": "", "run_id": "r", "seconds": 12.34,
        "metrics": {"net_sharpe": 0.5},
    }, "the verdict is in the end"  # fmt: skip
    assert (second["status"], second["error"], second["version"]) == ("failed", "no [bars]", None)
    assert (third["unchanged"], third["version"], third["status"]) == (True, "7", "flat")
    assert third["metrics"] == {"net_sharpe": 0.25}


def test_a_log_whose_reader_has_ended_does_not_end_the_work() -> None:
    script = (
        "import sys; from cli.progress import JsonLog\n"
        "log = JsonLog(['gru-A'], 3)\n"
        "with log:\n"
        "    for number in range(3):\n"
        "        log.write('progress', number=number)\n"
        "print('done', file=sys.stderr)\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "The log cannot be written: Broken pipe. The command goes on without it.", "done"
    ]  # fmt: skip
