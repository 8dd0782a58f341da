"""The LightGBM adapter: deterministic fits on one thread, models stored as LightGBM's text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from adapters.base import (
    AdapterError,
    Batch,
    ModelAdapter,
    Range,
    Task,
    Value,
    check_fit,
    check_rows,
    not_fitted,
)

#: Objective and metric of each task.
_OBJECTIVES: dict[Task, tuple[str, str]] = {
    "classification": ("binary", "binary_logloss"),
    "regression": ("regression", "l2"),
}
#: Prefix of the last line of a stored model.
_DIGEST = "sha256:"
#: Settings that make two fits equal bit for bit (LightGBM documentation, `deterministic`).
_FIXED: dict[str, Value] = {
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


class LightGBMAdapter(ModelAdapter):
    """Gradient-boosted trees.

    By default the trees are small and regularised, and the learning rate is low: price bars
    contain little signal, and deep trees fit the noise within a few rounds. Early stopping ends a
    fit on rows that contain nothing to learn.
    """

    name: ClassVar[str] = "lightgbm"
    defaults: ClassVar[Mapping[str, Value]] = {
        "num_boost_round": 300,
        "early_stopping_rounds": 30,
        "learning_rate": 0.03,
        "num_leaves": 15,
        "min_data_in_leaf": 100,
        "feature_fraction": 0.6,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "max_bin": 63,
    }
    rules: ClassVar[Mapping[str, tuple[float, float]]] = {
        "num_boost_round": (1, 100_000),
        "early_stopping_rounds": (1, 100_000),
        "learning_rate": (1e-6, 1),
        "num_leaves": (2, 131_072),
        "min_data_in_leaf": (1, 1e9),
        "feature_fraction": (1e-3, 1),
        "bagging_fraction": (1e-3, 1),
        "bagging_freq": (0, 1_000_000),
        "lambda_l2": (0, 1e9),
        "max_bin": (2, 65_535),
    }
    space: ClassVar[Mapping[str, Range | tuple[Value, ...]]] = {
        "learning_rate": Range(0.01, 0.2, log=True),
        "num_leaves": Range(4, 63, log=True),
        "min_data_in_leaf": Range(20, 500, log=True),
        "feature_fraction": Range(0.2, 1.0),
        "lambda_l2": Range(0.1, 100.0, log=True),
    }
    requirements: ClassVar[tuple[str, ...]] = ("lightgbm",)

    _booster: lgb.Booster | None = None
    _curve: list[float]

    def fit(self, train: Batch, valid: Batch | None = None) -> Self:
        """Fit the trees; `valid` ends the fit early and selects the number of rounds."""
        check_fit(train, valid, self.task)
        params: dict[str, Any] = {**self.params, **_FIXED, "seed": self.seed}
        n_rounds, patience = params.pop("num_boost_round"), params.pop("early_stopping_rounds")
        params["objective"], params["metric"] = _OBJECTIVES[self.task]
        data = lgb.Dataset(train.X, train.y, weight=train.weight, params=params)
        curves: dict[str, dict[str, list[float]]] = {}
        valid_sets: list[lgb.Dataset] = []
        callbacks: list[Callable[..., Any]] = []
        if valid is not None:
            valid_sets = [data.create_valid(valid.X, valid.y, weight=valid.weight)]
            callbacks = [
                lgb.early_stopping(patience, verbose=False),
                lgb.record_evaluation(curves),
            ]
        try:
            booster = lgb.train(
                params, data, num_boost_round=n_rounds, valid_sets=valid_sets, callbacks=callbacks
            )
        except (lgb.basic.LightGBMError, ValueError) as error:
            raise AdapterError(
                f"LightGBM cannot fit {len(train)} rows with these hyperparameters: {error}"
            ) from error
        # The booster is read from its text, so that its scores equal those of a loaded model.
        text = booster.model_to_string(num_iteration=booster.best_iteration or None)
        self._booster = lgb.Booster(model_str=text)
        self._curve = next(iter(curves["valid_0"].values())) if curves else []
        return self

    def predict(
        self, X: npt.NDArray[np.float32], position: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float64]:
        """Return the score of each row; `position` has no effect."""
        booster = self.booster
        check_rows(X, booster.num_feature())
        if not len(X):
            return np.empty(0)
        return np.asarray(booster.predict(X, num_threads=1), dtype=np.float64)

    def contributions(self, X: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the SHAP values of the trees, which are exact (Lundberg et al. 2020)."""
        booster = self.booster
        check_rows(X, booster.num_feature())
        parts = booster.predict(X, pred_contrib=True, num_threads=1)
        return np.asarray(parts, dtype=np.float64)

    def get_artifacts(self) -> dict[str, Any]:
        """Return hyperparameters, number of rounds, validation curve, and importance by gain."""
        booster = self.booster
        return {
            "params": dict(self.params),
            "n_rounds": booster.num_trees(),
            "valid_curve": self._curve,
            "importance_gain": booster.feature_importance("gain").tolist(),
        }

    def save(self, path: Path) -> None:
        """Write LightGBM's text and its digest as the last line."""
        text = self.booster.model_to_string()
        path.write_text(f"{text}{_DIGEST}{hashlib.sha256(text.encode()).hexdigest()}\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a model that `save` wrote."""
        try:
            text, _, digest = path.read_text().rpartition(_DIGEST)
            # The digest is checked before the text is parsed: LightGBM's parser may end the whole
            # process when the text was altered.
            if digest.strip() != hashlib.sha256(text.encode()).hexdigest():
                raise AdapterError(
                    f"{path.name} is not a LightGBM model, or it is cut short or altered; "
                    "download or train it again"
                )
            booster = lgb.Booster(model_str=text)
        except (OSError, UnicodeDecodeError, lgb.basic.LightGBMError) as error:
            raise AdapterError(
                f"{path.name} is not a LightGBM model: {error}; download or train it again"
            ) from error
        objective = str(booster.dump_model(num_iteration=1).get("objective", ""))
        loaded = cls(task="classification" if objective.startswith("binary") else "regression")
        loaded._booster, loaded._curve = booster, []
        return loaded

    @property
    def booster(self) -> lgb.Booster:
        """Return the fitted trees; raise `AdapterError` before a fit."""
        if self._booster is None:
            raise not_fitted(self.name)
        return self._booster
