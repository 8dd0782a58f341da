"""`FeatureSet`: an ordered set of features that computes their values for a series of bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from features.bars import Bars
from features.catalogue import BUILT_IN, FeatureKind, Params, plug_ins
from features.errors import InputError
from features.interval import Interval
from features.series import BarSeries, FloatArray
from features.signature import FeatureEntry, FeatureSignature, formula_digest
from features.timeframes import (
    BASE,
    TIMEFRAME,
    LongerBars,
    check_timeframe,
    longer_bars,
    memory_of,
)

Matrix = npt.NDArray[np.float32]
#: Longest window, in bars: a longer one would need more warm-up bars than most series have.
MAX_WINDOW = 5_000


@dataclass(frozen=True)
class Column:
    """One feature: a kind with one choice of its parameters.

    The parameters `TIMEFRAME` and `BASE` are not those of the formula: they name the longer bars
    that it is computed from, and the bars that these are made of.
    """

    kind: FeatureKind
    params: Params

    @property
    def name(self) -> str:
        """The column name: kind and parameter values, e.g. ``ret_12``, ``4h_ret_12``."""
        of_longer = [str(self.params[TIMEFRAME])] if TIMEFRAME in self.params else []
        return "_".join([*of_longer, self.kind.name, *map(str, self.formula_params.values())])

    @property
    def formula_params(self) -> Params:
        """The parameters of the formula."""
        return {k: v for k, v in self.params.items() if k not in (TIMEFRAME, BASE)}

    @property
    def lengths(self) -> tuple[Interval, Interval] | None:
        """Lengths of the longer bars and of the bars; None for a feature of the bars themselves."""
        if TIMEFRAME not in self.params:
            return None
        timeframe, base = (Interval.parse(str(self.params[name])) for name in (TIMEFRAME, BASE))
        return timeframe, base

    @property
    def memory(self) -> int:
        """The number of bars before a row that the row may depend on."""
        memory, lengths = int(self.kind.memory(**self.formula_params)), self.lengths
        return memory if lengths is None else memory_of(memory, *lengths)

    @property
    def formula(self) -> str:
        """The digest of the formula, with that of the longer bars if it is computed from them."""
        digest = formula_digest(self.kind.compute)
        return digest if self.lengths is None else f"{digest}-{formula_digest(longer_bars)}"


@dataclass(frozen=True)
class FeatureSet:
    """An ordered set of features.

    Attributes
    ----------
    columns : tuple of Column
        In column order. `build` keeps the order of the catalogue: built-in kinds, then plug-ins.
    """

    columns: tuple[Column, ...]

    @classmethod
    def build(
        cls,
        *,
        interval: Interval,
        groups: Sequence[str] | None = None,
        windows: Mapping[str, Sequence[int]] | None = None,
        kinds: Sequence[FeatureKind] | None = None,
        timeframes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> FeatureSet:
        """Return the set of the chosen features.

        Parameters
        ----------
        interval : Interval
            Bar length. Features of the time of day are left out for bars of a day or longer.
        groups : sequence of str, optional
            Groups to choose; all by default.
        windows : mapping of str to sequence of int, optional
            Other windows, in bars, by name of the kind. An empty sequence leaves the kind out.
        kinds : sequence of FeatureKind, optional
            Kinds to choose from; by default the built-in kinds and the installed plug-ins.
        timeframes : mapping of str to mapping, optional
            Lengths of longer bars, as ``4h`` and ``1d``, each with `groups` and `windows` of the
            features that are computed from those of them that have closed. Features of time are
            left out.

        Raises
        ------
        InputError
            For an unknown group or kind, a window that is not an integer from `shortest` of its
            kind to `MAX_WINDOW`, two columns of one name, or if no feature is left.
        """
        available = (*BUILT_IN, *plug_ins()) if kinds is None else tuple(kinds)
        if groups is not None:
            _check_known("groups", groups, sorted({kind.group for kind in available}))
        windows = windows or {}
        windowed = [kind for kind in available if kind.windowed]
        _check_known("windows", windows, [kind.name for kind in windowed])
        for kind in windowed:
            if kind.name in windows and groups is not None and kind.group not in groups:
                raise InputError(
                    f"`windows` sets {kind.name!r} of group {kind.group!r}, which is not among "
                    f"the groups {', '.join(groups)}; add the group, or leave the windows out"
                )
        columns: list[Column] = []
        for kind in available:
            if (groups is not None and kind.group not in groups) or (
                kind.intraday_only and not interval.intraday
            ):
                continue
            chosen = kind
            if kind.name in windows:
                chosen = kind.with_windows(_check_windows(kind, windows[kind.name]))
            columns.extend(Column(chosen, params) for params in chosen.params)
        lengths: dict[int, str] = {}
        for text, chosen_longer in (timeframes or {}).items():
            longer = _longer_columns(available, text, chosen_longer, interval)
            same = lengths.setdefault(Interval.parse(text).ns, text)
            if same != text:
                raise InputError(f"`timeframes` {same} and {text} are the same; leave out one")
            columns += longer
        names = [column.name for column in columns]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise InputError(f"features must have different names, got {duplicates[0]!r} twice")
        if not columns:
            raise InputError("no feature is left; name at least one group or window")
        return cls(tuple(columns))

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, interval: Interval) -> FeatureSet:
        """Return the set that a features file describes.

        Parameters
        ----------
        config : mapping
            Keys ``groups``, ``windows`` and ``timeframes`` of `build`, all optional.
        interval : Interval
            Bar length.

        Raises
        ------
        InputError
            As `build`, and for an unknown key or a value of a wrong type.
        """
        keys = ["groups", "windows", "timeframes"]
        _check_known("keys of the features file", config, keys)
        groups, windows = _check_choice(config)
        timeframes = config.get("timeframes")
        if timeframes is not None and not isinstance(timeframes, dict):
            raise InputError(
                f"`timeframes` must map lengths to groups and windows, got {timeframes!r}; write "
                "for example 4h: {groups: [returns]}"
            )
        return cls.build(interval=interval, groups=groups, windows=windows, timeframes=timeframes)

    @property
    def names(self) -> tuple[str, ...]:
        """The column names, in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def memory(self) -> int:
        """The longest memory of its features, in bars: the warm-up of the set."""
        return max(column.memory for column in self.columns)

    @property
    def requirements(self) -> tuple[str, ...]:
        """The distributions of its plug-ins, sorted."""
        return tuple(sorted({c.kind.distribution for c in self.columns if c.kind.distribution}))

    @property
    def signature(self) -> FeatureSignature:
        """The signature of its columns with the formulas of this installation."""
        return FeatureSignature(
            tuple(
                FeatureEntry(
                    name=column.name,
                    kind=column.kind.name,
                    params=dict(column.params),
                    memory=column.memory,
                    dtype="float32",
                    formula=column.formula,
                )
                for column in self.columns
            )
        )

    def compute(self, bars: Bars, *, time_ns: npt.NDArray[np.int64] | None = None) -> Matrix:
        """Compute the value of every feature at every bar.

        Parameters
        ----------
        bars : Bars
            Validated bars.
        time_ns : int64 array of shape (n,), optional
            The times that features read; `Bars.feature_time_ns` by default.

        Returns
        -------
        float32 array of shape (n, f), columns contiguous
            NaN where the history is too short or a value is undefined. All rows are returned, and
            gaps are ignored: `warmed_up` returns which rows may be used.

        Raises
        ------
        InputError
            If a formula raises an error, or its array does not have one value per bar.
        """
        times = bars.feature_time_ns if time_ns is None else time_ns
        series = BarSeries(times, bars.open, bars.high, bars.low, bars.close, bars.volume)
        lengths = {column.lengths for column in self.columns if column.lengths is not None}
        longer = {pair: longer_bars(series, *pair) for pair in lengths}
        # Feature-major storage: each formula writes, and parquet reads, one contiguous column.
        out = np.empty((len(self.columns), len(bars)), dtype=np.float32)  # (f, n)
        for row, column in zip(out, self.columns, strict=True):
            try:
                values = _values(column, series, longer)
            except Exception as error:
                raise InputError(
                    f"feature {column.name!r} cannot be computed: {type(error).__name__}: "
                    f"{error}; repair the formula, or leave it out"
                ) from error
            if np.shape(values) != row.shape:
                raise InputError(
                    f"feature {column.name!r} must give one value a bar: shape {row.shape}, "
                    f"got {np.shape(values)}; repair the formula"
                )
            row[:] = values
        return out.T  # (n, f)

    def warmed_up(self, bars: Bars, *, max_gap_bars: int) -> npt.NDArray[np.bool_]:
        """Return which rows have the memory of the set behind them without a wide gap.

        Returns
        -------
        bool array of shape (n,)
            True if at least `memory` bars of the row's segment (`Bars.segment_start`) precede it.
        """
        return np.arange(len(bars)) - bars.segment_start(max_gap_bars) >= self.memory


def _values(
    column: Column,
    series: BarSeries,
    longer: Mapping[tuple[Interval, Interval], LongerBars],
) -> FloatArray:
    """Return the values of a column at every bar."""
    lengths = column.lengths
    if lengths is None:
        return column.kind.compute(series, **column.params)
    bars = longer[lengths]
    return bars.align(column.kind.compute(bars.series, **column.formula_params))


def _longer_columns(
    available: Sequence[FeatureKind], text: str, chosen: object, base: Interval
) -> list[Column]:
    """Return the features that are computed from longer bars."""
    timeframe = check_timeframe(text, base)
    if not isinstance(chosen, Mapping):
        raise InputError(
            f"`timeframes` must give {text} groups or windows, got {chosen!r}; write for example "
            f"{text}: {{groups: [returns]}}"
        )
    _check_known(f"keys of the timeframe {text}", chosen, ["groups", "windows"])
    try:
        groups, windows = _check_choice(chosen)
        kinds = [kind for kind in available if kind.group != "time"]
        own = FeatureSet.build(interval=timeframe, groups=groups, windows=windows, kinds=kinds)
    except InputError as error:
        raise InputError(f"timeframe {text}: {error}") from error
    return [
        Column(column.kind, {**column.params, TIMEFRAME: timeframe.text, BASE: base.text})
        for column in own.columns
    ]


def _check_choice(config: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return groups and windows of a mapping; raise `InputError` for values of another type."""
    groups, windows = config.get("groups"), config.get("windows")
    if groups is not None and not (
        isinstance(groups, list) and all(isinstance(g, str) for g in groups)
    ):
        raise InputError(f"`groups` must be a list of names, got {groups!r}")
    if windows is not None and not isinstance(windows, dict):
        raise InputError(f"`windows` must map feature names to lists, got {windows!r}")
    return groups, windows


def rebuild(
    signature: FeatureSignature, *, kinds: Sequence[FeatureKind] | None = None
) -> FeatureSet:
    """Return the feature set that a signature describes, with the formulas of this installation.

    Raises
    ------
    InputError
        If a kind is not installed, or a feature of this installation differs from the signature;
        the message contains one line for each difference.
    """
    available = (*BUILT_IN, *plug_ins()) if kinds is None else tuple(kinds)
    by_name = {kind.name: kind for kind in available}
    unknown = sorted({e.kind for e in signature.entries if e.kind not in by_name})
    if unknown:
        raise InputError(
            f"features of kind {', '.join(unknown)} are not known here; "
            "install the plug-in that the model was trained with: its requirements.txt contains it"
        )
    features = FeatureSet(tuple(Column(by_name[e.kind], e.params) for e in signature.entries))
    for column in features.columns:
        try:
            _ = column.memory
        except TypeError as error:
            raise InputError(
                f"{column.kind.name!r} has no parameters {column.params} here; use the version "
                "that the model was trained with, or train again"
            ) from error
    signature.require(features.signature, owner="this installation")
    return features


def _check_known(subject: str, given: Sequence[str] | Mapping[str, Any], known: list[str]) -> None:
    for name in given:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise InputError(f"unknown {subject}: {name!r}; {hint}")


def _check_windows(kind: FeatureKind, windows: object) -> list[int]:
    if not isinstance(windows, list | tuple):
        raise InputError(f"windows of {kind.name!r} must be a list of bars, got {windows!r}")
    for window in windows:
        if (
            isinstance(window, bool)
            or not isinstance(window, int)
            or not kind.shortest <= window <= MAX_WINDOW
        ):
            raise InputError(
                f"windows of {kind.name!r} must be whole bars from {kind.shortest} to "
                f"{MAX_WINDOW}, got {window!r}"
            )
    return list(windows)
