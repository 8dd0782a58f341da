"""A fitted model as bytes, which are proven to give the model back completely."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from adapters.base import Batch, ModelAdapter
from trainer.arrays import IntArray
from trainer.errors import TrainerError
from trainer.procedure.known_results import Results, from_json, give_results, to_json
from trainer.scratch import scratch_folder

#: Number of rows, in addition to the lookback, on which a model that is read from its bytes must
#: give the scores of the fitted model.
_PROOF_ROWS = 256
#: Bytes that can be written to a temporary folder which is not full.
_ROOM = 1 << 20


class DamagedFitError(Exception):
    """Bytes that are no stored fit, or not the one that is asked for."""


@dataclass(frozen=True, eq=False)
class StoredFit:
    """A fitted model in a form that another process or machine can use.

    Attributes
    ----------
    key : str
        Digest of everything that the fit follows from (`trainer.procedure.fit_key.fit_key`).
    content : bytes
        The model's file.
    artifacts : dict of str to JSON value
        Values of the fit that its file lacks.
    falls : tuple of float
        Fall of the ROC AUC for each feature on rows that the model did not see; empty if it was not
        measured.
    falls_key : str
        Digest of what the falls depend on beside the model.
    results : dict of str to array or None
        What it gives on the rows on which the procedure asks for it
        (`trainer.procedure.known_results`).
    """

    key: str
    content: bytes
    artifacts: dict[str, Any]
    falls: tuple[float, ...] = ()
    falls_key: str = ""
    results: Results = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, fitted: ModelAdapter, train: Batch) -> Self | None:
        """Return the bytes of a fitted model; None if they do not give it back completely.

        Parameters
        ----------
        key : str
        fitted : ModelAdapter
        train : Batch
            Rows of its fit.

        Raises
        ------
        TrainerError
            If temporary files cannot be written: that says nothing about the model.
        """
        artifacts = fitted.get_artifacts()
        if fitted.fit_device != "cpu" and artifacts.get("device") == "cpu":
            return None  # the GPU failed during this fit, and may work in the next one
        last = slice(-(_PROOF_ROWS + fitted.lookback), None)
        X, position = train.X[last], train.position[last]  # (rows, f), (rows,)
        with scratch_folder() as folder:
            file = folder / "model.bin"
            try:
                fitted.save(file)
                stored = cls(key, file.read_bytes(), json.loads(json.dumps(artifacts)))
                loaded = stored.restore(fitted)
                loaded.save(file)
                same_file = stored.content == file.read_bytes()
                same_results = _results(loaded, X, position) == _results(fitted, X, position)
            except Exception:
                # A plug-in may raise anything: the verification of its model reports it.
                _check_room(folder)
                return None
        return stored if same_file and same_results else None

    @classmethod
    def from_bytes(cls, raw: bytes, key: str) -> Self:
        """Return the fit that `to_bytes` wrote.

        Parameters
        ----------
        raw : bytes
        key : str
            Its key, or the first digits of it.

        Raises
        ------
        DamagedFitError
            If it is no fit, has changed, or has another key.
        """
        head, _, content = raw.partition(b"\n")
        # Anything may stand there, so reading it may raise anything.
        try:
            entry = json.loads(head)
            fit = cls(
                str(entry["key"]),
                content,
                entry["artifacts"],
                tuple(entry["falls"]),
                entry["falls_key"],
                from_json(entry["results"]),
            )
            sealed = fit.seal == entry["seal"]
        except Exception as error:
            raise DamagedFitError("it is no fit of this format") from error
        if not sealed:
            raise DamagedFitError("its digest differs: bytes are missing or have changed")
        if not fit.key.startswith(key):
            raise DamagedFitError("it is the fit of another key")
        return fit

    def to_bytes(self) -> bytes:
        """Return the fit as one file: a line of JSON with its digest, then the model's file."""
        head = {
            "key": self.key,
            "seal": self.seal,
            "artifacts": self.artifacts,
            "falls": self.falls,
            "falls_key": self.falls_key,
            "results": to_json(self.results),
        }
        return json.dumps(head).encode() + b"\n" + self.content

    def restore(self, adapter: ModelAdapter) -> ModelAdapter:
        """Return the fitted model.

        Parameters
        ----------
        adapter : ModelAdapter
            With the settings of the fit; it is not changed.
        """
        with scratch_folder() as folder:
            file = folder / "model.bin"
            file.write_bytes(self.content)
            loaded = type(adapter).load(file)
        artifacts = self.artifacts
        loaded.seed, loaded.device, loaded.params = adapter.seed, adapter.device, adapter.params
        loaded.on_progress = adapter.on_progress
        loaded.get_artifacts = lambda: dict(artifacts)  # type: ignore[method-assign]
        if self.results:
            give_results(loaded, self.results)
        return loaded

    @property
    def seal(self) -> str:
        """Digest of all parts."""
        parts = [self.key, self.artifacts, self.falls, self.falls_key, to_json(self.results)]
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode() + self.content).hexdigest()


def _results(
    model: ModelAdapter, X: npt.NDArray[np.float32], position: IntArray
) -> tuple[Any, ...]:
    """Return all results of a model, as values that compare bit for bit."""
    own_positions = model.rollout(X, position)
    return (
        model.predict(X, position).tobytes(),
        None if own_positions is None else own_positions.tobytes(),
        model.task,
        model.lookback,
        model.trials,
        model.get_artifacts(),
    )


def _check_room(folder: Path) -> None:
    try:
        (folder / "room").write_bytes(bytes(_ROOM))
    except OSError as error:
        raise TrainerError(
            f"the temporary folder {str(folder.parent)!r} cannot be written: {error.strerror}; "
            "free space there, or set TMPDIR to another folder, then run again"
        ) from error
