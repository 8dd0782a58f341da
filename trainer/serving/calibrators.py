"""Calibrators map a model's scores to probabilities, and survive JSON bit for bit.

A calibrator is a handful of float64 numbers. Python writes a float to JSON so that reading it gives
the same float. So a loaded calibrator returns the probabilities of the fitted one. A calibrator
never reverses the order of two scores (apart from the last bit).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.errors import TrainerError

Floats = NDArray[np.float64]

#: Isotonic probabilities stay this far from 0 and 1, which would claim certainty from a few rows.
FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class Calibrator(ABC):
    """A monotone map from scores to probabilities."""

    kind: ClassVar[str]

    def transform(self, scores: ArrayLike) -> Floats:
        """Return probabilities, float64, of the shape of ``scores``; NaN stays NaN.

        Raises
        ------
        TrainerError
            If a score is infinite, or out of the range that this calibrator knows.
        """
        values = np.asarray(scores, dtype=np.float64)
        if np.isinf(values).any():
            raise TrainerError("`scores` must be finite or NaN, got inf; check the model's output")
        return self._map(values)

    @property
    def is_constant(self) -> bool:
        """Whether every score gets the same probability: the scores told nothing."""
        return False

    def to_json(self) -> dict[str, Any]:
        """Return ``{"kind": ..., parameters}``, ready for `json.dumps`."""
        given = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        return {"kind": self.kind, **{name: value.tolist() for name, value in given.items()}}

    @abstractmethod
    def _map(self, scores: Floats) -> Floats: ...


@dataclass(frozen=True)
class PlattCalibrator(Calibrator):
    """Sigmoid ``1 / (1 + exp(-(a * score + b)))`` with ``a >= 0``."""

    a: float
    b: float
    kind: ClassVar[str] = "platt"

    def __post_init__(self) -> None:
        if not (0 <= self.a < np.inf and np.isfinite(self.b)):
            raise TrainerError(
                f"`a` must be >= 0 and `b` finite, got {self.a} and {self.b}; fit the calibrator"
            )

    @property
    def is_constant(self) -> bool:
        """Whether the slope is zero."""
        return self.a == 0

    def _map(self, scores: Floats) -> Floats:
        with np.errstate(over="ignore"):  # beyond the largest float the sigmoid is flat
            return sigmoid(self.a * scores + self.b)


@dataclass(frozen=True, eq=False)
class IsotonicCalibrator(Calibrator):
    """Linear interpolation between knots, constant beyond the first and the last one."""

    knots_x: Floats
    knots_y: Floats
    kind: ClassVar[str] = "isotonic"

    def __post_init__(self) -> None:
        x, y = (np.array(k, dtype=np.float64) for k in (self.knots_x, self.knots_y))
        sound = x.ndim == 1 and x.shape == y.shape and x.size > 0 and np.isfinite(x).all()
        sound = sound and (np.diff(x) > 0).all() and (np.diff(y) >= 0).all()
        if not (sound and y[0] >= FLOOR and y[-1] <= 1 - FLOOR):
            raise TrainerError(
                "`knots_x` must increase, each with a `knots_y` in [1e-6, 1 - 1e-6] that never "
                f"falls, got {x} and {y}; fit the calibrator"
            )
        for name, knots in (("knots_x", x), ("knots_y", y)):
            knots.flags.writeable = False
            object.__setattr__(self, name, knots)

    @property
    def is_constant(self) -> bool:
        """Whether all knots are at one height."""
        return bool(self.knots_y[0] == self.knots_y[-1])

    def _map(self, scores: Floats) -> Floats:
        return np.asarray(np.interp(scores, self.knots_x, self.knots_y), dtype=np.float64)


@dataclass(frozen=True)
class IdentityCalibrator(Calibrator):
    """Scores that are probabilities already, in [0, 1]."""

    kind: ClassVar[str] = "none"

    def _map(self, scores: Floats) -> Floats:
        outside = (scores < 0) | (scores > 1)
        if outside.any():
            raise TrainerError(
                "`scores` must be in [0, 1] for calibration 'none', got "
                f"{scores[outside][0]}; use calibration 'platt'"
            )
        return scores.copy()


def calibrator_from_json(data: dict[str, Any]) -> Calibrator:
    """Return the calibrator that `Calibrator.to_json` described, bit for bit.

    Raises
    ------
    TrainerError
        If the kind is unknown, a field is missing or unknown, or a number is not finite.
    """
    kinds = {c.kind: c for c in (PlattCalibrator, IsotonicCalibrator, IdentityCalibrator)}
    kind = data.get("kind")
    if kind not in kinds:
        raise TrainerError(
            f"`kind` of a calibrator must be one of {', '.join(kinds)}, got {kind!r}"
        )
    given = {name: value for name, value in data.items() if name != "kind"}
    wanted = [field.name for field in fields(kinds[kind])]
    if sorted(given) != sorted(wanted):
        raise TrainerError(
            f"a calibrator of kind '{kind}' must have the fields {wanted}, got {list(given)}; "
            "write it with `to_json`"
        )
    for name, value in given.items():
        numbers = value if isinstance(value, list) else [value]
        if not all(type(n) in (int, float) and np.isfinite(n) for n in numbers):
            raise TrainerError(
                f"`{name}` of a calibrator must hold finite numbers, got {value!r:.60}; "
                "write it with `to_json`"
            )
    return kinds[kind](**given)


def sigmoid(z: Floats) -> Floats:
    """Return ``1 / (1 + exp(-z))``, increasing in floating point too."""
    # One expression for both signs keeps the order of neighbours; the bound avoids an overflow.
    return 1.0 / (1.0 + np.exp(np.minimum(-z, 700.0)))
