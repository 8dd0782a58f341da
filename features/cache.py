"""Parquet cache of feature matrices: content-addressed, atomic, checked before use."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.bars import Bars
from features.errors import InputError
from features.feature_set import Matrix
from features.signature import FeatureSignature

#: Raise it when the layout of the files changes: older entries are then never looked at.
FORMAT_VERSION = 1


class CacheMismatchError(InputError):
    """A cache entry whose metadata do not describe the features that were asked for."""


class _DamagedError(Exception):
    """A cache entry that is not what its metadata say: replaced without a word to the user."""


@dataclass(frozen=True)
class CacheKey:
    """Names the one entry that may be read for these bars and these features."""

    symbol: str
    interval: str
    digest: str

    @classmethod
    def of(cls, bars: Bars, signature: FeatureSignature) -> CacheKey:
        """Key over the bars' digest, the signature, and the library the formulas stand on."""
        parts = (str(FORMAT_VERSION), bars.digest, signature.digest, version("TA-Lib"))
        digest = hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
        return cls(bars.symbol, bars.interval.text, digest)

    @property
    def stem(self) -> str:
        """File name without ending: ``{symbol}_{interval}_{hash}``."""
        return f"{self.symbol}_{self.interval}_{self.digest}"


@dataclass(frozen=True)
class FeatureCache:
    """Feature matrices in one folder, each with its metadata beside it.

    Attributes
    ----------
    folder : pathlib.Path
        Usually ``data/features``; made on first use.
    """

    folder: Path

    def fetch(
        self, bars: Bars, signature: FeatureSignature, compute: Callable[[], Matrix]
    ) -> tuple[Matrix, str]:
        """Read the matrix of these bars and features, or compute and store it.

        Parameters
        ----------
        bars : Bars
            The bars.
        signature : FeatureSignature
            The features.
        compute : callable
            Gives the float32 matrix of shape (n, f) if it must be computed.

        Returns
        -------
        matrix : float32 array of shape (n, f)
            Equal to ``compute()`` bit for bit.
        outcome : {"read", "computed", "replaced"}
            ``replaced``: an entry was there, but truncated or tampered with.

        Raises
        ------
        CacheMismatchError
            If the metadata beside a sound entry describe other features: with a readable diff.
        InputError
            If the folder cannot be written.
        """
        key = CacheKey.of(bars, signature)
        outcome = "computed"
        if self.data_path(key).exists() or self.metadata_path(key).exists():
            try:
                return self._read(key, len(bars), signature), "read"
            except _DamagedError:
                outcome = "replaced"
        matrix = compute()
        self._write(key, bars, signature, matrix)
        return matrix, outcome

    def data_path(self, key: CacheKey) -> Path:
        """Parquet file of an entry."""
        return self.folder / f"{key.stem}.parquet"

    def metadata_path(self, key: CacheKey) -> Path:
        """Metadata file of an entry."""
        return self.folder / f"{key.stem}_metadata.json"

    def _read(self, key: CacheKey, n: int, signature: FeatureSignature) -> Matrix:
        try:
            metadata = json.loads(self.metadata_path(key).read_text())
            raw = self.data_path(key).read_bytes()
            stored = FeatureSignature.from_json(metadata["signature"])
            whole = metadata["file_digest"] == _file_digest(raw) and metadata["rows"] == n
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _DamagedError from error
        if not whole:
            raise _DamagedError
        lines = signature.diff(stored)
        if lines:
            raise CacheMismatchError(
                f"cached features {key.stem} are not the ones asked for:\n  "
                + "\n  ".join(lines)
                + f"\ndelete {self.metadata_path(key)} to have them computed again"
            )
        try:
            table = pq.read_table(pa.BufferReader(raw), columns=list(signature.names))
        except (pa.ArrowException, OSError) as error:
            raise _DamagedError from error
        out = np.empty((len(signature.names), n), dtype=np.float32)
        for row, name in zip(out, signature.names, strict=True):
            position = 0
            for chunk in table.column(name).chunks:
                row[position : position + len(chunk)] = chunk.to_numpy()
                position += len(chunk)
        return out.T

    def _write(
        self, key: CacheKey, bars: Bars, signature: FeatureSignature, matrix: Matrix
    ) -> None:
        columns = {"timestamp": pa.array(bars.time_ns, pa.timestamp("ns", tz="UTC"))}
        columns |= {
            name: pa.array(np.ascontiguousarray(column))
            for name, column in zip(signature.names, matrix.T, strict=True)
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Features hardly repeat a value: dictionaries only cost time. LZ4 reads fastest.
            sink = pa.BufferOutputStream()
            pq.write_table(pa.table(columns), sink, compression="lz4", use_dictionary=False)
            raw = sink.getvalue()
            metadata = _describe(key, signature, matrix, _file_digest(raw))
            # Data first: an entry counts only with metadata that carry its digest, so a crash in
            # between, or another process at the same key, leaves a sound entry or none.
            _replace(self.data_path(key), raw)
            _replace(self.metadata_path(key), json.dumps(metadata, indent=1).encode())
        except OSError as error:
            raise InputError(
                f"the feature cache {str(self.folder)!r} cannot be written: {error.strerror}; "
                "give a writable folder as --cache-folder, or pass --cache off"
            ) from error


def _describe(
    key: CacheKey, signature: FeatureSignature, matrix: Matrix, file_digest: str
) -> dict[str, Any]:
    """Metadata of an entry; min and max are over numbers, null where a column has none."""
    with np.errstate(invalid="ignore"):
        lowest, highest = np.fmin.reduce(matrix, axis=0), np.fmax.reduce(matrix, axis=0)
    nulls = np.isnan(matrix).sum(axis=0)

    def number(value: np.float32) -> float | None:
        return float(value) if np.isfinite(value) else None

    return {
        "symbol": key.symbol,
        "interval": key.interval,
        "hash": key.digest,
        "rows": len(matrix),
        "file_digest": file_digest,
        "feature_names": list(signature.names),
        "dtypes": dict.fromkeys(signature.names, "float32"),
        "null_counts": {n: int(c) for n, c in zip(signature.names, nulls, strict=True)},
        "min": {n: number(v) for n, v in zip(signature.names, lowest, strict=True)},
        "max": {n: number(v) for n, v in zip(signature.names, highest, strict=True)},
        "signature": signature.to_json(),
    }


def _file_digest(raw: bytes | pa.Buffer) -> str:
    return hashlib.sha256(memoryview(raw)).hexdigest()


def _replace(path: Path, content: bytes | pa.Buffer) -> None:
    """Write a file so that other processes see the old one or the whole new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
