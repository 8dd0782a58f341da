"""Performance of positions after costs, with metrics of the probabilities that they follow from.

Arrays have one dimension and one entry per bar (per row for probabilities). NaN in an input is
refused, because a bar that is left out would hide its costs. An undefined result is NaN, never
infinite: the Sharpe ratio of constant returns, any metric of no bars. Returns count as constant if
they differ by rounding only (`trainer.statistics.rounding`). Positions are signed fractions of the
capital (-1, 0, 1, or between), returns are fractions per bar.

References
----------
Sortino, F. and van der Meer, R. (1991). Downside risk. Journal of Portfolio Management 17(4).
Naeini, M. P. et al. (2015). Obtaining well calibrated probabilities using Bayesian binning. AAAI.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.arrays import FloatArray, IntArray
from trainer.errors import TrainerError
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.rounding import is_constant

_TINY = float(np.finfo(np.float64).eps)  # probabilities are clipped by it, as in scikit-learn


def gross_returns(position: ArrayLike, forward_return: ArrayLike) -> FloatArray:
    """Return the returns before costs, ``position * forward_return``, shape (n,)."""
    held, move = _paired("position", position, "forward_return", forward_return)
    return held * move


def net_returns(
    position: ArrayLike,
    forward_return: ArrayLike,
    costs: Costs,
    *,
    close_out: bool = False,
) -> FloatArray:
    """Return the returns after the costs of changing the position.

    ``position[i] * forward_return[i] - cost * |position[i] - position[i - 1]|``, flat before the
    first bar, where ``cost = costs.share`` is paid per side on the traded notional. So a flip pays
    twice, and holding pays nothing.

    Parameters
    ----------
    position : array of shape (n,)
        Position in each bar.
    forward_return : array of shape (n,)
        Return of the instrument in the bar in which that position is held.
    costs : Costs
        Costs per side.
    close_out : bool, default False
        Whether the last bar also pays for closing its position.

    Returns
    -------
    float64 array of shape (n,)

    Raises
    ------
    TrainerError
        If an array is not finite, or the shapes differ.

    Examples
    --------
    At 15 basis points per side: enter, hold, flip (two sides), leave (the bar is flat and pays).

    >>> net = net_returns([1, 1, -1, 0], [0.01, 0.02, -0.01, 0.03], Costs(10, 5))
    >>> net.round(6).tolist()
    [0.0085, 0.02, 0.007, -0.0015]
    """
    held, move = _paired("position", position, "forward_return", forward_return)
    net = held * move - costs.share * np.abs(np.diff(held, prepend=0.0))
    if close_out and net.size:
        net[-1] -= costs.share * abs(held[-1])
    return net


def sharpe(returns: ArrayLike, periods_per_year: float) -> float:
    """Return the annualised Sharpe ratio.

    ``mean / deviation * sqrt(periods_per_year)``, where the deviation has ddof = 1. There is no
    risk-free rate.

    Parameters
    ----------
    returns : array of shape (n,)
        Per bar, finite.
    periods_per_year : float
        Bars in a trading year.

    Returns
    -------
    float
        NaN if there are fewer than two returns, or if they are constant up to rounding.

    Raises
    ------
    TrainerError
        If a return is not finite, or `periods_per_year` is not a positive number.

    Examples
    --------
    The mean is 0.005 and the deviation ``sqrt(0.0013 / 3)``:

    >>> round(sharpe([0.01, -0.02, 0.03, 0.0], periods_per_year=252), 4)
    3.8129
    >>> sharpe([0.01, 0.01, 0.01], periods_per_year=252)
    nan
    """
    values = _finite("returns", returns)
    scale = _annual(periods_per_year)
    if values.size < 2 or is_constant(values):
        return np.nan
    return _ratio(values.mean() * scale, values.std(ddof=1))


def sortino(returns: ArrayLike, periods_per_year: float) -> float:
    """Return the annualised Sortino ratio: the mean over the downside deviation.

    The downside deviation is ``sqrt(mean(min(r, 0)^2))`` over ALL bars, also over those without a
    loss.

    Parameters
    ----------
    returns : array of shape (n,)
        Per bar, finite.
    periods_per_year : float
        Bars in a trading year.

    Returns
    -------
    float
        NaN if there are fewer than two returns, or no loss that is larger than rounding.

    Raises
    ------
    TrainerError
        If a return is not finite, or `periods_per_year` is not a positive number.

    Examples
    --------
    The mean is 0.005; the only loss, -0.02, gives ``sqrt(0.0004 / 4) = 0.01``:

    >>> round(sortino([0.01, -0.02, 0.03, 0.0], periods_per_year=252), 4)
    7.9373
    """
    values = _finite("returns", returns)
    scale = _annual(periods_per_year)
    losses = np.minimum(values, 0.0)
    if values.size < 2 or is_constant([losses.min(), 0.0]):
        return np.nan
    return _ratio(values.mean() * scale, np.sqrt(np.mean(losses**2)))


def equity(returns: ArrayLike) -> FloatArray:
    """Return the capital after each bar, shape (n,), if it starts at 1 and is reinvested.

    The capital is 0 from the bar on that loses all of it.
    """
    return np.multiply.accumulate(np.maximum(1.0 + _finite("returns", returns), 0.0))


def total_return(returns: ArrayLike) -> float:
    """Return the compounded return: -1 if all capital is lost, NaN if there are no bars."""
    values = _finite("returns", returns)
    return float(equity(values)[-1] - 1.0) if values.size else np.nan


def max_drawdown(returns: ArrayLike) -> float:
    """Return the largest fall of the equity from a peak, from 0 to -1; NaN if there are no bars.

    The equity starts at 1.0, which is the first peak.

    Examples
    --------
    The equity is 1.0, 1.5, 0.75, 0.825. It falls from 1.5 to 0.75:

    >>> max_drawdown([0.5, -0.5, 0.1])
    -0.5
    """
    values = _finite("returns", returns)
    if not values.size:
        return np.nan
    capital = np.concatenate([[1.0], equity(values)])  # (n + 1,)
    return float(np.min(capital / np.maximum.accumulate(capital) - 1.0))


def turnover(position: ArrayLike) -> float:
    """Return the sum over all bars of ``|change of position|``, flat before the first bar.

    Examples
    --------
    An entry is 1, a flip 2, and an exit 1:

    >>> turnover([0, 1, 1, -1, 0])
    4.0
    """
    return float(np.abs(np.diff(_finite("position", position), prepend=0.0)).sum())


def trade_starts(position: ArrayLike) -> NDArray[np.bool_]:
    """Return where a trade starts: at the first bar of each run of one non-zero sign.

    Examples
    --------
    >>> trade_starts([0, 1, 0.5, -1, 0, 1]).tolist()
    [False, True, False, True, False, True]
    """
    side = np.sign(_finite("position", position))
    starts: NDArray[np.bool_] = (side != 0) & (np.diff(side, prepend=0.0) != 0)
    return starts


def n_trades(position: ArrayLike) -> int:
    """Return the number of runs of one non-zero sign: a flip ends one trade and starts another.

    Examples
    --------
    Long, then short, then long again after a flat bar; a change of size is no new trade:

    >>> n_trades([0, 1, 0.5, -1, 0, 1])
    3
    """
    return int(np.count_nonzero(trade_starts(position)))


def exposure(position: ArrayLike) -> float:
    """Return the share of bars with a position, long or short; NaN if there are no bars."""
    held = _finite("position", position)
    return float(np.mean(held != 0)) if held.size else np.nan


def hit_rate(position: ArrayLike, net: ArrayLike) -> float:
    """Return the share of the bars with a position that have a net return above zero.

    Bars are counted, not trades. A bar in which the position is left is flat and does not count.
    NaN if no bar has a position.
    """
    held, earned = _paired("position", position, "net", net)
    return float(np.mean(earned[held != 0] > 0)) if np.any(held != 0) else np.nan


def performance(position: ArrayLike, forward_return: ArrayLike, terms: Terms) -> dict[str, float]:
    """Return every performance metric of these positions, net of costs and gross.

    Parameters
    ----------
    position, forward_return : arrays of shape (n,)
        As in `net_returns`. The last position is not closed out.
    terms : Terms
        Costs per side, and bars in a trading year.

    Returns
    -------
    dict of str to float
        ``net_sharpe, gross_sharpe, net_sortino, net_max_drawdown, net_return, gross_return,
        turnover, n_trades, exposure, hit_rate, n_bars``, and the stress test ``net_sharpe_cost2x``
        and ``net_sharpe_cost3x``, at two and three times the costs. Undefined metrics are NaN.
    """
    gross = gross_returns(position, forward_return)
    net = net_returns(position, forward_return, terms.costs)
    cost, periods_per_year = gross - net, terms.periods_per_year
    return {
        "net_sharpe": sharpe(net, periods_per_year),
        "gross_sharpe": sharpe(gross, periods_per_year),
        "net_sortino": sortino(net, periods_per_year),
        "net_max_drawdown": max_drawdown(net),
        "net_return": total_return(net),
        "gross_return": total_return(gross),
        "turnover": turnover(position),
        "n_trades": float(n_trades(position)),
        "exposure": exposure(position),
        "hit_rate": hit_rate(position, net),
        "n_bars": float(net.size),
        "net_sharpe_cost2x": sharpe(gross - 2 * cost, periods_per_year),
        "net_sharpe_cost3x": sharpe(gross - 3 * cost, periods_per_year),
    }


def baselines(forward_return: ArrayLike, terms: Terms) -> dict[str, float]:
    """Return ``buy_hold_sharpe`` and ``buy_hold_return``: always long, net of one entry."""
    long = np.ones(np.shape(forward_return))
    net = net_returns(long, forward_return, terms.costs)
    return {
        "buy_hold_sharpe": sharpe(net, terms.periods_per_year),
        "buy_hold_return": total_return(net),
    }


def log_loss(probability: ArrayLike, y: ArrayLike) -> float:
    """Return the mean negative log-likelihood (nats) of classes ``y``, each 0 or 1.

    NaN if there are no rows.
    """
    p, target = _scored(probability, y)
    p = np.clip(p, _TINY, 1.0 - _TINY)
    return _mean(-np.log(np.where(target == 1, p, 1.0 - p)))


def brier(probability: ArrayLike, y: ArrayLike) -> float:
    """Return the mean squared difference of probability and class; NaN if there are no rows."""
    p, target = _scored(probability, y)
    return _mean((p - target) ** 2)


def roc_auc(probability: ArrayLike, y: ArrayLike) -> float:
    """Return the share of pairs of a 1 and a 0 in which the 1 has the higher probability.

    Pairs with equal probabilities count one half. NaN if there is one class only.

    Examples
    --------
    Of the four pairs, only (0.4, 0.6) is in the wrong order:

    >>> roc_auc([0.2, 0.6, 0.4, 0.9], [0, 0, 1, 1])
    0.75
    """
    p, target = _scored(probability, y)
    ones = int(np.count_nonzero(target))
    pairs = ones * (target.size - ones)
    if not pairs:
        return np.nan
    _, place, count = np.unique(p, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # equal scores share their mean rank
    return float((rank[place][target == 1].sum() - ones * (ones + 1) / 2) / pairs)


class Reliability(NamedTuple):
    """Points of a reliability diagram, one for each bin that has rows.

    Attributes
    ----------
    probability : float64 array of shape (k,)
        Mean probability of the bin.
    frequency : float64 array of shape (k,)
        Share of ones in the bin.
    rows : int64 array of shape (k,)
        Number of rows of the bin.
    """

    probability: FloatArray
    frequency: FloatArray
    rows: IntArray


def reliability_curve(probability: ArrayLike, y: ArrayLike, n_bins: int = 10) -> Reliability:
    """Return the points of a reliability diagram over ``n_bins`` equal bins of [0, 1].

    Bin k contains ``k / n_bins <= p < (k + 1) / n_bins``; the last bin also contains p = 1.
    """
    p, target = _scored(probability, y)
    if n_bins < 1:
        raise TrainerError(f"`n_bins` must be >= 1, got {n_bins}; use 10 if in doubt")
    which = np.minimum((p * n_bins).astype(np.int64), n_bins - 1)
    count = np.bincount(which, minlength=n_bins)  # (n_bins,)
    used = count > 0
    sums = (np.bincount(which, weights=w, minlength=n_bins)[used] for w in (p, target))
    mean, frequency = (total / count[used] for total in sums)
    return Reliability(mean, frequency, count[used])


def expected_calibration_error(probability: ArrayLike, y: ArrayLike, n_bins: int = 10) -> float:
    """Return the mean over rows of ``|mean probability - share of ones|`` of their bin."""
    mean, frequency, rows = reliability_curve(probability, y, n_bins)
    return float(np.average(np.abs(mean - frequency), weights=rows)) if rows.size else np.nan


def base_rate_log_loss(y: ArrayLike) -> float:
    """Return the log-loss of one constant probability, the share of ones in ``y`` itself.

    A model with a higher log-loss has learned nothing that this constant does not contain.
    """
    target = _finite("y", y)
    return log_loss(np.full(target.shape, _mean(target)) if target.size else target, target)


def probability_metrics(probability: ArrayLike, y: ArrayLike) -> dict[str, float]:
    """Return ``log_loss, brier, roc_auc, ece``, and ``base_rate_log_loss`` as their reference."""
    return {
        "log_loss": log_loss(probability, y),
        "brier": brier(probability, y),
        "roc_auc": roc_auc(probability, y),
        "ece": expected_calibration_error(probability, y),
        "base_rate_log_loss": base_rate_log_loss(y),
    }


def _ratio(top: float, bottom: float) -> float:
    return float(top / bottom) if bottom > 0 else np.nan


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else np.nan


def _annual(periods_per_year: float) -> float:
    """Return the factor that annualises a ratio per bar."""
    if not 0 < periods_per_year < np.inf:
        rule = f"`periods_per_year` must be > 0, got {periods_per_year}"
        raise TrainerError(f"{rule}; use the number of bars in a trading year")
    return float(np.sqrt(periods_per_year))


def _finite(name: str, values: ArrayLike) -> FloatArray:
    """Return the values as float64; raise if one is not finite."""
    # Differences of int8 positions would overflow: everything is float64 from here on.
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise TrainerError(f"`{name}` must have one dimension, got shape {array.shape}; flatten it")
    _check_rows(name, "finite", array, np.isfinite(array), "drop or fill such rows knowingly")
    return array


def _paired(
    name: str, values: ArrayLike, other: str, others: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Return two arrays as float64; raise if their lengths differ or one is not finite."""
    first, second = _finite(name, values), _finite(other, others)
    if first.size != second.size:
        rule = f"`{name}` and `{other}` must be of one length, got {first.size} and {second.size}"
        raise TrainerError(f"{rule}; pass one of each for every row")
    return first, second


def _scored(probability: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return probabilities in [0, 1] and classes 0 or 1 as float64, or raise."""
    p, target = _paired("probability", probability, "y", y)
    in_range, is_class = (p >= 0) & (p <= 1), (target == 0) | (target == 1)
    _check_rows("probability", "in [0, 1]", p, in_range, "calibrate scores first")
    _check_rows("y", "0 or 1", target, is_class, "use 1 for a rise and 0 otherwise")
    return p, target


def _check_rows(
    name: str, rule: str, values: FloatArray, good: NDArray[np.bool_], way_out: str
) -> None:
    """Raise `TrainerError` for the first row that is not good."""
    if not good.all():
        row = int(np.argmin(good))
        raise TrainerError(f"`{name}` must be {rule}, got {values[row]} in row {row}; {way_out}")
