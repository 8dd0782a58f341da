"""What an observed Sharpe ratio is worth: how surely it beats a benchmark, or the luckiest trial.

Sharpe ratios here are PER PERIOD (mean over deviation of the bars' returns), never annualised;
kurtosis is not in excess (3 for a normal distribution). What is undefined is NaN.

References
----------
Lo, A. W. (2002). The statistics of Sharpe ratios. Financial Analysts Journal 58(4).
Bailey, D. H. and Lopez de Prado, M. (2012). The Sharpe ratio efficient frontier. Journal of Risk
    15(2). (PSR, MinTRL)
Bailey, D. H. and Lopez de Prado, M. (2014). The deflated Sharpe ratio. Journal of Portfolio
    Management 40(5). (DSR)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from trainer.errors import TrainerError

_EULER = 0.5772156649015329


@dataclass(frozen=True)
class Moments:
    """What the distribution of a Sharpe ratio's estimate depends on.

    Attributes
    ----------
    sharpe : float
        Per period, deviation with ddof = 1; NaN for constant returns.
    skew, kurtosis : float
        Of the returns, as moments of the sample; kurtosis not in excess.
    n : int
        Periods.
    """

    sharpe: float
    skew: float
    kurtosis: float
    n: int

    @classmethod
    def of(cls, returns: ArrayLike) -> "Moments":
        """Read them off returns of shape (n,); NaN where fewer than three or all equal.

        Raises
        ------
        TrainerError
            If a return is not finite.
        """
        values = np.asarray(returns, dtype=np.float64)
        if not np.isfinite(values).all():
            raise TrainerError("`returns` must be finite; drop or fill such bars knowingly")
        if values.size < 3 or values.min() == values.max():
            return cls(np.nan, np.nan, np.nan, values.size)
        spread = values - values.mean()
        square = np.mean(spread**2)
        return cls(
            float(values.mean() / values.std(ddof=1)),
            float(np.mean(spread**3) / square**1.5),
            float(np.mean(spread**4) / square**2),
            values.size,
        )

    @property
    def inflation(self) -> float:
        """Variance of the estimate times (n - 1): 1 for small ratios of normal returns."""
        return float(1 - self.skew * self.sharpe + (self.kurtosis - 1) / 4 * self.sharpe**2)


def probabilistic_sharpe(moments: Moments, benchmark: float = 0.0) -> float:
    """Return the probability that the true ratio is above `benchmark` (PSR).

    Parameters
    ----------
    moments : Moments
    benchmark : float, default 0
        A ratio per period.

    Returns
    -------
    float
        In [0, 1]; NaN if anything is undefined.
    """
    if moments.n < 2 or not moments.inflation > 0:
        return float("nan")
    gap = (moments.sharpe - benchmark) * np.sqrt(moments.n - 1)
    return float(ndtr(gap / np.sqrt(moments.inflation)))


def expected_maximum_sharpe(n_trials: int, variance: float, mean: float = 0.0) -> float:
    """Return the ratio that the luckiest of `n_trials` skilless ones is expected to show.

    Parameters
    ----------
    n_trials : int
        Independent trials, >= 1; one trial has no luck to choose from: 0.
    variance : float
        Variance of the trials' ratios, per period, >= 0.
    mean : float, default 0
        Their mean, per period: 0 if nothing costs anything.

    Raises
    ------
    TrainerError
        If there is no trial or the variance is negative.
    """
    if n_trials < 1 or not variance >= 0:
        raise TrainerError(
            f"`n_trials` must be >= 1 and `variance` >= 0, got {n_trials} and {variance}"
        )
    if n_trials == 1:
        return 0.0
    most = (1 - _EULER) * ndtri(1 - 1 / n_trials) + _EULER * ndtri(1 - 1 / (n_trials * np.e))
    return float(mean + np.sqrt(variance) * most)


def deflated_sharpe(moments: Moments, n_trials: int, variance: float, mean: float = 0.0) -> float:
    """Return the probability that the true ratio beats the luckiest of the trials (DSR)."""
    return probabilistic_sharpe(moments, expected_maximum_sharpe(n_trials, variance, mean))


def minimum_track_record(
    moments: Moments, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """Return the periods needed before the ratio beats `benchmark` at `confidence` (MinTRL).

    Returns
    -------
    float
        Infinite for a ratio that is not above the benchmark: no length would do. NaN if
        undefined.

    Raises
    ------
    TrainerError
        If `confidence` is not between 0.5 and 1.
    """
    if not 0.5 < confidence < 1:
        raise TrainerError(f"`confidence` must be between 0.5 and 1, got {confidence}; use 0.95")
    gap = moments.sharpe - benchmark
    if np.isnan(gap) or not moments.inflation > 0:
        return float("nan")
    if gap <= 0:
        return float("inf")
    return float(1 + moments.inflation * (ndtri(confidence) / gap) ** 2)


def annual_factor(periods: int, autocorrelation: float = 0.0) -> float:
    """Return what turns a per-period ratio into one over `periods` of an AR(1) series.

    Parameters
    ----------
    periods : int
        Periods in the longer one, >= 1: 12 for months in a year.
    autocorrelation : float
        First-order, in (-1, 1); 0 gives the usual square root.

    References
    ----------
    Lo (2002), equation 20.
    """
    if periods < 1 or not -1 < autocorrelation < 1:
        raise TrainerError(
            "`periods` must be >= 1 and `autocorrelation` in (-1, 1), got "
            f"{periods} and {autocorrelation}"
        )
    rho = autocorrelation
    shared = (1 - rho**periods) / (periods * (1 - rho))
    return float(np.sqrt(periods / (1 + 2 * rho / (1 - rho) * (1 - shared))))
