"""MLflow flavor of `TradingModel`.

Consumers without barwright load a pyfunc, which ships the code of this project with the model.
Consumers with barwright load the model as data only (`load_model`) and run their installed code.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import sys
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZipInfo

import mlflow
import mlflow.pyfunc
import pandas as pd
import yaml
from mlflow.exceptions import MlflowException
from mlflow.models.model import Model, ModelInfo
from mlflow.models.signature import ModelSignature
from mlflow.types.schema import AnyType, ColSpec, ParamSchema, ParamSpec, Schema

from barwright import BarwrightError
from trainer.errors import TrainerError
from trainer.serving.manifest import MANIFEST, golden_frame, sha256
from trainer.serving.rules import position_of
from trainer.serving.trading_model import TradingModel

_ROOT = Path(__file__).resolve().parent.parent
#: What is shipped of each package. Rooms of trainer that serving needs, beside its plain files,
#: import no other room (a lint contract).
_SHIPPED = {
    "adapters": ("**/*.py",),
    "features": ("**/*.py",),
    "trainer": ("*.py", "serving/*.py", "statistics/*.py"),
}
_ARCHIVE = "barwright_code.zip"
#: The package that MLflow imports first. The archive has all other files: a server of MLflow takes
#: and gives each file with a request of its own.
_OPENS_ARCHIVE = f'''"""Opens the code of Barwright that this model was trained with."""

import sys
from pathlib import Path

_code = str(Path(__file__).resolve().parents[1] / "{_ARCHIVE}")
sys.path.insert(0, _code)
__path__.append(f"{{_code}}/trainer")
'''
#: Distributions that every model needs in addition to those of its adapter.
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "PyYAML", "TA-Lib")

SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            # AnyType: a datetime column would refuse UTC-aware times, and text over HTTP.
            ColSpec(AnyType(), "timestamp"),
            *(ColSpec("double", name) for name in ("open", "high", "low", "close")),
            # Volumes of shares are whole numbers, and MLflow refuses int64 for double.
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
    # Position before the decided bars: long, flat or short; empty if it is not known.
    params=ParamSchema([ParamSpec("last", "long", 0), ParamSpec("held", "string", "")]),
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
        Folder that `TradingModel.save` wrote.
    path : pathlib.Path
        New folder.
    requirements : sequence of str
        Further distributions that serving needs; each is pinned to the installed version.
    validate_serving_input : bool
        Not used here. `Model.log` passes it to every flavor.
    **kwargs
        Passed on to `mlflow.pyfunc.save_model`.
    """
    with _shipped_code() as code:
        mlflow.pyfunc.save_model(
            path=str(path), code_paths=code, **_pyfunc(model_folder, requirements), **kwargs
        )


@contextlib.contextmanager
def _shipped_code() -> Iterator[list[str]]:
    """Yield the code that is shipped with each model, for consumers without barwright."""
    from trainer.scratch import scratch_folder

    with scratch_folder() as temporary:
        archive, package = temporary / _ARCHIVE, temporary / "trainer"
        archive.write_bytes(_code_archive())
        package.mkdir()
        (package / "__init__.py").write_text(_OPENS_ARCHIVE)
        yield [str(archive), str(package)]


@functools.cache
def _code_archive() -> bytes:
    """Return the code as an archive: equal code gives equal bytes."""
    files = {_ROOT / "barwright.py"}
    for package, patterns in _SHIPPED.items():
        files.update(file for pattern in patterns for file in (_ROOT / package).glob(pattern))
    files.remove(_ROOT / "trainer" / "__init__.py")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(files):
            # Without the time of the file, which differs between two installations.
            name = ZipInfo(file.relative_to(_ROOT).as_posix())
            archive.writestr(name, file.read_bytes(), compress_type=zipfile.ZIP_DEFLATED)
    return content.getvalue()


def log_model(
    model_folder: Path, name: str, *, requirements: Sequence[str] = (), **kwargs: Any
) -> ModelInfo:
    """Log a saved `TradingModel` to the active run, without registering it.

    Parameters
    ----------
    model_folder : pathlib.Path
        Folder that `TradingModel.save` wrote.
    name : str
        Name of the logged model.
    requirements : sequence of str
        Further distributions that serving needs; each is pinned to the installed version.
    **kwargs
        Passed on to `mlflow.models.Model.log`.

    Returns
    -------
    mlflow.models.model.ModelInfo
        The model of its ``model_uri`` is verified first, and registered after that.

    Raises
    ------
    TrainerError
        If the model would be registered at once.
    """
    if kwargs.get("registered_model_name"):
        raise TrainerError(
            "`registered_model_name` would register a model that has not been loaded yet; "
            "log it, verify it, and register it with trainer.registry.register"
        )
    info: ModelInfo = Model.log(
        artifact_path=None,
        name=name,
        flavor=sys.modules[__name__],
        # The verifier loads it in a fresh process; MLflow would load it in this process.
        validate_serving_input=False,
        model_folder=model_folder,
        requirements=requirements,
        **kwargs,
    )
    return info


def load_model(model_uri: str, *, manifest_sha256: str | None = None) -> TradingModel:
    """Load a model as data only: it is downloaded and verified, and its shipped code is not run.

    Parameters
    ----------
    model_uri : str
        ``models:/lightgbm-EURUSD@latest``, ``models:/lightgbm-EURUSD/3``, ``models:/m-...``.
    manifest_sha256 : str, optional
        Digest of the manifest in the registry. With it, the files must be those that were verified
        before the registration; without it, they must only be consistent with each other.

    Returns
    -------
    TradingModel

    Raises
    ------
    TrainerError
        If the URI has no `TradingModel`, another one, or one that `TradingModel.load` refuses.
    InputError
        If the features differ from those of this installation.
    """
    with downloaded(model_uri, manifest_sha256=manifest_sha256) as folder:
        return TradingModel.load(folder)


@contextlib.contextmanager
def downloaded(model_uri: str, *, manifest_sha256: str | None = None) -> Iterator[Path]:
    """Download the data of a model without its code, and delete them when the block ends.

    Parameters
    ----------
    model_uri, manifest_sha256
        As for `load_model`.

    Yields
    ------
    pathlib.Path
        Folder that `TradingModel.save` wrote.

    Raises
    ------
    TrainerError
        If the URI has no `TradingModel`, or its manifest is not the registered one.
    """
    # psutil, which it imports, is not among the requirements of a served model. Only consumers with
    # barwright call this function.
    from trainer.scratch import scratch_folder

    with scratch_folder() as temporary:
        inside = _downloaded_data(model_uri, temporary)
        if manifest_sha256 is not None and sha256(inside / MANIFEST) != manifest_sha256:
            raise TrainerError(
                f"{MANIFEST} of {model_uri} is not the one that was registered; the stored files "
                "were altered: restore them, or train again"
            )
        yield inside


def _downloaded_data(model_uri: str, target: Path) -> Path:
    """Download MLmodel, which names the folder of the data, and that folder."""

    def fetch(place: str) -> Path:
        return Path(mlflow.artifacts.download_artifacts(place, dst_path=str(target)))

    root = model_uri.rstrip("/")
    data = f"{root}/{_data_path(fetch(f'{root}/MLmodel'))}"
    try:
        return _with_manifest(fetch(data))
    except MlflowException as error:
        if mlflow.artifacts.list_artifacts(data):
            raise
        raise _lacks_manifest() from error


def data_folder(folder: Path) -> Path:
    """Return the folder of the `TradingModel` inside a downloaded MLflow model.

    Raises
    ------
    TrainerError
        If the MLflow model was not written by this module.
    """
    return _with_manifest(folder / _data_path(folder / "MLmodel"))


def _with_manifest(inside: Path) -> Path:
    """Return the folder of a `TradingModel`; raise if it is none."""
    if not (inside / MANIFEST).is_file():
        raise _lacks_manifest()
    return inside


def _lacks_manifest() -> TrainerError:
    return TrainerError(f"the model lacks {MANIFEST}; train it again")


def _data_path(description: Path) -> str:
    """Return the path of the data inside the model that an MLmodel file describes."""
    try:
        flavor = yaml.safe_load(description.read_text())["flavors"]["python_function"]
        relative = PurePosixPath(flavor["data"])
        ours = flavor["loader_module"] == __name__
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = f"no {error} in its MLmodel" if isinstance(error, KeyError) else str(error)
        first_line = next(iter(reason.splitlines()), type(error).__name__)
        raise TrainerError(
            f"the model is not one of ours: {first_line}; give another URI"
        ) from error
    if not ours or relative.is_absolute() or ".." in relative.parts:
        raise TrainerError("the model is not one of ours; give a model that barwright trained")
    return str(relative)


def _load_pyfunc(path: str) -> _Pyfunc:
    """Return the object that `mlflow.pyfunc.load_model` wraps; MLflow calls this function."""
    return _Pyfunc(TradingModel.load(Path(path)))


class _Pyfunc:
    """`TradingModel.decide` with the interface of MLflow; times are ISO text, for JSON."""

    def __init__(self, model: TradingModel) -> None:
        self.model = model

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        try:
            given = params or {}
            held = position_of(str(given.get("held", "")))
            decided = self.model.decide(model_input, last=int(given.get("last", 0)), held=held)
        except BarwrightError as error:
            # MLflow's server replaces the text of any other exception with its own.
            raise MlflowException.invalid_parameter_value(str(error)) from error
        decided["timestamp"] = [moment.isoformat() for moment in decided["timestamp"]]
        return decided


def _input_example(model_folder: Path) -> pd.DataFrame:
    """Return the golden bars with times as text, as in a request over HTTP."""
    frame = golden_frame(json.loads((model_folder / MANIFEST).read_text()))
    frame["timestamp"] = [moment.isoformat() for moment in frame["timestamp"]]
    return frame


@functools.cache
def _pinned(name: str) -> str:
    """Return a requirement of the installed version.

    A suffix like +cpu is removed: it names a build that the package index of another machine may
    not have.
    """
    return f"{name}=={version(name).partition('+')[0]}"


def _pyfunc(model_folder: Path, requirements: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of `mlflow.pyfunc.save_model` for a saved model."""
    needed = sorted({*_REQUIREMENTS, *requirements}, key=str.lower)
    return {
        "loader_module": __name__,
        "data_path": str(model_folder),
        # Given, because MLflow would run the model for seconds to infer them.
        "pip_requirements": [_pinned(name) for name in needed],
        "signature": SIGNATURE,
        "input_example": (_input_example(model_folder), {"last": 1}),
    }
