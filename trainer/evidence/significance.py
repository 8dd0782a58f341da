"""What the returns of a walk-forward prove by themselves: interval, probability, needed length."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trainer.statistics.bootstrap import sharpe_interval
from trainer.statistics.costs import Terms
from trainer.statistics.performance import gross_returns, net_returns, turnover
from trainer.statistics.sharpe_inference import Moments, minimum_track_record, probabilistic_sharpe

#: Of the resampling: the same returns have the same interval in every run.
_SEED = 0


def evidence(
    position: ArrayLike,
    forward_return: ArrayLike,
    terms: Terms,
) -> dict[str, float]:
    """Return what can be said of positions and the net returns that they earned.

    Parameters
    ----------
    position, forward_return : arrays of shape (n,)
        One a bar, finite.
    terms : Terms
        Costs per side, and bars in a trading year.

    Returns
    -------
    dict of str to float
        ``net_sharpe_lower`` and ``net_sharpe_upper``, 95 % by stationary bootstrap, annualised;
        ``psr``, the probability that the true net Sharpe ratio is above 0; ``min_track_record``,
        the bars needed to say so at 95 % (infinite for a ratio at or below 0);
        ``break_even_bps``, the costs per side at which nothing is earned. All NaN for positions
        that never traded.
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
