"""Significance of the returns of one walk-forward: confidence interval, PSR, MinTRL."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trainer.statistics.bootstrap import sharpe_interval
from trainer.statistics.costs import Terms
from trainer.statistics.performance import gross_returns, net_returns, turnover
from trainer.statistics.sharpe_inference import Moments, minimum_track_record, probabilistic_sharpe

#: Seed of the resampling: the same returns have the same confidence interval in every run.
_SEED = 0


def significance(
    position: ArrayLike,
    forward_return: ArrayLike,
    terms: Terms,
) -> dict[str, float]:
    """Return the significance of the net returns of these positions.

    Parameters
    ----------
    position, forward_return : arrays of shape (n,)
        One value for each bar, finite.
    terms : Terms
        Costs per side, and bars in a trading year.

    Returns
    -------
    dict of str to float
        ``net_sharpe_lower`` and ``net_sharpe_upper``: 95 % confidence interval by stationary
        bootstrap, annualised. ``psr``: probability that the true net Sharpe ratio is above 0.
        ``min_track_record``: number of bars that such a conclusion needs at 95 %; infinite for a
        ratio at or below 0. ``break_even_bps``: costs per side at which the sum of the net returns
        is 0. All NaN for positions that never traded.

    Examples
    --------
    Two trades of 1 % before costs pay 2 sides each, so 50 basis points per side leave nothing:

    >>> from trainer.statistics.costs import Costs
    >>> values = significance([1, 0, 1, 0], [0.01, 0.0, 0.01, 0.0], Terms(Costs(10, 5), 252))
    >>> round(values["break_even_bps"], 6)
    50.0
    """
    net = net_returns(position, forward_return, terms.costs)
    interval = sharpe_interval(net, terms.periods_per_year, seed=_SEED)
    moments = Moments.of(net)
    traded = turnover(position)
    gross = float(gross_returns(position, forward_return).sum())
    return {
        "net_sharpe_lower": interval.lower,
        "net_sharpe_upper": interval.upper,
        "psr": probabilistic_sharpe(moments),
        "min_track_record": minimum_track_record(moments),
        "break_even_bps": 1e4 * gross / traded if traded else np.nan,
    }
