"""The command `inspect`, which says how files of bars are read, without training."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from cli.inspect_view import print_inspections
from cli.options import config_options
from cli.table import wide_console
from cli.terminal import exit_on_errors, printing
from features.calendar_option import check_calendar
from features.inspection import inspect_path
from features.interval import Interval
from features.sources import other_files

_HELP = """Say how files of bars are read, without training.

PATH is a file of bars of any name, a folder, or `sample`. For each file the command prints which
columns and times were understood, the calendar and how it was inferred, bars a year, gaps, moves
that look like splits, the first and the last bar; or why the file is refused, and how to mend it.

\b
  barwright inspect path/to/bars
  barwright inspect path/to/bars/AAPL_1d.csv
  barwright inspect prices.csv --interval 5m --calendar XNYS@04:00-20:00
  barwright inspect path/to/bars --json
  barwright inspect sample

Without --interval it is that in the name of the file, {symbol}_{interval}.csv, or the most frequent
step between bars.

Exit status: 0 all files can be used, 1 one is refused, 2 wrong usage.
"""


@click.command(help=_HELP)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--interval", default="", help="Bar length, for example 1h.")
@config_options("calendar")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
def inspect(path: Path, interval: str, calendar: str, as_json: bool, debug: bool) -> None:
    """Run the command; `_HELP` is its help text."""
    with exit_on_errors(debug, status=2):
        check_calendar(calendar)
        if interval:
            Interval.parse(interval)
        inspections = inspect_path(path, interval=interval, calendar=calendar)
    with printing(debug):
        if as_json:
            click.echo(json.dumps([inspection.to_json() for inspection in inspections]))
        else:
            # A file or a pipe has room for every column.
            print_inspections(wide_console(1_000), inspections, other_files(path))
    sys.exit(1 if any(inspection.error for inspection in inspections) else 0)
