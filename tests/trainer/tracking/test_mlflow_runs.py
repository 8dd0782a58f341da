"""Small laws of the MLflow side; tests/service runs it for real."""

from __future__ import annotations

import pytest

from trainer.errors import TrainerError
from trainer.tracking.store import check_reachable, shown


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("postgresql+psycopg://me:secret@db:5432/mlflow", "postgresql+psycopg://me:***@db:5432/mlflow"),
        ("https://me:sec/ret@host/path", "https://me:***@host/path"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)  # fmt: skip
def test_addresses_are_shown_without_their_password(uri: str, text: str) -> None:
    assert shown(uri) == text


def test_an_unreachable_server_is_named_without_its_password() -> None:
    with pytest.raises(TrainerError, match=r"http://me:\*\*\*@127\.0\.0\.1:9 cannot be reached"):
        check_reachable("http://me:secret@127.0.0.1:9")
