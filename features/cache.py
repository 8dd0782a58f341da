"""Parquet cache of feature matrices: content-addressed, atomic, checked before use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.bars import Bars
from features.errors import InputError
from features.feature_set import Matrix
from features.signature import FeatureSignature

#: Raise it when the layout of the files changes: older entries are then never looked at.
FORMAT_VERSION = 1

#: What reading raises when a file is not there, or its bytes or JSON are not what was written.
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, pa.ArrowException)


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
            stored = FeatureSignature.from_json(metadata["signature"])
            lines = signature.diff(stored)
            path = self.data_path(key)
            with ThreadPoolExecutor(1) as pool:
                # Half of the work is the digest, and neither half needs the interpreter's lock.
                digest = pool.submit(_file_digest, path)
                matrix = None if lines else _decode(path, signature.names, n)
                whole = metadata["file_digest"] == digest.result() and metadata["rows"] == n
        except _UNREADABLE as error:
            raise _DamagedError from error
        if not whole:
            raise _DamagedError
        if matrix is None:
            raise CacheMismatchError(
                f"cached features {key.stem} are not the ones asked for:\n  "
                + "\n  ".join(lines)
                + f"\ndelete {self.metadata_path(key)} to have them computed again"
            )
        return matrix

    def _write(
        self, key: CacheKey, bars: Bars, signature: FeatureSignature, matrix: Matrix
    ) -> None:
        times = pa.array(bars.time_ns, pa.timestamp("ns", tz="UTC"))
        columns = [times, *(pa.array(np.ascontiguousarray(column)) for column in matrix.T)]
        # NaN is a number to parquet. Columns that can hold no null are read a third faster.
        fields = [pa.field("timestamp", times.type, nullable=False)]
        fields += [pa.field(name, pa.float32(), nullable=False) for name in signature.names]
        table = pa.table(columns, schema=pa.schema(fields))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Data first: an entry counts only with metadata that carry its digest, so a crash in
            # between, or another process at the same key, leaves a sound entry or none.
            with replacing(self.data_path(key)) as file:
                # Features hardly repeat a value: dictionaries only cost time. LZ4 reads fastest.
                pq.write_table(table, file, compression="lz4", use_dictionary=False)
                file.flush()
                file_digest = _file_digest(Path(file.name))
            metadata = _describe(key, signature, matrix, file_digest)
            with replacing(self.metadata_path(key)) as file:
                file.write(json.dumps(metadata, indent=1).encode())
        except OSError as error:
            raise InputError(
                f"the feature cache {str(self.folder)!r} cannot be written: {error.strerror}; "
                "give a writable folder as --cache-folder, or pass --cache off"
            ) from error


def _decode(path: Path, names: Sequence[str], n: int) -> Matrix:
    """Matrix of a parquet file, straight into feature-major storage: one column at a time.

    Raises
    ------
    _DamagedError
        If the file has another number of rows.
    """
    out = np.empty((len(names), n), dtype=np.float32)
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows != n:
            raise _DamagedError
        for row, name in zip(out, names, strict=True):
            position = 0
            for chunk in file.read(columns=[name], use_threads=False).column(0).chunks:
                row[position : position + len(chunk)] = chunk.to_numpy()
                position += len(chunk)
    return out.T


def _describe(
    key: CacheKey, signature: FeatureSignature, matrix: Matrix, file_digest: str
) -> dict[str, Any]:
    """Metadata of an entry; min and max are over numbers, null where a column has none."""

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


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that other processes see as the old one, and after the block as the new one.

    Raises
    ------
    OSError
        If it cannot be written; the old one is then left as it was.
    """
    # Not `tempfile`: its files are the owner's alone, and a cache may be shared.
    new = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with new.open("xb") as file:
            yield file
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
