"""The group of all commands: `barwright`, or `python -m trainer`."""

from __future__ import annotations

import signal
import sys
from importlib import import_module, metadata
from typing import NamedTuple, cast

import click

from trainer.startup import set_mlflow_defaults, start_quickly


class Entry(NamedTuple):
    """A command: where its function is, and its line in the help of the group."""

    path: str
    summary: str


#: Every command. It is imported when it is asked for: the libraries of all commands together take
#: seconds to import, and `--help` needs none of them.
COMMANDS = {
    "audit": Entry("cli.audit:audit", "Check the laws that every feature must satisfy."),
    "cache": Entry("cli.cache:cache", "List, check and prune the fit cache."),
    "compare": Entry(
        "cli.compare:compare", "Rank the candidates of symbols, with their registered versions."
    ),
    "history": Entry(
        "cli.registry:history", "List the moves of a model's aliases by promote and rollback."
    ),
    "inspect": Entry("cli.inspect:inspect", "Say how files of bars are read, without training."),
    "orphans": Entry("cli.orphans:orphans", "Compare the files of MLflow with its database."),
    "promote": Entry("cli.registry:promote", "Move an alias to a version that passes the gate."),
    "prune": Entry("cli.prune:prune", "Remove old versions and runs that nothing needs."),
    "report": Entry(
        "cli.registry:report", "Write the report of a version: one HTML page with its evidence."
    ),
    "retrain": Entry("cli.retrain:retrain", "Train models again whose bars end long ago."),
    "rollback": Entry("cli.registry:rollback", "Serve an older version again under @latest."),
    "search": Entry("cli.search:search", "Search settings, then train models with the best ones."),
    "trade": Entry("trader:trade", "Print a registered model's decisions."),
    "train": Entry("cli.train:train", "Train models and register those that pass verification."),
}


class _Group(click.Group):
    """A group whose commands are those of `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; return None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name].path.partition(":")
        return cast(click.Command, getattr(import_module(module), function))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line a command; the method of click imports every command for that."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in sorted(COMMANDS)])


def _version() -> str:
    try:
        return metadata.version("barwright")
    except metadata.PackageNotFoundError:  # started from a checkout, as `mlflow run` does
        return "(not installed: run from its folder)"


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(_version(), prog_name="barwright")
def cli() -> None:
    """Turn price bars into trading decisions that can be trusted."""


def main() -> None:
    """Run the command line."""
    start_quickly()
    set_mlflow_defaults()
    # SIGTERM ends a command as Ctrl-C does: temporary files and workers are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cli(prog_name="barwright")


if __name__ == "__main__":
    main()
