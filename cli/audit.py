"""The commands beside `train`: each reads its arguments, asks another module, prints the answer."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping

import click

from cli.options import config_options, option_text
from cli.registry import compare, promote, report, rollback
from cli.terminal import fail, printing, say, wide_console
from features.errors import InputError
from features.sources import open_source, symbols_of
from trainer.config import TrainConfig, option_name
from trainer.errors import TrainerError

#: Added to the command line by `cli.app`, by name.
COMMANDS: dict[str, click.Command] = {
    "compare": compare,
    "promote": promote,
    "rollback": rollback,
    "report": report,
}

_AUDIT_HELP = """Check that features look back only, forget, and ignore the price level.

Every feature, plug-ins included, is held to four laws at every bar: later bars change nothing
(prefix), whatever they are (future); computed from its declared memory alone, as a server does,
it is the same (start); multiplying all prices or all volumes changes nothing (level). A build
checks a few bars only; this says which feature breaks which law, where first, and by how much.

\b
  barwright audit --source sample
  barwright audit --features my.yaml --source path/to/bars --symbols BTCUSDT
  barwright audit --source path/to/bars --rows 500 --json

58,000 hourly bars and 54 features take about two minutes. Without --symbols, all bars of the
source at the interval are audited, one symbol after the other; one that cannot be read is said
and left out.

Exit status: 0 all features keep all laws, 1 one breaks a law or bars cannot be read, 2 wrong
usage.
"""


@click.command(help=_AUDIT_HELP)
@config_options("features", "source")
@click.option("--symbols", default="", metavar="LIST", help="Symbols, comma-separated; or all.")
@config_options("interval", "allow_jumps")
@click.option(
    "--rows",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Check so many bars, spread evenly; 0 checks every bar.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@click.option("--debug", is_flag=True, help="Show where errors come from.")
def audit(rows: int, as_json: bool, debug: bool, **values: str) -> None:
    """Audit features; the help text for people is `_AUDIT_HELP`."""
    # MLproject hands an empty text on where a parameter was not given.
    given = {name: value for name, value in values.items() if value}
    try:
        if "symbols" not in given:
            # The settings of a run check the interval and the source, and know their defaults.
            base = TrainConfig.parse({**given, "symbols": "any"})
            found = symbols_of(open_source(base.source), base.interval)
            given["symbols"] = ",".join(found)
        config = TrainConfig.parse(given)
    except (InputError, TrainerError) as error:
        fail(error, status=2, debug=debug)
    # Behind the checks: these imports take seconds, and a typing mistake should not.
    from rich.console import Console

    from cli import audit_view
    from features.audit import audit as audit_features
    from trainer.dataset import make_builder

    builder = make_builder(config)
    audited = []
    failed = {}
    for symbol in config.symbols:
        try:
            bars, understood = builder.read(symbol)
            with audit_view.progress_bar(Console(stderr=True), symbol) as listen:
                findings = audit_features(builder.features, bars, rows=rows, listen=listen)
        except InputError as error:
            failed[symbol] = str(error)
            say(error, debug=debug)
        else:
            audited.append(audit_view.Audited(symbol, len(bars), understood, findings))
    with printing(debug):
        if as_json:
            click.echo(json.dumps(audit_view.as_json(audited, failed)))
        elif audited:
            build = _training(config, [one.symbol for one in audited], values)
            audit_view.print_verdicts(wide_console(), audited, build=build)
    sys.exit(1 if failed or any(one.broken for one in audited) else 0)


def _training(config: TrainConfig, symbols: list[str], values: Mapping[str, str]) -> str:
    """Write the command that trains on what was audited."""
    words = ["barwright", "train"]
    for name, field in TrainConfig.model_fields.items():
        value = getattr(config, name)
        if name in values and value != field.default:
            text = ",".join(symbols) if name == "symbols" else option_text(value)
            words += [option_name(name), text]
    return shlex.join(words)


COMMANDS["audit"] = audit
