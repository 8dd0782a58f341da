"""What a walk-forward earned in each kind of market: by volatility, by year."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainer.evidence.record import Record
from trainer.statistics.costs import Terms
from trainer.statistics.performance import (
    exposure,
    gross_returns,
    net_returns,
    sharpe,
    total_return,
)

Floats = npt.NDArray[np.float64]

#: Bars that a bar's volatility looks back over.
VOLATILITY_BARS = 100
_LEVELS = ("low", "middle", "high")


def trailing_volatility(close: Floats) -> Floats:
    """Return the deviation of the last `VOLATILITY_BARS` log returns at each close; NaN before."""
    moves = pd.Series(np.log(close)).diff()
    return moves.rolling(VOLATILITY_BARS).std().to_numpy()


def by_regime(
    record: Record,
    volatility: Floats,
    terms: Terms,
) -> list[dict[str, Any]]:
    """Split a walk-forward's result by terciles of volatility and by year.

    Parameters
    ----------
    record : Record
    volatility : float64 array of shape (n,)
        Known at the close of each of its bars; bars where it is NaN belong to no tercile.
    terms : Terms
        Costs per side; they fall on the bar of the change, whichever regime it is in. Ratios are
        annualised as if the whole year were of the regime.

    Returns
    -------
    list of dict
        ``kind`` (volatility, year), ``name``, ``bars``, ``net_sharpe``, ``gross_sharpe``,
        ``buy_hold_sharpe``, ``net_return``, ``n_trades`` (begun in it), ``exposure``. The terciles
        are those of these bars: they describe, nothing is chosen by them.
    """
    net = record.net(terms.costs)
    hold = net_returns(np.ones(len(net)), record.forward_return, terms.costs)
    gross = gross_returns(record.position, record.forward_return)
    side = np.sign(record.position)
    begun = (side != 0) & (np.diff(side, prepend=0.0) != 0)
    found = []
    for kind, name, inside in _regimes(record, volatility):
        found.append(
            {
                "kind": kind,
                "name": name,
                "bars": int(inside.sum()),
                "net_sharpe": sharpe(net[inside], terms.periods_per_year),
                "gross_sharpe": sharpe(gross[inside], terms.periods_per_year),
                "buy_hold_sharpe": sharpe(hold[inside], terms.periods_per_year),
                "net_return": total_return(net[inside]),
                "n_trades": int(np.count_nonzero(begun & inside)),
                "exposure": exposure(record.position[inside]),
            }
        )
    return found


def _regimes(record: Record, volatility: Floats) -> list[tuple[str, str, npt.NDArray[np.bool_]]]:
    known = np.isfinite(volatility)
    found = []
    if known.any():
        bounds = np.quantile(volatility[known], [1 / 3, 2 / 3])
        tercile = np.where(known, np.searchsorted(bounds, volatility, side="left"), -1)
        found = [("volatility", name, tercile == level) for level, name in enumerate(_LEVELS)]
    years = pd.DatetimeIndex(record.time_ns.view("datetime64[ns]")).year.to_numpy()
    found += [("year", str(year), years == year) for year in np.unique(years)]
    return [(kind, name, inside) for kind, name, inside in found if inside.any()]
