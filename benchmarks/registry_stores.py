"""MLflow stores of any size: copies of one real training run, written straight into the tables."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.store.db.base_sql_model import Base
from mlflow.store.model_registry.dbmodels import models as _registry_tables  # noqa: F401
from mlflow.store.tracking.dbmodels import models as _tracking_tables  # noqa: F401
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    case,
    create_engine,
    insert,
    literal,
    select,
    text,
    true,
)

from benchmarks.command import CommandLine
from trainer.evidence.record import RECORD_FILE, Record
from trainer.tracking.tag_names import MODEL, RUN_ID, SYMBOL
from trainer.tracking.trials import load_record

#: Symbol and models of every store; the real run is of the first model. Further names have further
#: symbols.
SYMBOL_MEASURED = "EURUSD"
MODELS = ("lightgbm", "gru", "ppo")
#: Registered model that `promote` and `resolve` are measured on.
NAME_MEASURED = f"{MODELS[0]}-{SYMBOL_MEASURED}"
_POSTGRES = str(Path(__file__).resolve().parent.parent / "scripts" / "postgres.sh")


@dataclass(frozen=True)
class Size:
    """Size of a store.

    Attributes
    ----------
    names, versions : int
        Registered models, a multiple of three, and versions of each.
    runs : int
        Candidate runs of each name.
    """

    names: int
    versions: int
    runs: int

    def __str__(self) -> str:
        return f"{self.names} names x {self.versions} versions"


@dataclass(frozen=True)
class RealRun:
    """One real training run in a store of its own.

    Attributes
    ----------
    folder : pathlib.Path
        Folder of the command, with the database and the files.
    engine : sqlalchemy.Engine
    run_id, model_id : str
        Run of the candidate, and its logged model.
    record : Record
        Its walk-forward.
    """

    folder: Path
    engine: Engine
    run_id: str
    model_id: str
    record: Record

    @classmethod
    def train(cls, folder: Path) -> RealRun:
        """Train lightgbm on the sample and register version 1, by the real command."""
        folder.mkdir()
        command = CommandLine(folder)
        command.run(
            "train", "--symbols", SYMBOL_MEASURED, "--source", "sample", "--models", MODELS[0],
            "--n-splits", "2", "--wf-splits", "2", "--horizon", "3", "--max-workers", "1",
        )  # fmt: skip
        client = MlflowClient(command.uri, command.uri)
        (version,) = client.search_model_versions(f"name = '{NAME_MEASURED}'")
        run_id = version.tags[RUN_ID]
        record = load_record(str(client.get_run(run_id).info.artifact_uri))
        if record is None:
            raise RuntimeError(f"the run {run_id} kept no record")
        model_id = str(version.source).removeprefix("models:/")
        return cls(folder, create_engine(command.uri), run_id, model_id, record)


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Start a PostgreSQL server on loopback; yield the URL of its first database."""
    started = subprocess.run(
        [_POSTGRES, "start", folder], capture_output=True, text=True, check=False
    )
    if started.returncode:
        raise RuntimeError(started.stderr)
    try:
        yield started.stdout.strip()
    finally:
        subprocess.run([_POSTGRES, "stop", folder], check=True)


def new_sqlite(real: RealRun, path: Path) -> str:
    """Copy the database of the real run; return its URL."""
    shutil.copy(real.folder / "mlflow.db", path)
    return f"sqlite:///{path}"


def new_postgres(real: RealRun, server: str, name: str) -> str:
    """Make a database with the rows of the real run; return its URL."""
    uri = f"{server.rsplit('/', 1)[0]}/{name}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    MlflowClient(uri, uri)  # makes the tables
    engine = create_engine(uri)
    with real.engine.connect() as source, engine.begin() as target:
        for table in Base.metadata.sorted_tables:
            rows = [dict(row) for row in source.execute(select(table)).mappings()]
            if rows:
                target.execute(table.delete())
                target.execute(table.insert(), rows)
    engine.dispose()
    return uri


def fill(uri: str, real: RealRun, size: Size, files: Path) -> None:
    """Fill a store that holds the real run only, up to a size.

    The versions of the measured name that `promote` compares are those of the real run. All trials
    of its symbol have records of their own, as files; other runs name no file that exists.

    Parameters
    ----------
    uri : str
        Store with the rows of the real run.
    real : RealRun
    size : Size
    files : pathlib.Path
        New folder for the records.
    """
    symbols = [SYMBOL_MEASURED, *(f"S{number:03}" for number in range(1, size.names // 3))]
    runs = [
        {
            "run_id": uuid.uuid4().hex,
            "model": model,
            "symbol": symbol,
            "number": number,
            "record_digest": uuid.uuid4().hex,
        }
        for symbol in symbols
        for model in MODELS
        for number in range(size.runs - (f"{model}-{symbol}" == NAME_MEASURED))
    ]
    for seed, run in enumerate(run for run in runs if run["symbol"] == SYMBOL_MEASURED):
        run["record_digest"] = _write_record(real.record, seed, files / str(run["run_id"]))
    engine = create_engine(uri)
    with engine.begin() as connection:
        if uri.startswith("postgresql"):
            # The copies refer to each other as the originals do: no need to check that row by row.
            connection.execute(text("SET session_replication_role = replica"))
        copies = _copies(connection, runs)
        _copy_runs(connection, real, copies, files)
        _add_versions(connection, real, runs, size)
        copies.drop(connection)
    with engine.connect() as connection:
        connection.execute(text("ANALYZE"))
        connection.commit()
    engine.dispose()


def _write_record(record: Record, seed: int, folder: Path) -> str:
    """Write a record with one position in ten drawn again; return its digest."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(-1, 2, len(record)).astype(np.float64)
    other = replace(
        record, position=np.where(rng.random(len(record)) < 0.1, drawn, record.position)
    )
    folder.mkdir(parents=True)
    other.write(folder / RECORD_FILE)
    return other.digest


def _copies(connection: Connection, runs: list[dict[str, Any]]) -> Table:
    """Write the list of new runs into a table of its own, from which all others are copied."""
    table = Table(
        "benchmark_copies",
        MetaData(),
        Column("run_id", String(32), primary_key=True),
        Column("model", String(50)),
        Column("symbol", String(50)),
        Column("number", Integer),
        Column("record_digest", String(64)),
    )
    table.create(connection)
    connection.execute(table.insert(), runs)
    return table


def _copy_runs(connection: Connection, real: RealRun, copies: Table, files: Path) -> None:
    """Copy the rows of the real run and of its logged model for every new run."""
    new = copies.c
    model_id = literal("m-").concat(new.run_id)

    def copy(table_name: str, where: Mapping[str, Any], **changes: Any) -> None:
        table = Base.metadata.tables[table_name]
        names = [column.name for column in table.columns if column.computed is None]
        rows = (
            select(*(changes.get(name, table.c[name]) for name in names))
            .select_from(table.join(copies, true()))
            .where(*(table.c[key] == value for key, value in where.items()))
        )
        connection.execute(insert(table).from_select(names, rows))

    def value_of(table_name: str, **others: Any) -> Any:
        table = Base.metadata.tables[table_name]
        return case(*((table.c.key == k, v) for k, v in others.items()), else_=table.c.value)

    of_run, of_model = {"run_uuid": real.run_id}, {"model_id": real.model_id}
    copy(
        "runs",
        of_run,
        run_uuid=new.run_id,
        name=new.model.concat("-").concat(new.symbol),
        start_time=Base.metadata.tables["runs"].c.start_time + 1 + new.number,
        artifact_uri=literal(f"{files}/").concat(new.run_id),
    )
    tags = value_of("tags", **{MODEL: new.model, SYMBOL: new.symbol})
    copy("tags", of_run, run_uuid=new.run_id, value=tags)
    params = value_of("params", record_digest=new.record_digest)
    copy("params", of_run, run_uuid=new.run_id, value=params)
    copy("latest_metrics", of_run, run_uuid=new.run_id)
    # Without the curves of the folds, which no command reads.
    copy("metrics", {**of_run, "step": 0}, run_uuid=new.run_id)
    copy("logged_models", of_model, model_id=model_id, source_run_id=new.run_id)
    for name in ("logged_model_params", "logged_model_tags"):
        copy(name, of_model, model_id=model_id)
    copy("logged_model_metrics", of_model, model_id=model_id, run_id=new.run_id)
    output = {"source_id": real.run_id, "destination_type": "MODEL_OUTPUT"}
    copy(
        "inputs",
        output,
        input_uuid=literal("o").concat(new.run_id),
        source_id=new.run_id,
        destination_id=model_id,
    )
    data = {"destination_id": real.run_id, "destination_type": "RUN"}
    copy("inputs", data, input_uuid=literal("d").concat(new.run_id), destination_id=new.run_id)


def _add_versions(
    connection: Connection, real: RealRun, runs: list[dict[str, Any]], size: Size
) -> None:
    """Register the versions of every name, with an alias on the last but one."""
    tables = Base.metadata.tables

    def row_of(name: str) -> list[dict[str, Any]]:
        return [dict(row) for row in connection.execute(select(tables[name])).mappings()]

    (model,), (version,) = row_of("registered_models"), row_of("model_versions")
    tags = row_of("model_version_tags")
    by_name: dict[str, list[str]] = {}
    for run in runs:
        by_name.setdefault(f"{run['model']}-{run['symbol']}", []).append(run["run_id"])
    new: dict[str, list[dict[str, Any]]] = {
        "registered_models": [{**model, "name": n} for n in by_name if n != NAME_MEASURED],
        "model_versions": [],
        "model_version_tags": [],
        "registered_model_aliases": [],
    }
    for name, run_ids in by_name.items():
        measured = name == NAME_MEASURED
        for number in range(2 if measured else 1, size.versions + 1):
            # The measured name is judged by its last two versions: those are of the real run.
            own = measured and number >= size.versions - 1
            run_id = real.run_id if own else run_ids[number % len(run_ids)]
            model_id = real.model_id if own else f"m-{run_id}"
            place = {"name": name, "version": number}
            new["model_versions"].append(
                {**version, **place, "run_id": run_id, "source": f"models:/{model_id}"}
            )
            new["model_version_tags"] += [
                {**tag, **place, "value": run_id if tag["key"] == RUN_ID else tag["value"]}
                for tag in tags
            ]
        new["registered_model_aliases"].append(
            {
                "name": name,
                "alias": "champion",
                "version": size.versions - 1,
                "workspace": model["workspace"],
            }
        )
    for table, rows in new.items():
        connection.execute(tables[table].insert(), rows)
