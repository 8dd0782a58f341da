"""The group of commands: what `--help` prints, and how little it imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.app import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]
#: Libraries that take longer to import than all of click.
HEAVY = ("distributed", "mlflow", "numpy", "pandas", "pydantic", "rich", "torch")


def modules_loaded_by(*arguments: str) -> tuple[int, set[str]]:
    """Exit status of a command in a fresh process, and the heavy libraries that it imported."""
    code = (
        "import sys\n"
        "from cli.app import cli\n"
        "try:\n"
        f"    cli({list(arguments)!r}, prog_name='barwright')\n"
        "finally:\n"
        f"    names = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    print('loaded:', *names, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("loaded:")]
    return done.returncode, set(line.split()[1:])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command_is_the_first_sentence_of_its_help(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help is not None
    assert COMMANDS[name].summary == command.help.partition("\n\n")[0]


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    lines = [line.split(maxsplit=1) for line in result.output.splitlines()]
    listed = {words[0]: words[1] for words in lines if words and words[0] in COMMANDS}
    assert listed == {name: entry.summary for name, entry in COMMANDS.items()}


def test_help_imports_no_library() -> None:
    assert modules_loaded_by("--help") == (0, set())


def test_a_wrong_option_of_train_imports_neither_workers_nor_mlflow() -> None:
    status, loaded = modules_loaded_by("train", "--symbols", "EURUSD", "--fee-bps", "-1")
    assert status == 2
    assert loaded.isdisjoint({"distributed", "mlflow", "rich", "torch"})


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(cli, ["tran"])
    assert result.exit_code == 2
    assert "No such command 'tran'" in result.output


def test_python_m_trainer_is_the_same_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "--version"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.startswith("barwright, version ")
