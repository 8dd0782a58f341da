"""The list of available features: the built-in kinds, then the kinds of installed plug-ins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

from features import indicators as ind
from features.errors import InputError
from features.series import FloatArray

ENTRY_POINT_GROUP = "barwright.features"

#: Parameters of a formula by name; values that JSON can store without loss.
Params = dict[str, int | str]


@dataclass(frozen=True)
class FeatureKind:
    """A formula with its default parameters.

    Attributes
    ----------
    name : str
        Lower-case name; the columns are named ``{name}_{parameter values}``.
    group : str
        Group by which users choose features.
    compute : callable
        ``compute(bars, **params) -> float64 array of shape (n,)``. It must satisfy the laws of
        `features.laws`: row t depends on bars <= t only and is NaN where it is undefined; a
        factor on all prices, or on all volumes, does not change it.
    memory : callable
        ``memory(**params) -> int``: the number of bars before row t that row t may depend on. For
        a recursive formula, the number of bars after which its start no longer matters (law
        START of `features.laws`).
    params : tuple of dict
        One column is computed for each.
    intraday_only : bool
        Whether it is left out for bars of a day or longer.
    shortest : int
        Shortest window, in bars, for which the formula is defined.
    distribution : str
        Installed distribution of a plug-in; empty for built-in kinds.
    """

    name: str
    group: str
    compute: Callable[..., FloatArray]
    memory: Callable[..., int]
    params: tuple[Params, ...] = ({},)
    intraday_only: bool = False
    shortest: int = 2
    distribution: str = ""

    @property
    def windowed(self) -> bool:
        """Whether the window is the only parameter, so that users may choose other windows."""
        return all(set(p) == {"window"} for p in self.params)

    def with_windows(self, windows: list[int]) -> FeatureKind:
        """Return a copy with other windows, in bars."""
        params: tuple[Params, ...] = tuple({"window": w} for w in windows)
        return replace(self, params=params)


def _windows(*windows: int) -> tuple[Params, ...]:
    return tuple({"window": w} for w in windows)


_SHAPES: tuple[Params, ...] = ({"shape": "sin"}, {"shape": "cos"})


# --- memories of the built-in formulas, in bars ----------------------------------------------


def _one_window(window: int) -> int:
    return window


def _window_plus_one(window: int) -> int:
    return window + 1


def _four_windows(window: int) -> int:
    return 4 * window


def _wilder(window: int) -> int:
    return ind.WILDER_MEMORY * window


def _double_wilder(window: int) -> int:
    # ADX smooths a smoothed series: after k windows its start has a weight like k * e^-k.
    return (ind.WILDER_MEMORY + 5) * window


def _one_bar() -> int:
    return 1


def _no_bar(**_: object) -> int:
    return 0


BUILT_IN: tuple[FeatureKind, ...] = (
    FeatureKind(
        "ret", "returns", ind.log_return, _one_window, _windows(1, 2, 3, 6, 12, 24, 48), shortest=1
    ),
    FeatureKind("open_gap", "returns", ind.open_gap, _one_bar),
    FeatureKind("autocorr", "returns", ind.autocorrelation, _window_plus_one, _windows(48)),
    FeatureKind("vol", "volatility", ind.volatility, _one_window, _windows(12, 24, 72)),
    FeatureKind("parkinson", "volatility", ind.parkinson, _one_window, _windows(12, 48)),
    FeatureKind("garman_klass", "volatility", ind.garman_klass, _one_window, _windows(24)),
    FeatureKind("rogers_satchell", "volatility", ind.rogers_satchell, _one_window, _windows(24)),
    FeatureKind("vol_ratio", "volatility", ind.volatility_ratio, _four_windows, _windows(6, 24)),
    FeatureKind("range_z", "volatility", ind.range_z, _one_window, _windows(24, 72)),
    FeatureKind("downside", "volatility", ind.downside_share, _one_window, _windows(24, 72)),
    FeatureKind("volume_z", "volume", ind.volume_z, _one_window, _windows(24, 72)),
    FeatureKind("volume_ratio", "volume", ind.volume_ratio, _four_windows, _windows(6, 24)),
    FeatureKind("money_flow", "volume", ind.money_flow, _one_window, _windows(14, 48)),
    FeatureKind("rsi", "oscillators", ind.rsi, _wilder, _windows(6, 14)),
    FeatureKind("stoch", "oscillators", ind.stochastic, _one_window, _windows(14, 48)),
    FeatureKind("close_place", "oscillators", ind.close_place, _no_bar),
    FeatureKind(
        "bop", "oscillators", ind.balance_of_power, _one_window, _windows(1, 14), shortest=1
    ),
    FeatureKind("upper_wick", "oscillators", ind.upper_wick, _no_bar),
    FeatureKind("lower_wick", "oscillators", ind.lower_wick, _no_bar),
    FeatureKind("aroon", "oscillators", ind.aroon, _one_window, _windows(25)),
    FeatureKind("mean_dist", "trend", ind.mean_distance, _one_window, _windows(12, 24, 72, 168)),
    FeatureKind("mean_cross", "trend", ind.mean_cross, _four_windows, _windows(6, 24)),
    FeatureKind("efficiency", "trend", ind.efficiency, _one_window, _windows(12, 48)),
    FeatureKind("adx", "trend", ind.adx, _double_wilder, _windows(14)),
    FeatureKind("di_spread", "trend", ind.directional_spread, _wilder, _windows(14)),
    FeatureKind("below_high", "trend", ind.below_high, _one_window, _windows(72)),
    FeatureKind("above_low", "trend", ind.above_low, _one_window, _windows(72)),
    FeatureKind("hour", "time", ind.hour_of_day, _no_bar, _SHAPES, intraday_only=True),
    FeatureKind("weekday", "time", ind.day_of_week, _no_bar, _SHAPES),
)


def plug_ins() -> tuple[FeatureKind, ...]:
    """Return the feature kinds of installed packages, from the group `ENTRY_POINT_GROUP`.

    Raises
    ------
    InputError
        If an entry point does not load, is neither a `FeatureKind` nor a tuple of them, or uses
        the name of a built-in kind.
    """
    available: list[FeatureKind] = []
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.name):
        try:
            loaded = point.load()
        except Exception as error:
            raise InputError(
                f"feature plug-in {point.name!r} ({point.value}) does not load: {error}; "
                "repair or uninstall it"
            ) from error
        kinds = (loaded,) if isinstance(loaded, FeatureKind) else loaded
        if not isinstance(kinds, tuple | list) or not all(
            isinstance(kind, FeatureKind) for kind in kinds
        ):
            raise InputError(
                f"feature plug-in {point.name!r} must be a FeatureKind or a tuple of them; "
                "see docs/features.md"
            )
        built_in_names = {kind.name for kind in BUILT_IN}
        for kind in kinds:
            if kind.name in built_in_names:
                raise InputError(
                    f"feature plug-in {point.name!r} ({point.value}) names a kind {kind.name!r}, "
                    "which is the name of a built-in one; rename it"
                )
            # The requirements of a served model must contain the distribution.
            distribution = point.dist.name if point.dist else ""
            available.append(replace(kind, distribution=distribution))
    return tuple(available)
