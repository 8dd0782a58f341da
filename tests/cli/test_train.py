"""The options of `train`; tests/service/test_train.py runs the whole command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.train import train
from trainer.config import Effect, TrainConfig, option_name

ROOT = Path(__file__).resolve().parents[2]


def test_help_lists_options_that_change_a_model_before_the_others() -> None:
    result = CliRunner().invoke(train, ["--help"], terminal_width=100)
    assert result.exit_code == 0
    before, after = result.output.split("Options that leave every model as it is:")
    _, of_model = before.split("Options that change a model:")
    for name in TrainConfig.model_fields:
        section = of_model if TrainConfig.effect_of(name) is not Effect.RUN else after
        assert f"  {option_name(name)}" in section, name
        assert TrainConfig.model_fields[name].description.split()[0] in section
    assert "--fee-bps" in of_model
    assert "--max-workers" in after
    assert "--debug" in after


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--symbols", "EURUSD", "--fee-bps", "-1"], "`--fee-bps` must be greater than or equal"),
        # MLproject passes an empty text for a parameter that was not given.
        (["--symbols", "", "--models", ""], "`--symbols` must be given; see --help"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_status_2(options: list[str], text: str) -> None:
    result = CliRunner().invoke(train, options)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    assert text in result.stderr


def test_debug_prints_the_traceback_too() -> None:
    result = CliRunner().invoke(train, ["--symbols", "EURUSD", "--fee-bps", "-1", "--debug"])
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "Error: `--fee-bps`" in result.stderr


def test_mlflow_is_not_imported_before_the_first_verification_process_starts() -> None:
    code = (
        "import sys\n"
        "from trainer.registry import verify\n"
        "class Spy(verify.Verifier):\n"
        "    def __enter__(self):\n"
        "        print('mlflow' in sys.modules)\n"
        "        sys.exit()\n"
        "verify.Verifier = Spy\n"
        "from cli.train import train\n"
        "train(['--symbols', 'EURUSD', '--source', 'sample'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "False", done.stderr


def test_a_run_file_is_printed_and_read_and_the_command_line_wins(tmp_path: Path) -> None:
    given = ["--symbols", "EURUSD", "--source", "sample", "--fee-bps", "3", "--smooth", "h"]
    dumped = CliRunner().invoke(train, [*given, "--dump-config"])
    assert dumped.exit_code == 0, dumped.output
    path = tmp_path / "run.yaml"
    path.write_text(dumped.stdout)
    again = CliRunner().invoke(train, ["--config", str(path), "--dump-config"])
    assert again.stdout == dumped.stdout
    changed = CliRunner().invoke(
        train, ["--config", str(path), "--fee-bps", "10", "--seed", "7", "--dump-config"]
    )
    lines = set(dumped.stdout.splitlines()) ^ set(changed.stdout.splitlines())
    assert lines == {"fee_bps: 3.0", "fee_bps: 10.0", "seed: 42", "seed: 7"}


def test_a_wrong_run_file_is_one_line_and_exit_status_2(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("symbols: EURUSD\nsource: sample\nfee-bps: -1\n")
    result = CliRunner().invoke(train, ["--config", str(path)])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: `--fee-bps` must be greater than or equal")
    assert len(result.stderr.splitlines()) == 1
