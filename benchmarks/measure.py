"""Tools of every benchmark: interleaved runs, peak memory of a fresh process, and its result."""

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

#: Libraries on whose versions the results depend.
LIBRARIES = ("numpy", "pandas", "pyarrow", "TA-Lib", "lightgbm", "mlflow")
#: Column headings of `spread`.
SPREAD_HEAD = ("min", "median", "max")


@dataclass(frozen=True)
class Options:
    """Options of the command line, for every benchmark."""

    quick: bool = False
    runs: int | None = None
    source: str = ""
    #: Used by `noise`, `noise_rules` and `search` only.
    walks: int = 20
    #: These four are used by the studies only.
    symbols: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    fit_cache_folder: str = ""
    max_workers: int = 1
    #: Used by `position_rules` only.
    interval: str = "1h"

    def pick(self, full: int, quick: int) -> int:
        """Return the size for this run."""
        return quick if self.quick else full

    def repeats(self, full: int) -> int:
        """Return the number of timed rounds."""
        return self.runs or (2 if self.quick else full)


@dataclass(frozen=True)
class Times:
    """Wall and CPU seconds of one candidate, in the order of the rounds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    """A metric with the bound that it should satisfy."""

    what: str
    value: float
    bound: float
    at_least: bool
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the value satisfies the bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        sense = ">=" if self.at_least else "<="
        verdict = "met" if self.met else "NOT met"
        values = f"{self.value:.3g}{self.unit} (target {sense} {self.bound:g}{self.unit})"
        return f"{self.what}: {values}: {verdict}"


@dataclass
class BenchmarkResult:
    """The result of one benchmark: tables and notes to print, plain values for JSON.

    Attributes
    ----------
    name, about : str
        Name of the benchmark, and a description of what it measures.
    tables : list of (str, list of str, list of list of str)
        Title, column headings and rows of each table.
    targets : list of Target
    notes : list of str
    failures : list of str
        Results that are wrong on every machine: with one of them the command ends with status 1.
    data : dict
        Other plain values for the JSON file.
    """

    name: str
    about: str
    tables: list[tuple[str, list[str], list[list[str]]]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def add_table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table."""
        self.tables.append((title, list(head), [list(row) for row in rows]))

    def add_times(self, title: str, times: Mapping[str, Times]) -> None:
        """Add a table of each candidate's wall time and median CPU time."""
        rows = [
            [name, *spread(t.wall), f"{statistics.median(t.cpu):.4g}"] for name, t in times.items()
        ]
        self.add_table(title, ["seconds", *SPREAD_HEAD, "CPU median"], rows)
        self.data.setdefault("seconds", {})[title] = {
            name: {"wall": t.wall, "cpu": t.cpu} for name, t in times.items()
        }

    def add_ratios(
        self, title: str, times: Mapping[str, Times], pairs: Sequence[tuple[str, str]]
    ) -> None:
        """Add a table of ratios within each round: a busy machine slows both sides of a round."""
        rows = [
            [
                f"{a} / {b}",
                *spread(ratios(times[a].wall, times[b].wall)),
                f"{statistics.median(ratios(times[a].cpu, times[b].cpu)):.4g}",
            ]
            for a, b in pairs
        ]
        self.add_table(title, ["ratio", *SPREAD_HEAD, "CPU median"], rows)

    def add_spreads(self, title: str, values: Mapping[str, Sequence[float]], form: str) -> None:
        """Add a table of the smallest, median and largest value of each name.

        Parameters
        ----------
        title : str
        values : mapping of str to sequence of float
        form : str
            Format specification of the values, as for `format`.
        """
        self.add_table(
            title,
            ["", *SPREAD_HEAD],
            [[name, *spread(of_name, form)] for name, of_name in values.items()],
        )

    def print_to(self, console: Console) -> None:
        """Print everything but `data`."""
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
        """Return everything as JSON values."""
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
    """Time the candidates in turn (A B A B ...) in this process.

    Parameters
    ----------
    candidates : mapping of str to callable
    rounds : int
        Timed rounds. One round before them is not timed: it contains imports and first
        allocations.
    prepare : mapping of str to callable, optional
        Called before a candidate; not timed.
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
    """Return the quotients of pairs."""
    return [x / y for x, y in zip(a, b, strict=True)]


def peak_rss(function: Callable[..., object], *arguments: object) -> int:
    """Return the peak resident bytes of a fresh process that imports and calls `function`.

    The process is forked from a small server process: the `ru_maxrss` of a process that is spawned
    from this one would start with the peak of this process.
    """
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_peak_of, function, *arguments).result()


def _peak_of(function: Callable[..., object], *arguments: object) -> int:
    function(*arguments)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def machine() -> dict[str, str]:
    """Return the CPU, the system and the library versions of this machine."""
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


def spread(values: Sequence[float], form: str = ".4g") -> list[str]:
    """Return the smallest, median and largest value as text; `SPREAD_HEAD` are the headings."""
    return [format(f(values), form) for f in (min, statistics.median, max)]
