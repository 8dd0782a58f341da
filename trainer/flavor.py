"""MLflow form of a `TradingModel`: a pyfunc for everybody, data only for those who have us."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import pandas as pd
import yaml
from mlflow.exceptions import MlflowException
from mlflow.models.model import Model, ModelInfo
from mlflow.models.signature import ModelSignature
from mlflow.types.schema import AnyType, ColSpec, ParamSchema, ParamSpec, Schema

from adapters.base import AdapterError
from features.errors import InputError
from trainer.errors import TrainerError
from trainer.serving.manifest import EVIDENCE, MANIFEST, golden_frame, read_json, sha256
from trainer.serving.trading_model import TradingModel

_ROOT = Path(__file__).resolve().parent.parent
#: Packages shipped with each model, so that consumers without barwright can serve it.
_CODE = [str(_ROOT / name) for name in ("features", "adapters", "trainer")]
#: Distributions that every model needs, besides those of its adapter.
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "PyYAML", "TA-Lib")

SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            # AnyType: a datetime column would refuse UTC-aware times, and text over HTTP.
            ColSpec(AnyType(), "timestamp"),
            *(ColSpec("double", name) for name in ("open", "high", "low", "close")),
            # Shares are counted in whole numbers, and MLflow refuses int64 for double.
            ColSpec(AnyType(), "volume"),
        ]
    ),
    outputs=Schema(
        [
            ColSpec("string", "timestamp"),
            ColSpec("double", "score"),
            ColSpec("double", "probability"),
            ColSpec("long", "position"),
        ]
    ),
    params=ParamSchema([ParamSpec("last", "long", 0)]),
)


def save_model(
    model_folder: Path,
    path: Path | str,
    *,
    requirements: Sequence[str] = (),
    validate_serving_input: bool = True,
    **kwargs: Any,
) -> None:
    """Write a saved `TradingModel` as an MLflow model folder.

    Parameters
    ----------
    model_folder : pathlib.Path
        What `TradingModel.save` wrote.
    path : pathlib.Path
        New folder.
    requirements : sequence of str
        Further distributions that serving needs, pinned to the installed version.
    validate_serving_input : bool
        For `Model.log`, which hands it on; saving does not look at it.
    **kwargs
        Passed on to `mlflow.pyfunc.save_model`.
    """
    mlflow.pyfunc.save_model(path=str(path), **_pyfunc(model_folder, requirements), **kwargs)


def log_model(
    model_folder: Path, name: str, *, requirements: Sequence[str] = (), **kwargs: Any
) -> ModelInfo:
    """Log a saved `TradingModel` to the active run, without registering it.

    Parameters
    ----------
    model_folder : pathlib.Path
        What `TradingModel.save` wrote.
    name : str
        Name of the logged model.
    requirements : sequence of str
        Further distributions that serving needs, pinned to the installed version.
    **kwargs
        Passed on to `mlflow.models.Model.log`.

    Returns
    -------
    mlflow.models.model.ModelInfo
        Its ``model_uri`` is what is verified, and only then registered.
    """
    if kwargs.get("registered_model_name"):
        raise TrainerError(
            "`registered_model_name` would register a model that nobody has loaded yet; "
            "log it, verify it, and register it with trainer.registry.register"
        )
    info: ModelInfo = Model.log(
        artifact_path=None,
        name=name,
        flavor=sys.modules[__name__],
        # The verifier serves it in a fresh process; MLflow would load it in this one.
        validate_serving_input=False,
        model_folder=model_folder,
        requirements=requirements,
        **kwargs,
    )
    return info


def load_model(model_uri: str, *, manifest_sha256: str | None = None) -> TradingModel:
    """Load a model as data only: downloaded, verified, and run by the code installed here.

    Parameters
    ----------
    model_uri : str
        ``models:/lightgbm-EURUSD@latest``, ``models:/lightgbm-EURUSD/3``, ``models:/m-...``.
    manifest_sha256 : str, optional
        What the registry says of the manifest: with it the files are those that were verified,
        and not only consistent with each other.

    Raises
    ------
    TrainerError
        If it holds no `TradingModel`, another one, or does not pass `TradingModel.load`.
    """
    with _opened(model_uri, manifest_sha256) as folder:
        return TradingModel.load(folder)


def load_evidence(
    model_uri: str, *, manifest_sha256: str | None = None
) -> tuple[TradingModel, dict[str, Any], dict[str, Any]]:
    """Load a model as `load_model` does, with what it says of itself.

    Returns
    -------
    model : TradingModel
    metrics : dict
        Its metrics.json: ``metrics`` and ``blocks``.
    evidence : dict
        Its evidence.json; empty for models of format 1, which had none.
    """
    with _opened(model_uri, manifest_sha256) as folder:
        model = TradingModel.load(folder)
        there = (folder / EVIDENCE).is_file()
        return (
            model,
            read_json(folder / "metrics.json"),
            read_json(folder / EVIDENCE) if there else {},
        )


@contextlib.contextmanager
def _opened(model_uri: str, manifest_sha256: str | None) -> Iterator[Path]:
    """Download a model and check that its manifest is the registered one."""
    with tempfile.TemporaryDirectory(prefix="barwright-") as temporary:
        folder = Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=temporary))
        inside = data_folder(folder)
        if manifest_sha256 is not None and sha256(inside / MANIFEST) != manifest_sha256:
            raise TrainerError(
                f"{MANIFEST} of {model_uri} is not the one that was registered; the stored files "
                "were altered: restore them, or train again"
            )
        yield inside


def data_folder(folder: Path) -> Path:
    """Folder of the `TradingModel` within a downloaded MLflow model.

    Raises
    ------
    TrainerError
        If the folder holds no model of ours.
    """
    try:
        described = yaml.safe_load((folder / "MLmodel").read_text())
        flavor = described["flavors"]["python_function"]
        relative = Path(flavor["data"])
        ours = flavor["loader_module"] == __name__
        inside = (folder / relative).resolve()
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        why = f"no {error} in its MLmodel" if isinstance(error, KeyError) else str(error)
        first = next(iter(why.splitlines()), type(error).__name__)
        raise TrainerError(f"the model is not one of ours: {first}; give another URI") from error
    if not ours or not inside.is_relative_to(folder.resolve()):
        raise TrainerError("the model is not one of ours; give a model that barwright trained")
    if not (inside / MANIFEST).is_file():
        raise TrainerError(f"the model lacks {MANIFEST}; train it again")
    return inside


def _load_pyfunc(path: str) -> _Pyfunc:
    """Load for `mlflow.pyfunc.load_model`; called by MLflow."""
    return _Pyfunc(TradingModel.load(Path(path)))


class _Pyfunc:
    """What `mlflow.pyfunc` calls: the same `decide`, times as ISO text so that JSON keeps them."""

    def __init__(self, model: TradingModel) -> None:
        self.model = model

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        try:
            decided = self.model.decide(model_input, last=int((params or {}).get("last", 0)))
        except (InputError, TrainerError, AdapterError) as error:
            # What a server would otherwise hide behind a sentence of its own.
            raise MlflowException.invalid_parameter_value(str(error)) from error
        decided["timestamp"] = [moment.isoformat() for moment in decided["timestamp"]]
        return decided


def _input_example(model_folder: Path) -> pd.DataFrame:
    """Golden bars, with times as text: what a request over HTTP looks like."""
    frame = golden_frame(json.loads((model_folder / MANIFEST).read_text()))
    frame["timestamp"] = [moment.isoformat() for moment in frame["timestamp"]]
    return frame


def _pyfunc(model_folder: Path, requirements: Sequence[str]) -> dict[str, Any]:
    needed = sorted({*_REQUIREMENTS, *requirements}, key=str.lower)
    return {
        "loader_module": __name__,
        "data_path": str(model_folder),
        "code_paths": _CODE,
        # Explicit: inferring them costs seconds a model and runs it on the way.
        # Without +cpu and the like: that names a build, which other machines' registries lack.
        "pip_requirements": [f"{name}=={version(name).partition('+')[0]}" for name in needed],
        "signature": SIGNATURE,
        "input_example": (_input_example(model_folder), {"last": 1}),
    }
