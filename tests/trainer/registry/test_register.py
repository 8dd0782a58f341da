"""Registration: a version exists only if its candidate was verified, and then with all its tags."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from trainer.errors import TrainerError
from trainer.registry.register import register_verified

TAGS = {"status": "flat", "run_id": "r"}


class Recorder:
    """A verifier that records its calls; `error` is raised by each."""

    def __init__(self, error: Exception | None = None) -> None:
        self.verified: list[str] = []
        self._error = error

    def verify(self, model_uri: str) -> None:
        self.verified.append(model_uri)
        if self._error is not None:
            raise self._error


def register(store: Any, verifier: Any) -> Any:
    source = str(store.folder)
    return register_verified(
        store.client, source, "gru-X", tags=TAGS, description="**flat**", verifier=verifier
    )


def test_a_verified_candidate_becomes_the_newest_version(registry_store: Any) -> None:
    verifier = Recorder()
    for number in ("1", "2"):
        version = register(registry_store, verifier)
        assert str(version.version) == number
    assert verifier.verified == [str(registry_store.folder)] * 2
    newest = registry_store.client.get_model_version_by_alias("gru-X", "latest")
    assert (str(newest.version), newest.tags, newest.description) == ("2", TAGS, "**flat**")


def test_nothing_is_printed(registry_store: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """MLflow announces the model and the version on two lines; the table of `train` has both."""
    for _ in range(2):
        register(registry_store, Recorder())
    assert capfd.readouterr() == ("", "")
    with pytest.raises(MlflowException):
        register_verified(
            registry_store.client, "models:/m-none", "gru-X", tags=TAGS, description="",
            verifier=Recorder(),  # type: ignore[arg-type]
        )  # fmt: skip
    logging.getLogger("mlflow").warning("a later warning")
    assert "a later warning" in capfd.readouterr().err


def test_a_candidate_that_is_not_verified_is_not_registered(registry_store: Any) -> None:
    with pytest.raises(TrainerError, match="decides differently"):
        register(registry_store, Recorder(TrainerError("it decides differently")))
    assert registry_store.client.search_registered_models() == []


def test_a_version_without_its_description_is_registered_all_the_same(
    registry_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: str) -> None:
        raise MlflowException("database is locked")

    client = registry_store.client
    client.update_model_version = locked
    version = register_verified(
        client,
        str(registry_store.folder),
        "gru-X",
        tags=TAGS,
        description="**flat**",
        verifier=Recorder(),  # type: ignore[arg-type]
    )
    assert registry_store.client.get_model_version("gru-X", version.version).tags == TAGS
