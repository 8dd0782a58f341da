"""Cost-aware performance of positions, and the quality of the probabilities behind them.

Arrays have one dimension and one entry a bar (or a row, for probabilities). NaN in them is refused,
because skipping a bar would hide what it cost. What is undefined is NaN, never inf: the Sharpe
ratio of constant returns, anything of no bars. Positions are signed fractions of the capital (-1, 0
or 1, or between), returns are fractions per bar.

References
----------
Sortino, F. and van der Meer, R. (1991). Downside risk. Journal of Portfolio Management 17(4).
Naeini, M. P. et al. (2015). Obtaining well calibrated probabilities using Bayesian binning. AAAI.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.errors import TrainerError
from trainer.statistics.costs import Costs, Terms

Floats = NDArray[np.float64]

_TINY = float(np.finfo(np.float64).eps)  # probabilities are clipped by it, as scikit-learn does


def gross_returns(position: ArrayLike, forward_return: ArrayLike) -> Floats:
    """Return ``position * forward_return``, what each bar earns before costs."""
    held, move = _paired("position", position, "forward_return", forward_return)
    return held * move


def net_returns(
    position: ArrayLike,
    forward_return: ArrayLike,
    costs: Costs,
    *,
    close_out: bool = False,
) -> Floats:
    """Return what each bar earns after the costs of changing the position.

    ``position[i] * forward_return[i] - cost * |position[i] - position[i - 1]|``, flat before the
    first bar, with ``cost = costs.share`` per side on the traded notional.
    So a flip pays twice and holding pays nothing.

    Parameters
    ----------
    position
        Position held over each bar, shape (n,).
    forward_return
        Return of the instrument over the bar in which that position is held, shape (n,).
    costs
        Costs per side.
    close_out
        Also charge the last bar for closing what is still held.

    Raises
    ------
    TrainerError
        If an array is not finite, or the shapes differ.
    """
    held, move = _paired("position", position, "forward_return", forward_return)
    net = held * move - costs.share * np.abs(np.diff(held, prepend=0.0))
    if close_out and net.size:
        net[-1] -= costs.share * abs(held[-1])
    return net


def sharpe(returns: ArrayLike, periods_per_year: float) -> float:
    """Return the annualised Sharpe ratio (ddof = 1, no risk-free rate); NaN if constant."""
    values = _finite("returns", returns)
    scale = _annual(periods_per_year)
    # The deviation of equal floats may be 1e-18 rather than 0, and the ratio then 1e15.
    if values.size < 2 or values.min() == values.max():
        return np.nan
    return _ratio(values.mean() * scale, values.std(ddof=1))


def sortino(returns: ArrayLike, periods_per_year: float) -> float:
    """Return the annualised mean over ``sqrt(mean(min(r, 0)^2))`` of ALL bars; NaN if no loss."""
    values = _finite("returns", returns)
    scale = _annual(periods_per_year)
    if values.size < 2:
        return np.nan
    return _ratio(values.mean() * scale, np.sqrt(np.mean(np.minimum(values, 0.0) ** 2)))


def equity(returns: ArrayLike) -> Floats:
    """Compound returns of shape (n,) to what 1 has become; zero once a bar has lost everything."""
    return np.multiply.accumulate(np.maximum(1.0 + _finite("returns", returns), 0.0))


def total_return(returns: ArrayLike) -> float:
    """Return the compounded return, -1 once the capital is gone."""
    values = _finite("returns", returns)
    return float(equity(values)[-1] - 1.0) if values.size else np.nan


def max_drawdown(returns: ArrayLike) -> float:
    """Return the deepest fall from a peak of the equity, which starts at 1.0: from 0 to -1."""
    values = _finite("returns", returns)
    if not values.size:
        return np.nan
    capital = np.concatenate([[1.0], equity(values)])
    return float(np.min(capital / np.maximum.accumulate(capital) - 1.0))


def turnover(position: ArrayLike) -> float:
    """Return the sum over all bars of ``|change of position|``, flat before the first bar."""
    return float(np.abs(np.diff(_finite("position", position), prepend=0.0)).sum())


def n_trades(position: ArrayLike) -> int:
    """Return the number of runs of one non-zero sign: a flip ends one trade and starts another."""
    side = np.sign(_finite("position", position))
    return int(np.count_nonzero((side != 0) & (np.diff(side, prepend=0.0) != 0)))


def exposure(position: ArrayLike) -> float:
    """Return the share of bars with a position, long or short."""
    held = _finite("position", position)
    return float(np.mean(held != 0)) if held.size else np.nan


def hit_rate(position: ArrayLike, net: ArrayLike) -> float:
    """Return the share of the bars with a position whose net return is above zero.

    Bars are counted, not trades; the bar on which a position is left for cash has none itself.
    NaN if there was never a position.
    """
    held, earned = _paired("position", position, "net", net)
    return float(np.mean(earned[held != 0] > 0)) if np.any(held != 0) else np.nan


def performance(position: ArrayLike, forward_return: ArrayLike, terms: Terms) -> dict[str, float]:
    """Return every performance metric of these positions, net of costs and gross.

    Keys: ``net_sharpe, gross_sharpe, net_sortino, net_max_drawdown, net_return, gross_return,
    turnover, n_trades, exposure, hit_rate, n_bars``, and the stress test ``net_sharpe_cost2x`` and
    ``net_sharpe_cost3x``, at two and three times both costs. The last position is not closed out.
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
    """Return the mean negative log-likelihood (nats) of classes ``y``, each 0 or 1."""
    p, target = _scored(probability, y)
    p = np.clip(p, _TINY, 1.0 - _TINY)
    return _mean(-np.log(np.where(target == 1, p, 1.0 - p)))


def brier(probability: ArrayLike, y: ArrayLike) -> float:
    """Return the mean squared difference between probability and class."""
    p, target = _scored(probability, y)
    return _mean((p - target) ** 2)


def roc_auc(probability: ArrayLike, y: ArrayLike) -> float:
    """Return the chance that a 1 is scored above a 0, ties counting half; NaN for one class."""
    p, target = _scored(probability, y)
    ones = int(np.count_nonzero(target))
    pairs = ones * (target.size - ones)
    if not pairs:
        return np.nan
    _, place, count = np.unique(p, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # equal scores share their mean rank
    return float((rank[place][target == 1].sum() - ones * (ones + 1) / 2) / pairs)


class Reliability(NamedTuple):
    """One entry for each bin that holds rows: mean probability, share of ones, number of rows."""

    probability: Floats
    frequency: Floats
    rows: NDArray[np.int64]


def reliability_curve(probability: ArrayLike, y: ArrayLike, n_bins: int = 10) -> Reliability:
    """Return the points of a reliability diagram over ``n_bins`` equal bins of [0, 1].

    Bin k holds ``k / n_bins <= p < (k + 1) / n_bins``; the last one also p = 1.
    """
    p, target = _scored(probability, y)
    if n_bins < 1:
        raise TrainerError(f"`n_bins` must be >= 1, got {n_bins}; use 10 if in doubt")
    which = np.minimum((p * n_bins).astype(np.int64), n_bins - 1)
    count = np.bincount(which, minlength=n_bins)
    used = count > 0
    sums = (np.bincount(which, weights=w, minlength=n_bins)[used] for w in (p, target))
    mean, frequency = (total / count[used] for total in sums)
    return Reliability(mean, frequency, count[used])


def expected_calibration_error(probability: ArrayLike, y: ArrayLike, n_bins: int = 10) -> float:
    """Return the mean over rows of ``|mean probability - share of ones|`` of their bin."""
    mean, frequency, rows = reliability_curve(probability, y, n_bins)
    return float(np.average(np.abs(mean - frequency), weights=rows)) if rows.size else np.nan


def base_rate_log_loss(y: ArrayLike) -> float:
    """Return the log-loss of always saying the share of ones in ``y`` itself: the one to beat."""
    target = _finite("y", y)
    return log_loss(np.full(target.shape, _mean(target)) if target.size else target, target)


def probability_metrics(probability: ArrayLike, y: ArrayLike) -> dict[str, float]:
    """Return ``log_loss, brier, roc_auc, ece``, and ``base_rate_log_loss`` to hold them against."""
    return {
        "log_loss": log_loss(probability, y),
        "brier": brier(probability, y),
        "roc_auc": roc_auc(probability, y),
        "ece": expected_calibration_error(probability, y),
        "base_rate_log_loss": base_rate_log_loss(y),
    }


def _ratio(top: float, bottom: float) -> float:
    return float(top / bottom) if bottom > 0 else np.nan


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else np.nan


def _annual(periods_per_year: float) -> float:
    if not 0 < periods_per_year < np.inf:
        rule = f"`periods_per_year` must be > 0, got {periods_per_year}"
        raise TrainerError(f"{rule}; use the number of bars in a trading year")
    return float(np.sqrt(periods_per_year))


def _finite(name: str, values: ArrayLike) -> Floats:
    # int8 positions would overflow in differences: everything is float64 from here on.
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise TrainerError(f"`{name}` must have one dimension, got shape {array.shape}; flatten it")
    _only(name, "finite", array, np.isfinite(array), "drop or fill such rows knowingly")
    return array


def _paired(name: str, values: ArrayLike, other: str, others: ArrayLike) -> tuple[Floats, Floats]:
    first, second = _finite(name, values), _finite(other, others)
    if first.size != second.size:
        rule = f"`{name}` and `{other}` must be of one length, got {first.size} and {second.size}"
        raise TrainerError(f"{rule}; pass one of each for every row")
    return first, second


def _scored(probability: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    p, target = _paired("probability", probability, "y", y)
    _only("probability", "in [0, 1]", p, (p >= 0) & (p <= 1), "calibrate scores first")
    _only("y", "0 or 1", target, (target == 0) | (target == 1), "use 1 for a rise and 0 otherwise")
    return p, target


def _only(name: str, rule: str, values: Floats, good: NDArray[np.bool_], way_out: str) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise TrainerError(f"`{name}` must be {rule}, got {values[row]} in row {row}; {way_out}")
