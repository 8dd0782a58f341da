"""Time to compute every default feature, against bare TA-Lib and NumPy, and against pandas."""

from __future__ import annotations

import statistics

import numpy as np

from benchmarks import bare, with_pandas
from benchmarks.inputs import HOUR, synthetic_bars
from benchmarks.measure import BenchmarkResult, Options, Target, interleaved
from features.feature_set import FeatureSet, Matrix

#: Largest difference of a value between the three: absolute up to 1 and relative above it.
TOLERANCE = 1e-6


def run(options: Options) -> BenchmarkResult:
    n = options.pick(1_000_000, 5_000)
    features = FeatureSet.build(interval=HOUR)
    names = features.names
    sample = synthetic_bars(min(n, 50_000))
    ours = features.compute(sample)
    largest = {
        name: _largest_difference(name, ours, other.matrix(sample, names), features)
        for name, other in (("bare", bare), ("pandas", with_pandas))
    }
    bars = synthetic_bars(n)
    times = interleaved(
        {
            "ours": lambda: features.compute(bars),
            "bare": lambda: bare.matrix(bars, names),
            "pandas": lambda: with_pandas.matrix(bars, names),
        },
        rounds=options.repeats(5),
    )
    cells = n * len(names)
    rates = {name: [cells / s / 1e6 for s in t.wall] for name, t in times.items()}
    result = BenchmarkResult(
        "features",
        f"{len(names)} default features of {n:,} SYNTHETIC bars, one core. Bare: the same TA-Lib "
        f"and NumPy calls without a framework. On {len(sample):,} bars all values agree within "
        f"{TOLERANCE:g}: bare to {largest['bare']:.1e}, pandas to {largest['pandas']:.1e}.",
        data={"million_cells_per_second": rates},
    )
    result.add_times("all features", times)
    result.add_ratios("all features", times, [("ours", "bare"), ("pandas", "ours")])
    result.add_spreads("million cells a second", rates, ".1f")
    result.targets.append(
        Target("ours", statistics.median(rates["ours"]), 40, True, " M cells/s, one core")
    )
    return result


def _largest_difference(name: str, ours: Matrix, other: Matrix, features: FeatureSet) -> float:
    """Return the largest difference over the rows whose memory is complete.

    Raises
    ------
    RuntimeError
        If it is above `TOLERANCE`: the times of different values cannot be compared.
    """
    a, b = (m[features.memory :].astype(np.float64) for m in (ours, other))
    difference = np.abs(a - b) / np.maximum(1.0, np.abs(a))
    difference[np.isnan(a) & np.isnan(b)] = 0.0
    worst = difference.max(axis=0)
    if not (worst <= TOLERANCE).all():
        column = int(np.argmax(np.where(np.isnan(worst), np.inf, worst)))
        raise RuntimeError(
            f"{name} computes another {features.names[column]}: it differs by {worst[column]:g}"
        )
    return float(worst.max())
