"""Real command runs, a real server, a real foreign environment: nothing here is imitated."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run

from features.sources import open_source
from scripts import server
from tests import commands
from tests.conftest import MakeOnce

#: Free trading finds positions to compare even where nothing pays for its costs.
FREE = ("--fee-bps", "0", "--slippage-bps", "0")
EURUSD = ("--symbols", "EURUSD", "--source", "sample")
#: Enough folds to run every step, few enough to be quick.
QUICK = ("--n-splits", "2", "--wf-splits", "2", "--horizon", "3", *FREE)


@dataclass(frozen=True)
class Workspace:
    """A folder with its own MLflow database, in which commands are run as users run them."""

    folder: Path
    uri: str

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        return {**kept, "MLFLOW_TRACKING_URI": self.uri, "OMP_NUM_THREADS": "1"}

    def _command(
        self, arguments: tuple[str, ...], environment: dict[str, str]
    ) -> tuple[tuple[str, ...], dict[str, str]]:
        if arguments[:3] == ("-m", "trainer", "train") and "--models" not in arguments:
            arguments += ("--models", "lightgbm")  # the quickest of them
        if arguments[:3] == ("-m", "trainer", "train") and "--max-workers" not in arguments:
            # The start of a second worker takes longer than its share of such small runs.
            arguments += ("--max-workers", "1")
        return arguments, {**self.environment, **environment}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command as users do: in a new interpreter."""
        arguments, environment = self._command(arguments, environment)
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_as_a_terminal_does(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in a group of its own, which Ctrl-C ends: `os.killpg(pid, SIGINT)`."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A test runner in the background may have handed on that it ignores the signal.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run_as_users_do(
        self, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, **environment) as process:
            out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command, forked if that changes nothing but the time of its imports."""
        forked, settings = self._command(arguments, environment)
        if commands.can_fork(forked, settings):
            return commands.start(self.folder, settings, forked).finished()
        return self.run_as_users_do(*arguments, **environment)

    def train(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "trainer", "train", *arguments, **environment)

    def train_quickly(self, *more: str) -> subprocess.CompletedProcess[str]:
        return self.train(*EURUSD, *QUICK, *more)

    def trade(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run(commands.TRADER, *arguments, **environment)

    def download(self, uri: str, target: Path | None = None) -> Path:
        """Fetch a model; the registry is asked at this workspace's address."""
        mlflow.set_tracking_uri(self.uri)
        return Path(download_artifacts(uri, dst_path=None if target is None else str(target)))

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri, self.uri)

    def runs(self, experiment: str = "barwright") -> list[Run]:
        found = self.client.get_experiment_by_name(experiment)
        return [] if found is None else self.client.search_runs([found.experiment_id])

    @property
    def jobs(self) -> dict[str, Run]:
        """The runs of jobs, by the name of the job; their own names have settings, too."""
        tags = [(run, run.data.tags) for run in self.runs()]
        return {f"{of['model']}-{of['symbol']}": run for run, of in tags if "model" in of}

    def versions(self, name: str) -> list[str]:
        found = self.client.search_model_versions(f"name = '{name}'")
        return sorted(str(version.version) for version in found)


@pytest.fixture(scope="session")
def make_workspace() -> type[Workspace]:
    return Workspace


@pytest.fixture
def empty_workspace(tmp_path: Path) -> Workspace:
    """An empty folder: the first command that needs a database makes it."""
    return Workspace(tmp_path, f"sqlite:///{tmp_path}/mlflow.db")


@pytest.fixture
def workspace(empty_workspace: Workspace, empty_store: Path) -> Workspace:
    """A folder with a database that holds no run yet."""
    shutil.copy(empty_store, empty_workspace.folder)
    return empty_workspace


@pytest.fixture(scope="session")
def trained(make_once: MakeOnce) -> Workspace:
    """Real EURUSD bars, trained once with free trading; version 1 is registered.

    The tests of all files share it: none of them may change it.
    """

    def place(folder: Path) -> Workspace:
        return Workspace(folder, f"sqlite:///{folder}/mlflow.db")

    def train(folder: Path) -> None:
        done = place(folder).run_as_users_do("-m", "trainer", "train", *EURUSD, *QUICK)
        assert done.returncode == 0, done.stdout + done.stderr

    return place(make_once("trained", train))


@pytest.fixture(scope="session")
def two_symbols(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bars: the two halves of the EURUSD sample, as FIRST and SECOND."""
    folder = tmp_path_factory.mktemp("bars")
    frame = open_source("sample").read("EURUSD", "1h").frame
    half = len(frame) // 2
    frame[:half].to_parquet(folder / "FIRST_1h.parquet")
    frame[half:].to_csv(folder / "SECOND_1h.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def serve(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[list[str], dict[str, str], str], str]]:
    """Start servers on loopback; they end, with all their children, after the module's tests."""
    logs = tmp_path_factory.mktemp("servers")
    with contextlib.ExitStack() as servers:

        def start(command: list[str], environment: dict[str, str], health: str) -> str:
            log = logs / f"{len(list(logs.iterdir()))}.log"
            return servers.enter_context(server.serve(command, environment, health, log))

        yield start
