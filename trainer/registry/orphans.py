"""Files of the artifact store compared with the database, after runs and models were deleted.

The database is read itself, as ``mlflow gc`` does: MLflow's client does not list deleted models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLoggedModel, SqlRun
from sqlalchemy import Connection, create_engine, select, true

from trainer.errors import TrainerError, UsageError
from trainer.tracking.store import check_reachable, redacted, sqlite_path

#: Folders of an experiment that hold no run: those of logged models, and of traces.
_MODELS, _TRACES = "models", "traces"
#: File that every model folder has.
_MLMODEL = "MLmodel"
#: Scheme of files that the MLflow server hands out.
_PROXIED = "mlflow-artifacts"
#: What MLflow stores for deleted runs and models, and for deleted versions.
_DELETED, _DELETED_VERSION = "deleted", "Deleted_Internal"


@dataclass(frozen=True)
class Orphan:
    """A folder of a run or model that the database does not know.

    Folders without files are none: in a folder on disk, ``mlflow gc`` leaves them.

    Attributes
    ----------
    uri : str
    files, size : int
        Number of its files, and their bytes.
    """

    uri: str
    files: int
    size: int


@dataclass(frozen=True)
class BrokenVersion:
    """A version that cannot be loaded, or that ``mlflow gc`` would break.

    Attributes
    ----------
    name, number : str
    uri : str
        Where its files should be.
    why : str
    """

    name: str
    number: str
    uri: str
    why: str


@dataclass(frozen=True)
class FileReport:
    """The files of all experiments compared with the database.

    Attributes
    ----------
    folders, versions : int
        Numbers of folders and versions that were compared.
    orphans : tuple of Orphan
    broken : tuple of BrokenVersion
    deleted_runs, deleted_models : int
        Runs and logged models that are deleted, and whose files ``mlflow gc`` frees.
    """

    folders: int
    versions: int
    orphans: tuple[Orphan, ...]
    broken: tuple[BrokenVersion, ...]
    deleted_runs: int
    deleted_models: int

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


class _Version(NamedTuple):
    name: str
    number: str
    location: str


@dataclass(frozen=True)
class _Database:
    """What the database knows: lifecycle stage by id, and the versions that are not deleted."""

    runs: dict[str, str]
    models: dict[str, str]
    versions: list[_Version]


def compare_files(backend_store_uri: str, artifacts_destination: str = "") -> FileReport:
    """Compare the files of all experiments with the database.

    Parameters
    ----------
    backend_store_uri : str
        The database itself, not a server.
    artifacts_destination : str
        Where the MLflow server stores what it receives; needed if it hands out the files.

    Raises
    ------
    UsageError
        If an address breaks its rule.
    TrainerError
        If the database or the files cannot be read.
    """
    _check_database_uri(backend_store_uri)
    engine = create_engine(backend_store_uri)
    try:
        with engine.connect() as connection:
            roots = experiment_folders(connection, artifacts_destination)
            # Files are listed first: what is written meanwhile is then known to the database.
            folders = [folder for root in roots.values() for folder in _folders(root)]
            connection.rollback()
            known = _read_database(connection)
    finally:
        engine.dispose()
    locations = {_resolved(v.location, artifacts_destination) for v in known.versions}
    ids = known.runs.keys() | known.models.keys()
    unknown = (
        _measured(folder)
        for folder in folders
        if folder.rpartition("/")[2] not in ids and not _contains(folder, locations)
    )
    return FileReport(
        folders=len(folders),
        versions=len(known.versions),
        orphans=tuple(orphan for orphan in unknown if orphan.files),
        broken=tuple(_broken(known, artifacts_destination)),
        deleted_runs=sum(stage == _DELETED for stage in known.runs.values()),
        deleted_models=sum(stage == _DELETED for stage in known.models.values()),
    )


def _check_database_uri(uri: str) -> None:
    if uri.startswith(("http://", "https://")) or "://" not in uri:
        raise UsageError(
            f"`--backend-store-uri` must be the database of MLflow, got {redacted(uri)!r}; give "
            "the one of the server there or in MLFLOW_BACKEND_STORE_URI, where it can be reached"
        )
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        raise TrainerError(
            f"there is no MLflow database {str(path)!r}; run this where models were trained, or "
            "set MLFLOW_BACKEND_STORE_URI"
        )
    check_reachable(uri)


def _select(connection: Connection, *columns: Any, where: Any = None) -> list[Any]:
    """Return the rows of some columns of MLflow's tables."""
    return list(connection.execute(select(*columns).where(true() if where is None else where)))


def experiment_folders(connection: Connection, artifacts_destination: str = "") -> dict[str, str]:
    """Return where the files of each experiment lie, by its id.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        Database of MLflow.
    artifacts_destination : str
        As for `compare_files`.
    """
    rows = _select(connection, SqlExperiment.experiment_id, SqlExperiment.artifact_location)
    return {str(key): _resolved(str(place), artifacts_destination) for key, place in rows}


def _read_database(connection: Connection) -> _Database:
    runs = _select(connection, SqlRun.run_uuid, SqlRun.lifecycle_stage)
    models = _select(connection, SqlLoggedModel.model_id, SqlLoggedModel.lifecycle_stage)
    versions = _select(
        connection,
        SqlModelVersion.name,
        SqlModelVersion.version,
        SqlModelVersion.storage_location,
        SqlModelVersion.source,
        where=SqlModelVersion.current_stage != _DELETED_VERSION,
    )
    return _Database(
        dict(runs),
        dict(models),
        [
            _Version(name, str(number), str(location or source))
            for name, number, location, source in versions
        ],
    )


def _resolved(location: str, artifacts_destination: str) -> str:
    """Return where files lie that the MLflow server hands out; other addresses as they are."""
    parts = urlsplit(location)
    if parts.scheme != _PROXIED:
        return location.rstrip("/")
    if not artifacts_destination:
        raise UsageError(
            "`--artifacts-destination` must be given: the MLflow server hands out the files; give "
            "the server's own MLFLOW_ARTIFACTS_DESTINATION"
        )
    return f"{artifacts_destination.rstrip('/')}/{parts.path.strip('/')}"


def _folders(root: str) -> Iterator[str]:
    """Yield the folders of runs and logged models of an experiment."""
    for name in _list_folders(root, ""):
        if name == _MODELS:
            yield from (f"{root}/{_MODELS}/{model}" for model in _list_folders(root, _MODELS))
        elif name != _TRACES:
            yield f"{root}/{name}"


def _list_folders(root: str, inside: str) -> list[str]:
    listed = _list(_repository(root), root, inside)
    return [info.path.rpartition("/")[2] for info in listed if info.is_dir]


def _measured(folder: str) -> Orphan:
    """Return a folder with the number and the size of its files."""
    repository = _repository(folder)
    files = size = 0
    waiting = [""]
    while waiting:
        for info in _list(repository, folder, waiting.pop()):
            if info.is_dir:
                waiting.append(info.path)
            else:
                files, size = files + 1, size + int(info.file_size or 0)
    return Orphan(redacted(folder), files, size)


def _contains(folder: str, locations: set[str]) -> bool:
    return any(location.startswith(f"{folder}/") for location in locations)


def _broken(known: _Database, artifacts_destination: str) -> Iterator[BrokenVersion]:
    """Yield the versions whose files are missing, or whose logged model is deleted."""
    whole: dict[str, bool] = {}
    for version in known.versions:
        place = _resolved(version.location, artifacts_destination)
        if place not in whole:
            listed = _list(_repository(place), place, "")
            whole[place] = _MLMODEL in {info.path for info in listed}
        model = place.removesuffix("/artifacts").rpartition("/")[2]
        why = "" if whole[place] else f"it has no {_MLMODEL}"
        if not why and known.models.get(model) == _DELETED:
            why = f"its logged model {model} is deleted: `mlflow gc` would remove the files"
        if why:
            yield BrokenVersion(version.name, version.number, redacted(place), why)


def _repository(uri: str) -> ArtifactRepository:
    try:
        return get_artifact_repository(uri)
    except Exception as error:  # every kind of store raises its own
        raise _unreadable(uri, error) from error


def _list(repository: ArtifactRepository, uri: str, inside: str) -> list[Any]:
    try:
        return list(repository.list_artifacts(inside or None))
    except Exception as error:  # those of S3 are boto3's
        raise _unreadable(uri, error) from error


def _unreadable(uri: str, error: Exception) -> TrainerError:
    reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
    return TrainerError(
        f"the files at {redacted(uri)} cannot be listed: {redacted(reason)}; make them readable, "
        "and run again"
    )
