"""A cluster that somebody else runs: scheduler and workers in folders of their own, over TLS.

They are processes of this machine, which share nothing with the command but the code: the bars, the
caches and the store are in the folder of the command. Where the system permits it, the workers are
in a network of their own, from which they reach the scheduler and nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed.security import Security

from tests.service.conftest import EURUSD, QUICK

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
#: More rounds than usual, so that a command is still at work when something is killed.
ROUNDS = ("--params", "lightgbm.num_boost_round=400,lightgbm.early_stopping_rounds=400")


class OtherHost:
    """A network namespace with one wire to this machine; the loopback if none can be made.

    Attributes
    ----------
    here, there : str
        Address of this machine on the wire, and that of the other host.
    prefix : tuple of str
        Words before a command that is to run on the other host.
    """

    def __init__(self) -> None:
        number = os.getpid() % 65_536
        self._name, subnet = f"barwright-{number}", f"10.{number // 256}.{number % 256}"
        inside = ("ip", "netns", "exec", self._name)
        wire, end = f"bwa{number}", f"bwb{number}"
        commands = (
            ("ip", "netns", "add", self._name),
            ("ip", "link", "add", wire, "type", "veth", "peer", "name", end),
            ("ip", "link", "set", end, "netns", self._name),
            ("ip", "addr", "add", f"{subnet}.1/30", "dev", wire),
            ("ip", "link", "set", wire, "up"),
            (*inside, "ip", "addr", "add", f"{subnet}.2/30", "dev", end),
            (*inside, "ip", "link", "set", end, "up"),
            (*inside, "ip", "link", "set", "lo", "up"),
        )
        made = shutil.which("ip") and all(
            subprocess.run(command, capture_output=True, check=False).returncode == 0
            for command in commands
        )
        self.here, self.there = (f"{subnet}.1", f"{subnet}.2") if made else ("127.0.0.1",) * 2
        self.prefix = inside if made else ()

    def remove(self) -> None:
        """Remove it; its wire goes with it."""
        if shutil.which("ip"):
            subprocess.run(["ip", "netns", "delete", self._name], capture_output=True, check=False)


class Cluster:
    """A scheduler and its workers; each has an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = OtherHost()
        security = Security.temporary()
        for name, text in {
            "ca.pem": security.tls_ca_file,
            "cert.pem": security.tls_client_cert,
            "key.pem": security.tls_client_key,
        }.items():
            assert isinstance(text, str)
            (folder / name).write_text(text)
        self.file = folder / "scheduler.json"
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def tls(self) -> tuple[str, ...]:
        files = {"ca-file": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
        return tuple(
            word
            for option, name in files.items()
            for word in (f"--tls-{option}", str(self.folder / name))
        )

    @property
    def options(self) -> tuple[str, ...]:
        """Options of a command that uses the cluster."""
        return ("--scheduler-file", str(self.file), *self.tls)

    def start_scheduler(self, port: int = 0) -> None:
        self.file.unlink(missing_ok=True)
        arguments = ("--port", str(port), "--no-dashboard", "--scheduler-file", str(self.file))
        self._start(
            "scheduler", "scheduler", "--host", self.host.here, "--protocol", "tls", *arguments
        )
        deadline = time.monotonic() + 60
        while not self.file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    @property
    def port(self) -> int:
        return int(json.loads(self.file.read_text())["address"].rpartition(":")[2])

    def start_worker(self, name: str) -> None:
        # Without a nanny it does not come back after a kill.
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", self.host.there)
        self._start(name, "worker", "--scheduler-file", str(self.file), "--name", name, *options)

    def _start(self, name: str, *arguments: str) -> None:
        own = self.folder / name
        own.mkdir(exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "OMP_"))}
        module = (sys.executable, "-m", f"distributed.cli.dask_{arguments[0]}")
        prefix = self.host.prefix if arguments[0] == "worker" else ()
        with (own / "log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [*prefix, *module, *arguments[1:], *self.tls],
                cwd=own,
                env={**kept, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for name in list(self.running):
            self.kill(name)
        self.host.remove()


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    made.start_scheduler()
    for name in ("one", "two"):
        made.start_worker(name)
    yield made
    made.stop()


def network_of(process: int) -> Path:
    """The network that a process sees."""
    return Path(f"/proc/{process}/ns/net").readlink()


def wait_for_fits(process: subprocess.Popen[str], fits: Path, count: int) -> int:
    """Wait until so many fits are in the cache of a command; return how many there are."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if (made := len(list(fits.glob("*.fit")))) >= count:
            return made
        time.sleep(0.02)
    raise TimeoutError(f"{fits} never had {count} fits: {process.communicate()}")


def test_a_cluster_makes_the_bytes_of_one_machine_though_a_worker_dies(
    workspace, trained, cluster: Cluster
) -> None:
    fits = workspace.folder / "data" / "fits"
    process = workspace.start("-m", "trainer", "train", *EURUSD, *QUICK, *cluster.options)
    wait_for_fits(process, fits, 2)
    networks = {network_of(cluster.running[name].pid) for name in ("one", "two")}
    assert (network_of(os.getpid()) in networks) == (not cluster.host.prefix)
    cluster.kill("one")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, out + err
    assert err == ""
    name = "models:/lightgbm-EURUSD@latest"
    alone, there = (place.download(name) for place in (trained, workspace))
    files = sorted(path.relative_to(alone) for path in alone.rglob("*") if path.is_file())
    same = [f for f in files if f.name not in ("MLmodel", "metadata.yaml", "conda.yaml")]
    assert {"model.bin", "manifest.json", "evidence.json"} <= {file.name for file in same}
    for file in same:
        if file.suffix in (".bin", ".json") and file.name != "registered_model_meta":
            assert (there / file).read_bytes() == (alone / file).read_bytes(), file
    assert len(list(fits.glob("*.fit"))) == 9
    # What others run goes on, with nothing left of this command.
    assert cluster.running["two"].poll() is None
    assert cluster.running["scheduler"].poll() is None
    assert {path.name for path in (cluster.folder / "two").iterdir()} <= {
        "log", "dask-scratch-space", "dask-worker-space"
    }  # fmt: skip


def test_no_fit_is_lost_when_the_command_or_the_scheduler_is_killed(
    workspace, cluster: Cluster
) -> None:
    fits = workspace.folder / "data" / "fits"
    command = ("-m", "trainer", "train", *EURUSD, *QUICK, *ROUNDS, *cluster.options)
    process = workspace.start(*command)
    wait_for_fits(process, fits, 2)
    process.kill()
    process.communicate()
    made = len(list(fits.glob("*.fit")))
    assert made < 9, "the kill must come between two fits"
    assert cluster.running["two"].poll() is None, "workers live on"

    process = workspace.start(*command)
    before = {path.name for path in fits.iterdir()}
    wait_for_fits(process, fits, made + 2)
    port = cluster.port
    cluster.kill("scheduler")
    for name in ("one", "two"):
        cluster.kill(name)
    cluster.start_scheduler(port)
    cluster.start_worker("three")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, out + err
    assert workspace.versions("lightgbm-EURUSD") == ["1"]
    assert len(list(fits.glob("*.fit"))) == 9
    assert before <= {path.name for path in fits.iterdir()}
    assert "of 9 fits read from the cache" in out


def test_ctrl_c_leaves_the_workers_alive(workspace, cluster: Cluster) -> None:
    process = workspace.start_as_a_terminal_does(
        "-m", "trainer", "train", *EURUSD, "--models", "lightgbm", "--wf-splits", "20",
        *cluster.options,
    )  # fmt: skip
    wait_for_fits(process, workspace.folder / "data" / "fits", 1)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert out.strip().splitlines()[-1:] == ["Aborted!"], out
    assert "Traceback" not in out
    assert all(process.poll() is None for process in cluster.running.values())


def test_a_cluster_without_workers_ends_the_command(
    workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = Cluster(tmp_path_factory.mktemp("empty"))
    empty.start_scheduler()
    try:
        done = workspace.train(*EURUSD, *QUICK, *empty.options, "--worker-timeout", "2")
    finally:
        empty.stop()
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "Error: no worker was there for 2 s; start workers, or raise --worker-timeout if they wait "
        "in a queue, then run again"
    )
