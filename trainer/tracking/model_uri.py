"""Registered versions by model URI, or by name and number."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList

from trainer.errors import TrainerError
from trainer.tracking.store import read_all_pages

T = TypeVar("T")

_SCHEME = "models:/"
#: Alias that MLflow itself keeps on the newest version.
LATEST = "latest"
#: Names that an error message lists at most.
_LISTED = 10
#: What MLflow answers for a name, version or alias that does not exist or cannot exist.
_UNKNOWN_CODES = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class ModelUri:
    """A model URI in its parts; at most one of `version` and `alias` is not empty.

    Attributes
    ----------
    name : str
        Registered model.
    version : str
        Version number.
    alias : str
        ``latest`` for ``@latest`` and ``/latest``.
    """

    name: str
    version: str = ""
    alias: str = ""

    @classmethod
    def parse(cls, model_uri: str) -> Self:
        """Read the URI of a registered model; ``models:/`` may be left out.

        Examples
        --------
        >>> ModelUri.parse("models:/gru-BTCUSDT@champion")
        ModelUri(name='gru-BTCUSDT', version='', alias='champion')
        >>> ModelUri.parse("models:/gru-BTCUSDT/3")
        ModelUri(name='gru-BTCUSDT', version='3', alias='')
        >>> ModelUri.parse("models:/gru-BTCUSDT/latest").alias
        'latest'
        >>> ModelUri.parse("models:/m-0123")
        ModelUri(name='m-0123', version='', alias='')
        """
        path = model_uri.removeprefix(_SCHEME)
        name, at, alias = path.partition("@")
        if at:
            return cls(name, alias=alias or LATEST)
        name, _, version = path.partition("/")
        return cls(name, alias=LATEST) if version == LATEST else cls(name, version)


@dataclass(frozen=True)
class Resolved:
    """A model URI in which an alias is replaced by the version that it points to.

    Attributes
    ----------
    uri, version : str
        For a model that is not registered: its own URI, and the last part of it.
    tags : dict of str to str
        Tags of the version; empty for a model that is not registered.
    """

    uri: str
    version: str
    tags: dict[str, str]


def resolve(model_uri: str) -> Resolved:
    """Pin a model URI to one version, so that a later move of the alias changes nothing.

    Parameters
    ----------
    model_uri : str
        ``models:/gru-BTCUSDT@champion``, ``models:/gru-BTCUSDT/3``, or the URI of a model that is
        not registered: ``models:/m-...``, ``runs:/...``, a folder.

    Raises
    ------
    TrainerError
        If it names a registered model, version or alias that does not exist.
    """
    parts = ModelUri.parse(model_uri)
    if not model_uri.startswith(_SCHEME) or not (parts.version or parts.alias):
        return Resolved(model_uri, model_uri.rpartition("/")[2], {})
    version = locate(MlflowClient(), model_uri)
    return Resolved(
        f"{_SCHEME}{version.name}/{version.version}", str(version.version), dict(version.tags)
    )


def locate(client: MlflowClient, model_uri: str) -> ModelVersion:
    """Return the version that the URI of a registered model names; the newest without a number.

    Raises
    ------
    TrainerError
        If it does not exist; the message lists what exists.
    """
    parts = ModelUri.parse(model_uri)
    if not parts.alias or parts.alias.lower() == LATEST:
        return find_version(client, parts.name, parts.version)
    try:
        return client.get_model_version_by_alias(parts.name, parts.alias)
    except MlflowException as error:
        if error.error_code not in _UNKNOWN_CODES:
            raise
        # Raises if the model does not exist or has no version.
        find_version(client, parts.name)
        raise TrainerError(
            f"{parts.name} has no alias @{parts.alias}; give a version, or @{LATEST}"
        ) from error


def find_version(client: MlflowClient, name: str, number: str = "") -> ModelVersion:
    """Return a version of a registered model, the newest one by default.

    Raises
    ------
    TrainerError
        If it does not exist; the message lists what exists.
    """
    if number:
        version = _or_none(client.get_model_version, name, number)
    else:
        version = newest_version(client, name)
    if version is None or (number and str(version.version) != number):  # MLflow takes 03 for 3
        raise _not_found(client, name, number)
    return version


def _not_found(client: MlflowClient, name: str, number: str) -> TrainerError:
    """Return the error for a version that does not exist; it lists what exists."""
    versions = list_versions(client, name)
    if not versions:
        return _no_version(client, name)
    numbers = ", ".join(str(version.version) for version in versions[-_LISTED:])
    return TrainerError(f"{name} has no version {number!r}; it has {numbers}")


def list_versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """Return all versions of a registered model, oldest first; none if it does not exist."""
    versions = read_all_pages(lambda token: _search_versions(client, name, page_token=token))
    return sorted(versions, key=lambda version: int(version.version))


def newest_version(client: MlflowClient, name: str) -> ModelVersion | None:
    """Return the newest version of a registered model; None if it has none or does not exist."""
    # One row is read: a name may have hundreds of versions.
    newest = _search_versions(client, name, max_results=1, order_by=["version_number DESC"])
    return newest[0] if newest else None


def _search_versions(client: MlflowClient, name: str, **options: Any) -> PagedList[ModelVersion]:
    # MLflow's filters cannot escape a quote: it would end the name, and the rest of the name would
    # be read as a condition. MLflow refuses to search for a name that no model can have.
    none: PagedList[ModelVersion] = PagedList([], None)
    if "'" in name:
        return none
    return _or_none(client.search_model_versions, f"name = '{name}'", **options) or none


def _or_none(call: Callable[..., T], *arguments: Any, **options: Any) -> T | None:
    """Return what a call of MLflow returns; None for something that does not or cannot exist."""
    try:
        return call(*arguments, **options)
    except MlflowException as error:
        if error.error_code not in _UNKNOWN_CODES:
            raise
        return None


def _no_version(client: MlflowClient, name: str) -> TrainerError:
    """Return the error for a registered model without versions, or one that does not exist."""
    with contextlib.suppress(MlflowException):
        client.get_registered_model(name)
        return TrainerError(f"{name} has no version; `barwright train` registers one")
    names = sorted(model.name for model in client.search_registered_models(max_results=100))
    listed = f"there are {', '.join(names[:_LISTED])}" if names else "there is none yet"
    return TrainerError(f"there is no registered model {name!r}; {listed}")
