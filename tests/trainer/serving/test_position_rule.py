import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import TrainerError
from trainer.serving.holding_rules import Exit
from trainer.serving.position_rule import smooth_log_odds
from trainer.serving.threshold import Threshold

SERIES = st.lists(st.one_of(st.floats(0.01, 0.99), st.just(math.nan)), max_size=60)


def slow_mean(p, span):
    """Weighted mean of log-odds since the last bar without a probability, bar by bar."""
    keep, out, odds = 1 - 2 / (span + 1), [], []
    for probability in p:
        if math.isnan(probability):
            odds = []
            out.append(math.nan)
            continue
        odds.append(math.log(probability / (1 - probability)))
        weights = [keep**back for back in range(len(odds))]
        mean = sum(w * z for w, z in zip(weights, reversed(odds), strict=True)) / sum(weights)
        out.append(1 / (1 + math.exp(-mean)))
    return out


@given(SERIES, st.integers(1, 24))
def test_smoothing_is_the_slow_reading(p, span):
    assert smooth_log_odds(np.array(p), span).tolist() == pytest.approx(
        slow_mean(p, span), abs=1e-7, nan_ok=True
    )


@given(SERIES, st.integers(1, 4), st.integers(0, 60))
def test_a_window_gives_the_bits_of_the_whole_series(p, span, cut):
    values = np.array(p, dtype=float)
    first = cut + Exit(0.6, smooth=span).first_known(values[cut:])
    whole, part = smooth_log_odds(values, span), smooth_log_odds(values[cut:], span)
    assert whole[first:].tobytes() == part[first - cut :].tobytes()


def test_certain_probabilities_have_finite_log_odds():
    assert smooth_log_odds(np.array([1.0, 0.0]), 3).tolist() == pytest.approx([1, 0], abs=1e-3)


def test_a_span_of_one_is_the_probability_itself():
    p = np.array([0.2, 0.9, 0.4])
    assert smooth_log_odds(p, 1) == pytest.approx(p)


@pytest.mark.parametrize("rule", [Threshold, Exit])
def test_values_out_of_range_are_refused(rule):
    for value in (0.49, 1.01):
        with pytest.raises(TrainerError, match=rf"`value` of a {rule.kind} must be in \[0.5, 1\]"):
            rule(value)
    with pytest.raises(TrainerError, match="`smooth` must be >= 0 bars, got -1; use 0 for none"):
        rule(0.6, smooth=-1)
    with pytest.raises(TrainerError, match=r"`probability` must be in \[0, 1\], got 1.5"):
        rule(0.6).decide([1.5])


def test_a_known_beginning_says_nothing_of_earlier_bars():
    decided = Exit(0.7).decide([0.9, 0.6, 0.6], held=-1, first=1)
    assert decided.position.tolist() == [0, 0, 0]
    assert decided.certain.tolist() == [False, True, True]


def test_too_few_bars_for_the_mean_are_uncertain_whatever_is_held():
    """A mean over 3 bars looks 30 bars back: a held position does not make up for these bars."""
    rule = Exit(0.7, smooth=3)
    decided = rule.decide([0.9] * 35, held=1, first=5)
    assert decided.certain.tolist() == [False] * 30 + [True] * 5
    # A bar without a probability begins the mean anew.
    decided = rule.decide([0.9, 0.9, math.nan, 0.9], held=1, first=0)
    assert decided.certain.tolist() == [False, False, True, True]
