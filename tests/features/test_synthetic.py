from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.bars import validate_bars
from features.errors import InputError
from features.interval import Interval
from features.sources import open_source
from features.synthetic import INTERVAL, SYMBOL, synthetic_bars


def test_the_bars_are_labelled_and_the_same_every_time() -> None:
    source = open_source("synthetic")
    first, second = (source.read(SYMBOL, INTERVAL) for _ in range(2))
    pd.testing.assert_frame_equal(first.frame, second.frame)
    assert first.understood.startswith("SYNTHETIC bars with a planted pattern")
    assert "made up, no market" in first.understood


def test_the_bars_are_valid_and_have_no_gap() -> None:
    bars = validate_bars(synthetic_bars(), symbol=SYMBOL, interval=Interval.parse(INTERVAL))
    assert (bars.calendar, int(bars.missing.sum())) == ("24/7", 0)


def test_the_drift_is_learnable_and_turns() -> None:
    """The mean return of two days continues, which a random walk does not do."""
    change = np.diff(np.log(synthetic_bars(40_000, seed=1)["close"]))
    halves = change[: len(change) // 24 * 24].reshape(-1, 24).sum(axis=1)
    assert np.corrcoef(halves[:-1], halves[1:])[0, 1] > 0.3
    noise = np.random.default_rng(0).permutation(change)
    shuffled = noise[: len(noise) // 24 * 24].reshape(-1, 24).sum(axis=1)
    assert abs(np.corrcoef(shuffled[:-1], shuffled[1:])[0, 1]) < 0.1


@pytest.mark.parametrize(("symbol", "interval"), [("BTC", "1h"), (SYMBOL, "1d")])
def test_other_symbols_are_refused(symbol: str, interval: str) -> None:
    with pytest.raises(InputError, match="the source `synthetic` has only SYNTHETIC at 1h, got "):
        open_source("synthetic").read(symbol, interval)
