"""The options of `search`; tests/service/test_search.py runs the whole command."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from cli.search import search
from trainer.config import TrainConfig, option_name
from trainer.search.space import SEARCHED_OPTIONS


def test_the_help_shows_no_default_of_what_is_searched() -> None:
    result = CliRunner().invoke(search, ["--help"], terminal_width=100)
    assert result.exit_code == 0
    options = {str(param.name): param for param in search.params}
    for name in TrainConfig.model_fields:
        if name == "search":
            assert name not in options
            continue
        assert f"  {option_name(name)}" in result.output
        shown = getattr(options[name], "show_default", False)
        assert bool(shown) == (
            name not in SEARCHED_OPTIONS
            and name not in ("symbols", "params")
            and TrainConfig.model_fields[name].default != ""
        )
    assert "--budget INTEGER RANGE" in result.output
    assert "[default: 50;" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--symbols", "EURUSD", "--fee-bps", "-1"], "`--fee-bps` must be greater than or equal"),
        (["--symbols", ""], "`--symbols` must be given; see --help"),
        (["--symbols", "EURUSD", "--source", "sample", "--features", "nothing"], "nothing"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_status_2(options: list[str], text: str) -> None:
    result = CliRunner().invoke(search, options)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    assert text in result.stderr


def test_a_budget_below_one_is_refused() -> None:
    result = CliRunner().invoke(search, ["--symbols", "EURUSD", "--budget", "0"])
    assert result.exit_code == 2
    assert "'--budget'" in result.stderr
