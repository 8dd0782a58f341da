"""Rules that hold a position until the probability no longer favours it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trainer.arrays import FloatArray
from trainer.errors import TrainerError
from trainer.serving.position_rule import BoolArray, Held, PositionRule

#: Mean of the absolute value of a standard normal variable.
_MEAN_ABSOLUTE = np.sqrt(2 / np.pi)


@dataclass(frozen=True)
class HoldingRule(PositionRule):
    """Rule that enters at signals of its own, and leaves at 0.5."""

    holds: ClassVar[bool] = True

    @abstractmethod
    def signals(
        self, value: float, probability: FloatArray, volatility: FloatArray | None
    ) -> tuple[BoolArray, BoolArray]:
        """Return where to enter long, and where short; at a bar that has both it is long."""

    def decide_smoothed(
        self,
        probability: FloatArray,
        volatility: FloatArray | None = None,
        *,
        held: int | None = None,
    ) -> Held:
        """Return the positions of smoothed probabilities; see `PositionRule.decide`."""
        if self.value is None:
            count = len(probability)
            return Held(np.zeros(count, dtype=np.int8), np.ones(count, dtype=bool))
        long, short = self.signals(self.value, probability, volatility)
        short = short & ~long & self.allow_short
        return hold(probability, long, short, held=held, allow_short=self.allow_short)


@dataclass(frozen=True)
class Exit(HoldingRule):
    """Enter at a probability, and leave at 0.5.

    Long from ``p >= value`` until ``p < 0.5``, short from ``1 - p >= value`` until ``1 - p < 0.5``.

    Examples
    --------
    >>> p = [0.55, 0.7, 0.55, 0.5, 0.45, 0.3, 0.4, float("nan"), 0.4]
    >>> Exit(0.7).decide(p, held=0).position.tolist()
    [0, 1, 1, 1, 0, -1, -1, 0, 0]

    Of a window that begins later, only a signal, or leaving on both sides, says what is held:

    >>> Exit(0.7).decide([0.55, 0.5, 0.55, 0.45, 0.55]).certain.tolist()
    [False, False, False, True, True]
    """

    kind: ClassVar[str] = "exit"

    def signals(
        self, value: float, probability: FloatArray, volatility: FloatArray | None
    ) -> tuple[BoolArray, BoolArray]:
        """Return where the probability of a rise, or of a fall, reaches the value."""
        return probability >= value, 1 - probability >= value


@dataclass(frozen=True)
class BreakEven(HoldingRule):
    """Enter where the expected move pays for its round trip, and leave at 0.5.

    The expected move over the horizon is ``(2 p - 1) sqrt(2 / pi) sigma sqrt(horizon)``: the mean
    of a normal move of volatility sigma in the likelier direction, less that in the other one. It
    must reach twice the costs of a side.

    Parameters
    ----------
    value : 0.5 or None
        None for "do not trade".
    cost : float
        Costs of a side, as a share of the traded notional.
    horizon : int
        Bars over which a move is predicted.
    window : int
        Returns of which the volatility is taken.
    """

    cost: float = 0.0
    horizon: int = 1
    window: int = 72

    kind: ClassVar[str] = "break-even"
    searched: ClassVar[bool] = False

    @property
    def volatility_window(self) -> int:
        """Number of returns of which the volatility is needed."""
        return self.window

    def signals(
        self, value: float, probability: FloatArray, volatility: FloatArray | None
    ) -> tuple[BoolArray, BoolArray]:
        """Return where the expected move, up or down, pays for its round trip."""
        if volatility is None:
            raise TrainerError("`volatility` must be given to the rule break-even")
        move = _MEAN_ABSOLUTE * volatility * np.sqrt(self.horizon)
        edge = (2 * probability - 1) * move
        return edge >= 2 * self.cost, edge <= -2 * self.cost

    def to_json(self) -> dict[str, Any]:
        """Return the rule as JSON values, with what the break-even depends on."""
        own = {"cost": self.cost, "horizon": self.horizon, "window": self.window}
        return {**super().to_json(), **own}


def hold(
    probability: FloatArray,
    long: BoolArray,
    short: BoolArray,
    *,
    held: int | None = None,
    allow_short: bool = True,
) -> Held:
    """Enter at a signal, and leave where the probability no longer favours the position.

    A signal always sets the position, so that an opposite one turns it. A long position is left
    where the probability of a rise is below 0.5, a short one where it is above 0.5. After a bar
    without a probability the position is flat.

    Parameters
    ----------
    probability : float64 array of shape (n,)
        Of a rise, one value for each bar of a contiguous axis; NaN for a bar without one.
    long, short : bool arrays of shape (n,)
        Where there is a signal to enter; never both, and none where the probability is NaN.
    held : int, optional
        Position before the first bar, if it is known.
    allow_short : bool, default True
        Whether the unknown position before the first bar may be short.
    """
    row = np.arange(len(probability))
    signal = np.where(long, 1, np.where(short, -1, 0)).astype(np.int8)
    # -1 is the place of what was held before the first bar.
    forced = np.maximum.accumulate(np.where(long | short | np.isnan(probability), row, -1))
    left_long = np.maximum.accumulate(np.where(probability < 0.5, row, -1))
    left_short = np.maximum.accumulate(np.where(probability > 0.5, row, -1))
    entered = np.where(forced >= 0, signal[np.maximum(forced, 0)], np.int8(held or 0))
    kept = (entered == 1) & (left_long <= forced) | (entered == -1) & (left_short <= forced)
    position = np.where(kept, entered, 0).astype(np.int8)
    if held is not None:
        return Held(position, np.ones(len(position), dtype=bool))
    # Without a signal, whatever was held has been left.
    left = (left_long >= 0) & ((left_short >= 0) | (not allow_short))
    return Held(position, (forced >= 0) | left)
