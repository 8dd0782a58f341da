"""What a walk-forward is compared with: holding, and momentum, on the same bars."""

from __future__ import annotations

import numpy as np

from features.bars import Bars
from features.calendars import DAY_NS
from trainer.arrays import FloatArray
from trainer.evidence.record import Record
from trainer.statistics.bootstrap import sharpe_difference
from trainer.statistics.costs import Terms
from trainer.statistics.performance import net_returns, sharpe, total_return
from trainer.statistics.rounding import is_constant

#: Days over which momentum is measured (Moskowitz, Ooi and Pedersen 2012: one month).
MOMENTUM_DAYS = 30
#: Seed of the resampling: the same returns have the same interval in every run.
_SEED = 0


def momentum_position(bars: Bars) -> FloatArray:
    """Return 1 at each bar whose close is above that of 30 days before, else 0, shape (n,).

    The earlier close is that of the last bar that opened 30 days before or earlier. Before the
    first 30 days the position is flat.
    """
    before = np.searchsorted(bars.time_ns, bars.time_ns - MOMENTUM_DAYS * DAY_NS, "right") - 1
    above = bars.close > bars.close[np.maximum(before, 0)]
    return np.where((before >= 0) & above, 1.0, 0.0)


def baseline_metrics(record: Record, momentum: FloatArray, terms: Terms) -> dict[str, float]:
    """Return the baselines of a walk-forward, and how far it is from them.

    Parameters
    ----------
    record : Record
        The walk-forward bar by bar.
    momentum : float64 array of shape (n,)
        `momentum_position` at its bars.
    terms : Terms
        Costs per side, which the baselines pay too, and bars in a trading year.

    Returns
    -------
    dict of str to float
        ``momentum_sharpe``, ``momentum_return``: of momentum, long or flat, net. ``less_hold`` and
        ``less_momentum``: net Sharpe ratio less that of always long and of momentum, with the ends
        ``_lower`` and ``_upper`` of its 95 % interval by paired stationary bootstrap.
        ``hold_beta``: slope of the net returns on those of holding. ``appraisal_ratio``:
        annualised mean over deviation of what holding does not explain. NaN where undefined.

    References
    ----------
    Moskowitz, T., Ooi, Y. H. and Pedersen, L. H. (2012). Time series momentum. Journal of
        Financial Economics 104(2).
    Treynor, J. and Black, F. (1973). How to use security analysis to improve portfolio selection.
        Journal of Business 46(1).
    """
    net = record.net(terms.costs)
    hold = net_returns(np.ones(len(net)), record.forward_return, terms.costs)
    followed = net_returns(momentum, record.forward_return, terms.costs)
    metrics = {
        "momentum_sharpe": sharpe(followed, terms.periods_per_year),
        "momentum_return": total_return(followed),
    }
    for name, other in (("hold", hold), ("momentum", followed)):
        difference = sharpe_difference(net, other, terms.periods_per_year, seed=_SEED)
        metrics |= {
            f"less_{name}": difference.observed,
            f"less_{name}_lower": difference.lower,
            f"less_{name}_upper": difference.upper,
        }
    return metrics | _appraisal(net, hold, terms)


def _appraisal(net: FloatArray, hold: FloatArray, terms: Terms) -> dict[str, float]:
    """Return slope and appraisal ratio of net returns against those of holding."""
    if is_constant(hold) or is_constant(net):
        return {"hold_beta": np.nan, "appraisal_ratio": np.nan}
    moves = hold - hold.mean()
    beta = float((moves * net).sum() / (moves**2).sum())
    return {
        "hold_beta": beta,
        "appraisal_ratio": sharpe(net - beta * hold, terms.periods_per_year),
    }
