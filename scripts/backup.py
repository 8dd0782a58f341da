"""Back up the database and the files of MLflow, and restore both.

    python -m scripts.backup save FOLDER       write a backup to a new folder
    python -m scripts.backup restore FOLDER    restore it, into a database without tables

The database is that of MLFLOW_BACKEND_STORE_URI, or else of MLFLOW_TRACKING_URI: SQLite or
PostgreSQL, whose pg_dump and pg_restore must be installed. The files are those of all experiments,
wherever the database says they are: in folders, or in s3:// and other stores that MLflow knows. If
the MLflow server hands them out, MLFLOW_ARTIFACTS_DESTINATION says where they are.

Commands may go on while a backup is written, but not `mlflow gc`. The database is saved first: each
of its versions has its files by then, and these never change, so the copy that follows has them
all. Files are restored first, so that no version is seen without its files.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import mlflow
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sqlalchemy import create_engine, inspect, make_url

from barwright import BarwrightError
from trainer.errors import TrainerError, UsageError
from trainer.registry.orphans import experiment_folders
from trainer.tracking.store import (
    check_reachable,
    print_only_warnings,
    redacted,
    sqlite_path,
    tracking_uri,
)

#: Contents of a backup. The list is written last: a backup without it is not complete.
_SQLITE, _POSTGRES, _FILES, _LIST = "database.sqlite", "database.pgdump", "files", "backup.json"


def save(folder: Path, uri: str, artifacts_destination: str = "") -> None:
    """Write a backup to a new folder.

    Parameters
    ----------
    folder : pathlib.Path
    uri : str
        Database of MLflow.
    artifacts_destination : str
        Where the MLflow server stores files, if it hands them out.

    Raises
    ------
    TrainerError
        If the folder has files, or the database or files cannot be read.
    """
    _check_database(uri)
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        raise TrainerError(f"there is no database {str(path)!r}; set MLFLOW_BACKEND_STORE_URI")
    check_reachable(uri)
    if folder.exists() and any(folder.iterdir()):
        raise TrainerError(f"the folder {str(folder)!r} has files; give a new one")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    dump_database(folder, uri)
    copy_files(folder, uri, artifacts_destination)


def dump_database(folder: Path, uri: str) -> None:
    """Write the database, as it is at one moment."""
    path = sqlite_path(uri)
    if path is None:
        _postgres("pg_dump", uri, "--format=custom", f"--file={folder / _POSTGRES}")
        return
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(folder / _SQLITE)) as to:
        source.backup(to)


def copy_files(folder: Path, uri: str, artifacts_destination: str = "") -> None:
    """Copy the files of all experiments, then write the list that completes the backup."""
    places = _places(uri, artifacts_destination)
    for key, place in places.items():
        target = folder / _FILES / key
        target.mkdir(parents=True)
        with _copying(place):
            repository = get_artifact_repository(place)
            if repository.list_artifacts():
                repository.download_artifacts("", dst_path=str(target))
    content = {
        "written": datetime.now(UTC).isoformat(),
        "mlflow": mlflow.__version__,
        "experiments": places,
    }
    (folder / _LIST).write_text(json.dumps(content, indent=1) + "\n")


def restore(folder: Path, uri: str) -> None:
    """Restore a backup: the files to where they were, then the database.

    Raises
    ------
    TrainerError
        If the backup is not complete, or the database has tables already.
    """
    _check_database(uri)
    if not (folder / _LIST).is_file():
        raise TrainerError(f"{str(folder)!r} is no complete backup: it has no {_LIST}")
    path = sqlite_path(uri)
    dump = folder / (_POSTGRES if path is None else _SQLITE)
    if not dump.is_file():
        raise TrainerError(
            f"{str(folder)!r} has no {dump.name}, which {redacted(uri)} needs; give a database of "
            "the same kind"
        )
    if path.exists() if path is not None else _has_tables(uri):
        raise TrainerError(
            f"the database {redacted(uri)} exists already, and nothing is overwritten; give an "
            "empty one"
        )
    for key, place in json.loads((folder / _LIST).read_text())["experiments"].items():
        if any((folder / _FILES / key).iterdir()):
            with _copying(place):
                get_artifact_repository(place).log_artifacts(str(folder / _FILES / key))
    if path is None:
        _postgres("pg_restore", uri, "--exit-on-error", "--single-transaction", str(dump))
    else:
        partial = path.with_name(f"{path.name}.restored")
        shutil.copy(dump, partial)
        partial.replace(path)


@contextmanager
def _copying(place: str) -> Iterator[None]:
    """Word an error of a store of files as one sentence."""
    try:
        yield
    except Exception as error:  # every kind of store raises its own: those of S3 are boto3's
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise TrainerError(
            f"the files at {redacted(place)} cannot be copied: {redacted(reason)}"
        ) from error


def _check_database(uri: str) -> None:
    if sqlite_path(uri) is None and not uri.startswith("postgresql"):
        raise UsageError(
            f"MLFLOW_BACKEND_STORE_URI must be a SQLite or PostgreSQL database, got {redacted(uri)}"
        )


def _has_tables(uri: str) -> bool:
    engine = create_engine(uri)
    try:
        with engine.connect() as connection:
            return bool(inspect(connection).get_table_names())
    finally:
        engine.dispose()


def _places(uri: str, artifacts_destination: str) -> dict[str, str]:
    engine = create_engine(uri)
    try:
        with engine.connect() as connection:
            return experiment_folders(connection, artifacts_destination)
    finally:
        engine.dispose()


def _postgres(program: str, uri: str, *arguments: str) -> None:
    """Run a program of PostgreSQL; the password is in its environment, not among its arguments."""
    url = make_url(uri)
    settings = {
        "PGHOST": url.host,
        "PGPORT": url.port,
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        **{f"PG{key.upper()}": value for key, value in url.query.items()},
    }
    environment = {key: str(value) for key, value in settings.items() if value is not None}
    try:
        done = subprocess.run(
            [program, "--no-password", "--no-owner", f"--dbname={url.database}", *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise TrainerError(
            f"{program} was not found; install the client programs of PostgreSQL"
        ) from error
    if done.returncode:
        reason = next(iter(done.stderr.splitlines()), f"exit status {done.returncode}")
        raise TrainerError(f"{program} failed on {redacted(uri)}: {reason}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.backup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["save", "restore"])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args(arguments)
    print_only_warnings()
    uri = os.environ.get("MLFLOW_BACKEND_STORE_URI") or tracking_uri()
    try:
        if given.what == "save":
            save(given.folder, uri, os.environ.get("MLFLOW_ARTIFACTS_DESTINATION", ""))
            print(f"{given.folder}: the backup of {redacted(uri)} is complete.")
        else:
            restore(given.folder, uri)
            print(f"{redacted(uri)} is restored; `barwright orphans` compares it with its files.")
    except BarwrightError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
