"""How everything here is measured: interleaved runs, peak memory of a fresh process, tables."""

from __future__ import annotations

import gc
import multiprocessing
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

#: Libraries whose versions decide the figures.
LIBRARIES = ("numpy", "pandas", "pyarrow", "TA-Lib", "lightgbm", "mlflow")


@dataclass(frozen=True)
class Options:
    """What the command line asks of every benchmark."""

    quick: bool = False
    runs: int | None = None
    source: str = ""
    #: Of `noise` alone.
    walks: int = 20
    #: Of the studies alone.
    symbols: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    fit_cache_folder: str = ""
    max_workers: int = 1

    def pick(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def repeats(self, full: int) -> int:
        return self.runs or (2 if self.quick else full)


@dataclass(frozen=True)
class Times:
    """Wall and CPU seconds of one candidate, in the order of the rounds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    """A figure and the bound that DESIGN.md sets for it."""

    what: str
    value: float
    bound: float
    at_least: bool
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        sense = ">=" if self.at_least else "<="
        verdict = "met" if self.met else "NOT met"
        figures = f"{self.value:.3g}{self.unit} (target {sense} {self.bound:g}{self.unit})"
        return f"{self.what}: {figures}: {verdict}"


@dataclass
class Report:
    """What one benchmark found: for people as tables, for machines as plain values."""

    name: str
    about: str
    tables: list[tuple[str, list[str], list[list[str]]]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: What must not be, whatever the machine: the command ends with status 1.
    failures: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def add_table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.tables.append((title, list(head), [list(row) for row in rows]))

    def add_times(self, title: str, times: Mapping[str, Times]) -> None:
        """Table of min, median and max of each candidate's wall time, and of its CPU time."""
        rows = [
            [name, *_spread(t.wall), f"{statistics.median(t.cpu):.4g}"] for name, t in times.items()
        ]
        self.add_table(title, ["seconds", "min", "median", "max", "CPU median"], rows)
        self.data.setdefault("seconds", {})[title] = {
            name: {"wall": t.wall, "cpu": t.cpu} for name, t in times.items()
        }

    def add_ratios(
        self, title: str, times: Mapping[str, Times], pairs: Sequence[tuple[str, str]]
    ) -> None:
        """Table of the ratios within each round: a busy machine slows both sides of a round."""
        rows = [
            [
                f"{a} / {b}",
                *_spread(ratios(times[a].wall, times[b].wall)),
                f"{statistics.median(ratios(times[a].cpu, times[b].cpu)):.4g}",
            ]
            for a, b in pairs
        ]
        self.add_table(title, ["ratio", "min", "median", "max", "CPU median"], rows)

    def show(self, console: Console) -> None:
        console.rule(f"[bold]{self.name}")
        console.print(self.about)
        for title, head, rows in self.tables:
            table = Table(title=title, title_justify="left")
            for position, text in enumerate(head):
                table.add_column(text, justify="right" if position else "left")
            for row in rows:
                table.add_row(*row)
            console.print(table)
        for target in self.targets:
            console.print(f"[{'green' if target.met else 'red'}]{target}")
        for note in self.notes:
            console.print(f"- {note}")
        for failure in self.failures:
            console.print(f"[red]FAILED: {failure}")

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "about": self.about,
            "targets": [{**vars(t), "met": t.met} for t in self.targets],
            "tables": [{"title": t, "head": h, "rows": r} for t, h, r in self.tables],
            "notes": self.notes,
            "failures": self.failures,
            **self.data,
        }


def interleaved(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    prepare: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, Times]:
    """Run A B A B ... in this process; `prepare` runs before a candidate and is not timed.

    One round of every candidate goes before, untimed: imports and first allocations are nobody's.
    """
    times = {name: Times() for name in candidates}
    for number in range(rounds + 1):
        for name, run in candidates.items():
            if prepare and name in prepare:
                prepare[name]()
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            result = run()
            spent = time.perf_counter() - wall, time.process_time() - cpu
            del result
            if number:
                times[name].wall.append(spent[0])
                times[name].cpu.append(spent[1])
    return times


def ratios(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Quotients pair by pair."""
    return [x / y for x, y in zip(a, b, strict=True)]


def peak_rss(function: Callable[..., object], *arguments: object) -> int:
    """Peak resident bytes of a fresh process that imports and calls `function`.

    Forked from a small server process: a child spawned from this one would start with this
    process's own peak in its `ru_maxrss`.
    """
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_peak_of, function, *arguments).result()


def _peak_of(function: Callable[..., object], *arguments: object) -> int:
    function(*arguments)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def machine() -> dict[str, str]:
    """CPU, system and versions that the figures hold for."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return {
        "cpu": f"{model}, {multiprocessing.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def _spread(values: Sequence[float]) -> list[str]:
    return [f"{f(values):.4g}" for f in (min, statistics.median, max)]
