"""What the torch adapters share: devices, determinism, standardising, one file without pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from adapters.base import AdapterError

#: Standardised features beyond this many deviations say no more than that they are extreme.
_CLIP = 5.0


def on_device(
    model: str,
    device: str,
    fit: Callable[[torch.device], None],
    tell: Callable[[str], None],
) -> None:
    """Fit on the device that was asked for; ``auto`` goes on with the CPU if the GPU fails.

    Raises
    ------
    AdapterError
        If ``cuda`` is asked for and is not there, or fails on the way.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise AdapterError(
            f"{model} cannot run on cuda: torch {torch.__version__} finds no usable GPU; "
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
        tell(f"the GPU failed ({reason}): again on the CPU")
        fit(torch.device("cpu"))


def device_name(device: str) -> str:
    """Name what `on_device` would fit on: ``cpu``, the GPU, or ``cuda`` if it would refuse."""
    if device == "cpu" or not torch.cuda.is_available():
        return "cuda" if device == "cuda" else "cpu"
    return torch.cuda.get_device_name()


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Seed torch, one thread, deterministic kernels; everything is as before afterwards."""
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
    """Score on one thread without gradients: equal bits whatever the machine's core count."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Mean and deviation of training rows, frozen.

    Attributes
    ----------
    center, scale : float32 Tensors of shape (f,)
    """

    center: Tensor
    scale: Tensor

    @classmethod
    def of(cls, X: npt.NDArray[np.float32]) -> Self:
        """Fit on training rows; a feature without variation is only centred."""
        spread = X.std(axis=0, dtype=np.float64)
        spread[spread == 0] = 1.0
        center = X.mean(axis=0, dtype=np.float64)
        return cls(torch.from_numpy(center).float(), torch.from_numpy(spread).float())

    def __call__(self, X: npt.NDArray[np.float32]) -> Tensor:
        """Standardised rows, clipped, of shape (n, f)."""
        rows = torch.tensor(np.ascontiguousarray(X))
        return rows.sub_(self.center).div_(self.scale).clamp_(-_CLIP, _CLIP)

    def tensors(self) -> dict[str, Tensor]:
        """Return what `take` reads."""
        return {"standardiser.center": self.center, "standardiser.scale": self.scale}

    @classmethod
    def take(cls, tensors: dict[str, Tensor]) -> Self:
        """Take the standardiser out of a model's tensors."""
        return cls(tensors.pop("standardiser.center"), tensors.pop("standardiser.scale"))


def save_tensors(path: Path, model: str, tensors: Mapping[str, Tensor], header: object) -> None:
    """Write weights as safetensors, with a JSON header in the same file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.write_bytes(save(plain, {f"barwright-{model}": json.dumps(header, sort_keys=True)}))


def load_tensors(model: str, path: Path) -> tuple[dict[str, Tensor], Any]:
    """Read what `save_tensors` wrote.

    Raises
    ------
    AdapterError
        If the file is missing, cut short, or not of this model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[f"barwright-{model}"])
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, header
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise damaged(model, path, error) from error


def damaged(model: str, path: Path, error: Exception) -> AdapterError:
    """Build the one-line error for a file that is no such model, or not a whole one."""
    what = " ".join(str(error).split())
    return AdapterError(f"{path.name} holds no {model} model: {what}; download or train it again")
