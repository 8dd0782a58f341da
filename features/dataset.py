"""`DatasetBuilder`: the one place where bars become the rows that every model is trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from features.bars import Bars, validate_bars
from features.cache import FeatureCache
from features.errors import InputError
from features.feature_set import FeatureSet
from features.interval import Interval
from features.labels import LabelSpec, average_uniqueness, forward_return, make_labels
from features.probe import probe
from features.signature import FeatureSignature
from features.sources import BarSource


@dataclass(frozen=True, eq=False)
class DatasetMeta:
    """What a dataset's rows stand for.

    Attributes
    ----------
    symbol, interval, calendar : str
        Which bars.
    label : LabelSpec
        What y is.
    bar : int64 array of shape (n,)
        Position of each row's bar in the series: t0 of its label interval.
    label_end : int64 array of shape (n,)
        Last bar position that the row's label reads: t1 of its closed label interval.
    forward_return : float64 array of shape (n,)
        Return of the one bar that follows each decision, open to open.
    sample_weight : float64 array of shape (n,)
        Average uniqueness of each label, scaled to mean 1.
    bars : Bars
        The whole validated series.
    data_digest : str
        SHA-256 of the bars.
    signature : FeatureSignature
        The features.
    periods_per_year : float
        Bars in a trading year.
    dropped : dict of str to int
        Rows left out, by reason.
    gaps : dict of str to int
        ``gaps``, ``missing_bars``, ``longest`` and ``wide`` (beyond the allowed one).
    cache : str
        ``read``, ``computed``, ``replaced`` or ``off``.
    understood : str
        How the source was read, for people.
    """

    symbol: str
    interval: str
    calendar: str
    label: LabelSpec
    bar: npt.NDArray[np.int64]
    label_end: npt.NDArray[np.int64]
    forward_return: npt.NDArray[np.float64]
    sample_weight: npt.NDArray[np.float64]
    bars: Bars
    data_digest: str
    signature: FeatureSignature
    periods_per_year: float
    dropped: dict[str, int]
    gaps: dict[str, int]
    cache: str
    understood: str


class Dataset(NamedTuple):
    """Rows ready for training.

    Attributes
    ----------
    X : float32 array of shape (n, f)
        Finite features in deterministic column order.
    y : float64 array of shape (n,)
        Class 0 or 1, or log return over the horizon.
    timestamps : pandas.DatetimeIndex of shape (n,)
        UTC bar OPEN times.
    feature_names : tuple of str
        Names of the columns of X.
    meta : DatasetMeta
        Everything else.
    """

    X: npt.NDArray[np.float32]
    y: npt.NDArray[np.float64]
    timestamps: pd.DatetimeIndex
    feature_names: tuple[str, ...]
    meta: DatasetMeta


@dataclass(frozen=True)
class DatasetBuilder:
    """Builds the dataset of a symbol; the same for every model.

    Attributes
    ----------
    source : BarSource
        Where bars come from.
    interval : Interval
        Bar length.
    features : FeatureSet
        Which features.
    label : LabelSpec
        Which outcome.
    cache : FeatureCache, optional
        Where computed features are kept; None computes them every time.
    max_gap_bars : int
        Rows whose features or label span more missing bars than this are dropped.
    calendar : str
        ``auto``, ``24/7``, ``24/5`` or ``equity``.
    allow_jumps : bool
        Accept moves that look like unadjusted splits.
    """

    source: BarSource
    interval: Interval
    features: FeatureSet
    label: LabelSpec = field(default_factory=LabelSpec)
    cache: FeatureCache | None = None
    max_gap_bars: int = 24
    calendar: str = "auto"
    allow_jumps: bool = False

    def __post_init__(self) -> None:
        """Refuse a negative gap."""
        if self.max_gap_bars < 0:
            raise InputError(
                f"`max_gap_bars` must be >= 0 bars, got {self.max_gap_bars}; use 0 to allow none"
            )

    def build(self, symbol: str) -> Dataset:
        """Read, prove, compute, label, and drop what cannot be used.

        Raises
        ------
        InputError
            If the source has no such bars, they do not pass `validate_bars`, a feature breaks
            causality, or no row is left.
        """
        bars, understood = self.read(symbol)
        # Reading leaves several times the bars' size with Arrow; the matrix needs the room.
        pa.default_memory_pool().release_unused()
        matrix, outcome = self._features(bars)
        labels = make_labels(self.label, bars.open, bars.high, bars.low, bars.close)
        ahead = forward_return(bars.open)
        # The return of the next bar is part of the outcome even where a barrier is hit at once.
        needed = np.maximum(labels.end, np.arange(len(bars)) + 2)
        keep, dropped = self._select(bars, matrix, labels.y, needed)
        if not keep.any():
            counted = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
            never = [
                name
                for name, column in zip(self.features.names, matrix.T, strict=True)
                if not np.isfinite(column).any()
            ]
            if never and len(bars) > self.features.memory:
                shown = ", ".join(never[:6]) + (", ..." if len(never) > 6 else "")
                raise InputError(
                    f"no row of {symbol} is usable: {shown} are never defined on these bars (no "
                    "volume, or prices that do not move?); choose other groups with --features"
                )
            raise InputError(
                f"no row of {symbol} is usable out of {len(bars)} bars ({counted}); features need "
                f"{self.features.memory} bars of history and labels {self.label.horizon + 1} more: "
                "give more bars or shorter windows"
            )
        rows = np.flatnonzero(keep)
        weight = average_uniqueness(rows, labels.end[rows])
        wide = bars.missing > self.max_gap_bars
        meta = DatasetMeta(
            symbol=symbol,
            interval=self.interval.text,
            calendar=bars.calendar,
            label=self.label,
            bar=rows,
            label_end=labels.end[rows],
            forward_return=ahead[rows],
            sample_weight=weight / weight.mean(),
            bars=bars,
            data_digest=bars.digest,
            signature=self.features.signature,
            periods_per_year=bars.periods_per_year,
            dropped=dropped,
            gaps={
                "gaps": int((bars.missing > 0).sum()),
                "missing_bars": int(bars.missing.sum()),
                "longest": int(bars.missing.max()),
                "wide": int(wide.sum()),
            },
            cache=outcome,
            understood=understood,
        )
        timestamps = bars.timestamps[rows]
        return Dataset(
            take_rows(matrix, rows), labels.y[rows], timestamps, self.features.names, meta
        )

    def read(self, symbol: str) -> tuple[Bars, str]:
        """Read and prove the bars that `build` uses, and say how they were read.

        Raises
        ------
        InputError
            If the source has no such bars, or they do not pass `validate_bars`.
        """
        raw = self.source.read(symbol, self.interval.text)
        bars = validate_bars(
            raw.frame,
            symbol=symbol,
            interval=self.interval,
            calendar=self.calendar,
            allow_jumps=self.allow_jumps,
            now=pd.Timestamp.now("UTC"),
        )
        return bars, raw.understood

    def _features(self, bars: Bars) -> tuple[npt.NDArray[np.float32], str]:
        def compute() -> npt.NDArray[np.float32]:
            matrix = self.features.compute(bars)
            probe(self.features, bars, matrix)
            return matrix

        if self.cache is None:
            return compute(), "off"
        return self.cache.fetch(bars, self.features.signature, compute)

    def _select(
        self,
        bars: Bars,
        matrix: npt.NDArray[np.float32],
        y: npt.NDArray[np.float64],
        needed: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
        """Rows to keep, and how many were dropped for which first reason."""
        n = len(bars)
        start = bars.segment_start(self.max_gap_bars)
        warm = self.features.warmed_up(bars, max_gap_bars=self.max_gap_bars)
        finite = np.ones(n, dtype=bool)
        for column in matrix.T:
            finite &= np.isfinite(column)
        last = n - 1
        reasons = {
            "warmup": ~warm & (start == 0),
            "features_span_gap": ~warm & (start > 0),
            "undefined_feature": ~finite,
            "label_not_known_yet": needed > last,
            "label_spans_gap": start[np.minimum(needed, last)] > np.arange(n),
            "undefined_label": np.isnan(y),
        }
        keep = np.ones(n, dtype=bool)
        dropped: dict[str, int] = {}
        for reason, bad in reasons.items():
            dropped[reason] = int((keep & bad).sum())
            keep &= ~bad
        return keep, {reason: count for reason, count in dropped.items() if count}


def take_rows(
    matrix: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Rows of a feature-major matrix, still feature-major; a view if they are one run."""
    if rows[-1] - rows[0] + 1 == len(rows):
        return matrix[rows[0] : rows[-1] + 1]
    out = np.empty((matrix.shape[1], len(rows)), dtype=np.float32)
    for target, column in zip(out, matrix.T, strict=True):
        np.take(column, rows, out=target)
    return out.T
