"""What every rule shares that turns probabilities into positions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.arrays import FloatArray
from trainer.errors import TrainerError

BoolArray = NDArray[np.bool_]

#: Spans of smoothing after which the weight that is left is 2e-9, and the mean is cut off. So a
#: smoothed probability depends on a known number of bars.
_SPANS = 10


class Held(NamedTuple):
    """Positions, with what a window of bars does not tell.

    Attributes
    ----------
    position : int8 array of shape (n,)
        -1 short, 0 flat, 1 long, held over the next bar.
    certain : bool array of shape (n,)
        Whether the position is the same whatever came before the first bar.
    """

    position: NDArray[np.int8]
    certain: BoolArray


@dataclass(frozen=True)
class PositionRule(ABC):
    """Rule that turns the probabilities of consecutive bars into positions.

    Parameters
    ----------
    value : float or None
        Least probability that is acted on, in [0.5, 1], or None for "do not trade".
    allow_short : bool, default True
        Whether positions may be short.
    smooth : int, default 0
        Span in bars of the exponentially weighted mean of log-odds that is taken first; 0 for none.

    Raises
    ------
    TrainerError
        If ``value`` or ``smooth`` is out of range.
    """

    value: float | None
    allow_short: bool = True
    smooth: int = field(default=0, repr=False)

    #: Name of the rule, as the option `--position` takes it.
    kind: ClassVar[str]
    #: Whether a position depends on the one before it.
    holds: ClassVar[bool]
    #: Whether `value` is searched.
    searched: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.value is not None and not 0.5 <= self.value <= 1:
            raise TrainerError(
                f"`value` of a {self.kind} must be in [0.5, 1], got {self.value}; "
                "use None for 'do not trade'"
            )
        if self.smooth < 0:
            raise TrainerError(f"`smooth` must be >= 0 bars, got {self.smooth}; use 0 for none")

    @property
    def memory(self) -> int:
        """Number of bars before a bar whose probabilities its smoothed one depends on."""
        return _SPANS * self.smooth

    @property
    def volatility_window(self) -> int:
        """Number of returns of which the volatility is needed; 0 for none."""
        return 0

    def decide(
        self,
        probability: ArrayLike,
        volatility: FloatArray | None = None,
        *,
        held: int | None = None,
        first: int = 0,
    ) -> Held:
        """Return the positions of consecutive bars.

        Parameters
        ----------
        probability : array of shape (n,)
            Of a rise, in [0, 1]; NaN for a bar without one, after which the position is flat.
        volatility : float64 array of shape (n,), optional
            Root mean square of the last log returns; NaN where it is not known.
        held : int, optional
            Position before the bar `first`. By default it is not known: the positions are those of
            a flat start. In both cases `certain` says which of them do not depend on earlier bars.
        first : int, default 0
            First bar whose position is asked for, if `held` is given; earlier ones are uncertain.

        Raises
        ------
        TrainerError
            If a probability is outside [0, 1].
        """
        p = checked_probabilities(probability)
        known = self.first_known(p)
        if held is None:
            # Where a smoothed probability depends on earlier bars, so does what is held after it.
            first = known
        tail = None if volatility is None else volatility[first:]
        decided = self.decide_smoothed(self.smoothed(p)[first:], tail, held=held)
        if not max(first, known):
            return decided
        position, certain = np.zeros(len(p), dtype=np.int8), np.zeros(len(p), dtype=bool)
        position[first:], certain[first:] = decided
        certain[:known] = False
        return Held(position, certain)

    def first_known(self, probability: FloatArray) -> int:
        """Return the first bar whose smoothed probability does not depend on bars before all."""
        if not self.memory:
            return 0
        absent = np.flatnonzero(np.isnan(probability))
        return int(min(self.memory, len(probability), *absent[:1]))

    def smoothed(self, probability: FloatArray) -> FloatArray:
        """Return the probabilities on which the rule acts, shape (n,)."""
        return smooth_log_odds(probability, self.smooth) if self.smooth else probability

    @abstractmethod
    def decide_smoothed(
        self,
        probability: FloatArray,
        volatility: FloatArray | None = None,
        *,
        held: int | None = None,
    ) -> Held:
        """Return the positions of probabilities that are smoothed already; see `decide`."""

    def to_json(self) -> dict[str, Any]:
        """Return the rule as JSON values, which `trainer.serving.rules.rule_from_json` reads."""
        smooth = {"smooth": self.smooth} if self.smooth else {}
        return {"rule": self.kind, "value": self.value, "allow_short": self.allow_short, **smooth}


def checked_probabilities(probability: ArrayLike) -> FloatArray:
    """Return probabilities as float64, NaN kept; `TrainerError` if one is outside [0, 1]."""
    p = np.asarray(probability, dtype=np.float64)
    outside = (p < 0) | (p > 1)
    if outside.any():
        bad = p[outside][0]
        raise TrainerError(f"`probability` must be in [0, 1], got {bad}; calibrate scores first")
    return p


def smooth_log_odds(probability: FloatArray, span: int) -> FloatArray:
    """Return the exponentially weighted mean of log-odds, as probabilities.

    The mean begins anew after a bar without a probability, and looks `10 * span` bars back.

    Parameters
    ----------
    probability : float64 array of shape (n,)
        In [0, 1]; NaN for a bar without one, which stays NaN.
    span : int
        The weight of a bar is ``1 - 2 / (span + 1)`` of that of the bar after it.

    Examples
    --------
    >>> smooth_log_odds(np.array([0.5, 0.8, np.nan, 0.8]), span=3).round(3).tolist()
    [0.5, 0.716, nan, 0.8]
    """
    p = np.clip(probability, 1e-12, 1 - 1e-12)
    odds = np.log(p) - np.log1p(-p)
    row = np.arange(len(p))
    begins = np.maximum.accumulate(np.where(np.isnan(p), row, -1)) + 1
    keep = 1 - 2 / (span + 1)
    total, weights = np.zeros(len(p)), np.zeros(len(p))
    # Bar by bar in one order, so that a window gives the same bits as the whole series.
    for back in range(min(_SPANS * span, len(p) - 1) + 1):
        inside = row - back >= begins
        earlier = odds[np.maximum(row - back, 0)]
        total += np.where(inside, keep**back * earlier, 0.0)
        weights += np.where(inside, keep**back, 0.0)
    with np.errstate(invalid="ignore"):
        mean = total / weights
    return np.where(np.isnan(p), np.nan, 1 / (1 + np.exp(-mean)))
