"""Options of a run: each mistake is one line with the option, its rule and the value."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from features.labels import LABEL_KINDS
from trainer.config import Effect, TrainConfig, option_name, option_text
from trainer.errors import TrainerError
from trainer.serving.calibrators import METHODS

SAMPLE = {"symbols": "EURUSD", "source": "sample"}


def test_all_symbols_are_those_of_the_source_at_the_interval(tmp_path: Path) -> None:
    for name in ("B_1h.parquet", "A_1h.csv", "C_1d.csv"):
        (tmp_path / name).touch()
    assert parse(symbols="@all", source=str(tmp_path)).symbols == ("A", "B")
    assert parse(symbols="@all", source=str(tmp_path), interval="1d").symbols == ("C",)
    for changes, text in (
        (
            {"interval": "5m"},
            "`source` has no bars at 5m; it has bars at 1d, 1h: give --interval 1d",
        ),
        ({"interval": "x"}, "`source` has no bars at x; it has bars at 1d, 1h"),
        ({"source": "no/where"}, "^`source` is not a folder"),
        ({"symbols": "A,@all"}, "^`--symbols` must be names, or @all alone, got '@all'"),
        ({"symbols": "@al"}, "^`--symbols` must be names, or @all alone, got '@al'"),
    ):
        with pytest.raises(TrainerError, match=text):
            parse(**{"symbols": "@all", "source": str(tmp_path), **changes})


def test_a_tilde_in_a_place_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bars").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    config = parse(source="~/bars", cache_folder="~/features", fit_cache_folder="~/fits")
    places = (config.source, config.cache_folder, config.fit_cache_folder)
    assert places == tuple(str(tmp_path / name) for name in ("bars", "features", "fits"))


def parse(**changes: Any) -> TrainConfig:
    return TrainConfig.parse({**SAMPLE, **changes})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"fee_bps": -1}, "`--fee-bps` must be greater than or equal to 0, got -1; see --help"),
        ({"fee_bps": "abc"}, "`--fee-bps` must be a number, got 'abc'; see --help"),
        ({"fee_bps": "nan"}, "`--fee-bps` must be a finite number, got 'nan'"),
        ({"fee_bps": "inf"}, "`--fee-bps` must be a finite number, got 'inf'"),
        ({"slippage_bps": 1001}, "`--slippage-bps` must be less than or equal to 1000, got 1001"),
        ({"n_splits": 1}, "`--n-splits` must be greater than or equal to 2, got 1"),
        ({"n_splits": "2.5"}, "`--n-splits` must be a whole number, got '2.5'"),
        ({"wf_splits": 1}, "`--wf-splits` must be greater than or equal to 2, got 1"),
        ({"embargo": -1}, "`--embargo` must be greater than or equal to 0, got -1"),
        ({"horizon": 0}, "`--horizon` must be greater than or equal to 1, got 0"),
        ({"max_gap_bars": -1}, "`--max-gap-bars` must be greater than or equal to 0, got -1"),
        ({"max_workers": 0}, "`--max-workers` must be greater than or equal to 1, got 0"),
        ({"seed": -1}, "`--seed` must be greater than or equal to 0, got -1"),
        ({"seed": 2**31}, "`--seed` must be less than 2147483648, got 2147483648"),
        ({"search": "x'y"}, "`--search` must be the name of a study, 16 digits 0-9 and a-f, got"),
        ({"search": "deadbeef"}, "got 'deadbeef'; `barwright search` prints it"),
        ({"task": "up"}, "`--task` must be 'direction', 'forward_return' or 'triple_barrier', got"),
        ({"calibration": "x"}, "`--calibration` must be 'platt', 'isotonic', 'none' or 'auto', "),
        ({"calendar": "x"}, "`calendar` must be auto, 24/7, 24/5 or a name of exchange_calendars"),
        ({"calendar": "XNYSE"}, "got 'XNYSE'; did you mean XNYS?"),
        ({"calendar": "equity"}, "`calendar` equity was replaced by the calendars of exchanges; w"),
        ({"calendar": "XNYS@4-20"}, "`calendar` must be a name, or a name with hours, got 'XNYS@4"),
        ({"allow_short": "maybe"}, "`--allow-short` must be on or off, got 'maybe'"),
        ({"cache": "5"}, "`--cache` must be on or off, got '5'"),
        ({"interval": "1x"}, "`interval` must be a count and one of m, h, d, w, got '1x'; write"),
        ({"source": ""}, "`source` must be a folder or `sample`, got ''"),
        ({"source": "no/where"}, "`source` is not a folder: 'no/where'; give a folder of {symbol}"),
        ({"source": "s3://bars"}, "`source` must be a folder or `sample`, got 's3://bars'; save"),
        (
            {"symbols": "../../x"},
            "`symbols` must be letters, digits, .* got '../../x'; give the in",
        ),
        ({"symbols": "a/b"}, "`symbols` must be letters, digits, .* got 'a/b'"),
        ({"symbols": "A,B,A"}, "`--symbols` names 'A' twice; name it once"),
        ({"symbols": ""}, "`--symbols` must name at least one, got none; for example --symbols EU"),
        ({"symbols": " , "}, "`--symbols` must name at least one, got none"),
        ({"models": ""}, "`--models` must name at least one, got none; for example lightgbm"),
        ({"models": "lightgmb"}, "there is no model 'lightgmb' here; did you mean 'lightgbm'?"),
        ({"models": "x"}, "there is no model 'x' here; known are gru, lightgbm, ppo"),
        ({"models": "lightgbm,lightgbm"}, "`--models` names 'lightgbm' twice; name it once"),
        (
            {"models": "lightgbm", "params": "gru.hidden=3"},
            "sets 'gru', which is not trained; models",
        ),
        ({"params": "lightgbm.num_leafs=3"}, "no hyperparameter 'num_leafs'; did you mean 'num_l"),
        ({"params": "lightgbm.num_leaves=abc"}, "'num_leaves' of lightgbm must be int, got 'abc'"),
        (
            {"params": "lightgbmm.num_leaves=3"},
            "no model 'lightgbmm' here; did you mean 'lightgbm'",
        ),
        ({"params": "num_leaves=3"}, "`--params` must read model.name=value, got 'num_leaves=3'"),
        ({"params": "lightgbm.num_leaves"}, "`--params` must read model.name=value, got 'lightgb"),
        (
            {"params": "gru.hidden=3,gru.hidden=4"},
            "`--params` must set gru.hidden once, got 'gru.hidden=3,gru.hidden=4'",
        ),
        ({"params": "lightgbm.num_leaves=1"}, "'num_leaves' of lightgbm must be from 2 to 131072"),
        ({"params": "lightgbm.bagging_fraction=1.5"}, "must be from 0.001 to 1, got 1.5"),
        ({"params": ".hidden=3"}, "`--params` must read model.name=value, got '.hidden=3'"),
        (
            {"params": {"gru": {"hidden": None}}},
            "`--params gru.hidden` must be a whole number, got nothing; see --help",
        ),
        ({"params": "lightgbm.=3"}, "`--params` must read model.name=value, got 'lightgbm.=3'"),
        (
            {"fit_cache_folder": "gs://bucket/fits"},
            "`--fit-cache-folder` must be a folder or s3://bucket/prefix, got 'gs://bucket/fits'",
        ),
        ({"horizn": 3}, "there is no option 'horizn'; did you mean 'horizon'?"),
        ({"zzz": 3}, "there is no option 'zzz'; see --help$"),
        (
            {"task": "forward_return", "calibration": "none"},
            "`--calibration` none needs scores that are probabilities, .*; use platt, isotonic or",
        ),
    ],
    ids=lambda value: (
        " ".join(f"{k}={v!r}" for k, v in value.items()) if isinstance(value, dict) else ""
    ),
)
def test_every_rule_names_option_rule_and_value_in_one_line(
    changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(TrainerError) as caught:
        parse(**changes)
    message = str(caught.value)
    assert "\n" not in message
    assert re.search(text.replace("?", r"\?"), message), message


def test_every_mistake_gets_its_own_line() -> None:
    with pytest.raises(TrainerError) as caught:
        parse(fee_bps=-1, n_splits=1)
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in sorted(lines)] == ["`--fee-bps`", "`--n-splits`"]


def test_symbols_must_be_given() -> None:
    with pytest.raises(TrainerError, match=r"^`--symbols` must be given; see --help$"):
        TrainConfig.parse({})


@pytest.mark.parametrize(
    ("given", "taken"),
    [("on", True), ("off", False), ("true", True), ("false", False), (True, True), (False, False)],
)
def test_switches_read_on_and_off(given: object, taken: bool) -> None:
    config = parse(cache=given, fit_cache=given, allow_short=given, allow_jumps=given)
    switches = (config.cache, config.fit_cache, config.allow_short, config.allow_jumps)
    assert switches == (taken,) * 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "on"), (False, "off"), (("a", "b"), "a,b"), (10.0, "10"), (0.5, "0.5"), (7, "7"),
        (0.1234567, "0.1234567"),
    ],
)  # fmt: skip
def test_a_value_as_the_command_line_takes_it(value: object, text: str) -> None:
    assert option_text(value) == text


def test_names_are_read_from_comma_separated_text() -> None:
    config = parse(symbols=" BTCUSDT, ETHUSDT ,,SOL-PERP_1.x ")
    assert config.symbols == ("BTCUSDT", "ETHUSDT", "SOL-PERP_1.x")
    assert parse(symbols=["A", "B"]).symbols == ("A", "B")


def test_params_are_read_by_model_with_their_types() -> None:
    text = "lightgbm.num_leaves=7, lightgbm.learning_rate=5e-2,lightgbm.max_bin=31,"
    params = parse(params=text).params
    assert params == {"lightgbm": {"num_leaves": 7, "learning_rate": 0.05, "max_bin": 31}}
    assert type(params["lightgbm"]["num_leaves"]) is int
    assert type(params["lightgbm"]["learning_rate"]) is float
    assert parse(params="").params == {}
    assert parse(params={"lightgbm": {"num_leaves": 7}}).params == {"lightgbm": {"num_leaves": 7}}


def test_text_from_the_command_line_gives_numbers() -> None:
    config = parse(fee_bps="2.5", n_splits="3", seed="7", embargo="0")
    assert (config.fee_bps, config.n_splits, config.seed, config.embargo) == (2.5, 3, 7, 0)


def test_settings_are_frozen_and_read_back_equal() -> None:
    config = parse(symbols="A,B", params="lightgbm.num_leaves=7", cache="off")
    assert TrainConfig.parse(config.model_dump(mode="json")) == config
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 1  # type: ignore[misc]


def test_the_seed_of_a_job_depends_on_symbol_model_and_seed_only() -> None:
    one, two = parse(symbols="A,B", max_workers=1), parse(symbols="B,A,C", max_workers=8)
    assert one.seed_of("A", "lightgbm") == two.seed_of("A", "lightgbm")
    seeds = {
        config.seed_of(symbol, model)
        for config in (one, parse(seed=43))
        for symbol in ("A", "B", "AB")
        for model in ("lightgbm", "gru")
    }
    assert len(seeds) == 12
    assert all(0 <= seed < 2**31 for seed in seeds)
    # The same on every machine and in every process: runs of older versions stay repeatable.
    assert one.seed_of("A", "lightgbm") == 1_011_745_481  # of sha256("42|A|lightgbm")


def test_every_option_is_described() -> None:
    assert all(field.description for field in TrainConfig.model_fields.values())
    assert option_name("max_gap_bars") == "--max-gap-bars"


def test_names_of_labels_calibrators_and_calendars_are_the_lists_of_their_modules() -> None:
    def names(field: str) -> tuple[Any, ...]:
        return get_args(TrainConfig.model_fields[field].annotation)

    assert names("task") == LABEL_KINDS
    assert names("calibration") == METHODS


#: Options whose value is not stored with a model: files, folders, names, processes.
NOT_STORED = {
    "source", "cache", "cache_folder", "fit_cache", "fit_cache_folder", "max_workers", "symbols",
    "models", "features", "experiment", "against", "search", "scheduler", "scheduler_file",
    "tls_ca_file", "tls_cert", "tls_key", "insecure_scheduler", "worker_timeout", "unchanged",
}  # fmt: skip


def test_every_option_names_its_effect_on_a_model() -> None:
    effects = {name: TrainConfig.effect_of(name) for name in TrainConfig.model_fields}
    assert {name for name, effect in effects.items() if effect is not Effect.SETTING} == NOT_STORED
    inputs = {name for name, effect in effects.items() if effect is Effect.INPUT}
    assert inputs == {"symbols", "models", "source", "features"}


def test_the_stored_settings_are_those_that_change_a_model() -> None:
    """Equal models are equal files: config_snapshot.json of each model contains these settings."""
    config = parse(symbols="A,B", params="lightgbm.num_leaves=7", fee_bps=3, max_workers=2)
    stored = config.model_settings()
    assert stored == config.model_dump(mode="json", exclude=NOT_STORED)
    assert list(stored) == [n for n in TrainConfig.model_fields if n not in NOT_STORED]
    elsewhere = parse(
        symbols="B", models="lightgbm", params="lightgbm.num_leaves=7", fee_bps=3, cache="off",
        cache_folder="x", fit_cache="off", fit_cache_folder="y", experiment="z",
        against="hold",
    )  # fmt: skip
    assert elsewhere.model_settings() == stored
    assert parse(fee_bps=4).model_settings() != stored


def test_reading_options_imports_no_tracking_and_no_model_library() -> None:
    script = (
        "import sys; from trainer.config import TrainConfig\n"
        "TrainConfig.parse({'symbols': 'EURUSD', 'source': 'sample'})\n"
        "heavy = ('mlflow', 'torch', 'lightgbm', 'sklearn', 'scipy', 'distributed', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_params_may_be_a_yaml_file(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("gru: {hidden: 16}\nppo: {gamma: 0.95}\n")
    assert parse(params=str(path)).params == {"gru": {"hidden": 16}, "ppo": {"gamma": 0.95}}
    for text, why in (
        (
            "- 1",
            "^`params` file '.*' must map names to values; write one .name: value. on each line$",
        ),
        ("gru: 1", "^`params` file '.*' must map models to their hyperparameters; write"),
        (": :", "cannot be read"),
        ("gru: {hidden: 16, hidden: 8}", "gives 'hidden' twice; keep one of them$"),
        ("gru: {hiden: 3}", "gru has no hyperparameter 'hiden'; did you mean 'hidden'"),
    ):
        path.write_text(text)
        with pytest.raises(TrainerError, match=why):
            parse(params=str(path))
    with pytest.raises(TrainerError, match="No such file"):
        parse(params="nowhere.yaml")


@pytest.mark.parametrize(("null_runs", "fits"), [("0", 18), ("2", 48)])
def test_every_fit_of_a_job_is_counted_also_those_of_null_runs(null_runs: str, fits: int) -> None:
    given = {"symbols": "EURUSD", "source": "sample", "wf_splits": "5", "n_splits": "2"}
    # (5 blocks of each walk-forward, and production) x (2 folds, and all rows)
    assert TrainConfig.parse({**given, "null_runs": null_runs}).n_fits == fits
