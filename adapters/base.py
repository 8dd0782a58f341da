"""The contract that every model keeps: fit on rows, score rows, survive on disk."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

Task = Literal["classification", "regression"]
Value = int | float | str | bool


class AdapterError(ValueError):
    """A model that cannot be fitted, used or loaded as asked; the text is for the user."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows handed to a model.

    Attributes
    ----------
    X : float32 array of shape (n, f)
        Finite features.
    y : float64 array of shape (n,)
        Class 0 or 1, or return.
    weight : float64 array of shape (n,)
        Positive sample weights.
    position : int64 array of shape (n,)
        Bar position of each row, strictly increasing. Rows follow each other in time only where
        positions do: a sequence model must not reach across a jump.
    forward_return : float64 array of shape (n,), optional
        Return of the one bar that follows each decision: what a model that trades is paid.
    cost : float
        Share of the traded notional that a change of position costs, per side.
    """

    X: npt.NDArray[np.float32]
    y: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    position: npt.NDArray[np.int64]
    forward_return: npt.NDArray[np.float64] | None = None
    cost: float = 0.0

    def __len__(self) -> int:
        return len(self.y)


class ModelAdapter(ABC):
    """A model behind one interface.

    Parameters
    ----------
    task : {"classification", "regression"}
        Whether y is a class or a return.
    seed : int, default 42
        Everything random follows from it: two fits on the same rows are equal bit for bit.
    device : str, default "cpu"
        Where to fit; adapters without a choice accept ``cpu`` and ``auto``.
    params : mapping, optional
        Hyperparameters by name, over `defaults`.

    Raises
    ------
    AdapterError
        For an unknown task or hyperparameter, or a value of another type.

    Notes
    -----
    Subclasses set `name`, `defaults`, `requirements` and, if they read earlier rows, `lookback`.
    Third parties offer one through the entry-point group ``barwright.adapters``.
    """

    name: ClassVar[str]
    defaults: ClassVar[Mapping[str, Value]] = {}
    #: Least and most value of hyperparameters that are numbers, both allowed.
    rules: ClassVar[Mapping[str, tuple[float, float]]] = {}
    devices: ClassVar[tuple[str, ...]] = ("cpu", "auto")
    #: Distributions that a served model needs beyond those of the packages themselves.
    requirements: ClassVar[tuple[str, ...]] = ()
    #: What a fit is about: labels with their weights, or the forward returns of single bars. A fit
    #: to labels may not depend on `forward_return` or `cost`: costs then change without a refit.
    fitted_to: ClassVar[Literal["labels", "returns"]] = "labels"

    def __init__(
        self,
        *,
        task: Task,
        seed: int = 42,
        device: str = "cpu",
        params: Mapping[str, Value] | None = None,
    ) -> None:
        if task not in ("classification", "regression"):
            raise AdapterError(f"`task` must be classification or regression, got {task!r}")
        if device not in self.devices:
            raise AdapterError(
                f"{self.name} runs on {' or '.join(self.devices)}, got device {device!r}"
            )
        self.task: Task = task
        self.seed = seed
        self.device = device
        self.params = resolve_params(self.name, self.defaults, params or {}, self.rules)
        #: Told how a long fit goes on, in a few words; does nothing until somebody listens.
        self.tell: Callable[[str], None] = _nobody

    @property
    def lookback(self) -> int:
        """Consecutive rows that one score needs, its own included."""
        return 1

    @property
    def trials(self) -> int:
        """Models that one fit tries: what evidence must count."""
        return 1

    @property
    def fit_device(self) -> str:
        """What a fit would run on here, by name: fits on another device have other bits."""
        return self.device if set(self.devices) > {"cpu", "auto"} else "cpu"

    @abstractmethod
    def fit(self, train: Batch, valid: Batch | None = None) -> Self:
        """Fit on `train`; `valid` (later rows, already purged) is for early stopping only.

        Raises
        ------
        AdapterError
            If there are no rows, or a value is not finite.
        """

    @abstractmethod
    def predict(
        self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float64]:
        """Score rows: in [0, 1] for classification, a return for regression.

        Parameters
        ----------
        X : float32 array of shape (n, f)
            Finite features, the columns of `fit`.
        position : int64 array of shape (n,), optional
            Bar positions; consecutive by default.

        Returns
        -------
        float64 array of shape (n,)
            NaN where fewer than `lookback` consecutive rows lead up to the row.

        Raises
        ------
        AdapterError
            If the model is not fitted, the columns are others, or a value is not finite.
        """

    def rollout(
        self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int8] | None:
        """Positions (-1, 0, 1) of a model that trades by itself, of shape (n,); None for others.

        They are reported beside the thresholded ones and never traded.
        """
        return None

    @abstractmethod
    def get_artifacts(self) -> dict[str, Any]:
        """Plain values about the fit, for people: hyperparameters used, curves, importance."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the fitted model to one file, without pickle."""

    @classmethod
    @abstractmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; scores are equal bit for bit."""


def resolve_params(
    model: str,
    defaults: Mapping[str, Value],
    given: Mapping[str, Value],
    rules: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, Value]:
    """Lay `given` over `defaults`.

    Raises
    ------
    AdapterError
        For an unknown name (the nearest one is offered), a value of another type, or one beyond
        the rules.
    """
    resolved = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            near = get_close_matches(name, defaults, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(defaults)}"
            raise AdapterError(f"{model} has no hyperparameter {name!r}; {hint}")
        wanted = type(defaults[name])
        if wanted is float and type(value) in (int, str):
            # YAML takes 1e-3 for a text.
            with suppress(ValueError, OverflowError):
                value = float(value)
        if type(value) is not wanted:
            shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}..."
            raise AdapterError(
                f"hyperparameter {name!r} of {model} must be {wanted.__name__}, got {shown}; its "
                f"default is {defaults[name]!r}"
            )
        least, most = (rules or {}).get(name, (-math.inf, math.inf))
        if not isinstance(value, str) and not least <= value <= most:
            raise AdapterError(
                f"hyperparameter {name!r} of {model} must be from {least:g} to {most:g}, "
                f"got {value!r}"
            )
        resolved[name] = value
    return resolved


def _nobody(text: str) -> None:
    """Nobody listens."""


def check_rows(X: npt.NDArray[np.float32], n_features: int | None = None) -> None:
    """Refuse rows that no model may see.

    Raises
    ------
    AdapterError
        If X is not two-dimensional, has other columns than the model, or holds NaN or infinity.
    """
    if X.ndim != 2:
        raise AdapterError(f"`X` must have rows and columns, got shape {X.shape}")
    if n_features is not None and X.shape[1] != n_features:
        raise AdapterError(
            f"`X` must have the {n_features} columns the model was fitted on, got {X.shape[1]}"
        )
    if not np.isfinite(X).all():
        raise AdapterError("`X` must be finite; drop rows with NaN or infinity before")


def check_batch(batch: Batch, task: Task) -> None:
    """Refuse a batch that cannot be fitted on.

    Raises
    ------
    AdapterError
        If it has no rows, arrays of different length, values that are not finite, classes other
        than 0 and 1, weights that are not positive, or positions that do not increase.
    """
    if not len(batch):
        raise AdapterError("there are no rows to fit on; give more bars or fewer splits")
    check_rows(batch.X)
    for name in ("X", "weight", "position", "forward_return"):
        array = getattr(batch, name)
        if array is not None and len(array) != len(batch):
            raise AdapterError(f"`{name}` and `y` must have the same length")
    if not (np.isfinite(batch.y).all() and np.isfinite(batch.weight).all()):
        raise AdapterError("`y` and `weight` must be finite; drop rows without a label before")
    if batch.forward_return is not None and not np.isfinite(batch.forward_return).all():
        raise AdapterError("`forward_return` must be finite; drop rows without one before")
    if not (math.isfinite(batch.cost) and batch.cost >= 0):
        raise AdapterError(f"`cost` must be >= 0 per side, got {batch.cost}")
    if task == "classification" and not np.isin(batch.y, (0.0, 1.0)).all():
        raise AdapterError("`y` must be class 0 or 1; use the task regression for returns")
    if not (batch.weight > 0).all():
        raise AdapterError("`weight` must be positive; leave rows out instead of weighting them 0")
    if not (np.diff(batch.position) > 0).all():
        raise AdapterError("`position` must be strictly increasing; sort the rows by time")


def not_fitted(model: str) -> AdapterError:
    """Build the error for a model that has nothing to score or save with."""
    return AdapterError(f"{model} is not fitted; call fit or load first")
