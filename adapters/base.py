"""The contract of every model: fit on rows, score rows, save to a file."""

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

from barwright import BarwrightError

Task = Literal["classification", "regression"]
#: Value of a hyperparameter.
Value = int | float | str | bool


class AdapterError(BarwrightError):
    """A model cannot be created, fitted, used or loaded; the text is written for the user."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows that a model is fitted on.

    Attributes
    ----------
    X : float32 array of shape (n, f)
        Finite features.
    y : float64 array of shape (n,)
        Label: class 0 or 1 (classification), or a return (regression).
    weight : float64 array of shape (n,)
        Positive sample weights.
    position : int64 array of shape (n,)
        Bar position of each row, strictly increasing. Two neighbouring rows are consecutive bars
        only if their positions differ by 1. A larger difference is a jump: the input of a sequence
        model must not cross it.
    forward_return : float64 array of shape (n,), optional
        Return of the one bar that follows each decision. A model that trades is rewarded with it.
    cost : float
        Cost per side of a change of position, as a share of the traded notional.
    """

    X: npt.NDArray[np.float32]
    y: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    position: npt.NDArray[np.int64]
    forward_return: npt.NDArray[np.float64] | None = None
    cost: float = 0.0

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Range:
    """Values of a hyperparameter that a search may try, with both ends.

    Attributes
    ----------
    low, high : int or float
        Two integers stand for the integers between them.
    log : bool
        Whether equal steps are equal ratios.
    """

    low: float
    high: float
    log: bool = False


class ModelAdapter(ABC):
    """Interface of every model.

    Parameters
    ----------
    task : {"classification", "regression"}
        Whether y is a class or a return.
    seed : int, default 42
        Seed of every random draw. Two fits on the same rows with the same seed are equal bit for
        bit.
    device : str, default "cpu"
        Device of the fit. Adapters that can only use the CPU accept ``cpu`` and ``auto``.
    params : mapping, optional
        Hyperparameters by name. They replace the values in `defaults`.

    Attributes
    ----------
    on_progress : callable
        Receives a short text at each step of a long fit. By default it does nothing.

    Raises
    ------
    AdapterError
        If the task, the device or a hyperparameter is unknown, or if a hyperparameter has another
        type or breaks its rule.

    Notes
    -----
    Subclasses set `name`, `defaults` and `requirements`. A subclass that reads earlier rows also
    overrides `lookback`. Other distributions register a subclass in the entry-point group
    ``barwright.adapters``.
    """

    name: ClassVar[str]
    defaults: ClassVar[Mapping[str, Value]] = {}
    #: Least and most value of each numeric hyperparameter; both are allowed.
    rules: ClassVar[Mapping[str, tuple[float, float]]] = {}
    #: Hyperparameters that a search varies, each with its range or its values; the default is among
    #: them.
    space: ClassVar[Mapping[str, Range | tuple[Value, ...]]] = {}
    devices: ClassVar[tuple[str, ...]] = ("cpu", "auto")
    #: Distributions that a served model needs in addition to the core dependencies of barwright.
    requirements: ClassVar[tuple[str, ...]] = ()
    #: Target of the fit: labels with their weights, or the forward returns of single bars. A fit to
    #: labels must not depend on `forward_return` or `cost`, so that a change of the costs needs no
    #: new fit.
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
        self.on_progress: Callable[[str], None] = _ignore_progress

    @property
    def lookback(self) -> int:
        """Number of consecutive rows that one score needs, including the scored row."""
        return 1

    @property
    def trials(self) -> int:
        """Number of models that one fit tries; the evidence counts each of them as a trial."""
        return 1

    @property
    def fit_device(self) -> str:
        """Name of the device that a fit on this machine uses.

        Fits on different devices differ in their last bits.
        """
        return self.device if set(self.devices) > {"cpu", "auto"} else "cpu"

    @abstractmethod
    def fit(self, train: Batch, valid: Batch | None = None) -> Self:
        """Fit the model on `train`.

        Parameters
        ----------
        train : Batch
        valid : Batch, optional
            Later rows, already purged. They are used for early stopping only.

        Raises
        ------
        AdapterError
            If a batch has no rows or a value that is not finite.
        """

    @abstractmethod
    def predict(
        self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float64]:
        """Return the score of each row: in [0, 1] for classification, a return for regression.

        Parameters
        ----------
        X : float32 array of shape (n, f)
            Finite features, with the same columns as in `fit`.
        position : int64 array of shape (n,), optional
            Bar positions. By default the rows are consecutive bars.

        Returns
        -------
        float64 array of shape (n,)
            NaN where fewer than `lookback` consecutive rows end at the row.

        Raises
        ------
        AdapterError
            If the model is not fitted, X has other columns, or a value is not finite.
        """

    def rollout(
        self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int8] | None:
        """Return the model's own positions; None if the model only scores rows.

        These positions are reported, but not traded. Traded positions come from the threshold.

        Returns
        -------
        int8 array of shape (n,), or None
            Positions -1, 0 or 1.
        """
        return None

    def contributions(self, X: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the part of each feature in the score of each row, for models that state it.

        Parameters
        ----------
        X : float32 array of shape (n, f)
            Finite features, with the same columns as in `fit`.

        Returns
        -------
        float64 array of shape (n, f + 1)
            The last column is the part of no feature. A row adds up to the log-odds of its score
            (classification) or to its score (regression).

        Raises
        ------
        AdapterError
            If models of this kind do not state their parts exactly.
        """
        raise AdapterError(
            f"{self.name} does not state what each feature adds to a score; lightgbm does"
        )

    @abstractmethod
    def get_artifacts(self) -> dict[str, Any]:
        """Return JSON values that describe the fit: hyperparameters, curves, importance."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the fitted model to one file, without pickle."""

    @classmethod
    @abstractmethod
    def load(cls, path: Path) -> Self:
        """Read a model that `save` wrote; its scores are equal bit for bit."""


def resolve_params(
    model: str,
    defaults: Mapping[str, Value],
    given: Mapping[str, Value],
    rules: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, Value]:
    """Return the defaults, with the given values in place of theirs.

    A float is also accepted as an int or as text, because YAML reads ``1e-3`` as text.

    Raises
    ------
    AdapterError
        If a name is unknown (the text offers the nearest name), or if a value has another type
        than the default or breaks its rule.

    Examples
    --------
    >>> defaults = {"hidden": 32, "dropout": 0.1}
    >>> rules = {"hidden": (1, 1_024), "dropout": (0, 1)}
    >>> resolve_params("gru", defaults, {"dropout": "2e-1"}, rules)
    {'hidden': 32, 'dropout': 0.2}
    >>> resolve_params("gru", defaults, {"hidden": 0}, rules)
    Traceback (most recent call last):
    adapters.base.AdapterError: hyperparameter 'hidden' of gru must be from 1 to 1024, got 0
    """
    resolved = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            nearest = get_close_matches(name, defaults, n=1)
            hint = (
                f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(defaults)}"
            )
            raise AdapterError(f"{model} has no hyperparameter {name!r}; {hint}")
        resolved[name] = _converted(model, name, value, defaults[name])
        _check_rule(model, name, resolved[name], (rules or {}).get(name, (-math.inf, math.inf)))
    return resolved


def _converted(model: str, name: str, value: Value, default: Value) -> Value:
    """Return the value with the type of the default."""
    required = type(default)
    if required is float and type(value) in (int, str):
        with suppress(ValueError, OverflowError):
            value = float(value)
    if type(value) is not required:
        text = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}..."
        raise AdapterError(
            f"hyperparameter {name!r} of {model} must be {required.__name__}, got {text}; its "
            f"default is {default!r}"
        )
    return value


def _check_rule(model: str, name: str, value: Value, rule: tuple[float, float]) -> None:
    least, most = rule
    if not isinstance(value, str) and not least <= value <= most:
        raise AdapterError(
            f"hyperparameter {name!r} of {model} must be from {least:g} to {most:g}, got {value!r}"
        )


def _ignore_progress(text: str) -> None:
    """Do nothing: the default of `on_progress`."""


def check_rows(X: npt.NDArray[np.float32], n_features: int | None = None) -> None:
    """Check rows before a fit or a score.

    Parameters
    ----------
    X : float32 array of shape (n, f)
    n_features : int, optional
        Number of columns that the model was fitted on; by default any number is accepted.

    Raises
    ------
    AdapterError
        If X is not two-dimensional, has another number of columns, or contains NaN or infinity.
    """
    if X.ndim != 2:
        raise AdapterError(f"`X` must have rows and columns, got shape {X.shape}")
    if n_features is not None and X.shape[1] != n_features:
        raise AdapterError(
            f"`X` must have the {n_features} columns that the model was fitted on, got {X.shape[1]}"
        )
    if not np.isfinite(X).all():
        raise AdapterError("`X` must be finite; first drop the rows with NaN or infinity")


def check_batch(batch: Batch, task: Task) -> None:
    """Check a batch before a fit.

    Raises
    ------
    AdapterError
        If the batch has no rows, arrays of different length, values that are not finite, classes
        other than 0 and 1, weights that are not positive, positions that do not increase, or a
        negative cost.
    """
    if not len(batch):
        raise AdapterError("there are no rows to fit on; give more bars or fewer splits")
    check_rows(batch.X)
    for name in ("X", "weight", "position", "forward_return"):
        array = getattr(batch, name)
        if array is not None and len(array) != len(batch):
            raise AdapterError(f"`{name}` and `y` must have the same length")
    if not (np.isfinite(batch.y).all() and np.isfinite(batch.weight).all()):
        raise AdapterError("`y` and `weight` must be finite; first drop the rows without a label")
    if batch.forward_return is not None and not np.isfinite(batch.forward_return).all():
        raise AdapterError("`forward_return` must be finite; first drop the rows without one")
    if not (math.isfinite(batch.cost) and batch.cost >= 0):
        raise AdapterError(f"`cost` must be >= 0 per side, got {batch.cost}")
    if task == "classification" and not np.isin(batch.y, (0.0, 1.0)).all():
        raise AdapterError("`y` must be class 0 or 1; use the task regression for returns")
    if not (batch.weight > 0).all():
        raise AdapterError("`weight` must be positive; leave rows out instead of weighting them 0")
    if not (np.diff(batch.position) > 0).all():
        raise AdapterError("`position` must be strictly increasing; sort the rows by time")


def check_fit(train: Batch, valid: Batch | None, task: Task) -> None:
    """Check both batches of a fit.

    Raises
    ------
    AdapterError
        If one of them fails `check_batch`, or if their columns differ.
    """
    check_batch(train, task)
    if valid is not None:
        check_batch(valid, task)
        check_rows(valid.X, train.X.shape[1])


def not_fitted(model: str) -> AdapterError:
    """Return the error for a use of a model before `fit` or `load`."""
    return AdapterError(f"{model} is not fitted; call fit or load first")
