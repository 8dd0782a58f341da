"""Registration of a version, which only a verified candidate gets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.utils.logging_utils import MLFLOW_LOGGING_STREAM

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
    guard: AbstractContextManager[None] | None = None,
) -> ModelVersion:
    """Verify a candidate in a fresh process, then register it as the newest version.

    `@latest` is MLflow's own alias for the newest version: it moves with the registration. If the
    verification fails, nothing is registered.

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
        Markdown for people.
    verifier : Verifier
    guard : context manager, optional
        Held while the verified candidate is registered.

    Raises
    ------
    TrainerError
        If the candidate does not pass verification.
    """
    verifier.verify(model_uri)
    # One call with all tags: a crash leaves a complete version or none.
    with guard or contextlib.nullcontext(), _without_messages():
        version = mlflow.register_model(model_uri, name, tags=dict(tags))
    # Without its description it is registered all the same. An error would make the user register
    # it once more.
    with contextlib.suppress(*STORE_ERRORS):
        client.update_model_version(name, version.version, description)
    return version


@contextlib.contextmanager
def _without_messages() -> Iterator[None]:
    """Leave out what MLflow prints in the block: it announces each registration on two lines.

    No level of MLflow's logging hides them. Errors are raised all the same.
    """
    enabled = MLFLOW_LOGGING_STREAM.enabled
    MLFLOW_LOGGING_STREAM.enabled = False
    try:
        yield
    finally:
        MLFLOW_LOGGING_STREAM.enabled = enabled
