"""Samples: rows as models get them, and the windows of a sequence model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from adapters.base import ModelAdapter
from features.dataset import DatasetBuilder
from features.feature_set import FeatureSet
from features.interval import Interval
from features.labels import LabelSpec
from features.sources import open_source
from trainer.procedure.sample import Sample, score_rows

Factory = Callable[..., Callable[[], ModelAdapter]]


@pytest.mark.parametrize("kind", ["direction", "forward_return"])
def test_a_sample_has_the_rows_of_its_dataset(kind: Any, synthetic_bars_folder: Any) -> None:
    hour = Interval.parse("1h")
    features = FeatureSet.build(interval=hour, groups=["returns"], windows={"ret": [1, 4]})
    source = open_source(str(synthetic_bars_folder))
    data = DatasetBuilder(source, hour, features, LabelSpec(kind, 3)).build("SYNTH")
    sample = Sample.of(data)
    assert len(sample) == len(data.y) > 100
    for name, value in (
        ("X", data.X), ("y", data.y), ("weight", data.meta.sample_weight), ("bar", data.meta.bar),
        ("forward_return", data.meta.forward_return), ("label_end", data.meta.label_end),
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(sample, name), value)
    np.testing.assert_array_equal(sample.outcome, (data.y > 0).astype(float))
    assert set(sample.outcome) == {0.0, 1.0}


def test_volatility_is_that_of_the_returns_up_to_the_bar_of_each_row(
    synthetic_bars_folder: Any,
) -> None:
    """One bar later would be a look ahead, and one bar earlier is not what is served."""
    hour = Interval.parse("1h")
    features = FeatureSet.build(interval=hour, groups=["returns"], windows={"ret": [1, 4]})
    builder = DatasetBuilder(open_source(str(synthetic_bars_folder)), hour, features,
                             LabelSpec("direction", 3))  # fmt: skip
    data = builder.build("SYNTH")
    volatility = Sample.of(data, 2).volatility
    assert volatility is not None
    assert Sample.of(data).volatility is None
    close = data.meta.bars.close
    for bar, value in zip(data.meta.bar, volatility, strict=True):
        moves = [np.log(close[i] / close[i - 1]) for i in (bar - 1, bar)]
        assert value == pytest.approx(np.sqrt((moves[0] ** 2 + moves[1] ** 2) / 2))


@pytest.fixture
def synthetic_bars_folder(tmp_path: Any) -> Any:
    """A folder with 200 hourly bars of SYNTH: a geometric random walk."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, 200)))
    open_ = np.concatenate([[100.0], close[:-1]])
    pd.DataFrame(
        {
            "timestamp": pd.date_range("2024-01-01", periods=200, freq="1h", tz="UTC"),
            "open": open_, "high": np.maximum(open_, close) * 1.001,
            "low": np.minimum(open_, close) * 0.999, "close": close, "volume": 1.0,
        }
    ).to_parquet(tmp_path / "SYNTH_1h.parquet")  # fmt: skip
    return tmp_path


def test_rows_keep_their_values_when_they_are_taken(synthetic_sample: Any) -> None:
    sample = synthetic_sample(100, holes=((40, 50),))
    rows = np.array([3, 4, 41, 80])
    assert sample.take(rows).volatility is None
    sample = replace(sample, volatility=np.arange(len(sample)) / 100)
    taken = sample.take(rows)
    assert len(taken) == 4
    for field in fields(sample):
        np.testing.assert_array_equal(getattr(taken, field.name), getattr(sample, field.name)[rows])


def test_a_batch_has_positions_and_costs(synthetic_sample: Any) -> None:
    sample = synthetic_sample(100, holes=((40, 50),))
    rows = np.array([38, 39, 40, 41])
    batch = sample.batch(rows, cost=0.0015)
    assert batch.position.tolist() == [38, 39, 50, 51]
    assert batch.cost == 0.0015
    for name in ("X", "y", "weight", "forward_return"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(sample, name)[rows])


def test_a_sequence_model_gets_the_rows_that_its_window_reads(
    synthetic_sample: Any, spy: Factory, seen: list[Any]
) -> None:
    sample = synthetic_sample(200, holes=((120, 127),))
    rows = np.arange(len(sample))
    adapter = spy(lookback=5)().fit(sample.batch(rows))
    whole = score_rows(adapter, sample, rows)
    for test in (np.arange(0, 40), np.arange(60, 100), np.arange(100, len(sample))):
        np.testing.assert_array_equal(score_rows(adapter, sample, test), whole[test])
        context = np.arange(max(0, test[0] - 4), test[-1] + 1)
        np.testing.assert_array_equal(seen[-1].scored[-1], sample.bar[context])
    # No window before the fifth row, nor across the hole before bar 127.
    known = np.isfinite(whole)
    expected = (sample.bar >= 4) & ~((sample.bar >= 127) & (sample.bar < 131))
    np.testing.assert_array_equal(known, expected)
