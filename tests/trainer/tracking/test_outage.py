"""What is repeated after an outage of the store, and what is not."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from trainer.errors import TrainerError
from trainer.tracking import outage
from trainer.tracking.outage import is_outage, through_outages


def error_of(action: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception, match=r".") as raised:
        action()
    return raised.value


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_servers_that_do_not_answer_are_outages(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    address = f"http://127.0.0.1:{closed_port}"
    assert is_outage(error_of(lambda: requests.get(address, timeout=5)))
    assert is_outage(error_of(lambda: MlflowClient(address, address).search_experiments()))
    database = f"postgresql+psycopg://me:x@127.0.0.1:{closed_port}/db"
    assert is_outage(error_of(lambda: create_engine(database).connect()))


def test_a_session_that_the_database_ends_is_an_outage(new_postgres: str) -> None:
    engine = create_engine(new_postgres)
    with engine.connect() as session:
        end = text("select pg_terminate_backend(pg_backend_pid())")
        assert is_outage(error_of(lambda: session.execute(end)))
    engine.dispose()


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        MlflowException("Run with id=x not found"),
        OperationalError("insert", {}, Exception("database or disk is full")),
        OperationalError("insert", {}, Exception("database is locked")),
    ],
)
def test_other_errors_are_no_outages_and_are_raised_at_once(error: Exception) -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise error

    assert not is_outage(error)
    with pytest.raises(type(error)):
        through_outages("sqlite:///x.db", fail)
    assert len(calls) == 1


def outage_of(count: int, result: str = "done") -> Callable[[], str]:
    """An action during which the connection breaks, so many times."""
    left = [count]

    def act() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise MlflowException("no answer") from requests.ConnectionError("refused")
        return result

    return act


def test_an_action_is_repeated_when_the_store_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Any] = []

    def check(uri: str) -> None:
        looks.append(uri)
        if len(looks) < 3:
            raise TrainerError("down")

    monkeypatch.setattr(outage, "check_reachable", check)
    monkeypatch.setattr(outage, "_LOOK_SECONDS", 0.01)
    assert through_outages("http://x", outage_of(1)) == "done"
    assert looks == ["http://x"] * 3
    assert through_outages("http://x", outage_of(2)) == "done"
    with pytest.raises(MlflowException):
        through_outages("http://x", outage_of(3))


def test_a_store_that_stays_down_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(uri: str) -> None:
        raise TrainerError("down")

    monkeypatch.setattr(outage, "check_reachable", check)
    monkeypatch.setattr(outage, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(outage, "PATIENCE", 0.05)
    began = time.monotonic()
    with pytest.raises(MlflowException):
        through_outages("http://x", outage_of(1))
    assert time.monotonic() - began < 5
