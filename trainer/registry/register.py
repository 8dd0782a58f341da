"""Registered versions: written only for candidates that were verified."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from trainer.registry.verify import Verifier
from trainer.tracking.store import STORE_ERRORS


def register_verified(
    client: MlflowClient,
    model_uri: str,
    name: str,
    *,
    tags: Mapping[str, str],
    description: str,
    verifier: Verifier,
) -> ModelVersion:
    """Verify a candidate in a fresh process, then register it as the newest version.

    `@latest` is MLflow's own alias for the newest version, so it moves with the registration and
    not before it. If verification fails nothing is registered.

    Parameters
    ----------
    client : mlflow.MlflowClient
    model_uri : str
        ``models:/m-...`` of the logged model.
    name : str
        Registered model, ``{model}-{symbol}``.
    tags : mapping of str to str
        Tags of the version.
    description : str
        For people, in markdown.
    verifier : Verifier
        Loads the candidate in a process that never saw it.

    Raises
    ------
    TrainerError
        If the candidate does not pass verification.
    """
    verifier.verify(model_uri)
    # One call, with its tags: a crash leaves a whole version or none.
    version = mlflow.register_model(model_uri, name, tags=dict(tags))
    # Described or not, it is registered: who is told that it failed would register it once more.
    with contextlib.suppress(*STORE_ERRORS):
        client.update_model_version(name, version.version, description)
    return version
