"""Errors become one line and an exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adapters.base import AdapterError
from cli.terminal import exit_on_errors, fail, print_error, printing
from features.errors import InputError
from trainer.errors import TrainerError, UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (InputError("bars"), 1, 1),
        (AdapterError("model"), 1, 1),
        (TrainerError("store"), 1, 1),
        (TrainerError("option"), 2, 2),
        (UsageError("option"), 1, 2),
    ],
)
def test_an_error_of_the_user_ends_the_command(
    error: Exception, status: int, expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit, exit_on_errors(False, status=status):
        raise error
    assert exit.value.code == expected
    assert capsys.readouterr() == ("", f"Error: {error}\n")


def test_an_error_of_the_program_is_raised() -> None:
    with pytest.raises(ZeroDivisionError), exit_on_errors(False):
        raise ZeroDivisionError


@pytest.mark.parametrize("debug", [True, False])
def test_a_traceback_is_printed_for_debug_only(
    debug: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    print_error(ValueError("broken"), debug=debug)
    error = capsys.readouterr().err
    assert error.endswith("Error: broken\n")
    assert (error != "Error: broken\n") is debug


def test_fail_prints_and_exits(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        fail(ValueError("broken"), status=7, debug=False)
    assert exit.value.code == 7
    assert capsys.readouterr().err == "Error: broken\n"


def test_output_that_cannot_be_written_is_one_line() -> None:
    code = "from cli.terminal import printing\nwith printing(False):\n    print('x' * 100_000)\n"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "Error: the output cannot be written: No space left on device; the work of the command "
        "itself is done\n"
    )


def test_a_closed_pipe_is_left_to_click() -> None:
    with pytest.raises(BrokenPipeError), printing(False):
        raise BrokenPipeError
