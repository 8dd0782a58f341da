"""The commands for the fit cache: list it, check its files, remove some of them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click
from rich.console import Console

from cli import cache_view
from cli.options import config_options
from cli.table import wide_console
from cli.terminal import exit_on_errors, printing
from features.cache import FeatureCache
from trainer.errors import UsageError
from trainer.procedure.fit_cache import FitCache

_HELP = """List, check and prune the fit cache.

Fits are kept in the folder or the bucket of `train --fit-cache-folder`. To remove one costs nothing
but the time to make it again.

\b
  barwright cache ls
  barwright cache verify --delete
  barwright cache prune --older-than 30d --max-size 5GB --dry-run
  barwright cache ls --fit-cache-folder s3://bucket/fits
"""

_LS_HELP = """List what the fit cache holds, model by model.

A fit that other code of the adapters made is never read by this version. The last line is the
feature cache, which has a folder of its own.

Exit status: 0 listed, 1 the place cannot be read, 2 wrong usage.
"""

_VERIFY_HELP = """Read every fit and check its digest.

A damaged fit does no harm: `train` makes it again. With --delete the damaged ones are removed.

\b
  barwright cache verify
  barwright cache verify --fit-cache-folder s3://bucket/fits --delete

Exit status: 0 no damaged fit is left, 1 there are some or the place cannot be read, 2 wrong usage.
"""

_PRUNE_HELP = """Remove old fits, or as many as make the cache small enough.

Fits that this version never reads go first: those of earlier formats, or made by other code of the
adapters. Then follow those that were used longest ago; in a bucket, which has no time of the last
use, those that were written longest ago. What a killed command left half-written is removed, too.

\b
  barwright cache prune --older-than 30d
  barwright cache prune --max-size 5GB --dry-run

A folder is pruned to 2 GiB at the end of each `train`, a bucket only by this command.

Exit status: 0 pruned, 1 the place cannot be used, 2 wrong usage.
"""

#: Seconds of the units of --older-than, bytes of those of --max-size.
_TIMES = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}
_SIZES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}

_debug = click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(help=_HELP)
def cache() -> None:
    """Group the commands."""


@cache.command(help=_LS_HELP)
@config_options("fit_cache_folder", "cache_folder")
@_json
@_debug
def ls(fit_cache_folder: str, cache_folder: str, as_json: bool, debug: bool) -> None:
    """Run the command; `_LS_HELP` is its help text."""
    with exit_on_errors(debug):
        fits = _open(fit_cache_folder)
        files = fits.files()
    n_matrices, size = FeatureCache(Path(cache_folder)).size()
    features = {"folder": cache_folder, "matrices": n_matrices, "bytes": size}
    contents = cache_view.Contents.of(fits.place.address, files, features)
    with printing(debug):
        if as_json:
            click.echo(json.dumps(contents.to_json()))
        else:
            cache_view.print_contents(wide_console(), contents)


@cache.command(help=_VERIFY_HELP)
@config_options("fit_cache_folder")
@click.option("--delete", is_flag=True, help="Remove the damaged fits.")
@_json
@_debug
def verify(fit_cache_folder: str, delete: bool, as_json: bool, debug: bool) -> None:
    """Run the command; `_VERIFY_HELP` is its help text."""
    damaged = {}
    with exit_on_errors(debug), Console(stderr=True).status("") as status:
        fits = _open(fit_cache_folder)
        fitted = (file for file in fits.files() if file.kind == "fit")
        files = sorted(fitted, key=lambda file: file.name)
        for number, (file, why) in enumerate(fits.check_files(files), start=1):
            status.update(f"{number:,} of {len(files):,} fits")
            if why:
                damaged[file.name] = why
        if delete and damaged:
            fits.place.remove(damaged)
    with printing(debug):
        if as_json:
            about = {"place": fits.place.address, "fits": len(files), "deleted": delete}
            click.echo(json.dumps({**about, "damaged": damaged}))
        else:
            cache_view.print_damaged(fits.place.address, len(files), damaged, deleted=delete)
    sys.exit(1 if damaged and not delete else 0)


@cache.command(help=_PRUNE_HELP)
@config_options("fit_cache_folder")
@click.option(
    "--older-than",
    default="",
    metavar="TIME",
    help="Remove what was not used for so long: 12h, 30d, 8w.",
)
@click.option(
    "--max-size", default="", metavar="SIZE", help="Remove until so much is left: 500MB, 5GB, 1TB."
)
@click.option("--dry-run", is_flag=True, help="Remove nothing; say what would be removed.")
@_json
@_debug
def prune(
    fit_cache_folder: str,
    older_than: str,
    max_size: str,
    dry_run: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Run the command; `_PRUNE_HELP` is its help text."""
    with exit_on_errors(debug):
        if not older_than and not max_size:
            raise UsageError("`--older-than` or `--max-size` must be given; for example 30d, 5GB")
        age = _amount("--older-than", older_than, _TIMES, "12h, 30d or 8w")
        size = _amount("--max-size", max_size, _SIZES, "500MB, 5GB or 1TB")
        fits = _open(fit_cache_folder)
        removed, kept = fits.prune(older_than=age, max_size=size, dry_run=dry_run)
    pruned = cache_view.Pruned(fits.place.address, removed, kept, dry_run)
    with printing(debug):
        click.echo(json.dumps(pruned.to_json()) if as_json else pruned.text)


def _open(address: str) -> FitCache:
    """Return a cache that exists: a wrong name must not look like an empty cache."""
    fits = FitCache.at(address)
    if "://" in address:
        fits.place.check()
    elif not Path(address).is_dir():
        raise UsageError(
            f"`--fit-cache-folder` must be a folder that exists, got {address!r}; run this where "
            "models were trained, or give the folder"
        )
    return fits


def _amount(option: str, text: str, units: dict[str, int], examples: str) -> int | None:
    """Return an option that is a number with a unit; None if it was not given."""
    if not text:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]+)", text)
    if found is None or found[2] not in units:
        raise UsageError(f"`{option}` must be a number and a unit, as {examples}, got {text!r}")
    return int(float(found[1]) * units[found[2]])
