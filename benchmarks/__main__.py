"""Command line of the benchmarks: it sets one thread per library before it imports them."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

import click

NAMES = (
    "features", "cache", "memory", "latency", "kfold", "gru", "ppo", "overhead", "caching",
    "schedule", "scale", "mismatches", "registry", "noise", "accounts",
)  # fmt: skip
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: Studies measure what models earn, not speed. One takes up to an hour on all real bars, so it runs
#: only when it is named.
STUDIES = (
    "validation_study", "position_rules", "against_hold", "selection_noise", "noise_rules",
    "search",
)  # fmt: skip


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[NAME ...]", type=click.Choice(NAMES + STUDIES))
@click.option("--quick", is_flag=True, help="Small sizes: a test that it runs.")
@click.option("--runs", type=click.IntRange(1), help="Timed rounds; each benchmark has a default.")
@click.option("--source", default="", help="Real bars: a folder with BTCUSDT_1h, or `sample`.")
@click.option(
    "--walks", default=20, type=click.IntRange(1, 99), help="Random walks of noise studies."
)
@click.option("--symbols", default="", help="Studies: symbols, comma-separated.")
@click.option("--models", default="", help="Studies: models, comma-separated.")
@click.option("--fit-cache-folder", default="", help="Studies: folder of the fit cache.")
@click.option("--max-workers", type=click.IntRange(1), default=1, help="Studies: processes.")
@click.option("--interval", default="1h", help="`position_rules`: bar length of the symbols.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write results here.")
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
    interval: str,
    json_path: Path | None,
) -> None:
    """Run the benchmarks NAMEs: features, cache, memory, latency, kfold, gru, ppo, overhead, ...

    Without a name, all of them run, except the studies. validation_study compares walk-forwards of
    the same models with and without each part of the procedure, position_rules those of each rule
    for positions. Exit status 1 if a check of `noise` fails.
    """
    for variable in _THREADS:
        os.environ[variable] = "1"
    from rich.console import Console

    from benchmarks.measure import BenchmarkResult, Options, machine

    console = Console(width=110, highlight=False)
    about = machine()
    for key, value in about.items():
        console.print(f"{key}: {value}")
    if quick:
        console.print("--quick: small sizes, the times are not valid")
    options = Options(
        quick, runs, source, walks, _split(symbols), _split(models), fit_cache_folder, max_workers,
        interval,
    )  # fmt: skip
    results = []
    for name in names or NAMES:
        result: BenchmarkResult = import_module(f"benchmarks.{name}").run(options)
        result.print_to(console)
        results.append(result.to_json())
    if json_path:
        content = {"machine": about, "quick": quick, "benchmarks": results}
        json_path.write_text(json.dumps(content, indent=1) + "\n")
    if any(result["failures"] for result in results):
        sys.exit(1)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
