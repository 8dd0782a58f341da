"""Search of the threshold with the highest net Sharpe ratio."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from trainer.arrays import FloatArray, IntArray
from trainer.errors import TrainerError
from trainer.procedure.selection import is_above_luck
from trainer.serving.position_rule import PositionRule, checked_probabilities
from trainer.serving.rules import RuleSettings
from trainer.statistics.costs import Terms
from trainer.statistics.performance import n_trades, net_returns, sharpe

#: Least number of trades of a threshold that may be chosen.
MIN_TRADES = 30


class ThresholdSearch(NamedTuple):
    """The chosen threshold, with the curve from which it was chosen.

    Attributes
    ----------
    threshold : PositionRule
    candidates : float64 array of shape (k,)
        Increasing; empty if no probability could be traded on.
    net_sharpe : float64 array of shape (k,)
        Annualised net Sharpe ratio of each candidate; NaN where it is undefined.
    n_trades : int64 array of shape (k,)
    is_luck : bool
        Whether the best candidate earned, but not more than luck gives, and that was required.
    """

    threshold: PositionRule
    candidates: FloatArray
    net_sharpe: FloatArray
    n_trades: IntArray
    is_luck: bool = False


def optimise_threshold(
    probability: ArrayLike,
    forward_return: ArrayLike,
    terms: Terms,
    *,
    min_trades: int = MIN_TRADES,
    n_candidates: int = 50,
    allow_short: bool = True,
    settings: RuleSettings | None = None,
    volatility: FloatArray | None = None,
) -> ThresholdSearch:
    """Choose the threshold with the highest net Sharpe ratio, or "do not trade".

    "Do not trade" has a ratio of 0 and wins ties, so that a threshold needs a net Sharpe ratio
    above 0; with the selection ``deflated``, above what the best of so many gives by luck. NaN
    never wins. Among equal ratios the higher threshold wins, because it trades less.

    Parameters
    ----------
    probability : array of shape (n,)
        Probability of a rise, one entry for EVERY bar of a contiguous axis, from models and
        calibrators that did not see the outcome of that bar; NaN where there is no decision (flat).
    forward_return : array of shape (n,)
        Return of the bar in which that decision is held, finite.
    terms : Terms
        Costs per side, and bars in a trading year.
    min_trades : int, default 30
        Least number of trades of a threshold that may be chosen, >= 1.
    n_candidates : int, default 50
        Number of thresholds that are tried, >= 1: quantiles of ``max(p, 1 - p)``, or of the
        ``p >= 0.5`` if ``allow_short`` is False. Each is a value that occurs; equal values count
        once.
    allow_short : bool, default True
        Whether positions may be short.
    settings : RuleSettings, optional
        The position rule of which the threshold is the entry, and the selection; by default a rule
        that does not hold positions. Of a rule whose entry is not searched, only 0.5 is tried.
    volatility : float64 array of shape (n,), optional
        As in `PositionRule.decide`.

    Returns
    -------
    ThresholdSearch

    Raises
    ------
    TrainerError
        If an argument breaks its rule.

    Examples
    --------
    The return is 3 % or 1 % where the probability is 0.8, and 1 % or -2 % where it is 0.6. All
    three probabilities are tried, and the highest one is the best:

    >>> from trainer.statistics.costs import Costs
    >>> probability = np.tile([0.8, 0.5, 0.6, 0.5], 20)
    >>> forward_return = np.tile([0.03, 0.0, 0.01, 0.0, 0.01, 0.0, -0.02, 0.0], 10)
    >>> search = optimise_threshold(probability, forward_return, Terms(Costs(10, 5), 252),
    ...                             min_trades=20, allow_short=False)
    >>> search.candidates.tolist(), search.n_trades.tolist()
    ([0.5, 0.6, 0.8], [1, 40, 20])
    >>> search.net_sharpe.round(1).tolist()
    [4.5, 2.7, 6.9]
    >>> search.threshold
    Threshold(value=0.8, allow_short=False)

    At costs of 3 % per side every threshold loses, so that "do not trade" wins:

    >>> optimise_threshold(probability, forward_return, Terms(Costs(200, 100), 252)).threshold
    Threshold(value=None, allow_short=True)
    """
    for name, count in (("min_trades", min_trades), ("n_candidates", n_candidates)):
        if count < 1:
            raise TrainerError(f"`{name}` must be >= 1, got {count}; use the default if in doubt")
    settings = settings or RuleSettings(allow_short=allow_short)
    flat = settings.rule(None)
    p = flat.smoothed(checked_probabilities(probability))
    candidates = np.array([0.5])
    if flat.searched:
        candidates = _candidates(p, n_candidates, settings.allow_short)  # (k,)
    ratios = np.full(candidates.size, np.nan)
    trades = np.zeros(candidates.size, dtype=np.int64)
    chosen, best = flat, 0.0
    best_net, tried = np.empty(0), []
    for i in range(candidates.size - 1, -1, -1):  # highest first, so that it wins ties
        threshold = settings.rule(float(candidates[i]))
        position = threshold.decide_smoothed(p, volatility, held=0).position  # (n,)
        net = net_returns(position, forward_return, terms.costs)
        ratios[i], trades[i] = sharpe(net, terms.periods_per_year), n_trades(position)
        if trades[i] < min_trades or np.isnan(ratios[i]):
            continue
        if settings.selection == "deflated":
            tried.append(net)
        if ratios[i] > best:
            chosen, best, best_net = threshold, ratios[i], net
    is_luck = bool(tried) and best > 0 and not is_above_luck(best_net, tried)
    return ThresholdSearch(flat if is_luck else chosen, candidates, ratios, trades, is_luck)


def _candidates(p: FloatArray, n_candidates: int, allow_short: bool) -> FloatArray:
    """Return quantiles of the probabilities of the more likely direction, increasing."""
    known = p[~np.isnan(p)]
    likely = np.maximum(known, 1 - known) if allow_short else known[known >= 0.5]
    if not likely.size:
        return likely
    # `lower` gives values that occur, so that the bar of a candidate reaches it.
    return np.unique(np.quantile(likely, np.linspace(0, 1, n_candidates), method="lower"))
