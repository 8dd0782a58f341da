"""Time to build a dataset with features from the cache, against features that are computed."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.inputs import HOUR, synthetic_folder
from benchmarks.measure import BenchmarkResult, Options, Target, interleaved, ratios
from features.bars import Bars, validate_bars
from features.cache import FeatureCache
from features.dataset import DatasetBuilder
from features.feature_set import FeatureSet, Matrix
from features.labels import average_uniqueness, make_labels
from features.probe import probe

SYMBOL = "SYNTHETIC"


def run(options: Options) -> BenchmarkResult:
    n = options.pick(1_000_000, 5_000)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        features = FeatureSet.build(interval=HOUR)
        source = synthetic_folder(folder / "bars", n)
        cached = DatasetBuilder(source, HOUR, features, cache=FeatureCache(folder / "kept"))
        emptied = replace(cached, cache=FeatureCache(folder / "emptied"))
        off = replace(cached, cache=None)
        result = BenchmarkResult(
            "cache",
            f"DatasetBuilder.build from a parquet file of {n:,} SYNTHETIC bars x "
            f"{len(features.columns)} features: read from the cache, computed and stored "
            "(cache folder emptied before), and computed with the cache off.",
        )
        times = interleaved(
            {
                "stored": lambda: _build(emptied, "computed"),
                "read": lambda: _build(cached, "read"),
                "off": lambda: _build(off, "off"),
            },
            rounds=options.repeats(7),
            prepare={
                "stored": lambda: shutil.rmtree(folder / "emptied", ignore_errors=True),
                "read": lambda: cached.build(SYMBOL),
            },
        )
        result.add_times("whole build", times)
        result.add_ratios("whole build", times, [("stored", "read"), ("off", "read")])
        ratio = statistics.median(ratios(times["stored"].wall, times["read"].wall))
        result.targets.append(Target("computed and stored / read", ratio, 15, True, "x"))
        _add_parts(result, cached, options.repeats(7))
    return result


def _build(builder: DatasetBuilder, origin: str) -> object:
    """Build the dataset and check where its features come from."""
    data = builder.build(SYMBOL)
    if data.meta.cache != origin:
        raise RuntimeError(f"the features must have the origin {origin!r}, got {data.meta.cache!r}")
    return data


def _add_parts(result: BenchmarkResult, builder: DatasetBuilder, rounds: int) -> None:
    """Time the parts of a build: those that a cache can save, and those that it cannot."""
    raw = builder.source.read(SYMBOL, "1h").frame
    bars = _validate(raw)
    signature = builder.features.signature
    matrix = builder.features.compute(bars)
    labels = make_labels(builder.label, bars.open, bars.high, bars.low, bars.close)
    complete = labels.end < len(bars)

    def fetch() -> Matrix:
        assert builder.cache is not None
        return builder.cache.fetch(bars, signature, lambda: matrix)[0]

    parts: dict[str, Callable[[], object]] = {
        "read bars": lambda: builder.source.read(SYMBOL, "1h"),
        "validate bars": lambda: _validate(raw),
        "digest of bars": lambda: replace(bars).digest,
        "features: compute": lambda: builder.features.compute(bars),
        "features: probe": lambda: probe(builder.features, bars, matrix),
        "features: read from cache": fetch,
        "labels and weights": lambda: (
            make_labels(builder.label, bars.open, bars.high, bars.low, bars.close),
            average_uniqueness(complete.nonzero()[0], labels.end[complete]),
        ),
        "copy of the matrix": lambda: matrix.copy("F"),
    }
    times = interleaved(parts, rounds=rounds)
    result.add_times("its parts", times)
    pairs = [
        ("features: compute", "features: read from cache"),
        ("features: compute", "copy of the matrix"),
    ]
    result.add_ratios("what a cache can save", times, pairs)
    result.notes.append(
        "A cache that checks the SHA-256 of what it reads saves only the computing and the probe. "
        "The bars are read, validated and hashed in both cases, because the hash is the key. The "
        "time of the copy is the bound for every function that returns a matrix of its own."
    )


def _validate(frame: object) -> Bars:
    return validate_bars(frame, symbol=SYMBOL, interval=HOUR)  # type: ignore[arg-type]
