"""The command `audit`, which checks the laws of features."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping

import click
from rich.console import Console

from cli import audit_view
from cli.options import config_options, given_values
from cli.table import wide_console
from cli.terminal import exit_on_errors, print_error, printing
from features.audit import audit as audit_features
from features.errors import InputError
from features.sources import open_source, symbols_of
from trainer.config import TrainConfig, option_name, option_text
from trainer.dataset import make_builder

_HELP = """Check the laws that every feature must satisfy.

Every feature, of plug-ins too, is checked at every bar:

\b
  prefix  later bars do not change it
  future  what later bars contain does not change it
  start   computed from its declared memory only, as a server does, it is the same
  level   if all prices, or all volumes, are multiplied by a constant, it is the same

Building a dataset checks a few bars only. This command names the feature, the law that it breaks,
the first bar and the size of the difference.

\b
  barwright audit --source sample
  barwright audit --features my.yaml --source path/to/bars --symbols BTCUSDT
  barwright audit --source path/to/bars --rows 500 --json

58,000 hourly bars and 54 features take about two minutes. Without --symbols, all symbols that the
source has at the interval are audited, one after the other. If the bars of one cannot be read, the
error is printed and the others go on.

Exit status: 0 all features satisfy all laws, 1 one breaks a law or bars cannot be read, 2 wrong
usage.
"""


@click.command(help=_HELP)
@config_options("features", "source")
@click.option(
    "--symbols", default="", metavar="LIST", help="Symbols, comma-separated; all by default."
)
@config_options("interval", "allow_jumps")
@click.option(
    "--rows",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Number of bars to check, spread evenly; 0 checks every bar.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
def audit(rows: int, as_json: bool, debug: bool, **values: str) -> None:
    """Run the command; `_HELP` is its help text."""
    with exit_on_errors(debug, status=2):
        config = _settings(values)
    audited, failed = _audit(config, rows, debug=debug)
    with printing(debug):
        if as_json:
            click.echo(json.dumps(audit_view.to_json(audited, failed)))
        elif audited:
            build = _train_command(config, [one.symbol for one in audited], values)
            audit_view.print_verdicts(wide_console(), audited, build=build)
    sys.exit(1 if failed or any(one.broken for one in audited) else 0)


def _settings(values: Mapping[str, str]) -> TrainConfig:
    """Check the options; without symbols, take all that the source has at the interval."""
    given = given_values(values)
    if "symbols" not in given:
        # The interval and the source are checked with a symbol that stands for any.
        base = TrainConfig.parse({**given, "symbols": "any"})
        given["symbols"] = ",".join(symbols_of(open_source(base.source), base.interval))
    return TrainConfig.parse(given)


def _audit(
    config: TrainConfig, rows: int, *, debug: bool
) -> tuple[list[audit_view.Audited], dict[str, str]]:
    """Return the audits, and by symbol the errors of bars that could not be read."""
    builder = make_builder(config)
    audited, failed = [], {}
    for symbol in config.symbols:
        try:
            bars, understood = builder.read(symbol)
            with audit_view.progress_bar(Console(stderr=True), symbol) as listen:
                findings = audit_features(builder.features, bars, rows=rows, listen=listen)
        except InputError as error:
            failed[symbol] = str(error)
            print_error(error, debug=debug)
        else:
            audited.append(audit_view.Audited(symbol, len(bars), understood, findings))
    return audited, failed


def _train_command(config: TrainConfig, symbols: list[str], values: Mapping[str, str]) -> str:
    """Return the command that trains on the audited bars with the audited features."""
    words = ["barwright", "train"]
    for name, field in TrainConfig.model_fields.items():
        value = getattr(config, name)
        if name in values and value != field.default:
            text = ",".join(symbols) if name == "symbols" else option_text(value)
            words += [option_name(name), text]
    return shlex.join(words)
