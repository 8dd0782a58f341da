"""Peak memory of a fresh process that builds a dataset, in multiples of its feature matrix."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.inputs import HOUR, synthetic_folder
from benchmarks.measure import BenchmarkResult, Options, Target, peak_rss
from features.cache import FeatureCache
from features.dataset import DatasetBuilder
from features.feature_set import FeatureSet
from features.sources import FolderSource


def run(options: Options) -> BenchmarkResult:
    n = options.pick(1_000_000, 5_000)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        synthetic_folder(folder / "bars", n)
        columns = len(FeatureSet.build(interval=HOUR).columns)
        matrix = n * columns * 4
        peaks = {
            "imports only": peak_rss(_nothing),
            "bars read and validated": peak_rss(_bars, folder),
            "computed and stored": peak_rss(_build, folder, "computed"),
            "read from cache": peak_rss(_build, folder, "read"),
        }
    result = BenchmarkResult(
        "memory",
        f"Peak resident memory of building {n:,} SYNTHETIC bars x {columns} features in a fresh "
        f"process; the float32 matrix has {matrix / 1e6:.0f} MB.",
        data={"peak_bytes": peaks, "matrix_bytes": matrix},
    )
    rows = [[k, f"{v / 1e6:.0f}", f"{v / matrix:.2f}"] for k, v in peaks.items()]
    result.add_table("peak resident memory", ["process", "MB", "x matrix"], rows)
    for what in ("computed and stored", "read from cache"):
        result.targets.append(Target(what, peaks[what] / matrix, 3, False, "x the matrix"))
    return result


def _nothing() -> None:
    """Do nothing: the process only imports this module."""


def _bars(folder: Path) -> None:
    from features.bars import validate_bars

    frame = FolderSource(folder / "bars").read("SYNTHETIC", "1h").frame
    validate_bars(frame, symbol="SYNTHETIC", interval=HOUR)


def _build(folder: Path, origin: str) -> None:
    features = FeatureSet.build(interval=HOUR)
    cache = FeatureCache(folder / "cache")
    builder = DatasetBuilder(FolderSource(folder / "bars"), HOUR, features, cache=cache)
    if builder.build("SYNTHETIC").meta.cache != origin:
        raise RuntimeError(f"the features were not {origin}")
