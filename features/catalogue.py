"""The features there are: formula, group, default windows and memory of each; plug-ins beside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

from features import indicators as ind
from features.errors import InputError
from features.series import FloatArray

ENTRY_POINT_GROUP = "barwright.features"

#: A formula's parameters: plain values that survive JSON.
Params = dict[str, int | str]


@dataclass(frozen=True)
class FeatureKind:
    """A formula with the parameters it is computed for by default.

    Attributes
    ----------
    name : str
        Lower-case name; the column is called ``{name}_{parameter values}``.
    group : str
        Group by which it is switched on or off.
    compute : callable
        ``compute(bars, **params) -> float64 array of shape (n,)``; row t from bars <= t only,
        NaN where undefined, unchanged when all prices or all volumes are multiplied.
    memory : callable
        ``memory(**params) -> int``: bars before row t that row t may depend on. For recursive
        formulas, bars after which the start is forgotten to 1e-6.
    params : tuple of dict
        One column for each.
    intraday_only : bool
        Left out for bars of a day or longer.
    shortest : int
        Shortest window that the formula is defined for.
    distribution : str
        Installed distribution that a plug-in came from; empty for built-in kinds.
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
        """Whether the kind is configured by windows."""
        return all(set(p) == {"window"} for p in self.params)

    def with_windows(self, windows: list[int]) -> FeatureKind:
        """Return the same kind for other windows."""
        params: tuple[Params, ...] = tuple({"window": w} for w in windows)
        return replace(self, params=params)


def _windows(*windows: int) -> tuple[Params, ...]:
    return tuple({"window": w} for w in windows)


_SHAPES: tuple[Params, ...] = ({"shape": "sin"}, {"shape": "cos"})


def _same(window: int) -> int:
    return window


def _four(window: int) -> int:
    return 4 * window


def _wilder(window: int) -> int:
    return ind.WILDER_MEMORY * window


def _double_wilder(window: int) -> int:
    # ADX smooths a smoothed series: its start fades like k * e^-k.
    return (ind.WILDER_MEMORY + 5) * window


def _next(window: int) -> int:
    return window + 1


def _one() -> int:
    return 1


def _none(**_: object) -> int:
    return 0


BUILT_IN: tuple[FeatureKind, ...] = (
    FeatureKind(
        "ret", "returns", ind.log_return, _same, _windows(1, 2, 3, 6, 12, 24, 48), shortest=1
    ),
    FeatureKind("open_gap", "returns", ind.open_gap, _one),
    FeatureKind("autocorr", "returns", ind.autocorrelation, _next, _windows(48)),
    FeatureKind("vol", "volatility", ind.volatility, _same, _windows(12, 24, 72)),
    FeatureKind("parkinson", "volatility", ind.parkinson, _same, _windows(12, 48)),
    FeatureKind("garman_klass", "volatility", ind.garman_klass, _same, _windows(24)),
    FeatureKind("rogers_satchell", "volatility", ind.rogers_satchell, _same, _windows(24)),
    FeatureKind("vol_ratio", "volatility", ind.volatility_ratio, _four, _windows(6, 24)),
    FeatureKind("range_z", "volatility", ind.range_z, _same, _windows(24, 72)),
    FeatureKind("downside", "volatility", ind.downside_share, _same, _windows(24, 72)),
    FeatureKind("volume_z", "volume", ind.volume_z, _same, _windows(24, 72)),
    FeatureKind("volume_ratio", "volume", ind.volume_ratio, _four, _windows(6, 24)),
    FeatureKind("money_flow", "volume", ind.money_flow, _same, _windows(14, 48)),
    FeatureKind("rsi", "oscillators", ind.rsi, _wilder, _windows(6, 14)),
    FeatureKind("stoch", "oscillators", ind.stochastic, _same, _windows(14, 48)),
    FeatureKind("close_place", "oscillators", ind.close_place, _none),
    FeatureKind("bop", "oscillators", ind.balance_of_power, _same, _windows(1, 14), shortest=1),
    FeatureKind("upper_wick", "oscillators", ind.upper_wick, _none),
    FeatureKind("lower_wick", "oscillators", ind.lower_wick, _none),
    FeatureKind("aroon", "oscillators", ind.aroon, _same, _windows(25)),
    FeatureKind("mean_dist", "trend", ind.mean_distance, _same, _windows(12, 24, 72, 168)),
    FeatureKind("mean_cross", "trend", ind.mean_cross, _four, _windows(6, 24)),
    FeatureKind("efficiency", "trend", ind.efficiency, _same, _windows(12, 48)),
    FeatureKind("adx", "trend", ind.adx, _double_wilder, _windows(14)),
    FeatureKind("di_spread", "trend", ind.directional_spread, _wilder, _windows(14)),
    FeatureKind("below_high", "trend", ind.below_high, _same, _windows(72)),
    FeatureKind("above_low", "trend", ind.above_low, _same, _windows(72)),
    FeatureKind("hour", "time", ind.hour_of_day, _none, _SHAPES, intraday_only=True),
    FeatureKind("weekday", "time", ind.day_of_week, _none, _SHAPES),
)


def plug_ins() -> tuple[FeatureKind, ...]:
    """Feature kinds that installed packages offer under the entry-point group.

    Raises
    ------
    InputError
        If an entry point does not load, is neither a `FeatureKind` nor a tuple of them, or takes
        the name of a built-in kind.
    """
    found: list[FeatureKind] = []
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
        taken = {kind.name for kind in BUILT_IN}
        for kind in kinds:
            if kind.name in taken:
                raise InputError(
                    f"feature plug-in {point.name!r} ({point.value}) calls a kind {kind.name!r}, "
                    "which is the name of a built-in one; rename it"
                )
            # Served models name it among their requirements.
            owner = point.dist.name if point.dist else ""
            found.append(replace(kind, distribution=owner))
    return tuple(found)
