"""A parquet cache of feature matrices that verifies each entry before it is used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.atomic import replacing
from features.bars import Bars
from features.errors import InputError
from features.feature_set import Matrix
from features.signature import FeatureSignature

#: Increase it when the layout of the files changes: older entries are then ignored.
FORMAT_VERSION = 1
#: Where the matrix of `FeatureCache.fetch` comes from.
Origin = Literal["read", "computed", "replaced"]

#: Errors of reading an entry with a missing file, or with other bytes or JSON than were written.
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, pa.ArrowException)


class CacheMismatchError(InputError):
    """Raised if the metadata of a cache entry describe other features than the requested ones."""


class _DamagedError(Exception):
    """Raised if an entry does not match its metadata; it is replaced without a message."""


@dataclass(frozen=True)
class CacheKey:
    """The name of the only entry that may be read for given bars and features.

    Attributes
    ----------
    symbol, interval : str
        Symbol and bar length.
    digest : str
        First 16 hexadecimal digits of a SHA-256 over bars, features and library version.
    """

    symbol: str
    interval: str
    digest: str

    @classmethod
    def of(cls, bars: Bars, signature: FeatureSignature) -> CacheKey:
        """Return the key of these bars, these features, and the installed version of TA-Lib."""
        parts = (str(FORMAT_VERSION), bars.digest, signature.digest, version("TA-Lib"))
        digest = hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
        return cls(bars.symbol, bars.interval.text, digest)

    @property
    def stem(self) -> str:
        """The file name without ending: ``{symbol}_{interval}_{digest}``."""
        return f"{self.symbol}_{self.interval}_{self.digest}"


@dataclass(frozen=True)
class FeatureCache:
    """Feature matrices in one folder: a parquet file and a metadata file for each.

    Attributes
    ----------
    folder : pathlib.Path
        Usually ``data/features``; created at the first write.
    """

    folder: Path

    def fetch(
        self, bars: Bars, signature: FeatureSignature, compute: Callable[[], Matrix]
    ) -> tuple[Matrix, Origin]:
        """Read the matrix of these bars and features, or compute and store it.

        Parameters
        ----------
        bars : Bars
            The bars.
        signature : FeatureSignature
            The features.
        compute : callable
            Returns the float32 matrix of shape (n, f); called only if no entry can be read.

        Returns
        -------
        matrix : float32 array of shape (n, f)
            Equal to ``compute()`` bit for bit.
        origin : {"read", "computed", "replaced"}
            ``replaced``: computed, because the stored entry was incomplete or modified.

        Raises
        ------
        CacheMismatchError
            If the metadata of an intact entry describe other features; the message contains one
            line for each difference.
        InputError
            If the folder cannot be written.
        """
        key = CacheKey.of(bars, signature)
        origin: Origin = "computed"
        if self.data_path(key).exists() or self.metadata_path(key).exists():
            try:
                return self._read(key, len(bars), signature), "read"
            except _DamagedError:
                origin = "replaced"
        matrix = compute()
        self._write(key, bars, signature, matrix)
        return matrix, origin

    def size(self) -> tuple[int, int]:
        """Return the number of matrices in the folder, and the bytes of their files."""
        matrices = list(self.folder.glob("*_metadata.json"))
        files = [*matrices, *self.folder.glob("*.parquet")]
        return len(matrices), sum(path.stat().st_size for path in files)

    def data_path(self, key: CacheKey) -> Path:
        """Return the path of the parquet file of an entry."""
        return self.folder / f"{key.stem}.parquet"

    def metadata_path(self, key: CacheKey) -> Path:
        """Return the path of the metadata file of an entry."""
        return self.folder / f"{key.stem}_metadata.json"

    def _read(self, key: CacheKey, n: int, signature: FeatureSignature) -> Matrix:
        try:
            metadata = json.loads(self.metadata_path(key).read_text())
            stored = FeatureSignature.from_json(metadata["signature"])
            differences = signature.diff(stored)
            path = self.data_path(key)
            with ThreadPoolExecutor(1) as pool:
                # The digest takes half of the time. It runs in parallel with the decoding,
                # because both release the interpreter lock.
                digest = pool.submit(_file_digest, path)
                matrix = None if differences else _decode(path, signature.names, n)
                intact = metadata["file_digest"] == digest.result() and metadata["rows"] == n
        except _UNREADABLE as error:
            raise _DamagedError from error
        if not intact:
            raise _DamagedError
        if matrix is None:
            raise CacheMismatchError(
                f"cached features {key.stem} are not the requested ones:\n  "
                + "\n  ".join(differences)
                + f"\ndelete {self.metadata_path(key)} to compute them again"
            )
        return matrix

    def _write(
        self, key: CacheKey, bars: Bars, signature: FeatureSignature, matrix: Matrix
    ) -> None:
        times = pa.array(bars.time_ns, pa.timestamp("ns", tz="UTC"))
        columns = [times, *(pa.array(np.ascontiguousarray(column)) for column in matrix.T)]
        # Parquet stores NaN as a number, not as a null. Columns without nulls are read a third
        # faster.
        fields = [pa.field("timestamp", times.type, nullable=False)]
        fields += [pa.field(name, pa.float32(), nullable=False) for name in signature.names]
        table = pa.table(columns, schema=pa.schema(fields))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # The data are written first: an entry is valid only with metadata that contain the
            # digest of its data. So a crash between the two writes, or another process that
            # writes the same key, leaves a valid entry or none.
            with replacing(self.data_path(key)) as file:
                # Values of features rarely repeat, so dictionaries only cost time. LZ4 is the
                # fastest compression to read.
                pq.write_table(table, file, compression="lz4", use_dictionary=False)
                file.flush()
                file_digest = _file_digest(Path(file.name))
            metadata = _metadata(key, signature, matrix, file_digest)
            with replacing(self.metadata_path(key)) as file:
                file.write(json.dumps(metadata, indent=1).encode())
        except OSError as error:
            raise InputError(
                f"the feature cache {str(self.folder)!r} cannot be written: {error.strerror}; "
                "give a writable folder as --cache-folder, or pass --cache off"
            ) from error


def _decode(path: Path, names: Sequence[str], n: int) -> Matrix:
    """Read a parquet file column by column into feature-major storage.

    Returns
    -------
    float32 array of shape (n, f)

    Raises
    ------
    _DamagedError
        If the file does not have n rows.
    """
    out = np.empty((len(names), n), dtype=np.float32)  # (f, n)
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows != n:
            raise _DamagedError
        for row, name in zip(out, names, strict=True):
            start = 0
            for chunk in file.read(columns=[name], use_threads=False).column(0).chunks:
                row[start : start + len(chunk)] = chunk.to_numpy()
                start += len(chunk)
    return out.T  # (n, f)


def _metadata(
    key: CacheKey, signature: FeatureSignature, matrix: Matrix, file_digest: str
) -> dict[str, Any]:
    """Return the metadata of an entry; min and max ignore NaN and are null if not finite."""

    def number(value: np.float32) -> float | None:
        return float(value) if np.isfinite(value) else None

    columns = dict(zip(signature.names, matrix.T, strict=True))
    return {
        "symbol": key.symbol,
        "interval": key.interval,
        "hash": key.digest,
        "rows": len(matrix),
        "file_digest": file_digest,
        "feature_names": list(signature.names),
        "dtypes": dict.fromkeys(signature.names, "float32"),
        "null_counts": {name: int(np.isnan(column).sum()) for name, column in columns.items()},
        "min": {name: number(np.fmin.reduce(column)) for name, column in columns.items()},
        "max": {name: number(np.fmax.reduce(column)) for name, column in columns.items()},
        "signature": signature.to_json(),
    }


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
