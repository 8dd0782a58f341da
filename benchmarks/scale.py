"""A training command with many symbols: cores, memory, and seconds a symbol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import pandas as pd
import psutil

from benchmarks.command import CommandLine
from benchmarks.inputs import real_source
from benchmarks.measure import BenchmarkResult, Options, Target
from features.sources import open_source

_MODEL = "lightgbm"
_COUNTS, _QUICK_COUNTS = (1, 10, 50, 100), (1, 2)
#: Rows of a symbol: as many as the sample has.
_ROWS = 6000
_SAMPLE_SECONDS = 0.1
_COMMAND, _WORKER, _VERIFICATION = "command", "worker", "verification"


@dataclass
class _Watched:
    """Processor seconds and peak memory of a command and of what it starts.

    Attributes
    ----------
    peaks : dict of str to int
        Largest resident bytes of one process, by what the process is.
    cpu : dict of int to (str, float)
        What each process is, and its processor seconds when it was last seen.
    """

    root: psutil.Process
    peaks: dict[str, int] = field(default_factory=dict)
    cpu: dict[int, tuple[str, float]] = field(default_factory=dict)

    def look(self) -> None:
        """Look at all processes that there are."""
        with suppress(psutil.NoSuchProcess):
            for process in [self.root, *self.root.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    role, times = self._role(process), process.cpu_times()
                    self.peaks[role] = max(self.peaks.get(role, 0), process.memory_info().rss)
                    self.cpu[process.pid] = (role, times.user + times.system)

    def seconds(self, role: str = "") -> float:
        """Return processor seconds of all processes until now, or of those of one kind."""
        return sum(seconds for kind, seconds in self.cpu.values() if role in ("", kind))

    def _role(self, process: psutil.Process) -> str:
        if process.pid == self.root.pid:
            return _COMMAND
        if process.pid in self.cpu:
            return self.cpu[process.pid][0]
        words = " ".join(process.cmdline())
        if "registry.verify" in words:
            return _VERIFICATION
        return _WORKER if "spawn_main" in words else "other"


@dataclass(frozen=True)
class _Moment:
    """Wall and processor seconds until a moment."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class _Trained:
    """One training command.

    Attributes
    ----------
    wall, cpu : float
        Seconds of the whole command.
    begun, ended : _Moment
        When its jobs begin, and when the last one has ended.
    registered : list of float
        Wall seconds until each symbol was registered.
    shares : dict of str to float
        Part of the processor time, by kind of process, in percent.
    noted : dict of str to float
        Part of the processor time that the command spent on ``mlflow`` and on ``scheduling``, in
        percent.
    peaks : dict of str to int
        As in `_Watched`.
    """

    wall: float
    cpu: float
    begun: _Moment
    ended: _Moment
    registered: list[float]
    shares: dict[str, float]
    noted: dict[str, float]
    peaks: dict[str, int]

    @property
    def busy(self) -> float:
        """Cores that are busy on average, from the first job to the end of the last one."""
        return (self.ended.cpu - self.begun.cpu) / self.during

    @property
    def during(self) -> float:
        """Wall seconds from the first job to the end of the last one."""
        return self.ended.wall - self.begun.wall


def run(options: Options) -> BenchmarkResult:
    counts = _QUICK_COUNTS if options.quick else _COUNTS
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = _slices(options, folder / "bars", max(counts))
        trained = {n: _train(folder / str(n), names[:n], options) for n in counts}
    result = BenchmarkResult(
        "scale",
        f"`barwright train` with {_MODEL} on many symbols, each the whole command in a new folder. "
        f"Symbols are slices of real hourly bars, {_ROWS} rows each. Processor time and memory are "
        f"those of all processes, looked at every {_SAMPLE_SECONDS} s.",
        data={"commands": {str(n): asdict(one) for n, one in trained.items()}},
    )
    _add_tables(result, trained)
    n = max(counts)
    cores = min(2, len(os.sched_getaffinity(0)))
    result.targets += [
        Target(f"busy cores of {cores}, {n} symbols", trained[n].busy, 0.9 * cores, True),
        Target("seconds a symbol, largest run / run of ten", *_flat(trained), False),
        *(
            Target(f"scheduling, {n} symbols", one.noted["scheduling"], 2, False, " %")
            for n, one in trained.items()
        ),
        Target(f"MLflow, {n} symbols", trained[n].noted["mlflow"], 5, False, " %"),
    ]
    return result


def _flat(trained: dict[int, _Trained]) -> tuple[float, float]:
    # A single symbol does not keep two workers busy.
    per_symbol = [one.during / n for n, one in trained.items()][1:]
    return per_symbol[-1] / per_symbol[0], 1.1


def _add_tables(result: BenchmarkResult, trained: dict[int, _Trained]) -> None:
    rows = []
    for n, one in trained.items():
        half = one.registered[n // 2] - one.begun.wall
        rows.append(
            [
                str(n),
                *(f"{value:.1f}" for value in (one.wall, one.cpu)),
                f"{one.busy:.2f}",
                f"{one.during / n:.2f}",
                f"{half / (n // 2 + 1):.2f}",
                f"{one.registered[0]:.1f}",
            ]
        )
    head = ["symbols", "wall s", "CPU s", "cores", "s a symbol", "first half", "first after s"]
    result.add_table("all registered", head, rows)
    kinds = (_COMMAND, _WORKER, _VERIFICATION)
    rows = [[str(n), *(f"{one.peaks[k] / 1e6:.0f}" for k in kinds)] for n, one in trained.items()]
    result.add_table("peak resident memory of a process, MB", ["symbols", *kinds], rows)
    rows = [[str(n), *(f"{one.shares[k]:.1f}" for k in kinds)] for n, one in trained.items()]
    result.add_table("part of the processor time, %", ["symbols", *kinds], rows)
    parts = ("mlflow", "scheduling")
    rows = [[str(n), *(f"{one.noted[k]:.1f}" for k in parts)] for n, one in trained.items()]
    result.add_table("parts of the command, %", ["symbols", "calls of MLflow", "scheduling"], rows)


def _slices(options: Options, folder: Path, count: int) -> list[str]:
    """Write slices of real bars as symbols of their own, and return their names."""
    folder.mkdir()
    source, symbol, _ = real_source("sample" if options.quick else options.source)
    symbols = [symbol] if source == "sample" else ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    names: list[str] = []
    frames = {name: open_source(source).read(name, "1h").frame for name in symbols}
    each = -(-count // len(symbols))
    for name, frame in frames.items():
        last = max(0, len(frame) - _ROWS)
        for number in range(each):
            start = round(last * number / max(1, each - 1))
            names.append(f"{name}-slice-{number + 1:02d}")
            _slice(frame, start).to_parquet(folder / f"{names[-1]}_1h.parquet")
    # Neighbours are of different markets.
    return [name for number in range(each) for name in names[number::each]][:count]


def _slice(frame: pd.DataFrame, start: int) -> pd.DataFrame:
    return frame.iloc[start : start + _ROWS].reset_index(drop=True)


def _train(folder: Path, names: list[str], options: Options) -> _Trained:
    folder.mkdir()
    command = CommandLine(folder)
    noted = folder / "noted.json"
    words = [
        sys.executable, "-m", "benchmarks.command_time", str(noted),
        "train", "--symbols", ",".join(names), "--source", str(folder.parent / "bars"),
        "--models", _MODEL, "--json-log",
    ]  # fmt: skip
    if options.quick:
        words += ["--params", "lightgbm.num_boost_round=5", "--n-splits", "2", "--wf-splits", "2"]
    start = time.perf_counter()
    with (
        (folder / "errors").open("w") as errors,
        subprocess.Popen(
            words, cwd=folder, env=command.environment, text=True,
            stdout=subprocess.PIPE, stderr=errors,
        ) as process,
    ):  # fmt: skip
        watched = _Watched(psutil.Process(process.pid))
        moments: dict[str, list[_Moment]] = {}
        assert process.stdout is not None
        reader = threading.Thread(
            target=_read, args=(process.stdout, _noting(watched, moments, start))
        )
        reader.start()
        while process.poll() is None:
            watched.look()
            time.sleep(_SAMPLE_SECONDS)
        reader.join()
    if process.returncode or len(moments["job"]) != len(names):
        raise RuntimeError((folder / "errors").read_text())
    cpu = watched.seconds()
    kinds = (_COMMAND, _WORKER, _VERIFICATION)
    return _Trained(
        time.perf_counter() - start,
        cpu,
        moments["begin"][0],
        moments["job"][-1],
        [moment.wall for moment in moments["job"]],
        {kind: 100 * watched.seconds(kind) / cpu for kind in kinds},
        {part: 100 * seconds / cpu for part, seconds in json.loads(noted.read_text()).items()},
        dict(watched.peaks),
    )


def _noting(
    watched: _Watched, moments: dict[str, list[_Moment]], start: float
) -> Callable[[str], None]:
    def note(event: str) -> None:
        moment = _Moment(time.perf_counter() - start, watched.seconds())
        moments.setdefault(event, []).append(moment)

    return note


def _read(output: IO[str], note: Callable[[str], None]) -> None:
    for line in output:
        with suppress(json.JSONDecodeError):
            note(json.loads(line)["event"])
