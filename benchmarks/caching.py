"""Time that a standard training command takes when it runs again, by what has changed."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.command import CommandLine
from benchmarks.inputs import real_source
from benchmarks.measure import BenchmarkResult, Options, Target, Times

#: Models that `barwright train` trains by default.
_MODELS = "gru,lightgbm,ppo"
_COLD, _FEATURES, _BOTH = "nothing cached", "features cached", "features and fits cached"
_UNCHANGED = "unchanged"
#: Fits of these models do not depend on costs.
_CHEAP_MODELS = "gru,lightgbm"
_CHEAP, _FEE = "gru, lightgbm: nothing cached", "gru, lightgbm: other fee"


def run(options: Options) -> BenchmarkResult:
    source, symbol, description = real_source("sample" if options.quick else options.source)
    with tempfile.TemporaryDirectory() as temporary:
        measured = _measure(Path(temporary), ["--symbols", symbol, "--source", source], options)
    result = BenchmarkResult(
        "caching",
        f"{description} `barwright train` with its defaults ({_MODELS}), one symbol: the whole "
        "command, from start to exit. In each round with empty cache folders, then again without "
        "the fit cache, then again with both, then as a user repeats it. After that with two "
        "models: with empty caches, then with another fee. MLflow's database exists before.",
        data={"peak_bytes": measured.peaks, "fit_cache_bytes": measured.fit_cache_bytes},
    )
    times = measured.times
    result.add_times("whole command", times)
    pairs = [(_FEATURES, _COLD), (_BOTH, _COLD), (_UNCHANGED, _COLD), (_FEE, _CHEAP)]
    result.add_ratios("whole command", times, pairs)
    rows = [[name, f"{max(peaks) / 1e6:.0f}"] for name, peaks in measured.peaks.items()]
    result.add_table("peak resident memory of the largest process", ["", "MB"], rows)
    saved = _saved_percent(times[_BOTH], times[_COLD])
    result.targets.append(Target("time that a rerun saves", saved, 50, True, " %"))
    unchanged = 100 - _saved_percent(times[_UNCHANGED], times[_COLD])
    result.targets.append(Target("time of an unchanged rerun", unchanged, 5, False, " %"))
    fee = 100 - _saved_percent(times[_FEE], times[_CHEAP])
    result.targets.append(Target("time with another fee", fee, 10, False, " %"))
    saved_by_features = _saved_percent(times[_FEATURES], times[_COLD])
    result.notes.append(f"Saved by the cached features: {saved_by_features:.1f} %.")
    size = measured.fit_cache_bytes / 1e6
    result.notes.append(f"{measured.n_fits} fits take {size:.1f} MB in the cache's folder.")
    return result


@dataclass(frozen=True)
class _Measured:
    """Times and peak bytes of the largest process, by what was cached; one value a round."""

    times: dict[str, Times]
    peaks: dict[str, list[int]]
    n_fits: int
    fit_cache_bytes: int


#: Each round: name, models, further options, whether the caches are emptied before, and what the
#: output must contain.
_ROUND = (
    (_COLD, _MODELS, ("--unchanged", "train"), True, ""),
    (_FEATURES, _MODELS, ("--unchanged", "train", "--fit-cache", "off"), False, ""),
    (_BOTH, _MODELS, ("--unchanged", "train"), False, "{0} of {0} fits read"),
    (_UNCHANGED, _MODELS, (), False, "3 of 3 models are unchanged"),
    (_CHEAP, _CHEAP_MODELS, ("--unchanged", "train"), True, ""),
    (_FEE, _CHEAP_MODELS, ("--unchanged", "train", "--fee-bps", "7"), False, "{1} of {1} fits"),
)


def _measure(folder: Path, arguments: list[str], options: Options) -> _Measured:
    """Run the commands of each round."""
    few_fits = ["--n-splits", "2", "--wf-splits", "2"]
    short_fits = ["--params", "lightgbm.num_boost_round=5,gru.max_epochs=1,ppo.timesteps=2000"]
    short_fits_of_two = ["--params", "lightgbm.num_boost_round=5,gru.max_epochs=1"]
    n_fits = 9 if options.quick else 36
    times = {name: Times() for name, *_ in _ROUND}
    peaks: dict[str, list[int]] = {name: [] for name in times}
    command_line, size = CommandLine(folder), 0
    # This command creates MLflow's database, whose time belongs to none of the rounds.
    _train(command_line, "lightgbm", *arguments, "--fit-cache", "off", *few_fits)
    for _ in range(options.repeats(3)):
        for name, models, more, emptied, text in _ROUND:
            if emptied:
                shutil.rmtree(folder / "data")
            short = short_fits if models == _MODELS else short_fits_of_two
            quick = [*few_fits, *short] if options.quick else []
            used = _train(command_line, models, *arguments, *quick, *more)
            expected = text.format(3 * n_fits, 2 * n_fits)
            if expected not in used.output or (not text and "fits read" in used.output):
                raise RuntimeError(f"{name}: the caches were not used as intended:\n{used.output}")
            times[name].wall.append(used.wall)
            times[name].cpu.append(used.cpu)
            peaks[name].append(used.peak)
            if name == _BOTH:
                size = sum(path.stat().st_size for path in (folder / "data" / "fits").iterdir())
    return _Measured(times, peaks, 3 * n_fits, size)


@dataclass(frozen=True)
class _Used:
    """Output, wall and CPU seconds of a command, and the peak bytes of its largest process."""

    output: str
    wall: float
    cpu: float
    peak: int


def _train(command_line: CommandLine, models: str, *arguments: str) -> _Used:
    with (command_line.folder / "printed").open("w+") as printed:
        started = time.perf_counter()
        process = subprocess.Popen(
            command_line.words("train", "--models", models, *arguments),
            cwd=command_line.folder,
            env=command_line.environment,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        # `wait4`, not `wait`: it returns the resources that the process and its children used.
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        output = printed.read()
    if process.returncode:
        raise RuntimeError(f"the training command failed:\n{output}")
    unit = 1 if sys.platform == "darwin" else 1024
    return _Used(output, wall, used.ru_utime + used.ru_stime, used.ru_maxrss * unit)


def _saved_percent(warm: Times, cold: Times) -> float:
    """Return the median share of the wall time that was saved within a round, in percent."""
    pairs = zip(warm.wall, cold.wall, strict=True)
    return 100 * (1 - statistics.median(a / b for a, b in pairs))
