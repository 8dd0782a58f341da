"""A run file gives back the options of its command, and wrong files are one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from barwright import BarwrightError
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.run_file import read_run_file, run_file_text

GIVEN = {
    "symbols": "EURUSD,GOOGL", "source": "sample", "models": "gru,lightgbm", "fee_bps": "0.1",
    "smooth": "h", "allow_short": "off", "position": "exit", "features": "returns,volatility",
    "params": "gru.hidden=16,lightgbm.learning_rate=0.05", "worker_timeout": "7",
}  # fmt: skip


def test_a_file_that_was_written_gives_the_same_options(tmp_path: Path) -> None:
    config = TrainConfig.parse(GIVEN)
    path = tmp_path / "run.yaml"
    path.write_text(run_file_text(config))
    options = read_run_file(str(path))
    assert set(options) == set(TrainConfig.model_fields)
    assert TrainConfig.parse(options) == config
    assert run_file_text(TrainConfig.parse(options)) == path.read_text()


def test_a_file_of_features_is_copied_into_the_run_file(tmp_path: Path) -> None:
    features = tmp_path / "few.yaml"
    features.write_text("groups: [returns]\nwindows: {ret: [4, 8]}\n")
    config = TrainConfig.parse({**GIVEN, "features": str(features)})
    signature = make_builder(config).features.signature
    path = tmp_path / "run.yaml"
    path.write_text(run_file_text(config))
    features.unlink()
    again = TrainConfig.parse(read_run_file(str(path)))
    assert make_builder(again).features.signature == signature
    assert run_file_text(again) == path.read_text()
    with pytest.raises(BarwrightError, match="unknown keys of the features file: 'returns'"):
        TrainConfig.parse({**GIVEN, "features": "{returns}"})


def test_a_part_of_a_file_and_names_as_on_the_command_line_will_do(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "symbols: EURUSD\nsource: sample\nfee-bps: 3\nfit-cache: off\nparams: {gru: {hidden: 8}}\n"
    )
    config = TrainConfig.parse(read_run_file(str(path)))
    assert (config.fee_bps, config.fit_cache, config.params) == (3.0, False, {"gru": {"hidden": 8}})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("symbols: [A", r"`config` file '.*' cannot be read: "),
        ("- symbols", "must map names to values"),
        ("symbols: A\nsymbols: B", "gives 'symbols' twice"),
        ("", r"`config` file '.*' is empty; write one"),
        ("null-runs: 3\nnull_runs: 0", r"`config` file '.*' gives 'null_runs' twice"),
        ("symbols: A\nfoo: 1", "there is no option 'foo'; see --help"),
        ("symbols: A\nhorizon: !!bool foo", r"`config` file '.*' cannot be read: "),
        ("symbols: A\nhorizon: !!timestamp foo", r"`config` file '.*' cannot be read: "),
        ("symbols: A\nhorizon: !!int ''", r"`config` file '.*' cannot be read: "),
        (
            "symbols: A\nfeatures: {windows: {2020-01-01: 3}}",
            "^unknown windows: .*; known are ret, autocorr",
        ),
        ("symbol: EURUSD", "there is no option 'symbol'; did you mean 'symbols'"),
        ("symbols: EURUSD\nfee_bps: [1]", "`--fee-bps` must be a number"),
        ("symbols: EURUSD\nhorizon:", "`--horizon` must be a whole number, got nothing; see"),
        ("symbols: EURUSD\nhorizon: 1.5", "`--horizon` must be a whole number, got 1.5; see"),
        ("symbols: {EURUSD: 1}", "`--symbols` must be a list, got {'EURUSD': 1}; see --help"),
        ("symbols: EURUSD\nsource: [a]", r"`--source` must be text, got \['a'\]; see --help"),
        ("symbols: A\nparams: {gru: 3}", "`--params gru` must be a mapping of names to values,"),
    ],
)
def test_a_wrong_file_is_one_error(content: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(content)
    with pytest.raises(BarwrightError, match=text):
        TrainConfig.parse({"source": "sample", **read_run_file(str(path))})


def test_a_missing_file_is_named() -> None:
    with pytest.raises(BarwrightError, match=r"`config` file 'nowhere\.yaml' cannot be read"):
        read_run_file("nowhere.yaml")
