"""A chosen, ordered set of features, and their values for a series of bars."""

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
from features.series import BarSeries
from features.signature import FeatureEntry, FeatureSignature, formula_digest

Matrix = npt.NDArray[np.float32]
#: Windows beyond this would need more warm-up than most series have bars.
MAX_WINDOW = 5_000


@dataclass(frozen=True)
class Column:
    """One feature: a kind with one set of parameters."""

    kind: FeatureKind
    params: Params

    @property
    def name(self) -> str:
        """Column name: kind and parameter values, e.g. ``ret_12``."""
        return "_".join([self.kind.name, *map(str, self.params.values())])

    @property
    def memory(self) -> int:
        """Bars before a row that the row may depend on."""
        return int(self.kind.memory(**self.params))


@dataclass(frozen=True)
class FeatureSet:
    """An ordered set of features.

    Attributes
    ----------
    columns : tuple of Column
        In column order: groups and kinds in the catalogue's order, then plug-ins.
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
    ) -> FeatureSet:
        """Choose features.

        Parameters
        ----------
        interval : Interval
            Bar length: features of the time of day are left out for bars of a day or longer.
        groups : sequence of str, optional
            Keep these groups only; all by default.
        windows : mapping of str to sequence of int, optional
            Other windows, in bars, for kinds by name. An empty sequence leaves the kind out.
        kinds : sequence of FeatureKind, optional
            What to choose from; by default the built-in kinds and the installed plug-ins.

        Raises
        ------
        InputError
            For an unknown group or kind, a window that is no integer from 1 to `MAX_WINDOW`, a
            name given twice, or if nothing is left.
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
        names = [column.name for column in columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"features must have different names, got {twice[0]!r} twice")
        if not columns:
            raise InputError("no feature is left; name at least one group or window")
        return cls(tuple(columns))

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, interval: Interval) -> FeatureSet:
        """Choose features from plain values: keys ``groups`` and ``windows``, both optional."""
        _check_known("keys of the features file", config, ["groups", "windows"])
        groups, windows = config.get("groups"), config.get("windows")
        if groups is not None and not (
            isinstance(groups, list) and all(isinstance(g, str) for g in groups)
        ):
            raise InputError(f"`groups` must be a list of names, got {groups!r}")
        if windows is not None and not isinstance(windows, dict):
            raise InputError(f"`windows` must map feature names to lists, got {windows!r}")
        return cls.build(interval=interval, groups=groups, windows=windows)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def memory(self) -> int:
        """Bars before a row that any of its features may depend on: the warm-up."""
        return max(column.memory for column in self.columns)

    @property
    def requirements(self) -> tuple[str, ...]:
        """Distributions that its plug-ins come from, sorted."""
        return tuple(sorted({c.kind.distribution for c in self.columns if c.kind.distribution}))

    @property
    def signature(self) -> FeatureSignature:
        """Names, parameters, memory and formulas, comparable and storable."""
        return FeatureSignature(
            tuple(
                FeatureEntry(
                    name=column.name,
                    kind=column.kind.name,
                    params=dict(column.params),
                    memory=column.memory,
                    dtype="float32",
                    formula=formula_digest(column.kind.compute),
                )
                for column in self.columns
            )
        )

    def compute(self, bars: Bars) -> Matrix:
        """Values of every feature at every bar.

        Parameters
        ----------
        bars : Bars
            Validated bars.

        Returns
        -------
        float32 array of shape (n, f), columns contiguous
            NaN where the history is too short or a value is undefined. Nothing is dropped and
            gaps are not looked at here: `decidable` says which rows may be used.

        Raises
        ------
        InputError
            If a formula raises, or its array has another length than the bars.
        """
        series = BarSeries(bars.time_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)
        # Feature-major storage: each formula writes one contiguous run, parquet reads one back.
        out = np.empty((len(self.columns), len(bars)), dtype=np.float32)
        for row, column in zip(out, self.columns, strict=True):
            try:
                values = column.kind.compute(series, **column.params)
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
        return out.T

    def warmed_up(self, bars: Bars, *, max_gap_bars: int) -> npt.NDArray[np.bool_]:
        """Rows whose features saw enough bars since the start or the last wide gap, shape (n,)."""
        return np.arange(len(bars)) - bars.segment_start(max_gap_bars) >= self.memory


def rebuild(
    signature: FeatureSignature, *, kinds: Sequence[FeatureKind] | None = None
) -> FeatureSet:
    """Make the feature set that a signature describes, with the formulas of this installation.

    Raises
    ------
    InputError
        If a kind is not known here, or anything about a feature differs: with a readable diff.
    """
    available = (*BUILT_IN, *plug_ins()) if kinds is None else tuple(kinds)
    by_name = {kind.name: kind for kind in available}
    unknown = sorted({e.kind for e in signature.entries if e.kind not in by_name})
    if unknown:
        raise InputError(
            f"features of kind {', '.join(unknown)} are not known here; "
            "install the plug-in that the model was trained with: it is in its requirements.txt"
        )
    built = FeatureSet(tuple(Column(by_name[e.kind], e.params) for e in signature.entries))
    for column in built.columns:
        try:
            _ = column.memory
        except TypeError as error:
            raise InputError(
                f"{column.kind.name!r} has no parameters {column.params} here; use the version "
                "that the model was trained with, or train again"
            ) from error
    signature.require(built.signature, where="this installation")
    return built


def _check_known(what: str, given: Sequence[str] | Mapping[str, Any], known: list[str]) -> None:
    for name in given:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise InputError(f"unknown {what}: {name!r}; {hint}")


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
