"""`TradingModel`: decisions survive the disk bit for bit, and altered files are refused."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from adapters.base import AdapterError, Batch
from adapters.lgbm import LightGBMAdapter
from features.bars import Bars, validate_bars
from features.dataset import DatasetBuilder
from features.errors import InputError
from features.feature_set import FeatureSet
from features.interval import Interval
from features.labels import LabelSpec, make_labels
from features.sources import open_source
from trainer.errors import TrainerError, UnknownPositionError
from trainer.procedure.calibration import fit_calibrator
from trainer.procedure.sample import Sample, score_rows
from trainer.serving.calibrators import IdentityCalibrator, PlattCalibrator
from trainer.serving.contract import Contract
from trainer.serving.holding_rules import BreakEven, Exit
from trainer.serving.manifest import FILES, MANIFEST
from trainer.serving.manifest import sha256 as file_digest
from trainer.serving.position_rule import PositionRule
from trainer.serving.threshold import Threshold
from trainer.serving.trading_model import TradingModel

HOUR = Interval.parse("1h")
#: Features with short windows: a decision needs 15 bars.
SMALL = FeatureSet.build(
    interval=HOUR,
    groups=["returns", "oscillators", "trend"],
    windows={
        **{"ret": [1, 4, 12], "stoch": [14], "mean_dist": [12], "efficiency": [12]},
        **dict.fromkeys(("autocorr", "rsi", "aroon", "mean_cross", "adx", "di_spread"), ()),
        **dict.fromkeys(("below_high", "above_low"), ()),
    },
)


def synthetic_frame(n: int = 600, seed: int = 0) -> pd.DataFrame:
    """Synthetic hourly bars: a geometric random walk with invented wicks and volumes."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, n)))
    open_ = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0, 0.001, n))
    wick = np.exp(np.abs(rng.normal(0, 0.002, (2, n))))
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2024-01-01", periods=n, freq="1h", tz="UTC"),
            "open": open_,
            "high": np.maximum(open_, close) * wick[0],
            "low": np.minimum(open_, close) / wick[1],
            "close": close,
            "volume": rng.lognormal(5, 1, n),
        }
    )


def train(
    frame: pd.DataFrame, features: FeatureSet, symbol: str, calendar: str
) -> tuple[TradingModel, Bars]:
    """A small LightGBM on all rows: its decisions are tested, not its skill."""
    bars = validate_bars(frame, symbol=symbol, interval=HOUR, calendar=calendar)
    X = features.compute(bars)
    labels = make_labels(LabelSpec("direction", 12), bars.open, bars.high, bars.low, bars.close)
    usable = features.warmed_up(bars, max_gap_bars=24) & np.isfinite(X).all(axis=1)
    rows = np.flatnonzero(usable & ~np.isnan(labels.y))
    params = {"num_boost_round": 30, "min_data_in_leaf": 20, "learning_rate": 0.1}
    adapter = LightGBMAdapter(task="classification", params=params)
    adapter.fit(Batch(X[rows], labels.y[rows], np.ones(len(rows)), rows))
    scores = adapter.predict(X[rows])
    calibrator = fit_calibrator("platt", scores, labels.y[rows], horizon=12)
    contract = Contract(
        "lightgbm", symbol, "1h", bars.calendar, "direction", 12, 10.0, 5.0, 24, False
    )
    probability = calibrator.transform(scores)
    value = float(np.quantile(np.maximum(probability, 1 - probability), 0.3))
    model = TradingModel(contract, features, adapter, calibrator, Threshold(value, True))
    return model, bars


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return synthetic_frame()


@pytest.fixture(scope="module")
def trained(frame: pd.DataFrame) -> tuple[TradingModel, Bars]:
    return train(frame, SMALL, "SYNTH", "24/7")


@pytest.fixture(scope="module")
def model(trained: tuple[TradingModel, Bars]) -> TradingModel:
    return trained[0]


@pytest.fixture
def folder(trained: tuple[TradingModel, Bars], tmp_path: Path) -> Path:
    path = tmp_path / "model"
    evidence = {"metrics": {"wf_net_sharpe": None}}
    trained[0].save(path, bars=trained[1], metrics=evidence, config={"seed": 42})
    return path


def edit(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter a file together with its digest in the manifest, so that all digests are right."""
    data = json.loads((folder / name).read_text())
    change(data)
    (folder / name).write_text(json.dumps(data))
    if name != MANIFEST:
        digest = sha256((folder / name).read_bytes()).hexdigest()
        edit(folder, MANIFEST, lambda manifest: manifest["files"].update({name: digest}))


# Decisions


def test_a_bar_that_is_still_open_is_not_decided(model: TradingModel, frame: pd.DataFrame) -> None:
    closing = frame["timestamp"].iloc[-1] + pd.Timedelta("1h")
    assert model.decide(frame, last=3, now=closing).equals(model.decide(frame, last=3))
    early = model.decide(frame, last=3, now=closing - pd.Timedelta("1s"))
    assert early.equals(model.decide(frame.iloc[:-1], last=3))
    short = frame.iloc[-model.required_bars :]
    assert len(model.decide(short, last=1, now=closing)) == 1
    with pytest.raises(TrainerError, match=rf"at least {model.required_bars} bars to decide 1"):
        model.decide(short, last=1, now=closing - pd.Timedelta("1s"))


def test_decisions_have_their_columns_and_follow_the_parts(
    model: TradingModel, frame: pd.DataFrame
) -> None:
    decided = model.decide(frame)
    assert list(decided) == ["timestamp", "score", "probability", "position"]
    assert len(decided) == len(frame) - model.required_bars + 1
    assert decided["timestamp"].iloc[-1] == frame["timestamp"].iloc[-1]
    assert str(decided["timestamp"].dt.tz) == "UTC"
    assert set(decided["position"]) == {-1, 0, 1}
    np.testing.assert_array_equal(
        decided["probability"], model.calibrator.transform(decided["score"])
    )
    np.testing.assert_array_equal(
        decided["position"], model.threshold.positions(decided["probability"])
    )


def test_last_gives_the_end_of_all_decisions(model: TradingModel, frame: pd.DataFrame) -> None:
    every = model.decide(frame)
    for last in (1, 5, len(every)):
        some = model.decide(frame, last=last)
        expected = every.tail(last).reset_index(drop=True)
        pd.testing.assert_frame_equal(some, expected, check_exact=False, rtol=0, atol=1e-9)
    with pytest.raises(TrainerError, match="`last` must be >= 0 bars, got -1; use 0 for all"):
        model.decide(frame, last=-1)


HELD_RULES = {
    "exit": Exit(0.6),
    "exit, long only": Exit(0.56, allow_short=False),
    "exit, smoothed": Exit(0.55, smooth=3),
    "threshold, smoothed": Threshold(0.55, smooth=3),
    "break-even": BreakEven(0.5, cost=0.0015, horizon=12, window=30),
}


@pytest.mark.parametrize("rule", HELD_RULES.values(), ids=HELD_RULES)
def test_a_held_position_is_served_as_in_the_whole_series(
    rule: PositionRule, model: TradingModel, frame: pd.DataFrame
) -> None:
    """However few bars are decided: the model looks back until they tell what is held."""
    holding = replace(model, threshold=rule)
    every = holding.decide(frame).set_index("timestamp")
    assert set(every["position"]) == ({0, 1} if not rule.allow_short else {-1, 0, 1})
    plain = model.decide(frame).set_index("timestamp").loc[every.index]
    assert (every["position"] != plain["position"]).any(), "the rule must differ from a threshold"
    for stop in range(len(frame) - 150, len(frame) + 1, 7):
        for last in (1, 3):
            some = holding.decide(frame.iloc[:stop], last=last).set_index("timestamp")
            assert some["position"].tolist() == every.loc[some.index, "position"].tolist()


class GivenScores:
    """An adapter whose last scores are these, whatever the bars are."""

    lookback = 1

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores

    def predict(self, X: np.ndarray, position: np.ndarray) -> np.ndarray:
        return self.scores[len(self.scores) - len(X) :]


def test_a_mean_that_is_not_known_makes_what_is_held_useless(
    model: TradingModel, frame: pd.DataFrame
) -> None:
    """The first bar alone is a signal, and with the bars before it there is none."""
    scores = np.array([0.3] * 600 + [0.65] + [0.55] * 39)
    holding = replace(
        model,
        adapter=GivenScores(scores),  # type: ignore[arg-type]
        calibrator=IdentityCalibrator(),
        threshold=Exit(0.6, smooth=2),
    )
    assert holding.decide(frame, last=1, held=0)["position"].tolist() == [0]
    window = frame.tail(40 + holding.required_bars - 1)
    with pytest.raises(UnknownPositionError, match="give more history"):
        holding.decide(window, held=0)
    with pytest.raises(UnknownPositionError, match="74 bars are enough for its mean over 2 bars"):
        holding.decide(window, last=40, held=0)
    # From bars of which the mean is known, the position held tells it.
    assert holding.decide(window, last=19, held=0)["position"].tolist() == [0] * 19


@pytest.mark.parametrize(("value", "position"), [(0.99, 0), (0.6, 1)])
def test_a_model_that_stays_on_one_side_is_saved_with_what_it_holds(
    model: TradingModel, frame: pd.DataFrame, tmp_path: Path, value: float, position: int
) -> None:
    """All probabilities are above 0.5: without a signal, no bar tells what is held."""
    calibrator = PlattCalibrator(0.001, 0.41)  # about 0.601
    alone = replace(model, calibrator=calibrator, threshold=Exit(value))
    bars = validate_bars(frame, symbol="SYNTH", interval=HOUR, calendar="24/7")
    assert alone.decide_end(frame, 5)[2] == (None if position else 0)
    alone.save(tmp_path / "m", bars=bars, metrics={}, config={})
    loaded = TradingModel.load(tmp_path / "m")
    stored = json.loads((tmp_path / "m" / MANIFEST).read_text())["golden"]
    assert stored.get("held") == (None if position else 0)
    assert {row["position"] for row in stored["decisions"]} == {position}
    if not position:
        with pytest.raises(UnknownPositionError, match="give more history, or the position held"):
            loaded.decide(frame, last=1)
    # A short position would have been left on the first bar, a long one would be held.
    assert loaded.decide(frame, last=1, held=1)["position"].tolist() == [1]
    assert loaded.decide(frame, last=1, held=-1)["position"].tolist() == [position]


@pytest.mark.parametrize("rule", HELD_RULES.values(), ids=HELD_RULES)
def test_a_position_that_the_bars_do_not_tell_is_unknown(
    rule: PositionRule, model: TradingModel, frame: pd.DataFrame
) -> None:
    holding = replace(model, threshold=rule)
    every = holding.decide(frame).set_index("timestamp")["position"]
    needed = holding.required_bars + rule.memory
    if rule.memory:
        text = f"; {needed:,} bars are enough for its mean over {rule.smooth} bars"
        with pytest.raises(UnknownPositionError, match=text):
            holding.decide(frame.tail(holding.required_bars), last=1, held=0)
    unknown: list[str] = []
    for stop in range(len(frame) - 60, len(frame) + 1):
        given = frame.iloc[stop - needed : stop]
        time, before = given["timestamp"].iloc[-1], given["timestamp"].iloc[-2]
        try:
            alone = holding.decide(given, last=1)
        except TrainerError as error:
            unknown.append(str(error))
        else:
            assert alone["position"].tolist() == [every[time]]
        # The position held tells it.
        told = holding.decide(given, last=1, held=int(every[before]))
        assert told["position"].tolist() == [every[time]]
    assert bool(unknown) is rule.holds
    text = f"depends on what came before these {needed} bars; give more history, or the position"
    assert all(text in error for error in unknown)
    with pytest.raises(TrainerError, match="`held` must be -1, 0 or 1, got 2; leave it out if"):
        holding.decide(frame, last=1, held=2)


@pytest.mark.parametrize("rule", HELD_RULES.values(), ids=HELD_RULES)
def test_a_rule_that_holds_survives_the_disk(
    rule: PositionRule, trained: tuple[TradingModel, Bars], frame: pd.DataFrame, tmp_path: Path
) -> None:
    model = replace(trained[0], threshold=rule)
    model.save(tmp_path, bars=trained[1], metrics={}, config={})
    loaded = TradingModel.load(tmp_path)
    assert loaded.threshold == rule
    pd.testing.assert_frame_equal(loaded.decide(frame), model.decide(frame), check_exact=True)


def test_one_decision_needs_exactly_the_required_bars(
    model: TradingModel, frame: pd.DataFrame
) -> None:
    needed = model.required_bars
    assert needed == SMALL.memory + 1 == 15
    assert len(model.decide(frame.tail(needed))) == 1
    assert model.decide(frame.tail(needed))["score"].notna().all()
    for given, last, wanted in ((needed - 1, 0, needed), (needed + 3, 5, needed + 4)):
        with pytest.raises(
            TrainerError,
            match=f"lightgbm-SYNTH needs at least {wanted} bars to decide {max(last, 1)}, "
            f"got {given}; give more history",
        ):
            model.decide(frame.tail(given), last=last)


def test_bars_that_do_not_fit_the_contract_are_refused(
    model: TradingModel, frame: pd.DataFrame
) -> None:
    with pytest.raises(InputError, match="bars of SYNTH are not 1h bars"):
        model.decide(frame.iloc[::4])
    quarter = frame.assign(
        timestamp=pd.date_range("2024-01-01", periods=len(frame), freq="15min", tz="UTC")
    )
    with pytest.raises(InputError, match="bars of SYNTH are not 1h bars"):
        model.decide(quarter)
    with pytest.raises(InputError, match="strictly increasing"):
        model.decide(frame.iloc[::-1])
    with pytest.raises(InputError, match=r"strictly increasing.*duplicate"):
        model.decide(frame.iloc[np.r_[:300, 299:600]])
    with pytest.raises(InputError, match="volume"):
        model.decide(frame.drop(columns="volume"))


def test_columns_are_read_by_name_whatever_their_order(
    model: TradingModel, frame: pd.DataFrame
) -> None:
    shuffled = frame[["close", "volume", "low", "timestamp", "high", "open"]]
    pd.testing.assert_frame_equal(
        model.decide(shuffled.assign(note="ignored")), model.decide(frame), check_exact=True
    )


def test_an_undefined_feature_is_no_decision(model: TradingModel, frame: pd.DataFrame) -> None:
    """The volatility of constant prices is 0, so that a distance in units of it is undefined."""
    still = frame.copy()
    rows = slice(300, 330)
    still.loc[300:329, ["open", "high", "low", "close"]] = frame["close"].iloc[299]
    bars = validate_bars(still, symbol="SYNTH", interval=HOUR, calendar="24/7")
    undefined = np.isnan(SMALL.compute(bars)).any(axis=1)
    assert undefined[rows].any()
    decided = model.decide(still).set_index("timestamp")
    flat = decided[undefined[model.required_bars - 1 :]]
    assert flat["score"].isna().all()
    assert flat["probability"].isna().all()
    assert (flat["position"] == 0).all()
    rest = decided[~undefined[model.required_bars - 1 :]]
    assert rest["score"].notna().all()


@pytest.mark.parametrize(("missing", "flat"), [(24, 0), (25, 14)])
def test_after_a_wide_gap_there_is_no_decision_until_the_features_are_warm(
    model: TradingModel, frame: pd.DataFrame, missing: int, flat: int
) -> None:
    """`max_gap_bars` is 24: one more missing bar, and the next 14 decisions are flat."""
    gapped = frame.drop(index=range(300, 300 + missing)).reset_index(drop=True)
    decided = model.decide(gapped)
    unknown = decided["score"].isna().to_numpy()
    first = 300 - (model.required_bars - 1)
    np.testing.assert_array_equal(np.flatnonzero(unknown), np.arange(first, first + flat))
    assert decided["probability"][unknown].isna().all()
    assert (decided["position"][unknown] == 0).all()


LONGER = FeatureSet.from_config(
    {"groups": ["returns", "time"], "timeframes": {
        "4h": {"groups": ["returns", "oscillators", "volume"]},
        "1d": {"groups": ["volume"], "windows": {
            "volume_z": [3], "volume_ratio": [2], "money_flow": [5],
        }},
    }},
    interval=HOUR,
)  # fmt: skip


@pytest.mark.parametrize("features", [FeatureSet.build(interval=HOUR), LONGER])
def test_bar_by_bar_decides_as_all_at_once(features: FeatureSet) -> None:
    """300 bars, every default feature, and longer bars: each is decided from the least history."""
    frame = synthetic_frame(2_000, seed=1)
    model, _ = train(frame, features, "SYNTH", "24/7")
    needed, last = model.required_bars, 300
    batch = model.decide(frame, last=0).tail(last)
    live = pd.concat(
        model.decide(frame.iloc[stop - needed : stop])
        for stop in range(len(frame) - last + 1, len(frame) + 1)
    )
    np.testing.assert_array_equal(live["timestamp"], batch["timestamp"])
    np.testing.assert_allclose(live["probability"], batch["probability"], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(live["position"], batch["position"])
    assert live["position"].nunique() == 3


class MeanOfWindow(LightGBMAdapter):
    """A sequence model without torch: the mean of its first feature over a window of 5 bars."""

    lookback = 5  # type: ignore[assignment]

    def predict(self, X: Any, position: Any = None) -> Any:
        scores = np.full(len(X), np.nan)
        for row in range(4, len(X)):
            if position[row] - position[row - 4] == 4:
                scores[row] = X[row - 4 : row + 1, 0].astype(float).mean() + 0.5
        return scores


def gru() -> Any:
    from adapters.gru import GRUAdapter

    params = {"lookback": 5, "chunk": 16, "hidden": 4, "max_epochs": 2}
    return GRUAdapter(task="classification", params=params)


def mean_of_window() -> Any:
    return MeanOfWindow(task="classification")


@pytest.mark.parametrize("make_adapter", [mean_of_window, gru])
@pytest.mark.parametrize("horizon", [1, 12])
@pytest.mark.parametrize(("missing", "undecided"), [(24, 0), (25, 4)])
def test_windows_of_features_without_memory_span_the_gaps_that_training_spans(
    make_adapter: Callable[[], Any], horizon: int, missing: int, undecided: int, tmp_path: Path
) -> None:
    """No feature reads an earlier bar, so that no row is dropped for its features at a wide gap.

    Training drops the rows before the gap for their labels. Serving has no labels: the positions
    of the bars must separate both sides.
    """
    frame = synthetic_frame(400).drop(index=range(200, 200 + missing)).reset_index(drop=True)
    frame.to_parquet(tmp_path / "SYNTH_1h.parquet")
    without = dict.fromkeys(("rsi", "stoch", "bop", "aroon"), ())
    features = FeatureSet.build(interval=HOUR, groups=["oscillators"], windows=without)
    assert features.memory == 0
    source = open_source(str(tmp_path))
    data = DatasetBuilder(source, HOUR, features, LabelSpec("direction", horizon)).build("SYNTH")
    sample = Sample.of(data)
    rows = np.arange(len(sample))
    adapter = make_adapter().fit(sample.batch(rows))
    trained_scores = score_rows(adapter, sample, rows)
    contract = Contract(
        "gru", "SYNTH", "1h", data.meta.calendar, "direction", horizon, 10.0, 5.0, 24, False
    )
    threshold = Threshold(0.5, True)
    model = TradingModel(contract, features, adapter, PlattCalibrator(1.0, -0.5), threshold)
    decided = model.decide(frame)
    served = decided.iloc[sample.bar[4:] - (model.required_bars - 1)]
    np.testing.assert_allclose(served["score"], trained_scores[4:], rtol=0, atol=1e-9)
    probability = model.calibrator.transform(trained_scores[4:])
    np.testing.assert_array_equal(served["position"], threshold.positions(probability))
    # The first windows after the gap would otherwise contain bars from before it.
    unknown = np.flatnonzero(decided["score"].isna())
    assert unknown.tolist() == list(range(196, 196 + undecided))
    assert (decided["position"].iloc[unknown] == 0).all()
    # The last bars decide alike, alone or in the whole series.
    for stop in (200, 202, 204, 205, 300):
        last = model.decide(frame.iloc[:stop], last=1)["score"].to_numpy()
        np.testing.assert_allclose(
            last, decided["score"].iloc[stop - 5 : stop - 4], rtol=0, atol=1e-9
        )


# Files


def test_a_loaded_model_decides_bit_for_bit(
    model: TradingModel, folder: Path, frame: pd.DataFrame
) -> None:
    loaded = TradingModel.load(folder)
    assert loaded.contract == model.contract
    assert loaded.required_bars == model.required_bars
    pd.testing.assert_frame_equal(loaded.decide(frame), model.decide(frame), check_exact=True)
    assert {path.name for path in folder.iterdir()} == {*FILES, MANIFEST}


@pytest.mark.parametrize("features", [FeatureSet.build(interval=HOUR), LONGER])
def test_real_bars_with_every_feature_survive_the_disk(
    features: FeatureSet, tmp_path: Path
) -> None:
    frame = open_source("sample").read("EURUSD", "1h").frame.tail(3_000).reset_index(drop=True)
    model, bars = train(frame, features, "EURUSD", "auto")
    assert model.contract.calendar == "24/5"
    model.save(tmp_path, bars=bars, metrics={}, config={})
    loaded = TradingModel.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.decide(frame), model.decide(frame), check_exact=True)


def test_saving_twice_gives_equal_files(trained: tuple[TradingModel, Bars], tmp_path: Path) -> None:
    for name in ("a", "b"):
        trained[0].save(tmp_path / name, bars=trained[1], metrics={"m": 1.5}, config={"k": "v"})
    assert file_digest(tmp_path / "a" / MANIFEST) == file_digest(tmp_path / "b" / MANIFEST)
    TradingModel.load(tmp_path / "a").save(
        tmp_path / "c", bars=trained[1], metrics={"m": 1.5}, config={"k": "v"}
    )
    assert file_digest(tmp_path / "c" / MANIFEST) == file_digest(tmp_path / "a" / MANIFEST)


def test_every_file_is_text_and_none_a_pickle(folder: Path) -> None:
    for path in folder.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "\0" not in text
        if path.suffix == ".json":
            assert isinstance(json.loads(text), dict)
        else:
            assert text.startswith("tree\n")
        with pytest.raises((pickle.UnpicklingError, ValueError, IndexError, EOFError, KeyError)):
            pickle.loads(path.read_bytes())


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.02, 0.5, 0.98])
def test_one_flipped_byte_is_refused_and_its_file_named(
    folder: Path, name: str, place: float
) -> None:
    content = bytearray((folder / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(TrainerError, match=rf"^{name} is not what was saved: its SHA-256 differs"):
        TradingModel.load(folder)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(TrainerError, match=f"the model lacks {name}; download or train it again"):
        TradingModel.load(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"'])
def test_a_damaged_manifest_is_refused(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    with pytest.raises(TrainerError, match=r"manifest\.json of the model is damaged: .*train agai"):
        TradingModel.load(folder)


@pytest.mark.parametrize("number", [4, 0, "1", None])
def test_another_format_is_refused_with_both_numbers(folder: Path, number: object) -> None:
    edit(folder, MANIFEST, lambda manifest: manifest.update(format=number))
    with pytest.raises(
        TrainerError, match=f"the model has format {number!r}, this version reads 1, 2, 3; use the"
    ):
        TradingModel.load(folder)


def test_a_manifest_that_does_not_list_every_file_is_refused(folder: Path) -> None:
    edit(folder, MANIFEST, lambda manifest: manifest["files"].pop("model.bin"))
    with pytest.raises(TrainerError, match="manifest does not list its files; train again"):
        TradingModel.load(folder)


@pytest.mark.parametrize(
    ("column", "value"), [("score", 0.123), ("probability", 0.9), ("position", 7), ("score", None)]
)
def test_golden_rows_that_differ_are_refused_with_what_differs(
    folder: Path, column: str, value: object
) -> None:
    edit(
        folder,
        MANIFEST,
        lambda manifest: manifest["golden"]["decisions"][2].update({column: value}),
    )
    with pytest.raises(
        TrainerError, match=f"decides differently here at 2024-.*: {column} {value!r} became "
    ):
        TradingModel.load(folder)


def test_golden_rows_agree_within_the_last_bits_only(folder: Path) -> None:
    def moved(by: float) -> Callable[[dict[str, Any]], None]:
        def change(manifest: dict[str, Any]) -> None:
            manifest["golden"]["decisions"][0]["score"] += by

        return change

    edit(folder, MANIFEST, moved(5e-7))
    TradingModel.load(folder)
    edit(folder, MANIFEST, moved(1e-6))
    with pytest.raises(TrainerError, match="decides differently"):
        TradingModel.load(folder)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda m: m["golden"].update(decisions=[]), "no golden rows to be proven by; train again"),
        (lambda m: m["golden"].pop("bars"), "the golden rows are damaged: .*train again"),
        (lambda m: m["golden"]["bars"].pop("close"), "the golden rows are damaged"),
        (lambda m: m["golden"]["bars"]["close"].pop(), "the golden rows are damaged"),
        (lambda m: m.pop("golden"), "the golden rows are damaged"),
    ],
    ids=["no decisions", "no bars", "no close", "short close", "nothing"],
)
def test_a_manifest_without_golden_rows_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object], text: str
) -> None:
    edit(folder, MANIFEST, change)
    with pytest.raises(TrainerError, match=text):
        TradingModel.load(folder)


def test_columns_swapped_in_the_stored_features_are_refused(folder: Path) -> None:
    """All digests are right, but the golden rows are decided differently."""

    def swap(features: dict[str, Any]) -> None:
        entries = features["features"]
        entries[1], entries[4] = entries[4], entries[1]

    edit(folder, "features.json", swap)
    with pytest.raises(TrainerError, match=r"decides differently here at 2024-.*: score "):
        TradingModel.load(folder)


def test_a_column_left_out_of_the_stored_features_is_refused(folder: Path) -> None:
    edit(folder, "features.json", lambda features: features["features"].pop())
    with pytest.raises((TrainerError, AdapterError), match="12 columns"):
        TradingModel.load(folder)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("formula", "0" * 12, "formula changed: ret_4 from 000000000000 to "),
        ("memory", 3, r"re-parameterised: ret_4 from ret\(window=4\) memory 3 to .* memory 4"),
        ("name", "ret_5", "added: ret_4\n  missing: ret_5"),
        ("kind", "unheard_of", "features of kind unheard_of are not known here; install"),
    ],
)
def test_features_of_another_installation_are_refused_with_a_diff(
    folder: Path, field: str, value: object, text: str
) -> None:
    edit(folder, "features.json", lambda data: data["features"][1].update({field: value}))
    with pytest.raises(InputError, match=text):
        TradingModel.load(folder)


def test_a_model_of_a_plug_in_that_is_not_installed_is_refused(folder: Path) -> None:
    edit(folder, "config_snapshot.json", lambda data: data["contract"].update(model="logistic"))
    with pytest.raises(TrainerError, match="kind 'logistic' are not known here; install the plug"):
        TradingModel.load(folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("calibrator.json", lambda data: data.pop("threshold")),
        ("calibrator.json", lambda data: data["threshold"].update(value=0.2)),
        ("calibrator.json", lambda data: data.update(a=-1.0)),
        ("config_snapshot.json", lambda data: data.pop("contract")),
        ("config_snapshot.json", lambda data: data["contract"].pop("horizon")),
    ],
    ids=["no threshold", "threshold range", "slope", "no contract", "short contract"],
)
def test_parts_that_cannot_be_read_are_refused(
    folder: Path, name: str, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(folder, name, change)
    with pytest.raises(TrainerError):
        TradingModel.load(folder)


def test_a_tampered_calibrator_or_threshold_with_a_valid_digest_is_still_caught(
    folder: Path,
) -> None:
    edit(folder, "calibrator.json", lambda data: data.update(b=data["b"] + 0.01))
    with pytest.raises(TrainerError, match=r"decides differently.*probability"):
        TradingModel.load(folder)


def test_a_model_without_finite_scores_is_not_saved(
    trained: tuple[TradingModel, Bars], tmp_path: Path
) -> None:
    model, bars = trained
    with pytest.raises(TrainerError, match="lightgbm-SYNTH has no 5 bars in a row to prove"):
        model.save(tmp_path, bars=bars.slice(0, 18), metrics={}, config={})


def test_golden_rows_are_the_latest_with_scores(
    trained: tuple[TradingModel, Bars], frame: pd.DataFrame, tmp_path: Path
) -> None:
    """The series ends in constant prices: the golden rows are from before them."""
    still = frame.copy()
    still.loc[560:, ["open", "high", "low", "close"]] = frame["close"].iloc[559]
    bars = validate_bars(still, symbol="SYNTH", interval=HOUR, calendar="24/7")
    trained[0].save(tmp_path, bars=bars, metrics={}, config={})
    decisions = json.loads((tmp_path / MANIFEST).read_text())["golden"]["decisions"]
    assert len(decisions) == 5
    assert all(isinstance(row["score"], float) for row in decisions)
    assert pd.Timestamp(decisions[-1]["timestamp"]) < still["timestamp"].iloc[575]
    TradingModel.load(tmp_path)


def test_loading_and_deciding_needs_no_tracking_and_no_other_model_library(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; import trainer.serving.trading_model as m\n"
        "heavy = ('mlflow', 'torch', 'stable_baselines3', 'gymnasium', 'sklearn', 'distributed')\n"
        "assert 'lightgbm' not in sys.modules\n"
        "m.TradingModel.load(Path(sys.argv[1]))\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True
    )
    # LightGBM's own package imports scikit-learn where that is installed.
    assert json.loads(done.stdout.replace("'", '"')) in ([], ["sklearn"])


def test_a_constant_calibrator_is_stored_like_any_other(
    trained: tuple[TradingModel, Bars], tmp_path: Path
) -> None:
    model, bars = trained
    idle = TradingModel(
        model.contract, model.features, model.adapter, PlattCalibrator(0.0, 0.1), Threshold(None)
    )
    idle.save(tmp_path, bars=bars, metrics={}, config={})
    loaded = TradingModel.load(tmp_path)
    assert loaded.threshold.value is None
    assert not loaded.decide(bars.to_frame())["position"].any()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config_snapshot.json", lambda d: d["contract"].update(symbol=5)),
        ("config_snapshot.json", lambda d: d["contract"].update(interval=5)),
        ("config_snapshot.json", lambda d: d["contract"].update(max_gap_bars="x")),
        ("config_snapshot.json", lambda d: d.update(contract=[1])),
        ("features.json", lambda d: d.update(features=[])),
        ("features.json", lambda d: d["features"][0].update(params={"window": "x"})),
        ("calibrator.json", lambda d: d.update(threshold=3)),
        (MANIFEST, lambda d: d["golden"].update(decisions=7)),
        (MANIFEST, lambda d: d["golden"].pop("decisions")),
        (MANIFEST, lambda d: d["golden"]["bars"].update(time_ns=[10**40] * 19)),
    ],
    ids=[
        *("symbol", "interval", "gap", "contract", "no features", "window", "threshold"),
        *("decisions", "no decisions", "times"),
    ],
)
def test_values_of_other_types_are_an_error_with_a_text(
    folder: Path, name: str, change: Callable[[dict[str, Any]], object]
) -> None:
    """The digests are right: a consumer must not get a traceback for a damaged model."""
    edit(folder, name, change)
    with pytest.raises((TrainerError, InputError)) as caught:
        TradingModel.load(folder)
    assert str(caught.value)
