"""Decisions as arrays, and as the table that users get."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trainer.serving.decided import Decided


def test_the_table_has_a_row_per_bar_with_utc_times_and_whole_positions() -> None:
    time_ns = pd.date_range("2024-03-31", periods=3, freq="h").as_unit("ns").asi8
    score = np.array([0.2, np.nan, 0.9])
    decided = Decided(
        time_ns, score, 1 - score, np.array([-1, 0, 1], dtype=np.int8), np.ones(3, bool)
    )
    expected = pd.DataFrame(
        {
            "timestamp": pd.date_range("2024-03-31", periods=3, freq="h", tz="UTC").as_unit("ns"),
            "score": score,
            "probability": 1 - score,
            "position": [-1, 0, 1],
        }
    )
    pd.testing.assert_frame_equal(decided.to_frame(), expected, check_freq=False)


def test_a_change_of_the_table_does_not_change_the_decisions() -> None:
    decided = Decided(
        np.arange(2), np.zeros(2), np.zeros(2), np.zeros(2, dtype=np.int8), np.ones(2, bool)
    )
    frame = decided.to_frame()
    frame.loc[0, ["score", "probability"]] = 1.0
    assert frame["score"].any()
    assert not decided.score.any()
    assert not decided.probability.any()


def test_the_last_decisions_or_all_but_the_uncertain_ones() -> None:
    certain = np.array([False, False, True, True])
    decided = Decided(np.arange(4), *np.zeros((2, 4)), np.zeros(4, dtype=np.int8), certain)
    assert decided.last(0).time_ns.tolist() == [2, 3]
    assert decided.last(3).time_ns.tolist() == [1, 2, 3]
    assert decided.last(3).certain.tolist() == [False, True, True]
