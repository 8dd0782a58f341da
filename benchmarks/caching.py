"""Time that the caches save when a standard training command is run again."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.inputs import real_source
from benchmarks.measure import Options, Report, Target, Times

_ROOT = Path(__file__).resolve().parent.parent
#: What `barwright train` trains when it is not told otherwise.
_MODELS = "gru,lightgbm,ppo"


def run(options: Options) -> Report:
    source, symbol, which = real_source("sample" if options.quick else options.source)
    extra = ["--n-splits", "2", "--wf-splits", "2"] if options.quick else []
    if options.quick:
        extra += ["--params", "lightgbm.num_boost_round=5,gru.max_epochs=1,ppo.timesteps=2000"]
    fits = 3 * (9 if options.quick else 36)
    names = ("nothing cached", "features cached", "features and fits cached")
    times = {name: Times() for name in names}
    peaks: dict[str, list[int]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        train = _Train(folder, ["--symbols", symbol, "--source", source])
        # MLflow makes its database here: nobody's time.
        train("lightgbm", "--fit-cache", "off", "--n-splits", "2", "--wf-splits", "2")
        for _ in range(options.repeats(3)):
            shutil.rmtree(folder / "data")
            commands = {
                "nothing cached": (0, ()),
                "features cached": (0, ("--fit-cache", "off")),
                "features and fits cached": (fits, ()),
            }
            for name, (read, more) in commands.items():
                out, wall, cpu, peak = train(_MODELS, *extra, *more)
                if (f"{fits:,} of {fits:,} fits read" in out) != bool(read):
                    raise RuntimeError(f"{name}: the caches were not used as meant:\n{out}")
                times[name].wall.append(wall)
                times[name].cpu.append(cpu)
                peaks[name].append(peak)
        held = sum(path.stat().st_size for path in (folder / "data" / "fits").iterdir())
    report = Report(
        "caching",
        f"{which} `barwright train` with its defaults ({_MODELS}), one symbol: the whole command, "
        "from start to exit. In each round with empty cache folders, then again without the fit "
        "cache, then again with both. MLflow's database is there each time.",
        data={"peak_bytes": peaks, "fit_cache_bytes": held},
    )
    report.add_times("whole command", times)
    report.add_ratios("whole command", times, [(names[1], names[0]), (names[2], names[0])])
    rows = [[name, f"{max(found) / 1e6:.0f}"] for name, found in peaks.items()]
    report.add_table("peak resident memory of the largest process", ["", "MB"], rows)
    for name, what in ((names[2], "time that a rerun saves"), (names[1], "by features alone")):
        pairs = zip(times[name].wall, times[names[0]].wall, strict=True)
        saved = 100 * (1 - statistics.median(warm / cold for warm, cold in pairs))
        if name == names[2]:
            report.targets.append(Target(what, saved, 50, True, " %"))
        else:
            report.notes.append(f"Saved {what}: {saved:.1f} %.")
    report.notes.append(f"{fits} fits take {held / 1e6:.1f} MB in the cache's folder.")
    return report


class _Train:
    """Runs the command in one folder."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self.folder, self.arguments = folder, arguments
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.environment = {**os.environ, "PYTHONPATH": str(_ROOT), "MLFLOW_TRACKING_URI": uri}
        self.environment.pop("MLFLOW_RUN_ID", None)

    def __call__(self, models: str, *more: str) -> tuple[str, float, float, int]:
        """Return what it printed, wall and CPU seconds, and the peak of its largest process."""
        command = [sys.executable, "-m", "trainer", "train", "--models", models, *self.arguments]
        with (self.folder / "printed").open("w+") as printed:
            started = time.perf_counter()
            process = subprocess.Popen(
                [*command, *more],
                cwd=self.folder,
                env=self.environment,
                stdout=printed,
                stderr=subprocess.STDOUT,
            )
            # Not `wait`: this one tells what the process and all that it waited for have used.
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            printed.seek(0)
            out = printed.read()
        if process.returncode:
            raise RuntimeError(f"the training command failed:\n{out}")
        unit = 1 if sys.platform == "darwin" else 1024
        return out, wall, used.ru_utime + used.ru_stime, used.ru_maxrss * unit
