"""Deaths at any point: one task fails, nothing is half registered, a rerun carries on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

FICKLE = '''
from adapters.lgbm import LightGBMAdapter

class Fickle(LightGBMAdapter):
    """Scores differently once it was loaded: what verification exists for."""
    name = "fickle"
    _loaded = False

    def predict(self, X, position=None):
        return super().predict(X, position) * (0.5 if self._loaded else 1.0)

    @classmethod
    def load(cls, path):
        model = super().load(path)
        model._loaded = True
        return model
'''


SLOW = '''
import time
from adapters.lgbm import LightGBMAdapter

class Slow(LightGBMAdapter):
    """Takes long enough to be killed in the middle, on any machine."""
    name = "slow"

    def fit(self, train, valid=None):
        time.sleep(0.4)
        return super().fit(train, valid)
'''


DEADLY = '''
import os, signal
from adapters.lgbm import LightGBMAdapter

class Deadly(LightGBMAdapter):
    """Ends its process, as a lack of memory does."""
    name = "deadly"

    def fit(self, train, valid=None):
        os.kill(os.getpid(), signal.SIGKILL)
'''


def install_plugin(folder: Path, name: str, code: str) -> Path:
    """Write a distribution with one adapter, and return the folder for PYTHONPATH."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(code)
    (info / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[barwright.adapters]\n{name} = {name}:{name.title()}\n"
    )
    return folder


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Worker processes of a running command."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def busy_workers(
    process: subprocess.Popen[str], folder: Path, count: int, seconds: float = 120
) -> list[psutil.Process]:
    """Wait until so many workers are there, and as many fits are in a command's folder."""
    fits = folder / "data" / "fits"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        workers = workers_of(process)
        if len(workers) >= count and len(list(fits.glob("*.fit"))) >= count:
            return workers
        time.sleep(0.02)
    raise TimeoutError(f"the workers never got busy: {process.communicate()}")


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_its_fits(workspace, two_symbols, tmp_path: Path) -> None:
    """One worker of two dies: what it was fitting is fitted again, and both symbols are done."""
    plugin = install_plugin(tmp_path / "plugin", "slow", SLOW)
    process = workspace.start(
        "-m", "trainer", "train", "--symbols", "FIRST,SECOND", "--source", str(two_symbols),
        "--models", "slow", "--n-splits", "2", "--wf-splits", "2", "--max-workers", "2",
        PYTHONPATH=str(plugin),
    )  # fmt: skip
    busy_workers(process, workspace.folder, 2)[0].send_signal(signal.SIGKILL)
    assert len(list((workspace.folder / "data" / "fits").glob("*.fit"))) < 18, "too late"
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    for symbol in ("FIRST", "SECOND"):
        assert workspace.versions(f"slow-{symbol}") == ["1"], out
    states = [r.info.status for r in workspace.runs() if r.data.tags["kind"] != "command"]
    assert states == ["FINISHED", "FINISHED"]


@pytest.mark.slow
def test_a_fit_that_kills_its_workers_fails_its_job_only(workspace, tmp_path: Path) -> None:
    plugin = install_plugin(tmp_path / "plugin", "deadly", DEADLY)
    done = workspace.train(
        "--symbols", "EURUSD", "--source", "sample", "--models", "lightgbm,deadly",
        "--n-splits", "2", "--wf-splits", "2", PYTHONPATH=str(plugin),
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    printed = " ".join(done.stdout.split())
    assert "deadly-EURUSD: its worker process died twice" in printed, done.stdout + done.stderr
    assert workspace.versions("lightgbm-EURUSD") == ["1"]
    assert workspace.versions("deadly-EURUSD") == []
    states = sorted(r.info.status for r in workspace.runs() if r.data.tags["kind"] != "command")
    assert states == ["FAILED", "FINISHED"]


@pytest.mark.slow
@pytest.mark.parametrize("killed", [1, 2])
def test_workers_that_die_while_they_start_are_done_without(workspace, killed: int) -> None:
    began = time.monotonic()
    process = workspace.start(
        "-m", "trainer", "train", "--symbols", "EURUSD", "--source", "sample",
        "--n-splits", "2", "--wf-splits", "2", "--max-workers", "2",
    )  # fmt: skip
    while len(starting := workers_of(process)) < 2 and process.poll() is None:
        time.sleep(0.02)
    for worker in starting[:killed]:
        worker.kill()
    out, err = process.communicate(timeout=240)
    if killed == 1:
        assert process.returncode == 0, out + err
        assert workspace.versions("lightgbm-EURUSD") == ["1"]
    else:
        assert process.returncode == 1, out + err
        assert "2 worker process(es) did not start: 2 died; free memory" in err
        assert len(err.splitlines()) == 1, err
        # Without workers no job starts, so none has a run.
        states = [(run.data.tags["kind"], run.info.status) for run in workspace.runs()]
        assert states == [("command", "FAILED")]
    assert time.monotonic() - began < 200, "it waited for workers that were dead"


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["workers start", "workers are busy"])
def test_ctrl_c_ends_everything_at_once_and_quietly(workspace, moment: str) -> None:
    # `--wf-splits 20`: the worker must still be at work when the signal comes.
    process = workspace.start_as_a_terminal_does(
        "-m", "trainer", "train", "--symbols", "EURUSD", "--source", "sample",
        "--models", "lightgbm", "--wf-splits", "20",
    )  # fmt: skip
    if moment == "workers start":
        while not workers_of(process) and process.poll() is None:
            time.sleep(0.02)
        time.sleep(0.3)
        workers = workers_of(process)
    else:
        workers = busy_workers(process, workspace.folder, 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    out, _ = process.communicate(timeout=20)
    assert process.returncode not in (0, None)
    assert out.strip().splitlines()[-1:] == ["Aborted!"], out
    assert "Traceback" not in out
    assert psutil.wait_procs(workers, timeout=10)[1] == []
    assert workspace.versions("lightgbm-EURUSD") == []
    assert "RUNNING" not in {run.info.status for run in workspace.runs()}


@pytest.mark.slow
def test_a_killed_command_registers_nothing_and_the_rerun_reads_the_fits_it_made(
    workspace, tmp_path: Path
) -> None:
    plugin = str(install_plugin(tmp_path / "plugin", "slow", SLOW))
    arguments = (
        "--symbols", "EURUSD", "--source", "sample", "--models", "slow", "--n-splits", "2",
        "--wf-splits", "4",
    )  # fmt: skip
    process = workspace.start("-m", "trainer", "train", *arguments, PYTHONPATH=plugin)
    fits = workspace.folder / "data" / "fits"
    while len(list(fits.glob("*.fit"))) < 3 and process.poll() is None:
        time.sleep(0.02)
    workers = workers_of(process)
    process.kill()
    process.communicate()
    assert [run.info.status for run in workspace.runs()] == ["RUNNING"]
    assert workspace.versions("slow-EURUSD") == []
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == [], "workers must not outlive their command"
    made = len(list(fits.glob("*.fit")))
    assert 3 <= made < 15, "the kill must come between two fits"

    again = workspace.train(*arguments, PYTHONPATH=plugin)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{made} of 15 fits read from the cache." in again.stdout
    assert workspace.versions("slow-EURUSD") == ["1"]
    states = sorted(run.info.status for run in workspace.runs())
    assert states == ["FINISHED", "FINISHED", "KILLED"]
    changed = ("--fee-bps", "3", "--calibration", "isotonic")
    third = workspace.train(*arguments, *changed, PYTHONPATH=plugin)
    assert "15 of 15 fits read from the cache." in third.stdout, third.stderr
    assert len(list(fits.glob("*.fit"))) == 15


@pytest.mark.slow
def test_two_commands_at_once_open_an_empty_database_and_register_one_version(
    empty_workspace,
) -> None:
    arguments = ("-m", "trainer", "train", "--source", "sample", "--n-splits", "2")
    first = empty_workspace.start(*arguments, "--wf-splits", "2", "--symbols", "EURUSD")
    second = empty_workspace.start(*arguments, "--wf-splits", "2", "--symbols", "EURUSD")
    printed = []
    for process in (first, second):
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, out + err
        printed.append(out)
    assert empty_workspace.versions("lightgbm-EURUSD") == ["1"]
    assert sorted("version 1 is unchanged" in out for out in printed) == [False, True], printed
    kinds = sorted(run.data.tags["kind"] for run in empty_workspace.runs())
    assert kinds == ["candidate", "command", "command"]


@pytest.mark.slow
def test_a_candidate_that_decides_differently_when_loaded_is_not_registered(
    workspace, tmp_path: Path
) -> None:
    plugin = install_plugin(tmp_path / "plugin", "fickle", FICKLE)
    done = workspace.train(
        "--symbols", "EURUSD", "--source", "sample", "--models", "fickle,lightgbm",
        "--n-splits", "2", "--wf-splits", "2",
        PYTHONPATH=str(plugin),
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    text = " ".join(done.stdout.split())
    assert "does not pass verification" in text
    assert "the model decides differently here" in text
    assert workspace.versions("fickle-EURUSD") == []
    assert workspace.versions("lightgbm-EURUSD") == ["1"]
    assert workspace.jobs["fickle-EURUSD"].info.status == "FAILED"


@pytest.mark.slow
def test_a_kill_while_the_database_is_made_leaves_none_or_a_whole_one(empty_workspace) -> None:
    # A symbol without bars: the run of its failure is stored as every other run is.
    arguments = ("-m", "trainer", "train", "--symbols", "NONE", "--source", "sample")
    process = empty_workspace.start(*arguments)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(empty_workspace.folder.glob(".mlflow.db.*")):
        time.sleep(0.01)
    time.sleep(0.3)
    process.kill()
    process.communicate()
    again = empty_workspace.run(*arguments)
    assert again.returncode == 1
    assert "the sample has no NONE at 1h" in " ".join(again.stdout.split())
    assert empty_workspace.jobs["lightgbm-NONE"].info.status == "FAILED"
