"""The threshold that turns probabilities into positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.arrays import FloatArray
from trainer.errors import TrainerError
from trainer.serving.position_rule import Held, PositionRule, checked_probabilities


@dataclass(frozen=True)
class Threshold(PositionRule):
    """Rule for positions: long from a probability of a rise, short from one of a fall, else flat.

    Parameters
    ----------
    value : float or None
        Probability in [0.5, 1], or None for "do not trade".
    allow_short : bool, default True
        Whether positions may be short.
    smooth : int, default 0
        Span in bars of the mean of log-odds that is taken first; 0 for none.

    Raises
    ------
    TrainerError
        If ``value`` or ``smooth`` is out of range.
    """

    kind: ClassVar[str] = "threshold"
    holds: ClassVar[bool] = False

    def positions(self, probability: ArrayLike) -> NDArray[np.int8]:
        """Return 1 where ``p >= value``, -1 where ``1 - p >= value``, else 0.

        NaN gives 0: there is no decision. At ``p = value = 0.5`` both rules apply, and the position
        is long.

        Parameters
        ----------
        probability : array of any shape
            Probability of a rise, in [0, 1] or NaN.

        Returns
        -------
        int8 array of the same shape

        Raises
        ------
        TrainerError
            If a probability is outside [0, 1].

        Examples
        --------
        >>> probability = [0.8, 0.55, 0.5, 0.4, float("nan")]
        >>> Threshold(0.6).positions(probability).tolist()
        [1, 0, 0, -1, 0]
        >>> Threshold(0.6, allow_short=False).positions(probability).tolist()
        [1, 0, 0, 0, 0]
        >>> Threshold(None).positions(probability).tolist()
        [0, 0, 0, 0, 0]
        """
        p = checked_probabilities(probability)
        position = np.zeros(p.shape, dtype=np.int8)
        if self.value is None:
            return position
        if self.allow_short:
            # `p <= 1 - value` is not the same in floating point: 1 - 0.9 < 0.1.
            position[1 - p >= self.value] = -1
        position[p >= self.value] = 1
        return position

    def decide_smoothed(
        self,
        probability: FloatArray,
        volatility: FloatArray | None = None,
        *,
        held: int | None = None,
    ) -> Held:
        """Return the positions of smoothed probabilities; see `PositionRule.decide`."""
        return Held(self.positions(probability), np.ones(len(probability), dtype=bool))

    def to_json(self) -> dict[str, Any]:
        """Return ``{"value": ..., "allow_short": ...}``, the form of every earlier version."""
        if self.smooth:
            return super().to_json()
        return {"value": self.value, "allow_short": self.allow_short}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return the threshold of which `to_json` returned `data`, bit for bit.

        Raises
        ------
        TrainerError
            If a field is missing, unknown, or of another type.
        """
        if sorted(data) != ["allow_short", "value"]:
            raise TrainerError(
                f"a threshold must have the fields value and allow_short, got {list(data)}; "
                "write it with `to_json`"
            )
        value, allow_short = data["value"], data["allow_short"]
        if type(allow_short) is not bool or type(value) not in (int, float, type(None)):
            raise TrainerError(
                "a threshold must have a number or null as `value` and a boolean as `allow_short`, "
                f"got {value!r} and {allow_short!r}; write it with `to_json`"
            )
        return cls(value if value is None else float(value), allow_short)
