"""Shared parts of the torch adapters: device, determinism, standardiser, model file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from adapters.base import AdapterError, ModelAdapter, Value

#: Standardised features are clipped at this many standard deviations: a larger value contains no
#: more information than that it is extreme.
_CLIP = 5.0
#: Rules of the hyperparameters that every network has.
NETWORK_RULES: Mapping[str, tuple[float, float]] = {
    "hidden": (1, 1_024),
    "learning_rate": (1e-7, 1),
    "patience": (1, 10_000),
}


class TorchAdapter(ModelAdapter):
    """A model that is fitted on the CPU or a GPU; its scores are always computed on the CPU."""

    devices = ("cpu", "auto", "cuda")
    requirements: ClassVar[tuple[str, ...]] = ("torch", "safetensors")

    @property
    def fit_device(self) -> str:
        """Name of the device that a fit on this machine uses."""
        return device_name(self.device)


def select_fields(settings: type[Any], params: Mapping[str, Value]) -> dict[str, Any]:
    """Return the hyperparameters that a dataclass of settings has a field for.

    Examples
    --------
    >>> @dataclass
    ... class Settings:
    ...     hidden: int
    ...     seed: int
    >>> select_fields(Settings, {"hidden": 32, "dropout": 0.1})
    {'hidden': 32}
    """
    return {field.name: params[field.name] for field in fields(settings) if field.name in params}


def fit_on_device(
    model: str,
    device: str,
    fit: Callable[[torch.device], None],
    on_progress: Callable[[str], None],
) -> None:
    """Call `fit` with the requested device.

    With ``auto`` the fit runs on a GPU if torch has one. If that GPU fails, the fit is repeated on
    the CPU.

    Parameters
    ----------
    model : str
        Name of the model, for error texts.
    device : {"cpu", "auto", "cuda"}
    fit : callable
    on_progress : callable
        Receives a text if the fit is repeated.

    Raises
    ------
    AdapterError
        If the device is ``cuda`` and torch has no GPU, or the GPU fails during the fit.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise AdapterError(
            f"{model} cannot run on cuda: torch {torch.__version__} has no usable GPU; "
            "use device auto or cpu, or install a CUDA build of torch"
        )
    if device == "cpu" or not torch.cuda.is_available():
        fit(torch.device("cpu"))
        return
    try:
        fit(torch.device("cuda"))
    except (torch.cuda.OutOfMemoryError, torch.AcceleratorError) as error:
        reason = str(error).splitlines()[0]
        if device == "cuda":
            raise AdapterError(
                f"the GPU failed while {model} was fitted: {reason}; free it, or use device auto "
                "or cpu"
            ) from error
        on_progress(f"the GPU failed ({reason}); the fit is repeated on the CPU")
        fit(torch.device("cpu"))


def device_name(device: str) -> str:
    """Return the name of the device that `fit_on_device` uses.

    Returns
    -------
    str
        ``cpu``; the name of the GPU; or ``cuda`` if `fit_on_device` would raise.
    """
    if device == "cpu" or not torch.cuda.is_available():
        return "cuda" if device == "cuda" else "cpu"
    return torch.cuda.get_device_name()


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Seed torch and use one thread with deterministic kernels; restore all settings at the end."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute scores on one thread, so that their bits do not depend on the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Centre and scale features with the statistics of the training rows.

    Attributes
    ----------
    center, scale : float32 Tensors of shape (f,)
        Mean and standard deviation of each feature.

    Examples
    --------
    >>> standardise = Standardiser.of(np.array([[0, 7], [2, 7]], dtype=np.float32))
    >>> standardise(np.array([[3, 7], [100, 8]], dtype=np.float32))
    tensor([[2., 0.],
            [5., 1.]])
    """

    center: Tensor
    scale: Tensor

    @classmethod
    def of(cls, X: npt.NDArray[np.float32]) -> Self:
        """Compute the statistics of training rows; a constant feature is only centred."""
        scale = X.std(axis=0, dtype=np.float64)  # (features,)
        scale[scale == 0] = 1.0
        center = X.mean(axis=0, dtype=np.float64)  # (features,)
        return cls(torch.from_numpy(center).float(), torch.from_numpy(scale).float())

    def __call__(self, X: npt.NDArray[np.float32]) -> Tensor:
        """Return standardised and clipped rows, of shape (n, f)."""
        rows = torch.tensor(np.ascontiguousarray(X))
        return rows.sub_(self.center).div_(self.scale).clamp_(-_CLIP, _CLIP)

    def tensors(self) -> dict[str, Tensor]:
        """Return both tensors by the names that `pop_from` reads."""
        return {"standardiser.center": self.center, "standardiser.scale": self.scale}

    @classmethod
    def pop_from(cls, tensors: dict[str, Tensor]) -> Self:
        """Remove both tensors from those of a model file and build a standardiser from them."""
        return cls(tensors.pop("standardiser.center"), tensors.pop("standardiser.scale"))


def save_tensors(path: Path, model: str, tensors: Mapping[str, Tensor], header: object) -> None:
    """Write tensors in the safetensors format, with a JSON header in the same file."""
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.write_bytes(save(stored, {f"barwright-{model}": json.dumps(header, sort_keys=True)}))


def load_tensors(model: str, path: Path) -> tuple[dict[str, Tensor], Any]:
    """Read the tensors and the header that `save_tensors` wrote.

    Raises
    ------
    AdapterError
        If the file is missing, cut short, or a file of another model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[f"barwright-{model}"])
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, header
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise damaged(model, path, error) from error


def damaged(model: str, path: Path, error: Exception) -> AdapterError:
    """Return the error for a file that is not a complete model; its text has one line."""
    reason = " ".join(str(error).split())
    return AdapterError(f"{path.name} is not a {model} model: {reason}; download or train it again")
