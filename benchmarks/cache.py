"""Building a dataset with its features in the cache, against computing them."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.inputs import HOUR, synthetic_folder
from benchmarks.measure import Options, Report, Target, interleaved, ratios
from features.bars import Bars, validate_bars
from features.cache import FeatureCache
from features.dataset import DatasetBuilder
from features.feature_set import FeatureSet, Matrix
from features.labels import average_uniqueness, make_labels
from features.probe import probe

SYMBOL = "SYNTHETIC"


def run(options: Options) -> Report:
    n = options.pick(1_000_000, 5_000)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        features = FeatureSet.build(interval=HOUR)
        source = synthetic_folder(folder / "bars", n)
        cached = DatasetBuilder(source, HOUR, features, cache=FeatureCache(folder / "kept"))
        emptied = replace(cached, cache=FeatureCache(folder / "emptied"))
        off = replace(cached, cache=None)
        report = Report(
            "cache",
            f"DatasetBuilder.build from a parquet file of {n:,} SYNTHETIC bars x "
            f"{len(features.columns)} features: read from the cache, computed and stored "
            "(cache folder emptied before), and computed with the cache off.",
        )
        times = interleaved(
            {
                "stored": lambda: _expect(emptied, "computed"),
                "read": lambda: _expect(cached, "read"),
                "off": lambda: _expect(off, "off"),
            },
            rounds=options.repeats(7),
            prepare={
                "stored": lambda: shutil.rmtree(folder / "emptied", ignore_errors=True),
                "read": lambda: cached.build(SYMBOL),
            },
        )
        report.add_times("whole build", times)
        report.add_ratios("whole build", times, [("stored", "read"), ("off", "read")])
        ratio = statistics.median(ratios(times["stored"].wall, times["read"].wall))
        report.targets.append(Target("computed and stored / read", ratio, 15, True, "x"))
        _parts(report, cached, options.repeats(7))
    return report


def _expect(builder: DatasetBuilder, outcome: str) -> object:
    built = builder.build(SYMBOL)
    if built.meta.cache != outcome:
        raise RuntimeError(f"the cache says {built.meta.cache!r}, not {outcome!r}")
    return built


def _parts(report: Report, builder: DatasetBuilder, rounds: int) -> None:
    """Say what a build consists of: what a cache can save, and what it cannot."""
    raw = builder.source.read(SYMBOL, "1h").frame
    bars = _validate(raw)
    signature = builder.features.signature
    matrix = builder.features.compute(bars)
    labels = make_labels(builder.label, bars.open, bars.high, bars.low, bars.close)
    kept = labels.end < len(bars)

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
            average_uniqueness(kept.nonzero()[0], labels.end[kept]),
        ),
        "copy of the matrix": lambda: matrix.copy("F"),
    }
    times = interleaved(parts, rounds=rounds)
    report.add_times("its parts", times)
    pairs = [
        ("features: compute", "features: read from cache"),
        ("features: compute", "copy of the matrix"),
    ]
    report.add_ratios("what a cache can save", times, pairs)
    report.notes.append(
        "A cache that is read with its SHA-256 checked can save the computing and the probe only; "
        "the bars are read, proven and hashed either way (the hash is the key). The copy is the "
        "bound for anything that hands out a matrix of its own."
    )


def _validate(frame: object) -> Bars:
    return validate_bars(frame, symbol=SYMBOL, interval=HOUR)  # type: ignore[arg-type]
