"""The servers of docker-compose.yml as processes of this machine, for `scripts/services.sh`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import psutil
import requests

from scripts import compose
from scripts.object_store import free_store_ports, local_store, remove_sockets
from scripts.server import free_ports, is_free, wait_until_it_answers
from trainer.processes import process_identity

_POSTGRES = str(compose.ROOT / "scripts" / "postgres.sh")
_PATIENCE_SECONDS = 180


@dataclass(frozen=True)
class Stack:
    """The servers of one folder.

    Attributes
    ----------
    folder : pathlib.Path
        For the state of the servers, their data and their logs.
    variables : mapping of str to str
        Those of the file .env.
    """

    folder: Path
    variables: Mapping[str, str]

    def start(self) -> None:
        """Start the servers and make the accounts; if one fails, stop them all.

        Raises
        ------
        LookupError
            If a variable is missing.
        RuntimeError
            If the folder has servers, or one does not start.
        """
        if self._state_file.exists():
            raise RuntimeError(f"{self.folder} has services already; stop them first")
        for name in ("s3", "mlflow", "accounts"):
            compose.service(name, self.variables)  # raises before anything is started
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        store_ports = free_store_ports()
        port = _chosen_port(self.variables.get("MLFLOW_PORT", ""))
        state: dict[str, Any] = {"store_ports": store_ports, "port": port, "processes": {}}
        self._write(state)
        started = self._database("start")
        if started.returncode:
            raise RuntimeError(started.stderr.strip())
        (self.folder / "s3").mkdir(exist_ok=True)
        store = local_store(self.folder.resolve() / "s3", store_ports, self.variables)
        waiting = []
        for name, local, health in (
            ("s3", store, f"{self._store}/healthz"),
            ("mlflow", self.server(), f"{self.address}/health"),
        ):
            process = local.start(self._log(name))
            state["processes"][name] = process_identity(process.pid)
            self._write(state)
            waiting.append((health, process, self._log(name)))
        for health, process, log in waiting:
            try:
                wait_until_it_answers(health, process, log, _PATIENCE_SECONDS)
            except RuntimeError:
                raise self._failure(log) from None
        accounts = self.service("accounts").start(self._log("accounts"))
        if accounts.wait(_PATIENCE_SECONDS):
            raise self._failure(self._log("accounts"))

    def _failure(self, log: Path) -> RuntimeError:
        lines = log.read_text().strip().splitlines() or ["it printed nothing"]
        return RuntimeError(f"{log.stem} did not start: {lines[-1]} (all it printed: {log})")

    def server(self) -> compose.Service:
        """Return the MLflow server, which finds the database and the store of this stack.

        The store keeps the name that it has in docker-compose.yml. The server alone can reach it,
        because the store is its proxy for that name; clients cannot, as those outside of Compose.
        """
        server = self.service("mlflow")
        url = urlsplit(self._database("url").stdout.strip())
        server.environment.update(
            {
                "PGHOST": str(url.hostname),
                "PGPORT": str(url.port),
                "PGDATABASE": url.path.lstrip("/"),
                "PGUSER": str(url.username),
                "PGPASSWORD": str(url.password),
                "HTTP_PROXY": self._store,
            }
        )
        return server

    def _database(self, action: str) -> subprocess.CompletedProcess[str]:
        command = [_POSTGRES, action, str(self.folder / "postgres")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def service(self, name: str) -> compose.Service:
        """Return a service of docker-compose.yml that finds the MLflow server of this stack."""
        return compose.service(name, self.variables).moved(
            {
                "http://mlflow:5000": self.address,
                "0.0.0.0": "127.0.0.1",
                "--port=5000": f"--port={self._state['port']}",
                **compose.config_files(),
            }
        )

    def stop(self) -> None:
        """Stop the servers and delete what they hold; the logs stay."""
        if not self._state_file.exists():
            return
        for identity in reversed(self._state["processes"].values()):
            _end(identity)
        stopped = self._database("stop")
        if stopped.returncode:
            raise RuntimeError(stopped.stderr.strip())
        remove_sockets(self._state["store_ports"])
        shutil.rmtree(self.folder / "s3", ignore_errors=True)
        self._state_file.unlink()

    def status(self) -> dict[str, bool]:
        """Return which servers run and answer; empty without a stack in the folder."""
        if not self._state_file.exists():
            return {}
        running = {
            name: _is_running(self._state["processes"].get(name, "")) and _answers(health)
            for name, health in (
                ("s3", f"{self._store}/healthz"),
                ("mlflow", f"{self.address}/health"),
            )
        }
        pid = self.folder / "postgres" / "pid"
        return {"postgres": pid.exists() and psutil.pid_exists(int(pid.read_text())), **running}

    @property
    def address(self) -> str:
        """Address of the MLflow server."""
        return f"http://127.0.0.1:{self._state['port']}"

    @property
    def _store(self) -> str:
        return f"http://127.0.0.1:{self._state['store_ports']['s3']}"

    @property
    def _state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self._state_file.read_text())
        except FileNotFoundError:
            raise RuntimeError(f"{self.folder} has no services; start them first") from None
        return state

    @property
    def _state_file(self) -> Path:
        return self.folder / "services.json"

    def _write(self, state: Mapping[str, Any]) -> None:
        self._state_file.write_text(json.dumps(state, indent=1) + "\n")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def _chosen_port(text: str) -> int:
    """Return the port that the user chose, or a free one."""
    if not text:
        return free_ports(1)[0]
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise RuntimeError(f"MLFLOW_PORT must be a port from 1 to 65535, got {text!r}")
    if not is_free(int(text)):
        raise RuntimeError(f"port {text} is taken; set MLFLOW_PORT to another one")
    return int(text)


def _is_running(identity: str) -> bool:
    """Return whether the process of a `process_identity` runs; one that only has no parent did."""
    pid = int(identity.partition(":")[0] or 0)
    try:
        process = psutil.Process(pid)
        return process_identity(pid) == identity and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _end(identity: str) -> None:
    """End a server with its children at once: what it holds is deleted after that."""
    if _is_running(identity):
        os.killpg(int(identity.partition(":")[0]), signal.SIGKILL)
    while _is_running(identity):
        time.sleep(0.05)


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:
        return False


def variables() -> dict[str, str]:
    """Return the variables of the file .env, and those of the environment, which win."""
    file = compose.ROOT / ".env"
    lines = file.read_text().splitlines() if file.exists() else []
    read = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {**read, **os.environ}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("action", type=click.Choice(["start", "stop", "status", "env"]))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("account", type=click.Choice(["trainer", "trader"]), default="trainer")
def main(action: str, folder: Path, account: str) -> None:
    r"""Run the servers of docker-compose.yml on this machine, on free ports of loopback.

    \b
    start FOLDER          PostgreSQL, S3 store, MLflow with accounts; the values are those of .env
    env FOLDER [ACCOUNT]  what to export: eval "$(scripts/services.sh env FOLDER)"
    status FOLDER         which servers run; exit status 1 if one does not
    stop FOLDER           stop them and delete their data; the logs stay
    """
    stack = Stack(folder, variables())
    try:
        if action == "start":
            stack.start()
            print(stack.address)
            print(f'eval "$(scripts/services.sh env {shlex.quote(str(folder))})"')
        elif action == "stop":
            stack.stop()
        elif action == "env":
            for name, value in stack.service(account).environment.items():
                print(f"export {name}={shlex.quote(value)}")
        else:
            found = stack.status()
            for name, runs in found.items():
                print(f"{name}: {'runs' if runs else 'does not run'}")
            sys.exit(0 if found and all(found.values()) else 1)
    except (LookupError, RuntimeError) as error:
        sys.exit(f"services: {error}")


if __name__ == "__main__":
    main(prog_name="scripts/services.sh")
