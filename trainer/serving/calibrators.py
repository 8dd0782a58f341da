"""Calibrators map scores to probabilities, with JSON forms that keep every bit.

A calibrator consists of a few float64 numbers. Python writes a float to JSON so that reading it
gives the same float. So a loaded calibrator returns the probabilities of the fitted one. A
calibrator never reverses the order of two scores (apart from the last bit).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from trainer.arrays import FloatArray
from trainer.errors import TrainerError

CalibratorKind = Literal["platt", "isotonic", "none"]
#: A calibrator kind, or ``auto``, which chooses Platt or isotonic when it is fitted.
CalibrationMethod = Literal[CalibratorKind, "auto"]
#: The names of all methods.
METHODS: tuple[CalibrationMethod, ...] = get_args(CalibrationMethod)
#: Isotonic probabilities are at least this far from 0 and 1: a few rows do not prove certainty.
FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class Calibrator(ABC):
    """A monotone map from scores to probabilities."""

    kind: ClassVar[CalibratorKind]

    def transform(self, scores: ArrayLike) -> FloatArray:
        """Return probabilities, float64, of the shape of ``scores``; NaN stays NaN.

        Raises
        ------
        TrainerError
            If a score is infinite, or out of the range of this calibrator.
        """
        values = np.asarray(scores, dtype=np.float64)
        if np.isinf(values).any():
            raise TrainerError("`scores` must be finite or NaN, got inf; check the model's output")
        return self._map(values)

    @property
    def is_constant(self) -> bool:
        """Whether every score gets the same probability: the scores do not rank outcomes."""
        return False

    def to_json(self) -> dict[str, Any]:
        """Return ``{"kind": ..., parameters}``, ready for `json.dumps`."""
        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        return {"kind": self.kind, **{name: array.tolist() for name, array in arrays.items()}}

    @abstractmethod
    def _map(self, scores: FloatArray) -> FloatArray: ...


@dataclass(frozen=True)
class PlattCalibrator(Calibrator):
    """Sigmoid ``1 / (1 + exp(-(a * score + b)))`` with ``a >= 0``.

    Examples
    --------
    >>> PlattCalibrator(a=2.0, b=-1.0).transform([0.0, 0.5, 1.0]).round(4).tolist()
    [0.2689, 0.5, 0.7311]
    """

    a: float
    b: float
    kind: ClassVar[CalibratorKind] = "platt"

    def __post_init__(self) -> None:
        if not (0 <= self.a < np.inf and np.isfinite(self.b)):
            raise TrainerError(
                f"`a` must be >= 0 and `b` finite, got {self.a} and {self.b}; fit the calibrator"
            )

    @property
    def is_constant(self) -> bool:
        """Whether the slope is zero."""
        return self.a == 0

    def _map(self, scores: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):  # beyond the largest float the sigmoid is flat
            return sigmoid(self.a * scores + self.b)


@dataclass(frozen=True, eq=False)
class IsotonicCalibrator(Calibrator):
    """Linear interpolation between knots, constant beyond the first and the last one.

    Parameters
    ----------
    knots_x : float64 array of shape (k,)
        Scores, strictly increasing.
    knots_y : float64 array of shape (k,)
        Probabilities in [`FLOOR`, 1 - `FLOOR`], never decreasing.

    Examples
    --------
    >>> calibrator = IsotonicCalibrator(np.array([0.0, 1.0]), np.array([0.2, 0.6]))
    >>> calibrator.transform([-5.0, 0.5, 2.0]).tolist()
    [0.2, 0.4, 0.6]
    """

    knots_x: FloatArray
    knots_y: FloatArray
    kind: ClassVar[CalibratorKind] = "isotonic"

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
        """Whether all knots have the same probability."""
        return bool(self.knots_y[0] == self.knots_y[-1])

    def _map(self, scores: FloatArray) -> FloatArray:
        return np.asarray(np.interp(scores, self.knots_x, self.knots_y), dtype=np.float64)


@dataclass(frozen=True)
class IdentityCalibrator(Calibrator):
    """Scores that are probabilities already, in [0, 1].

    Examples
    --------
    >>> IdentityCalibrator().transform([0.25, 0.5]).tolist()
    [0.25, 0.5]
    """

    kind: ClassVar[CalibratorKind] = "none"

    def _map(self, scores: FloatArray) -> FloatArray:
        outside = (scores < 0) | (scores > 1)
        if outside.any():
            raise TrainerError(
                "`scores` must be in [0, 1] for calibration 'none', got "
                f"{scores[outside][0]}; use calibration 'platt'"
            )
        return scores.copy()


_CLASSES: dict[str, type[Calibrator]] = {
    cls.kind: cls for cls in (PlattCalibrator, IsotonicCalibrator, IdentityCalibrator)
}


def calibrator_from_json(data: dict[str, Any]) -> Calibrator:
    """Return the calibrator of which `Calibrator.to_json` returned `data`, bit for bit.

    Raises
    ------
    TrainerError
        If the kind is unknown, a field is missing or unknown, or a number is not finite.

    Examples
    --------
    >>> calibrator_from_json({"kind": "platt", "a": 2.0, "b": -1.0})
    PlattCalibrator(a=2.0, b=-1.0)
    """
    kind = data.get("kind")
    if kind not in _CLASSES:
        raise TrainerError(
            f"`kind` of a calibrator must be one of {', '.join(_CLASSES)}, got {kind!r}"
        )
    stored = {name: value for name, value in data.items() if name != "kind"}
    required = [field.name for field in fields(_CLASSES[kind])]
    if sorted(stored) != sorted(required):
        raise TrainerError(
            f"a calibrator of kind '{kind}' must have the fields {required}, got {list(stored)}; "
            "write it with `to_json`"
        )
    for name, value in stored.items():
        numbers = value if isinstance(value, list) else [value]
        if not all(type(n) in (int, float) and np.isfinite(n) for n in numbers):
            raise TrainerError(
                f"`{name}` of a calibrator must hold finite numbers, got {value!r:.60}; "
                "write it with `to_json`"
            )
    return _CLASSES[kind](**stored)


def sigmoid(z: FloatArray) -> FloatArray:
    """Return ``1 / (1 + exp(-z))``, increasing in floating point too."""
    # One expression for both signs keeps the order of neighbours; the bound avoids an overflow.
    return 1.0 / (1.0 + np.exp(np.minimum(-z, 700.0)))
