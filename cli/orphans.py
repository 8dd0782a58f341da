"""The command `orphans`, which compares the files of MLflow with its database."""

from __future__ import annotations

import json
import os
import sys

import click

from cli.table import wide_console
from cli.terminal import exit_on_store_errors, printing

_HELP = """Compare the files of MLflow with its database.

Two lists are printed: folders that no run, logged model or version of the database knows, with
their sizes; and versions whose files are missing, or would be removed by the next `mlflow gc`.
Nothing is changed. Run it after `mlflow gc`, and after a backup was restored.

The database itself is read, so run it where the MLflow server runs. The files may be in a folder
or in any store that MLflow knows, such as s3://.

\b
  barwright orphans
  barwright orphans --backend-store-uri postgresql://... --artifacts-destination s3://bucket/path

Exit status: 0 every version has its files, 1 some have not or the files cannot be read, 2 wrong
usage.
"""


@click.command(help=_HELP)
@click.option(
    "--backend-store-uri",
    default="",
    metavar="URI",
    help="Database of MLflow; by default MLFLOW_BACKEND_STORE_URI, or else MLFLOW_TRACKING_URI, or "
    "sqlite:///mlflow.db.",
)
@click.option(
    "--artifacts-destination",
    default="",
    metavar="URI",
    help="Where the MLflow server stores files; by default MLFLOW_ARTIFACTS_DESTINATION. Without a "
    "server the database says where they are.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Print the traceback of an error, too.")
def orphans(backend_store_uri: str, artifacts_destination: str, as_json: bool, debug: bool) -> None:
    """Run the command; `_HELP` is its help text."""
    from cli.orphans_view import print_report
    from trainer.registry.orphans import compare_files
    from trainer.tracking.store import print_only_warnings, tracking_uri

    database = backend_store_uri or os.environ.get("MLFLOW_BACKEND_STORE_URI") or tracking_uri()
    destination = artifacts_destination or os.environ.get("MLFLOW_ARTIFACTS_DESTINATION", "")
    with exit_on_store_errors(debug, database):
        print_only_warnings()
        report = compare_files(database, destination)
    with printing(debug):
        if as_json:
            click.echo(json.dumps(report.to_json()))
        else:
            print_report(wide_console(200), report)
    sys.exit(1 if report.broken else 0)
