"""Results of a walk-forward by market regime: terciles of volatility, then calendar years."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainer.arrays import FloatArray
from trainer.evidence.evidence import RegimeRow
from trainer.evidence.record import Record
from trainer.statistics.costs import Terms
from trainer.statistics.performance import (
    exposure,
    gross_returns,
    net_returns,
    sharpe,
    total_return,
    trade_starts,
)

#: Number of log returns from which the volatility of a bar is computed.
VOLATILITY_BARS = 100
_TERCILES = ("low", "middle", "high")


def trailing_volatility(close: FloatArray) -> FloatArray:
    """Return the deviation of the last `VOLATILITY_BARS` log returns at each close; NaN before.

    Examples
    --------
    >>> closes = np.exp(0.01 * (np.arange(202) % 2))  # log returns of +1 % and -1 %
    >>> volatility = trailing_volatility(closes)
    >>> int(np.isnan(volatility).sum()), round(float(volatility[-1]), 5)
    (100, 0.01005)
    """
    moves = pd.Series(np.log(close)).diff()
    return moves.rolling(VOLATILITY_BARS).std().to_numpy()


def by_regime(
    record: Record,
    volatility: FloatArray,
    terms: Terms,
) -> tuple[RegimeRow, ...]:
    """Split the result of a walk-forward by terciles of volatility and by year.

    Parameters
    ----------
    record : Record
    volatility : float64 array of shape (n,)
        Known at the close of each bar; bars with NaN belong to no tercile.
    terms : Terms
        Costs are paid in the regime of the bar in which the position changes. Ratios are
        annualised as if the whole year belonged to the regime.

    Returns
    -------
    tuple of RegimeRow
        A trade counts in the regime of its first bar. The bounds of the terciles come from these
        bars themselves: they describe the result, and no choice depends on them.

    Examples
    --------
    Four bars around a new year; the volatility is unknown:

    >>> from trainer.statistics.costs import Costs
    >>> times = pd.date_range("2021-12-31 22:00", periods=4, freq="h").as_unit("ns").asi8
    >>> position, returns = np.array([1.0, 1.0, 1.0, -1.0]), np.array([0.01, 0.02, 0.03, 0.04])
    >>> unknown = np.full(4, np.nan)
    >>> record = Record(times, position, returns, unknown, unknown)
    >>> rows = by_regime(record, unknown, Terms(Costs(0, 0), 8_760))
    >>> [(row.name, row.bars, row.n_trades) for row in rows]
    [('2021', 2, 1), ('2022', 2, 1)]
    >>> [round(row.net_return, 4) for row in rows]
    [0.0302, -0.0112]
    """
    net = record.net(terms.costs)
    hold = net_returns(np.ones(len(net)), record.forward_return, terms.costs)
    gross = gross_returns(record.position, record.forward_return)
    starts = trade_starts(record.position)
    return tuple(
        RegimeRow(
            kind=kind,
            name=name,
            bars=int(inside.sum()),
            net_sharpe=sharpe(net[inside], terms.periods_per_year),
            gross_sharpe=sharpe(gross[inside], terms.periods_per_year),
            buy_hold_sharpe=sharpe(hold[inside], terms.periods_per_year),
            net_return=total_return(net[inside]),
            n_trades=int(np.count_nonzero(starts & inside)),
            exposure=exposure(record.position[inside]),
        )
        for kind, name, inside in _regimes(record, volatility)
    )


def _regimes(
    record: Record, volatility: FloatArray
) -> list[tuple[str, str, npt.NDArray[np.bool_]]]:
    """Return kind, name and mask of every regime that has bars."""
    known = np.isfinite(volatility)
    regimes = []
    if known.any():
        bounds = np.quantile(volatility[known], [1 / 3, 2 / 3])
        tercile = np.where(known, np.searchsorted(bounds, volatility, side="left"), -1)
        regimes = [("volatility", name, tercile == i) for i, name in enumerate(_TERCILES)]
    years = pd.DatetimeIndex(record.time_ns.view("datetime64[ns]")).year.to_numpy()
    regimes += [("year", str(year), years == year) for year in np.unique(years)]
    return [(kind, name, inside) for kind, name, inside in regimes if inside.any()]
