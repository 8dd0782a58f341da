"""Datasets and bars from settings: every setting arrives where it acts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.errors import InputError
from features.labels import LabelSpec
from trainer.config import TrainConfig
from trainer.dataset import make_builder, read_bars


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with 300 hourly bars of SYNTH; one price jumps by a factor of 2."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, 300)))
    close[200:] *= 2
    open_ = np.concatenate([[100.0], close[:-1]])
    open_[200] = close[200]
    pd.DataFrame(
        {
            "timestamp": pd.date_range("2024-01-01", periods=300, freq="1h", tz="UTC"),
            "open": open_,
            "high": np.maximum(open_, close) * 1.001,
            "low": np.minimum(open_, close) * 0.999,
            "close": close,
            "volume": 1.0,
        }
    ).to_parquet(tmp_path / "SYNTH_1h.parquet")
    return tmp_path


def config(folder: Path, **changes: Any) -> TrainConfig:
    settings = {"symbols": "SYNTH", "source": str(folder), "cache": "off", **changes}
    return TrainConfig.parse(settings)


def test_the_builder_has_every_setting(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "features.yaml").write_text("groups: [returns]\nwindows: {ret: [3]}\n")
    builder = make_builder(
        config(
            folder, task="triple_barrier", horizon=5, max_gap_bars=7, calendar="24/5",
            allow_jumps="on", features=str(tmp_path / "features.yaml"), interval="1h",
        )
    )  # fmt: skip
    assert builder.label == LabelSpec("triple_barrier", 5)
    assert builder.interval.text == "1h"
    assert (builder.max_gap_bars, builder.calendar, builder.allow_jumps) == (7, "24/5", True)
    assert "ret_3" in builder.features.names
    assert "vol_24" not in builder.features.names
    assert builder.cache is None


def test_the_cache_has_its_folder(folder: Path) -> None:
    cache = make_builder(config(folder, cache="on", cache_folder="somewhere")).cache
    assert cache is not None
    assert cache.folder == Path("somewhere")


def test_a_builder_builds_the_bars_of_its_source(folder: Path) -> None:
    changes = {"allow_jumps": "on", "horizon": 3, "features": str(folder / "few.yaml")}
    (folder / "few.yaml").write_text("groups: [returns]\nwindows: {autocorr: [], ret: [1, 6]}\n")
    data = make_builder(config(folder, **changes)).build("SYNTH")
    assert data.meta.symbol == "SYNTH"
    assert len(data.meta.bars) == 300
    assert data.feature_names == ("ret_1", "ret_6", "open_gap")


def test_bars_are_read_and_validated(folder: Path) -> None:
    bars = read_bars(str(folder), "SYNTH", "1h", calendar="24/7", allow_jumps=True)
    assert (len(bars), bars.symbol, bars.calendar) == (300, "SYNTH", "24/7")
    with pytest.raises(InputError, match="bars of SYNTH jump by more than a factor"):
        read_bars(str(folder), "SYNTH", "1h", calendar="24/7", allow_jumps=False)
    with pytest.raises(InputError, match="no bars of OTHER"):
        read_bars(str(folder), "OTHER", "1h", calendar="24/7", allow_jumps=True)
