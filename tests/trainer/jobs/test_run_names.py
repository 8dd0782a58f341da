"""Names of runs tell apart what differs from the defaults, and are as short as a table needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainer.config import Effect, TrainConfig
from trainer.job import Job
from trainer.jobs.run_names import command_run_name, job_run_name

JOB = Job("EURUSD", "lightgbm")


def config(**changes: Any) -> TrainConfig:
    return TrainConfig.parse({"symbols": "EURUSD", "source": "sample", **changes})


@pytest.mark.parametrize(
    ("changes", "added"),
    [
        ({}, ""),
        ({"fee_bps": "10", "models": "lightgbm", "params": ""}, ""),
        ({"horizon": "24", "fee_bps": "5"}, " fee_bps=5 horizon=24"),
        ({"fee_bps": 5.1234567, "interval": "1d"}, " fee_bps=5.1234567 interval=1d"),
        ({"allow_short": "off", "calendar": "24/5"}, " allow_short=off calendar=24/5"),
        # Options that leave every model as it is:
        ({"max_workers": 1, "cache": "off", "fit_cache_folder": "x", "experiment": "e"}, ""),
        # Hyperparameters of this model only, and only other values than the adapter's own.
        ({"params": "lightgbm.num_leaves=7,gru.hidden=16"}, " num_leaves=7"),
        ({"params": "lightgbm.num_leaves=15,lightgbm.lambda_l2=5"}, ""),
        (
            {"params": "lightgbm.num_leaves=7,lightgbm.bagging_freq=0", "wf_splits": 2},
            " wf_splits=2 bagging_freq=0 num_leaves=7",
        ),
    ],
)
def test_the_name_of_a_job_has_the_settings_that_differ(
    changes: dict[str, Any], added: str
) -> None:
    assert job_run_name(JOB, config(**changes)) == f"lightgbm-EURUSD{added}"


def test_a_file_of_features_is_named_without_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "few.yaml"
    path.write_text("groups: [returns]\n")
    assert job_run_name(JOB, config(features=str(path))) == "lightgbm-EURUSD features=few.yaml"
    content = {"groups": ["returns"]}  # as in a run file
    assert job_run_name(JOB, config(features=content)) == "lightgbm-EURUSD features=own"


def test_every_setting_is_in_the_name_if_it_differs() -> None:
    """With `model_construct` no value is checked, so one text stands for any other value."""
    settings = [n for n in TrainConfig.model_fields if TrainConfig.effect_of(n) is Effect.SETTING]
    for name in {*settings, "features"} - {"params"}:
        changed = TrainConfig.model_construct(**{**dict(config()), name: "x"})
        assert job_run_name(JOB, changed) == f"lightgbm-EURUSD {name}=x"


def test_a_long_name_ends_with_the_number_of_settings_that_are_left_out() -> None:
    changes = {
        "allow_short": "off", "calibration": "isotonic", "embargo": 7, "fee_bps": 1, "horizon": 3,
        "n_splits": 2, "seed": 1, "slippage_bps": 1, "params": "lightgbm.num_leaves=7",
    }  # fmt: skip
    name = job_run_name(JOB, config(**changes))
    assert name == (
        "lightgbm-EURUSD allow_short=off calibration=isotonic embargo=7 fee_bps=1 +5 more"
    )
    assert len(name) == 80
    long = Job("A" * 90, "lightgbm")
    assert job_run_name(long, config(fee_bps=1)) == f"{long.name} +1 more"
    assert job_run_name(long, config()) == long.name


def test_the_name_of_a_command_has_symbols_and_models_too() -> None:
    assert command_run_name(config()) == "train EURUSD"
    changes = {
        "symbols": "B,A", "models": "lightgbm,gru", "fee_bps": 0,
        "params": "gru.hidden=16,lightgbm.num_leaves=7",
    }  # fmt: skip
    assert command_run_name(config(**changes)) == (
        "train B A models=lightgbm,gru fee_bps=0 lightgbm.num_leaves=7 gru.hidden=16"
    )
    many = command_run_name(config(symbols=[f"SYMBOL{n}" for n in range(50)]))
    assert len(many) <= 80
    assert many.endswith(" SYMBOL7 +42 more")
