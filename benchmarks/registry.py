"""Commands on an MLflow store with hundreds of names: their cost beside that on a small store."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient

from benchmarks.measure import (
    SPREAD_HEAD,
    BenchmarkResult,
    Options,
    Target,
    interleaved,
    peak_rss,
    ratios,
    spread,
)
from benchmarks.registry_stores import (
    NAME_MEASURED,
    SYMBOL_MEASURED,
    RealRun,
    Size,
    fill,
    new_postgres,
    new_sqlite,
    postgres,
)
from trainer.errors import TrainerError
from trainer.registry import alias, promotion, prune
from trainer.tracking import ranking
from trainer.tracking.mlflow_runs import open_tracking
from trainer.tracking.model_uri import resolve
from trainer.tracking.store import print_only_warnings

#: The third store is measured against the second: as many versions and trials of each name, and
#: a hundredth of the names. The first one shows what grows with the versions of one name.
_FULL = (Size(3, 5, 5), Size(3, 50, 33), Size(300, 50, 33))
_QUICK = (Size(3, 2, 2), Size(3, 3, 3), Size(6, 3, 3))
#: Largest ratio of the third store to the second that counts as bounded.
_BOUNDED = 1.5


def run(options: Options) -> BenchmarkResult:
    sizes = _QUICK if options.quick else _FULL
    runs = sizes[-1].names * sizes[-1].runs
    result = BenchmarkResult(
        "registry",
        f"MLflow stores of {', '.join(map(str, sizes))}; the largest has {runs:,} candidate runs. "
        "All runs are copies of one real run of lightgbm on the sample. The baseline is the "
        f"second store: as many versions and trials of each name, fewer names. `promote` judges "
        f"{NAME_MEASURED} by all {3 * sizes[-1].runs} trials of its symbol.",
    )
    print_only_warnings()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        real = RealRun.train(folder / "real")
        _measure(result, options, "SQLite", _sqlite_stores(real, sizes, folder))
        with postgres(folder / "server") as server:
            _measure(result, options, "PostgreSQL", _postgres_stores(real, sizes, folder, server))
    return result


def _sqlite_stores(real: RealRun, sizes: tuple[Size, ...], folder: Path) -> dict[str, str]:
    stores = {}
    for number, size in enumerate(sizes):
        stores[str(size)] = new_sqlite(real, folder / f"{number}.db")
        fill(stores[str(size)], real, size, folder / f"sqlite{number}")
    return stores


def _postgres_stores(
    real: RealRun, sizes: tuple[Size, ...], folder: Path, server: str
) -> dict[str, str]:
    stores = {}
    for number, size in enumerate(sizes):
        stores[str(size)] = new_postgres(real, server, f"registry_{number}")
        fill(stores[str(size)], real, size, folder / f"postgres{number}")
    return stores


def _measure(
    result: BenchmarkResult, options: Options, database: str, stores: Mapping[str, str]
) -> None:
    """Time every call on every store, in turn, and add the tables of one database."""
    first, second, third = stores
    rows = []
    for name, call in CALLS.items():
        times = interleaved(
            {store: partial(call, uri) for store, uri in stores.items()},
            rounds=options.repeats(5),
        )
        result.data.setdefault("seconds", {})[f"{database}, {name}"] = {
            store: of_store.wall for store, of_store in times.items()
        }
        for store in stores:
            quotients = ratios(times[store].wall, times[second].wall)
            seconds = spread(times[store].wall, ".3f")
            shown = name if store == first else ""
            rows.append([shown, store, *seconds, f"{statistics.median(quotients):.2f}"])
        growth = min(times[third].wall) / min(times[second].wall)
        if name not in UNBOUNDED:
            what = f"{database}, {name}: {third} / {second}"
            result.targets.append(Target(what, growth, _BOUNDED, False))
    head = ["", "store", *SPREAD_HEAD, "/ second store"]
    result.add_table(f"{database}: seconds", head, rows)
    peaks = [
        [name, *(f"{peak_rss(_call, name, stores[store]) / 1e6:.0f}" for store in (second, third))]
        for name in _WITH_MEMORY
    ]
    result.add_table(f"{database}: peak memory of a process, MB", ["", second, third], peaks)


def _use(uri: str) -> MlflowClient:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    mlflow.set_tracking_uri(uri)
    return MlflowClient()


def _compare(uri: str) -> None:
    _use(uri)
    ranking.compare([SYMBOL_MEASURED])


def _compare_unknown(uri: str) -> None:
    _use(uri)
    with suppress(TrainerError):
        ranking.compare(["UNKNOWN"])


def _promote(uri: str) -> None:
    # The version is flat, so the alias stays.
    promotion.promote(_use(uri), NAME_MEASURED, source="sample")


def _resolve(uri: str) -> None:
    _use(uri)
    resolve(f"models:/{NAME_MEASURED}@champion")


def _resolve_latest(uri: str) -> None:
    _use(uri)
    resolve(f"models:/{NAME_MEASURED}@latest")


def _all_holders(uri: str) -> None:
    alias.all_holders(_use(uri))


def _one_by_one(uri: str) -> None:
    client = _use(uri)
    for name in alias.all_holders(client):
        resolve(f"models:/{name}@champion")


def _start(uri: str) -> None:
    _use(uri)
    with open_tracking("barwright", {"symbols": SYMBOL_MEASURED}):
        pass


def _prune_one(uri: str) -> None:
    prune.plan(_use(uri), prune.Policy(names=(NAME_MEASURED,)))


#: What is measured, by name.
CALLS: dict[str, Callable[[str], Any]] = {
    "compare, one symbol": _compare,
    "compare, unknown symbol": _compare_unknown,
    "promote, one name": _promote,
    "alias of one name": _resolve,
    "@latest of one name": _resolve_latest,
    "aliases of all names, one call": _all_holders,
    "aliases of all names, one by one": _one_by_one,
    "start of a training run": _start,
    "prune, one name": _prune_one,
}
#: Calls whose memory is measured.
_WITH_MEMORY = (
    "compare, one symbol", "promote, one name", "aliases of all names, one call",
    "start of a training run",
)  # fmt: skip
#: Calls that read every name, and so grow with their number.
UNBOUNDED = {"aliases of all names, one call", "aliases of all names, one by one"}


def _call(name: str, uri: str) -> None:
    CALLS[name](uri)
