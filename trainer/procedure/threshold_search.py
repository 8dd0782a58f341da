"""Chooses the threshold that leaves the highest net Sharpe ratio after costs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.errors import TrainerError
from trainer.serving.threshold import Threshold, checked_probabilities
from trainer.statistics.costs import Terms
from trainer.statistics.performance import n_trades, net_returns, sharpe

Floats = NDArray[np.float64]

#: Fewest trades that a threshold may be judged on.
MIN_TRADES = 30


class ThresholdSearch(NamedTuple):
    """What `optimise_threshold` chose, and the curve that it chose from.

    ``candidates`` increases; ``net_sharpe`` (annualised, NaN where undefined) and ``n_trades`` have
    one entry for each of them. All three are empty if no probability could be traded on.
    """

    threshold: Threshold
    candidates: Floats
    net_sharpe: Floats
    n_trades: NDArray[np.int64]


def optimise_threshold(
    probability: ArrayLike,
    forward_return: ArrayLike,
    terms: Terms,
    *,
    min_trades: int = MIN_TRADES,
    n_candidates: int = 50,
    allow_short: bool = True,
) -> ThresholdSearch:
    """Choose the threshold with the highest net Sharpe ratio, or not to trade.

    "Do not trade" has the score 0 and wins ties, so that a threshold needs a net Sharpe ratio
    above 0; NaN never wins. Among equal ratios the higher threshold wins: it trades less.

    Parameters
    ----------
    probability
        Of a rise, one entry for EVERY bar of a contiguous axis, shape (n,), from models and
        calibrators that did not see that bar's outcome; NaN where there is no decision (flat).
    forward_return
        Return of the bar in which that decision is held, finite, shape (n,).
    terms
        Costs per side, and bars in a trading year.
    min_trades
        Fewest trades that a threshold may be judged on, >= 1.
    n_candidates
        Number of thresholds tried, >= 1: quantiles of ``max(p, 1 - p)``, or of those
        ``p >= 0.5`` if ``allow_short`` is False. All are values that occur; equal ones count once.
    allow_short
        Whether positions may be short.

    Raises
    ------
    TrainerError
        If an argument breaks its rule.
    """
    for name, count in (("min_trades", min_trades), ("n_candidates", n_candidates)):
        if count < 1:
            raise TrainerError(f"`{name}` must be >= 1, got {count}; use the default if in doubt")
    p = checked_probabilities(probability)
    known = p[~np.isnan(p)]
    sure = np.maximum(known, 1 - known) if allow_short else known[known >= 0.5]
    # `lower` gives values that occur, so that a candidate is reached by the bar it came from.
    levels = np.linspace(0, 1, n_candidates)
    candidates = np.unique(np.quantile(sure, levels, method="lower")) if sure.size else sure
    ratios = np.full(candidates.size, np.nan)
    trades = np.zeros(candidates.size, dtype=np.int64)
    chosen, best = Threshold(None, allow_short), 0.0
    for i in range(candidates.size - 1, -1, -1):  # from the top: an equal ratio lower down loses
        threshold = Threshold(float(candidates[i]), allow_short)
        position = threshold.positions(p)
        net = net_returns(position, forward_return, terms.costs)
        ratios[i], trades[i] = sharpe(net, terms.periods_per_year), n_trades(position)
        if trades[i] >= min_trades and ratios[i] > best:
            chosen, best = threshold, ratios[i]
    return ThresholdSearch(chosen, candidates, ratios, trades)
