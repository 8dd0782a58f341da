"""Registered versions: written only for candidates that were verified."""

from __future__ import annotations

from collections.abc import Mapping

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from trainer.verify import verify


def register_verified(
    client: MlflowClient,
    model_uri: str,
    name: str,
    *,
    tags: Mapping[str, str],
    description: str,
    environment: dict[str, str],
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
    environment : dict of str to str
        Environment of the verifying process.

    Raises
    ------
    TrainerError
        If the candidate does not pass verification.
    """
    verify(model_uri, tracking_uri=mlflow.get_tracking_uri(), environment=environment)
    # One call, with its tags: a crash leaves a whole version or none.
    version = mlflow.register_model(model_uri, name, tags=dict(tags))
    client.update_model_version(name, version.version, description)
    return version
