"""The stack of docker-compose.yml as local processes: accounts, artefacts in S3, whole commands.

The store is known to the server by a name that clients cannot resolve, as it is for all clients
outside of Compose.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import requests

from scripts import compose
from scripts.services import Stack
from tests.commands import TRADER
from tests.registry_store import RegistryStore, opened
from tests.service.conftest import QUICK, Workspace

# The same tests as on SQLite, here on the authenticated server.
from tests.trainer.registry.test_alias import (  # noqa: F401
    client,
    test_interrupted_moves_are_settled_by_the_version_of_the_alias,
    test_moves_are_recorded_in_order_with_all_their_facts,
)
from tests.trainer.tracking.test_mlflow_runs import (  # noqa: F401
    test_an_error_ends_the_parent_run_as_failed,
    test_runs_of_dead_processes_are_closed_with_their_children,
    test_the_settings_are_a_file_of_the_parent_run_at_once,
)
from trainer.serving.manifest import MANIFEST_TAG

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

SCRIPT = str(compose.ROOT / "scripts" / "services.sh")
NAME = "lightgbm-EURUSD"
#: As in .env; each value must be in no output.
SECRETS = {
    name: secrets.token_urlsafe(24)
    for name in (
        "S3_SECRET_ACCESS_KEY", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY",
        "TRAINER_PASSWORD", "TRADER_PASSWORD",
    )
}  # fmt: skip
VARIABLES = {
    "POSTGRES_USER": "unused",
    "POSTGRES_PASSWORD": "unused",
    "S3_ACCESS_KEY_ID": "mlflow",
    "MLFLOW_WORKERS": "1",  # a second one takes seconds to start
    **SECRETS,
}


def services(action: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script with the variables of .env."""
    return subprocess.run(
        [SCRIPT, action, *arguments],
        env={"PATH": os.environ["PATH"], **VARIABLES, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Desk:
    """The running stack, and a workspace in which its accounts run commands."""

    stack: Stack
    place: Workspace

    @functools.cached_property
    def accounts(self) -> dict[str, dict[str, str]]:
        """What the script exports for each account."""
        folder = str(self.stack.folder)
        printed = {name: services("env", folder, name).stdout for name in ("trainer", "trader")}
        return {
            name: dict(line.removeprefix("export ").split("=", 1) for line in text.splitlines())
            for name, text in printed.items()
        }

    def run(self, account: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command as an account; nothing that it prints is a secret."""
        done = self.place.run(*arguments, **self.accounts[account], **more)
        assert not any(value in done.stdout + done.stderr for value in SECRETS.values())
        return done

    def command(self, service: str) -> tuple[str, ...]:
        """Return the command of a service of docker-compose.yml, as arguments of Python."""
        words = compose.service(service, VARIABLES).command
        assert words[0] == "python"
        return tuple(TRADER if word == "trader.py" else word for word in words[1:])

    def uri(self, account: str) -> str:
        """Return an address that contains the account."""
        known = self.accounts[account]
        name, password = known["MLFLOW_TRACKING_USERNAME"], known["MLFLOW_TRACKING_PASSWORD"]
        return self.stack.address.replace("://", f"://{name}:{password}@")

    def store(self) -> Any:
        """Return a client of the S3 store with the keys of .env."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.state['store_ports']['s3']}",
            aws_access_key_id=VARIABLES["S3_ACCESS_KEY_ID"],
            aws_secret_access_key=VARIABLES["S3_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
        )

    def objects(self) -> list[str]:
        """Return the keys of all objects in the bucket."""
        pages = self.store().get_paginator("list_objects_v2").paginate(Bucket="mlflow")
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    @property
    def state(self) -> dict[str, Any]:
        """What the script keeps of its servers."""
        state: dict[str, Any] = json.loads((self.stack.folder / "services.json").read_text())
        return state


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The stack with one version of lightgbm-EURUSD, which the command of `trainer` made."""
    folder = tmp_path_factory.mktemp("desk")
    started = services("start", str(folder / "stack"))
    assert started.returncode == 0, started.stderr
    try:
        address = started.stdout.splitlines()[0]
        desk = Desk(Stack(folder / "stack", VARIABLES), Workspace(folder, address))
        trained = desk.run("trainer", *desk.command("trainer"), *QUICK)
        assert trained.returncode == 0, trained.stdout + trained.stderr
        yield desk
    finally:
        stopped = services("stop", str(folder / "stack"))
        assert stopped.returncode == 0, stopped.stderr


# --- the script and docker-compose.yml ---------------------------------------------------------


def described(service: str) -> tuple[list[str], dict[str, str]]:
    """Return command and variables of a service as docker-compose.yml has them."""
    found = compose.service(service, VARIABLES)
    return found.command, found.environment


@pytest.mark.parametrize(
    ("service", "places", "more_words", "more_variables"),
    [
        (
            "s3",
            {"-dir", "-ip.bind"},
            {f"-{name}.port" for name in ("master", "volume", "filer", "s3", "admin")},
            set(),
        ),
        (
            "mlflow",
            {
                "--host", "--port", "PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD",
                "MLFLOW_AUTH_CONFIG_PATH",
            },
            set(),
            {"HTTP_PROXY"},
        ),
    ],
)  # fmt: skip
def test_a_process_runs_what_compose_describes(
    desk: Desk, service: str, places: set[str], more_words: set[str], more_variables: set[str]
) -> None:
    """The same words and the same variables, but for places: addresses, ports and paths."""
    process = psutil.Process(int(desk.state["processes"][service].partition(":")[0]))
    running, environment = process.cmdline(), process.environ()
    words, variables = described(service)
    start = [Path(word).name for word in running].index(words[0])

    def options(given: list[str]) -> dict[str, str]:
        return {word.partition("=")[0]: word.partition("=")[2] for word in given}

    ours, theirs = options(running[start + 1 :]), options(words[1:])
    assert list(ours)[: len(theirs)] == list(theirs)
    assert set(ours) - set(theirs) == more_words
    assert {name for name in theirs if ours[name] != theirs[name]} == places & set(theirs)

    own = {"PATH", "HOME"} | {"LC_CTYPE"} & set(environment)  # Python sets the last one
    assert set(environment) - own - more_variables >= set(variables)
    assert {n for n in variables if environment[n] != variables[n]} == places & set(variables)
    strange = set(environment) - set(variables) - own - more_variables
    assert not {name for name in strange if not name.startswith("_")}, strange


def test_all_servers_listen_on_this_machine_only(desk: Desk) -> None:
    state = desk.state
    listening = {
        connection.laddr
        for identity in state["processes"].values()
        for process in family(int(identity.partition(":")[0]))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address.port for address in listening} >= {
        state["port"],
        *state["store_ports"].values(),
    }
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_the_workers_of_the_server_send_an_answer_at_once(desk: Desk) -> None:
    """On another loop than uvloop each call waits 40 ms for the second packet of its answer."""
    processes = family(int(desk.state["processes"]["mlflow"].partition(":")[0]))
    libraries = {Path(file.path).parent.name for p in processes for file in p.memory_maps()}
    assert "uvloop" in libraries


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def test_status_says_which_servers_run_and_two_stacks_need_two_folders(
    desk: Desk, tmp_path: Path
) -> None:
    folder = str(desk.stack.folder)
    shown = services("status", folder)
    assert (shown.returncode, shown.stdout) == (0, "postgres: runs\ns3: runs\nmlflow: runs\n")
    again = services("start", folder)
    assert (again.returncode, again.stderr) == (
        1, f"services: {folder} has services already; stop them first\n",
    )  # fmt: skip
    assert services("status", folder).returncode == 0
    assert services("status", str(tmp_path)).returncode == 1
    none = services("env", str(tmp_path))
    assert (none.returncode, none.stderr) == (
        1, f"services: {tmp_path} has no services; start them first\n",
    )  # fmt: skip


def test_a_value_that_is_missing_is_named_before_anything_starts(tmp_path: Path) -> None:
    refused = services("start", str(tmp_path / "x"), TRADER_PASSWORD="")
    assert (refused.returncode, refused.stderr) == (1, "services: set TRADER_PASSWORD in .env\n")
    assert not (tmp_path / "x").exists()
    assert services("stop", str(tmp_path / "x")).returncode == 0, "nothing to stop is no error"


def test_a_port_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = services("start", str(tmp_path), MLFLOW_PORT=str(port))
    assert refused.returncode == 1
    assert refused.stderr == f"services: port {port} is taken; set MLFLOW_PORT to another one\n"
    wrong = services("start", str(tmp_path), MLFLOW_PORT="http")
    assert wrong.stderr == "services: MLFLOW_PORT must be a port from 1 to 65535, got 'http'\n"


def test_a_start_that_is_killed_leaves_servers_that_stop_ends(tmp_path: Path) -> None:
    command = [SCRIPT, "start", str(tmp_path)]
    state = tmp_path / "services.json"
    with subprocess.Popen(command, env={"PATH": os.environ["PATH"], **VARIABLES}) as start:
        deadline = time.monotonic() + 60
        while '"mlflow"' not in (state.read_text() if state.exists() else ""):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        start.kill()
    pids = [
        int(pid.partition(":")[0]) for pid in json.loads(state.read_text())["processes"].values()
    ]
    assert len(pids) == 2
    assert services("stop", str(tmp_path)).returncode == 0
    gone = [psutil.Process(pid).status() for pid in pids if psutil.pid_exists(pid)]
    assert set(gone) <= {psutil.STATUS_ZOMBIE}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.log", "postgres", "s3.log"]
    assert [path.name for path in (tmp_path / "postgres").iterdir()] == ["log"]


# --- accounts ------------------------------------------------------------------------------------


COMMANDS = (
    ("-m", "trainer", "train", "--symbols", "EURUSD", "--source", "sample", *QUICK),
    ("-m", "trainer", "compare", "--symbols", "EURUSD"),
    ("-m", "trainer", "promote", NAME),
    ("-m", "trainer", "report", f"models:/{NAME}@latest"),
    (TRADER, "--model", f"models:/{NAME}@latest", "--source", "sample"),
)
NOBODY = {"MLFLOW_TRACKING_USERNAME": "", "MLFLOW_TRACKING_PASSWORD": ""}
WRONG = {"MLFLOW_TRACKING_PASSWORD": "a wrong password"}
ASKED = "asks for an account; set"
UNKNOWN = "does not know the account 'trainer' with this password; correct"


@pytest.mark.parametrize(
    ("account", "reason", "arguments"),
    [
        *((NOBODY, ASKED, arguments) for arguments in COMMANDS),
        *((WRONG, UNKNOWN, arguments) for arguments in (COMMANDS[0], COMMANDS[-1])),
    ],
)
def test_without_an_account_a_command_is_one_line_of_error(
    desk: Desk, account: dict[str, str], reason: str, arguments: tuple[str, ...]
) -> None:
    refused = desk.place.run(*arguments, **{**desk.accounts["trainer"], **account})
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"Error: the MLflow server {desk.stack.address} {reason} MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD, and run again\n"
    )


@pytest.mark.parametrize(
    "path", ["mlflow/experiments/search?max_results=1", "mlflow-artifacts/artifacts?path=1"]
)
def test_runs_and_files_are_refused_to_who_has_no_account(desk: Desk, path: str) -> None:
    for account in (None, ("trader", "a wrong password"), ("admin", "password1234")):
        answer = requests.get(f"{desk.stack.address}/api/2.0/{path}", auth=account, timeout=30)
        assert answer.status_code == 401


def test_a_password_in_the_address_is_not_printed(desk: Desk) -> None:
    wrong = desk.uri("trainer").replace(SECRETS["TRAINER_PASSWORD"], "hidden-word")
    for uri in (wrong, wrong.replace(str(desk.state["port"]), "9")):
        for arguments in COMMANDS[2:3] + COMMANDS[-1:]:
            refused = desk.place.run(*arguments, MLFLOW_TRACKING_URI=uri)
            assert refused.returncode == 1
            assert "://trainer:***@127.0.0.1" in refused.stderr
            assert len(refused.stderr.splitlines()) == 1
            assert "hidden-word" not in refused.stdout + refused.stderr


def test_the_account_of_the_trader_reads_and_moves_nothing(desk: Desk) -> None:
    refused = desk.run("trader", "-m", "trainer", "promote", NAME, "--force", "--reason", "x")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"Error: the MLflow server {desk.stack.address} does not allow this to the account "
        "'trader'; use the account that made the model or the experiment, or let an administrator "
        "of the server give permission\n"
    )
    seen = desk.run("trader", "-m", "trainer", "history", NAME)
    assert (seen.returncode, "@champion" in seen.stdout) == (0, False), seen.stderr


def test_accounts_are_made_again_with_another_password(desk: Desk) -> None:
    """As `docker compose up` does after a change of .env."""
    changed = {**VARIABLES, "TRADER_PASSWORD": "another-password"}
    variables = {"MLFLOW_TRACKING_URI": desk.stack.address}
    for given in (changed, VARIABLES):
        local = Stack(desk.stack.folder, given).service("accounts")
        done = subprocess.run(
            [sys.executable, *local.command[1:]],
            env=local.environment,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        user = requests.get(
            f"{desk.stack.address}/api/2.0/mlflow/users/get",
            {"username": "trader"},
            auth=("trader", given["TRADER_PASSWORD"]),
            timeout=30,
        )
        assert user.status_code == 200, variables
    short = Stack(desk.stack.folder, {**VARIABLES, "TRADER_PASSWORD": "short"}).service("accounts")
    done = subprocess.run(
        [sys.executable, *short.command[1:]], env=short.environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the account 'trader' (TRADER_PASSWORD) was not made: ")
    assert "at least 12 characters" in done.stderr


# --- from training to a decision -----------------------------------------------------------------


def test_a_model_is_promoted_rolled_back_traded_and_reported(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(desk, monkeypatch)
    first = desk.place.client.get_model_version(NAME, "1")
    desk.place.client.create_model_version(
        NAME, first.source, first.run_id, tags=first.tags, model_id=first.source.split("/")[-1]
    )
    promoted = desk.run("trainer", "-m", "trainer", "promote", NAME, "--force", "--reason", "drill")
    assert f"@champion of {NAME} is version 2 now, forced" in " ".join(promoted.stdout.split())
    back = desk.run("trainer", "-m", "trainer", "rollback", NAME, "--to", "1")
    assert back.returncode == 0, back.stderr

    traded = desk.run("trader", *desk.command("trader"), "--json")
    assert traded.returncode == 0, traded.stderr
    decided = json.loads(traded.stdout)
    assert (decided["model"], decided["version"]) == (f"models:/{NAME}@latest", "3")

    page = desk.place.folder / "report.html"
    reported = desk.run(
        "trader", "-m", "trainer", "report", f"models:/{NAME}@champion", "--output", str(page)
    )
    assert reported.returncode == 0, reported.stderr
    assert NAME in page.read_text()
    told = desk.run("trader", "-m", "trainer", "history", NAME)
    assert "drill" in told.stdout
    assert "trainer@" in told.stdout, "who moved it is the account"


def test_artefacts_are_in_the_bucket(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file whose digest the registry has, and those whose digests that file has."""
    log_in(desk, monkeypatch)
    store, registered = desk.store(), desk.place.client.get_model_version(NAME, "1")

    def content(key: str) -> bytes:
        return bytes(store.get_object(Bucket="mlflow", Key=key)["Body"].read())

    (manifest,) = [key for key in desk.objects() if key.endswith("/manifest.json")]
    assert hashlib.sha256(content(manifest)).hexdigest() == registered.tags[MANIFEST_TAG]
    files = json.loads(content(manifest))["files"]
    assert len(files) >= 6
    for name, digest in files.items():
        key = manifest.replace("manifest.json", name)
        assert hashlib.sha256(content(key)).hexdigest() == digest
    assert any(key.endswith("/walk_forward.parquet") for key in desk.objects())
    assert not list(desk.place.folder.rglob("mlartifacts")), "nothing beside the bucket"


def log_in(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MLflow in this process use the account of the trainer, and fetch through the server."""
    for name, value in desk.accounts["trainer"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")


def test_clients_need_not_reach_the_store_that_the_server_names(desk: Desk) -> None:
    """The server hands out addresses of the store, which this machine cannot resolve."""
    account = desk.accounts["trader"]
    login = (account["MLFLOW_TRACKING_USERNAME"], account["MLFLOW_TRACKING_PASSWORD"])
    about = requests.get(f"{desk.stack.address}/api/3.0/mlflow/server-info", auth=login, timeout=30)
    assert about.json()["multipart_downloads_enabled"] is True
    key = next(key for key in desk.objects() if key.endswith("/model.bin"))
    handed_out = requests.get(
        f"{desk.stack.address}/api/2.0/mlflow-artifacts/presigned/{key.removeprefix('artifacts/')}",
        auth=login,
        timeout=30,
    )
    assert handed_out.json()["url"].startswith("http://s3:8333/")
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("s3", 8333)
    log = desk.stack.folder / "mlflow.log"
    asked = log.read_text().count("/presigned/")
    before = time.monotonic()
    traded = desk.run("trader", *desk.command("trader"))
    assert traded.returncode == 0, traded.stderr
    # MLflow would try for a minute, and then fail.
    assert time.monotonic() - before < 45
    assert log.read_text().count("/presigned/") == asked


# --- the tests that are imported above -----------------------------------------------------------


@pytest.fixture
def registry_store(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RegistryStore]:
    """A store at the authenticated server; what a test makes there is deleted after it."""
    log_in(desk, monkeypatch)
    uri = desk.uri("trainer")
    with opened(tmp_path, uri, monkeypatch) as store:
        before = {model.name for model in store.client.search_registered_models()}
        yield store
        for model in store.client.search_registered_models():
            if model.name not in before:
                store.client.delete_registered_model(model.name)
        for experiment in store.client.search_experiments():
            if experiment.name not in ("Default", "barwright"):
                store.client.rename_experiment(experiment.experiment_id, secrets.token_hex(8))
                store.client.delete_experiment(experiment.experiment_id)
