"""Significance of an observed Sharpe ratio: PSR, minimum track record, deflated ratio.

Sharpe ratios here are PER PERIOD (mean over deviation of the returns of single bars), never
annualised. Kurtosis is not in excess: it is 3 for a normal distribution. An undefined value is NaN.

References
----------
Bailey, D. H. and Lopez de Prado, M. (2012). The Sharpe ratio efficient frontier. Journal of Risk
    15(2). (PSR, MinTRL)
Bailey, D. H. and Lopez de Prado, M. (2014). The deflated Sharpe ratio. Journal of Portfolio
    Management 40(5). (DSR)
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from trainer.errors import TrainerError
from trainer.statistics.rounding import is_constant

_EULER = 0.5772156649015329


@dataclass(frozen=True)
class Moments:
    """Moments of returns, on which the distribution of an estimated Sharpe ratio depends.

    Attributes
    ----------
    sharpe : float
        Sharpe ratio per period, with ddof = 1; NaN for constant returns.
    skew, kurtosis : float
        Sample moments of the returns; kurtosis is not in excess.
    n : int
        Number of periods.
    """

    sharpe: float
    skew: float
    kurtosis: float
    n: int

    @classmethod
    def of(cls, returns: ArrayLike) -> "Moments":
        """Return the moments of returns of shape (n,).

        They are NaN if there are fewer than three returns, or if the returns are constant up to
        rounding.

        Raises
        ------
        TrainerError
            If a return is not finite.
        """
        values = np.asarray(returns, dtype=np.float64)
        if not np.isfinite(values).all():
            raise TrainerError("`returns` must be finite; drop or fill such bars knowingly")
        if values.size < 3 or is_constant(values):
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
        """Variance of the estimated ratio times (n - 1): 1 for small ratios of normal returns."""
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
        In [0, 1]; NaN if a moment is undefined.

    Examples
    --------
    Five years of daily returns with an annual ratio of 1 and of 0, normal returns:

    >>> year = Moments(sharpe=1 / 252**0.5, skew=0.0, kurtosis=3.0, n=5 * 252)
    >>> round(probabilistic_sharpe(year), 4)
    0.9872
    >>> probabilistic_sharpe(Moments(sharpe=0.0, skew=0.0, kurtosis=3.0, n=5 * 252))
    0.5
    """
    if moments.n < 2 or not moments.inflation > 0:
        return float("nan")
    gap = (moments.sharpe - benchmark) * np.sqrt(moments.n - 1)
    return float(ndtr(gap / np.sqrt(moments.inflation)))


def expected_maximum_sharpe(n_trials: int, variance: float, mean: float = 0.0) -> float:
    """Return the expected highest ratio of `n_trials` trials without skill.

    Parameters
    ----------
    n_trials : int
        Number of independent trials, >= 1. The result is 0 for one trial, because one trial
        leaves nothing to choose.
    variance : float
        Variance of the ratios of the trials, per period, >= 0.
    mean : float, default 0
        Mean of the ratios of the trials, per period. Without costs it is 0.

    Raises
    ------
    TrainerError
        If there is no trial, or the variance is negative or NaN.

    Examples
    --------
    Bailey and Lopez de Prado (2014), numerical example:

    >>> round(expected_maximum_sharpe(n_trials=100, variance=1 / 500), 4)
    0.1132
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
    """Return the probability that the true ratio is above the best of trials without skill (DSR).

    The benchmark of the PSR is `expected_maximum_sharpe` of the trials.

    Examples
    --------
    Bailey and Lopez de Prado (2014), numerical example: an annual ratio of 2.5 over five years of
    250 days, with skew -3 and kurtosis 10. It is significant at 95 % if it is the best of 46
    trials, and not if it is the best of 100:

    >>> moments = Moments(sharpe=2.5 / 250**0.5, skew=-3.0, kurtosis=10.0, n=1250)
    >>> round(deflated_sharpe(moments, n_trials=100, variance=1 / 500), 4)
    0.9004
    >>> round(deflated_sharpe(moments, n_trials=46, variance=1 / 500), 4)
    0.9505
    """
    return probabilistic_sharpe(moments, expected_maximum_sharpe(n_trials, variance, mean))


def minimum_track_record(
    moments: Moments, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """Return the number of periods from which the PSR is at least `confidence` (MinTRL).

    Parameters
    ----------
    moments : Moments
    benchmark : float, default 0
        A ratio per period.
    confidence : float, default 0.95
        Between 0.5 and 1.

    Returns
    -------
    float
        Infinite for a ratio that is not above the benchmark, because no number of periods is
        enough. NaN if a moment is undefined.

    Raises
    ------
    TrainerError
        If `confidence` is not between 0.5 and 1.

    Examples
    --------
    Bailey and Lopez de Prado (2012): monthly returns with an annual ratio of 2 need about five
    years to be above an annual ratio of 1:

    >>> moments = Moments(sharpe=2 / 12**0.5, skew=-0.72, kurtosis=5.78, n=60)
    >>> round(minimum_track_record(moments, benchmark=1 / 12**0.5), 3)
    59.895
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
    """Return the factor from a Sharpe ratio per period to one over `periods` of an AR(1) series.

    Parameters
    ----------
    periods : int
        Periods of the longer horizon, >= 1: 12 for months in a year.
    autocorrelation : float
        Of first order, in (-1, 1); 0 gives the usual square root.

    References
    ----------
    Lo (2002), equation 20.

    Examples
    --------
    >>> [round(annual_factor(12, rho), 2) for rho in (0.0, 0.2, -0.2)]
    [3.46, 2.88, 4.17]
    """
    if periods < 1 or not -1 < autocorrelation < 1:
        raise TrainerError(
            "`periods` must be >= 1 and `autocorrelation` in (-1, 1), got "
            f"{periods} and {autocorrelation}"
        )
    rho = autocorrelation
    shared = (1 - rho**periods) / (periods * (1 - rho))
    return float(np.sqrt(periods / (1 + 2 * rho / (1 - rho) * (1 - shared))))


def required_sharpe(n: int, n_trials: int, probability: float = 0.95) -> float:
    """Return the ratio per period at which normal returns have this deflated Sharpe ratio.

    Parameters
    ----------
    n : int
        Number of periods, >= 2.
    n_trials : int
        Number of independent trials without skill, >= 1.
    probability : float, default 0.95
        Deflated Sharpe ratio that is required.

    Examples
    --------
    Four years of hours, annualised: the more trials, the higher the ratio that is needed.

    >>> [round(required_sharpe(35_040, trials) * 8_760**0.5, 2) for trials in (1, 10, 50, 1_000)]
    [0.82, 1.61, 1.96, 2.45]
    """
    luck = expected_maximum_sharpe(n_trials, 1 / (n - 1))
    # The inflation of small ratios of normal returns is 1.
    return luck + float(ndtri(probability)) / math.sqrt(n - 1)
