"""`DatasetBuilder` turns the bars of a symbol into the rows on which every model is trained."""

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
from features.feature_set import FeatureSet, Matrix
from features.interval import Interval
from features.labels import Labels, LabelSpec, average_uniqueness, forward_return, make_labels
from features.probe import probe
from features.signature import FeatureSignature
from features.sources import BarSource


@dataclass(frozen=True, eq=False)
class DatasetMeta:
    """The description of the rows of a dataset.

    Attributes
    ----------
    symbol, interval, calendar : str
        Symbol, bar length and trading calendar of the bars.
    label : LabelSpec
        The kind of label in y.
    bar : int64 array of shape (n,)
        Index of each row's bar in the series: t0 of its label span.
    label_end : int64 array of shape (n,)
        Index of the last bar that the row's label or forward return reads: t1 of its label span,
        which includes both ends.
    forward_return : float64 array of shape (n,)
        Return of the one bar after each decision, from open to open.
    sample_weight : float64 array of shape (n,)
        Average uniqueness of each label, scaled to mean 1.
    bars : Bars
        The whole validated series.
    data_digest : str
        SHA-256 of the bars.
    signature : FeatureSignature
        Signature of the features.
    periods_per_year : float
        Number of bars in a year of 365 days, by the sessions in the span of the bars.
    dropped : dict of str to int
        Number of rows left out, by reason.
    gaps : dict of str to int
        ``gaps``: number of gaps; ``missing_bars``: bars missing in them; ``longest``: missing bars
        of the longest gap; ``wide``: number of gaps of more than `max_gap_bars`.
    cache : {"read", "computed", "replaced", "off"}
        Where the features come from (`FeatureCache.fetch`); ``off`` without a cache.
    understood : str
        How the source was read, as a sentence for users.
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
    """Rows for training, in the order of time.

    Attributes
    ----------
    X : float32 array of shape (n, f)
        Finite features in deterministic column order.
    y : float64 array of shape (n,)
        Labels: class 0 or 1, or log return over the horizon.
    timestamps : pandas.DatetimeIndex of shape (n,)
        UTC bar OPEN times.
    feature_names : tuple of str
        Names of the columns of X.
    meta : DatasetMeta
        Description of the rows.
    """

    X: npt.NDArray[np.float32]
    y: npt.NDArray[np.float64]
    timestamps: pd.DatetimeIndex
    feature_names: tuple[str, ...]
    meta: DatasetMeta


@dataclass(frozen=True)
class DatasetBuilder:
    """Builds the dataset of a symbol; every model is trained on the same rows.

    Attributes
    ----------
    source : BarSource
        Source of the bars.
    interval : Interval
        Bar length.
    features : FeatureSet
        Features to compute.
    label : LabelSpec
        Labels to compute.
    cache : FeatureCache, optional
        Cache of computed features; None computes them every time.
    max_gap_bars : int
        A row is dropped if its features or its label span a gap of more missing bars than this.
    calendar : str
        ``auto``, ``24/7``, ``24/5`` or an exchange such as ``XNYS`` (`validate_bars`).
    allow_jumps : bool
        Whether moves that look like unadjusted splits are accepted.
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
        """Raise `InputError` for a negative gap."""
        if self.max_gap_bars < 0:
            raise InputError(
                f"`max_gap_bars` must be >= 0 bars, got {self.max_gap_bars}; use 0 to allow none"
            )

    def build(self, symbol: str) -> Dataset:
        """Read and validate bars, compute features and labels, and drop unusable rows.

        Raises
        ------
        InputError
            If the source has no such bars, the bars do not pass `validate_bars`, a feature breaks
            a law of `features.laws`, or no row is left.
        """
        bars, understood = self.read(symbol)
        # Arrow keeps several times the size of the bars after reading; the matrix needs the memory.
        pa.default_memory_pool().release_unused()
        matrix, origin = self._compute_features(bars)  # (bars, f)
        labels = make_labels(self.label, bars.open, bars.high, bars.low, bars.close)
        keep, dropped = self._select(bars, matrix, labels)
        if not keep.any():
            raise self._no_usable_row(bars, matrix, dropped)
        rows = np.flatnonzero(keep)  # (n,)
        weight = average_uniqueness(rows, labels.end[rows])
        meta = DatasetMeta(
            symbol=symbol,
            interval=self.interval.text,
            calendar=bars.calendar,
            label=self.label,
            bar=rows,
            label_end=labels.end[rows],
            forward_return=forward_return(bars.open)[rows],
            sample_weight=weight / weight.mean(),
            bars=bars,
            data_digest=bars.digest,
            signature=self.features.signature,
            periods_per_year=bars.periods_per_year,
            dropped=dropped,
            gaps={**bars.count_gaps(), "wide": int((bars.missing > self.max_gap_bars).sum())},
            cache=origin,
            understood=understood,
        )
        timestamps = bars.timestamps[rows]
        return Dataset(
            take_rows(matrix, rows), labels.y[rows], timestamps, self.features.names, meta
        )

    def read(self, symbol: str) -> tuple[Bars, str]:
        """Read and validate the bars that `build` uses.

        Returns
        -------
        bars : Bars
            The validated bars.
        understood : str
            How the source was read, and which calendar the bars follow, as sentences for users.

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
        a_year = f"{bars.periods_per_year:,.0f} bars a year"
        return bars, "; ".join((raw.understood, *bars.notes, a_year))

    def _compute_features(self, bars: Bars) -> tuple[Matrix, str]:
        """Return the feature matrix of shape (bars, f) and where it comes from."""

        def compute() -> Matrix:
            matrix = self.features.compute(bars)
            probe(self.features, bars, matrix)
            return matrix

        if self.cache is None:
            return compute(), "off"
        return self.cache.fetch(bars, self.features.signature, compute)

    def _select(
        self, bars: Bars, matrix: Matrix, labels: Labels
    ) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
        """Return which rows are usable, and how many are not, by the first reason that applies."""
        last = len(bars) - 1
        segment = bars.segment_start(self.max_gap_bars)  # (bars,)
        warm = self.features.warmed_up(bars, max_gap_bars=self.max_gap_bars)
        finite = np.ones(len(bars), dtype=bool)
        for column in matrix.T:
            finite &= np.isfinite(column)
        reasons = {
            "warmup": ~warm & (segment == 0),
            "features_span_gap": ~warm & (segment > 0),
            "undefined_feature": ~finite,
            "label_not_known_yet": labels.end > last,
            "label_spans_gap": segment[np.minimum(labels.end, last)] > np.arange(len(bars)),
            "undefined_label": np.isnan(labels.y),
        }
        keep = np.ones(len(bars), dtype=bool)
        dropped: dict[str, int] = {}
        for reason, unusable in reasons.items():
            dropped[reason] = int((keep & unusable).sum())
            keep &= ~unusable
        return keep, {reason: count for reason, count in dropped.items() if count}

    def _no_usable_row(self, bars: Bars, matrix: Matrix, dropped: dict[str, int]) -> InputError:
        """Return the error for a series without a usable row, with the most likely cause."""
        undefined = [
            name
            for name, column in zip(self.features.names, matrix.T, strict=True)
            if not np.isfinite(column).any()
        ]
        if undefined and len(bars) > self.features.memory:
            listed = ", ".join(undefined[:6]) + (", ..." if len(undefined) > 6 else "")
            return InputError(
                f"no row of {bars.symbol} is usable: {listed} are never defined on these bars (no "
                "volume, or constant prices?); choose other groups with --features"
            )
        counts = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        return InputError(
            f"no row of {bars.symbol} is usable out of {len(bars)} bars ({counts}); features need "
            f"{self.features.memory} bars of history and labels {self.label.horizon + 1} more: "
            "give more bars or shorter windows"
        )


def take_rows(matrix: Matrix, rows: npt.NDArray[np.int64]) -> Matrix:
    """Return rows of a feature-major matrix, feature-major as well.

    Parameters
    ----------
    matrix : float32 array of shape (n, f)
        Its columns are contiguous.
    rows : int64 array of shape (k,)
        Increasing row indices, at least one.

    Returns
    -------
    float32 array of shape (k, f)
        A view of `matrix` if the rows are consecutive.
    """
    if rows[-1] - rows[0] + 1 == len(rows):
        return matrix[rows[0] : rows[-1] + 1]
    out = np.empty((matrix.shape[1], len(rows)), dtype=np.float32)  # (f, k)
    for target, column in zip(out, matrix.T, strict=True):
        np.take(column, rows, out=target)
    return out.T  # (k, f)
