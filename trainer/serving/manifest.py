"""The manifest proves a saved model: digests of its files, golden rows with their decisions."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.bars import COLUMNS
from trainer.errors import TrainerError

#: Largest difference of scores between machines (last bits of floating point). Positions must be
#: equal.
SCORE_TOLERANCE = 1e-6
#: Errors of reading files with other values than were written; their digests may still be right.
DAMAGED = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
_FIRST_FILES = (
    "model.bin", "calibrator.json", "metrics.json", "features.json", "config_snapshot.json",
)  # fmt: skip
EVIDENCE = "evidence.json"
FILES = (*_FIRST_FILES, EVIDENCE)
#: Format of the files of a model. If it changes: increase it, keep reading the old formats, and add
#: a stored model of the new format to tests/data.
FORMAT_VERSION = 3
#: Files of each format that can be read; the first format had no evidence.
FILES_OF_FORMAT = {1: _FIRST_FILES, 2: FILES, FORMAT_VERSION: FILES}
#: The first format whose features read the date of a daily bar, however it is stamped.
DATED_BARS = 3
MANIFEST = "manifest.json"
#: Number of decisions that every load computes again.
GOLDEN_ROWS = 5
#: Tag of a registered version with the digest of its manifest.
MANIFEST_TAG = "manifest_sha256"


def golden_frame(manifest: dict[str, Any]) -> pd.DataFrame:
    """Return the bars of the golden rows, as `TradingModel.decide` takes them.

    Raises
    ------
    TrainerError
        If they are missing or damaged.
    """
    try:
        stored = manifest["golden"]["bars"]
        times = np.asarray(stored["time_ns"], dtype=np.int64).view("datetime64[ns]")
        frame = pd.DataFrame({name: stored[name] for name in COLUMNS[1:]})
        frame.insert(0, "timestamp", pd.DatetimeIndex(times, tz="UTC"))
    except (KeyError, TypeError, ValueError) as error:
        raise TrainerError(f"the golden rows are damaged: {error}; train again") from error
    return frame


def golden_held(manifest: dict[str, Any]) -> int | None:
    """Return the position before the golden rows; None if their bars tell it.

    Raises
    ------
    TrainerError
        If it is no position.
    """
    held = manifest["golden"].get("held")
    if held is None or (type(held) is int and held in (-1, 0, 1)):
        return held
    raise TrainerError(
        f"the position before the golden rows must be -1, 0 or 1, got {held!r}; train again"
    )


def check_digests(folder: Path, manifest: dict[str, Any]) -> None:
    """Check that the files of a model are those that were saved.

    Raises
    ------
    TrainerError
        If the format is unknown, or a file is missing or altered: the text names the first one.
    """
    files = FILES_OF_FORMAT.get(manifest.get("format"))  # type: ignore[arg-type]
    if files is None:
        known = ", ".join(map(str, FILES_OF_FORMAT))
        raise TrainerError(
            f"the model has format {manifest.get('format')!r}, this version reads {known}; use the "
            "barwright version that wrote it"
        )
    listed = manifest.get("files")
    if not isinstance(listed, dict) or set(listed) != set(files):
        raise TrainerError("the model's manifest does not list its files; train again")
    for name, digest in listed.items():
        if not (folder / name).is_file():
            raise TrainerError(f"the model lacks {name}; download or train it again")
        if sha256(folder / name) != digest:
            raise TrainerError(
                f"{name} is not what was saved: its SHA-256 differs from the manifest's; "
                "download or train the model again"
            )


def agrees(stored: object, computed: object) -> bool:
    """Compare two golden values: floats within `SCORE_TOLERANCE`, everything else exactly.

    Examples
    --------
    >>> agrees(0.5, 0.5 + 1e-7), agrees(0.5, 0.51), agrees(1, 0), agrees(None, None)
    (True, False, False, True)
    """
    if isinstance(stored, float) and isinstance(computed, float):
        return math.isclose(stored, computed, rel_tol=0.0, abs_tol=SCORE_TOLERANCE)
    return stored == computed


def decision_to_json(row: dict[Any, Any]) -> dict[str, Any]:
    """Return one decision as JSON values; NaN becomes None."""
    score, probability = float(row["score"]), float(row["probability"])
    return {
        "timestamp": pd.Timestamp(row["timestamp"]).isoformat(),
        "score": None if math.isnan(score) else score,
        "probability": None if math.isnan(probability) else probability,
        "position": int(row["position"]),
    }


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write an object so that equal objects give equal files: sorted keys, no NaN."""
    path.write_text(json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read an object.

    Raises
    ------
    TrainerError
        If the file is missing or damaged.
    """
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise TrainerError(f"the model lacks {path.name}; download or train it again") from error
    except (ValueError, RecursionError) as error:
        raise TrainerError(f"{path.name} of the model is damaged: {error}; train again") from error
    if not isinstance(data, dict):
        raise TrainerError(f"{path.name} of the model is damaged: no object; train again")
    return data
