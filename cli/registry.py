"""The commands for registered versions: promote, rollback, history and report."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click
from rich.console import Console

from cli.table import wide_console
from cli.terminal import exit_on_store_errors, printing
from trainer.errors import TrainerError
from trainer.evidence.verdict import AGAINST, rules_table

# What imports MLflow is imported inside the commands: it takes three seconds, and neither a help
# text nor a usage error needs it.

_PROMOTE_HELP = """Move an alias to a version that passes the gate.

NAME is a registered model, gru-BTCUSDT. The walk-forward of the version, after costs, must satisfy
these rules:

\b
{rules}

--against adds one of these rules; by default that of the option --against of its training:

\b
{against}

The model itself must trade. The version must not be worse than the alias's present version on the
same bars, and must have the same contract: both are loaded, and decide the bars after their
training.

\b
  barwright promote gru-BTCUSDT
  barwright promote gru-BTCUSDT --version 3 --alias staging
  barwright promote gru-BTCUSDT --against hold
  barwright promote gru-BTCUSDT --force --reason "paper trading only"

Exit status: 0 the alias points to the version, 1 it was refused, 2 wrong usage.
""".format(
    rules="\n".join(f"  {name:<50}{rule}" for name, rule, _ in rules_table()),
    against="\n".join(
        f"  {against:<10}{name:<58}{rule}"
        for against in AGAINST
        for name, rule, _ in rules_table(against)
    ),
)

_ROLLBACK_HELP = """Serve an older version again under @latest.

A fresh process verifies its model, which is then registered again as the newest version, with the
tag rollback_of. Other aliases stay: `barwright promote` moves them.

\b
  barwright rollback gru-BTCUSDT --to 3

Exit status: 0 rolled back, 1 refused, 2 wrong usage.
"""

_HISTORY_HELP = """List the moves of a model's aliases by promote and rollback.

NAME is a registered model, gru-BTCUSDT. A rollback is a move of @latest. A training that registers
a newer version, and an alias that was set by other means, are not listed. The state of a move is
done, lost (another command moved the alias first), interrupted (the command died and the alias did
not move) or intended (the command died; the next one that moves the alias writes what happened).

\b
  barwright history gru-BTCUSDT
  barwright history gru-BTCUSDT --json

--json also prints the criteria of each promotion, with their values.

Exit status: 0 listed, 1 no such model or store, 2 wrong usage.
"""

_REPORT_HELP = """Write the report of a version: one HTML page with its evidence.

MODEL is a registered version, models:/gru-BTCUSDT@latest or models:/gru-BTCUSDT/3. The page
contains its figures. Trials are counted now, so the verdict may differ from that at training.

\b
  barwright report models:/gru-BTCUSDT@latest
  barwright report models:/gru-BTCUSDT/3 --output gru.html

Exit status: 0 written, 1 not written, 2 wrong usage.
"""

_debug = click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command(help=_PROMOTE_HELP)
@click.argument("name")
@click.option("--version", default="", help="Version to promote; the newest one by default.")
@click.option("--alias", default="champion", show_default=True, help="Alias to move.")
@click.option(
    "--source",
    default="",
    help="Bars on which both versions are compared after their training; by default the source "
    "that the version was trained from.",
)
@click.option(
    "--against",
    default="trained",
    show_default=True,
    type=click.Choice(["trained", *AGAINST]),
    help="Baseline that the version must beat; trained: the one that its training named.",
)
@click.option(
    "--force",
    is_flag=False,
    flag_value="on",
    default="off",
    show_default=True,
    type=click.Choice(["on", "off"]),
    help="Move the alias even if criteria fail; needs --reason.",
)
@click.option("--reason", default="", help="Why; stored with the move.")
@_json
@_debug
def promote(
    name: str,
    version: str,
    alias: str,
    source: str,
    against: str,
    force: str,
    reason: str,
    as_json: bool,
    debug: bool,
) -> None:
    """Run the command; `_PROMOTE_HELP` is its help text."""
    from cli.decision_view import print_decision
    from trainer.registry import promotion
    from trainer.tracking.store import open_store

    with exit_on_store_errors(debug):
        _, client = open_store()
        with Console(stderr=True).status("") as status:
            decision = promotion.promote(
                client,
                name,
                version=version,
                alias=alias,
                source=source,
                against=against,
                force=force == "on",
                reason=reason,
                on_progress=status.update,
            )
    with printing(debug):
        if as_json:
            click.echo(json.dumps(decision.to_json()))
        else:
            print_decision(wide_console(), decision)
    refused = not decision.moved and decision.before != decision.version
    sys.exit(1 if refused else 0)


@click.command(help=_ROLLBACK_HELP)
@click.argument("name")
@click.option("--to", required=True, help="The older version.")
@_debug
def rollback(name: str, to: str, debug: bool) -> None:
    """Run the command; `_ROLLBACK_HELP` is its help text."""
    from trainer.registry import promotion
    from trainer.registry.verify import Verifier
    from trainer.tracking.store import open_store

    with exit_on_store_errors(debug):
        uri, client = open_store()
        with Verifier(os.environ) as verifier:
            verifier.open(uri)
            version = promotion.rollback(client, name, to, verifier)
    with printing(debug):
        click.echo(f"{name}: version {version} is version {to} again, and @latest serves it.")


@click.command(help=_HISTORY_HELP)
@click.argument("name")
@_json
@_debug
def history(name: str, as_json: bool, debug: bool) -> None:
    """Run the command; `_HISTORY_HELP` is its help text."""
    from cli.history_view import print_history
    from trainer.registry import alias
    from trainer.tracking.store import open_store

    with exit_on_store_errors(debug):
        _, client = open_store()
        moves = alias.history(client, name)
    with printing(debug):
        if as_json:
            click.echo(json.dumps({"name": name, "moves": [move.to_json() for move in moves]}))
        else:
            print_history(wide_console(), name, moves)


@click.command(help=_REPORT_HELP)
@click.argument("model")
@click.option(
    "--output", default="", help="File to write; {model}-{symbol}-{version}.html by default."
)
@_debug
def report(model: str, output: str, debug: bool) -> None:
    """Run the command; `_REPORT_HELP` is its help text."""
    from trainer.registry import versions
    from trainer.tracking.store import open_store

    with exit_on_store_errors(debug):
        _, client = open_store()
        name, text = versions.report(client, model)
        path = Path(output or name)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise TrainerError(
                f"`--output` {str(path)!r} cannot be written: {reason}; give another file"
            ) from error
    with printing(debug):
        click.echo(f"{path}: open it in a browser.")
