"""What accounts cost at the MLflow server: seconds of each kind of call, with and without cache."""

from __future__ import annotations

import re
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from benchmarks.measure import BenchmarkResult, Options, Target, Times, interleaved
from scripts import compose
from scripts.server import free_ports, wait_until_it_answers
from scripts.services import Stack

#: What an account may cost, in milliseconds a call.
_MOST_MS = 30
_API = "/api/2.0/mlflow"


def run(options: Options) -> BenchmarkResult:
    rounds, names = options.repeats(50), options.pick(300, 3)
    result = BenchmarkResult(
        "accounts",
        "One call at a time to MLflow servers with two workers each, on one PostgreSQL and one S3 "
        "store on this machine, as of scripts/services.sh. Without a cache each request waits for "
        "the slow hash of the password. `admin` may do everything; for `trainer` the server looks "
        "up in each call what it may do.",
    )
    with tempfile.TemporaryDirectory() as folder, _servers(Path(folder)) as clients:
        maker = clients["accounts, cache: trainer"]
        experiment = maker.post("experiments/create", name="e")["experiment_id"]
        run_id = maker.post("runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
        for number in range(names):
            maker.post("registered-models/create", name=f"m{number}")
        for what, call in _calls(experiment, run_id, names).items():
            times = interleaved({k: _bound(call, c) for k, c in clients.items()}, rounds=rounds)
            _add(result, what, times)
    return result


class _Client:
    """A connection to one server, as one account."""

    def __init__(self, address: str, account: tuple[str, str] | None) -> None:
        self._address = address
        self._session = requests.Session()
        self._session.auth = account

    def get(self, path: str, **params: object) -> Any:
        return self._read("GET", path, params=params)

    def post(self, path: str, **content: object) -> Any:
        return self._read("POST", path, json=content)

    def put_file(self, path: str, content: bytes) -> None:
        self._answer("PUT", f"{_API}-artifacts/artifacts/{path}", data=content)

    def get_file(self, path: str) -> bytes:
        return self._answer("GET", f"{_API}-artifacts/artifacts/{path}").content

    def _read(self, method: str, path: str, **arguments: Any) -> Any:
        return self._answer(method, f"{_API}/{path}", **arguments).json()

    def _answer(self, method: str, path: str, **arguments: Any) -> requests.Response:
        answer = self._session.request(method, self._address + path, timeout=60, **arguments)
        answer.raise_for_status()
        return answer


def _calls(experiment: str, run_id: str, names: int) -> Mapping[str, Callable[[_Client], object]]:
    """Return the calls that commands make most."""
    file = f"{experiment}/{run_id}/artifacts/a.json"
    metrics = [{"key": "m", "value": 1.0, "timestamp": 0, "step": step} for step in range(100)]
    return {
        "read a run": lambda client: client.get("runs/get", run_id=run_id),
        "log 100 metrics": lambda client: client.post(
            "runs/log-batch", run_id=run_id, metrics=metrics
        ),
        "write a file of 2 kB": lambda client: client.put_file(file, bytes(2_000)),
        "read a file of 2 kB": lambda client: client.get_file(file),
        f"list {names} registered models": lambda client: client.get(
            "registered-models/search", max_results=1_000
        ),
    }


def _bound(call: Callable[[_Client], object], client: _Client) -> Callable[[], object]:
    return lambda: call(client)


def _add(result: BenchmarkResult, what: str, times: Mapping[str, Times]) -> None:
    """Add the milliseconds of a call, and the target of the compose file's settings."""
    wall = {name: [1e3 * seconds for seconds in of.wall] for name, of in times.items()}
    result.add_spreads(f"{what}: milliseconds", wall, ".1f")
    result.data.setdefault("milliseconds", {})[what] = wall

    def median(name: str) -> float:
        return sorted(wall[name])[len(wall[name]) // 2]

    cost = median("accounts, cache: trainer") - median("no accounts")
    result.targets.append(Target(f"cost of an account, {what}", cost, _MOST_MS, False, " ms"))


@contextmanager
def _servers(folder: Path) -> Iterator[dict[str, _Client]]:
    """Start the stack, and two more servers on its database: without accounts, without cache."""
    needed = re.findall(r"\$\{(\w+):\?", (compose.ROOT / "docker-compose.yml").read_text())
    variables = {name: secrets.token_urlsafe(24) for name in needed}
    stack = Stack(folder, variables)
    admin = ("admin", variables["MLFLOW_AUTH_ADMIN_PASSWORD"])
    trainer = ("trainer", variables["TRAINER_PASSWORD"])
    uncached = folder / "uncached.ini"
    with ExitStack() as ends:
        stack.start()
        ends.callback(stack.stop)
        settings = (compose.ROOT / "docker" / "auth.ini").read_text()
        uncached.write_text(re.sub("(?m)^auth_cache_ttl_seconds.*$", "", settings))
        slow, bare = stack.server(), stack.server()
        slow.environment["MLFLOW_AUTH_CONFIG_PATH"] = str(uncached)
        bare.command.remove("--app-name=basic-auth")
        addresses = [ends.enter_context(_server(local, folder)) for local in (bare, slow)]
        yield {
            "no accounts": _Client(addresses[0], None),
            "accounts: trainer": _Client(addresses[1], trainer),
            "accounts, cache: admin": _Client(stack.address, admin),
            "accounts, cache: trainer": _Client(stack.address, trainer),
        }


@contextmanager
def _server(local: compose.Service, folder: Path) -> Iterator[str]:
    """Start one more MLflow server and yield its address."""
    (port,) = free_ports(1)
    words = [f"--port={port}" if word.startswith("--port=") else word for word in local.command]
    log = folder / f"{port}.log"
    process = compose.Service(words, local.environment).start(log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(f"{address}/health", process, log, 180)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
