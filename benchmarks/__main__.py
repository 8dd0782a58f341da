"""Command line of the benchmarks; the modules are imported once one thread has been set."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

import click

NAMES = (
    "features", "cache", "memory", "latency", "kfold", "gru", "ppo", "overhead", "caching",
    "mismatches", "noise",
)  # fmt: skip
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: What models earn, not how fast anything is; takes an hour on all real bars, so only when named.
STUDIES = ("validation_study",)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[NAME ...]", type=click.Choice(NAMES + STUDIES))
@click.option("--quick", is_flag=True, help="Small sizes: shows that it runs, not how fast.")
@click.option("--runs", type=click.IntRange(1), help="Timed rounds, instead of each one's own.")
@click.option("--source", default="", help="Real bars: a folder with BTCUSDT_1h, or `sample`.")
@click.option("--walks", default=20, type=click.IntRange(1, 99), help="Random walks of `noise`.")
@click.option("--symbols", default="", help="Studies: symbols, comma-separated.")
@click.option("--models", default="", help="Studies: models, comma-separated.")
@click.option("--fit-cache-folder", default="", help="Studies: fits are read and kept here.")
@click.option("--max-workers", type=click.IntRange(1), default=1, help="Studies: processes.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
def main(
    names: tuple[str, ...],
    quick: bool,
    runs: int | None,
    source: str,
    walks: int,
    symbols: str,
    models: str,
    fit_cache_folder: str,
    max_workers: int,
    json_path: Path | None,
) -> None:
    """Measure NAMEs: features, cache, memory, latency, kfold, gru, ppo, overhead, caching ...

    Without a name: all of them. Only when named: validation_study, results with and without each
    improvement, on walk-forwards of the same models. Exit status 1 if noise earned what only skill
    may.
    """
    for variable in _THREADS:
        os.environ[variable] = "1"
    from rich.console import Console

    from benchmarks.measure import Options, machine

    console = Console(width=110, highlight=False)
    about = machine()
    for key, value in about.items():
        console.print(f"{key}: {value}")
    if quick:
        console.print("--quick: small sizes, the times mean nothing")
    options = Options(
        quick, runs, source, walks, _listed(symbols), _listed(models), fit_cache_folder, max_workers
    )
    reports = []
    for name in names or NAMES:
        report = import_module(f"benchmarks.{name}").run(options)
        report.show(console)
        reports.append(report.to_json())
    if json_path:
        results = {"machine": about, "quick": quick, "benchmarks": reports}
        json_path.write_text(json.dumps(results, indent=1) + "\n")
    if any(report["failures"] for report in reports):
        sys.exit(1)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
