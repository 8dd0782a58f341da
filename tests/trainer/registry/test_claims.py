"""Claims of an exclusive right: one process at a time has it, and dead ones lose it."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from trainer.processes import process_identity
from trainer.registry import claims
from trainer.registry.claims import ClaimedError, TagHolder, exclusive_claim, user


@pytest.fixture(params=["experiment", "model"])
def holder(request: pytest.FixtureRequest, registry_store: Any) -> TagHolder:
    return make_holder(request.param, registry_store.client)


def make_holder(kind: str, client: MlflowClient) -> TagHolder:
    if kind == "experiment":
        return TagHolder.experiment(client, client.create_experiment("e"))
    client.create_registered_model("gru-X")
    return TagHolder.model(client, "gru-X")


@pytest.fixture
def claim(holder: TagHolder) -> Callable[..., str]:
    """``claim(what, process=, host=, since=)``: write a claim of another one, return its tag."""

    def write(what: str = "moving.x", **changes: object) -> str:
        own = {"who": "eve@far", "host": "far", "process": "1:1", "since": time.time(), **changes}
        holder.write(f"{what}.abc", json.dumps(own))
        return f"{what}.abc"

    return write


def left(holder: TagHolder) -> list[str]:
    return [tag for tag in holder.read() if tag.startswith("moving.")]


def take(holder: TagHolder, what: str = "moving.x", patience: float = 0) -> Any:
    return exclusive_claim(holder, what, "it is being moved", patience=patience)


def test_one_has_the_right_until_its_block_ends(holder: TagHolder) -> None:
    with take(holder):
        assert len(left(holder)) == 1
        with pytest.raises(ClaimedError) as error, take(holder):
            pass
        with take(holder, "moving.x2"), take(holder, "moving.y"):
            assert len(left(holder)) == 3
    assert left(holder) == []
    assert str(error.value) == f"it is being moved by {user()}; run it again when that ends"
    with pytest.raises(ZeroDivisionError), take(holder):
        _ = 1 / 0
    assert left(holder) == []


def test_claims_of_the_dead_are_removed_and_those_of_the_living_are_not(
    holder: TagHolder, claim: Callable[..., str]
) -> None:
    here = socket.gethostname()
    own = process_identity(os.getpid())
    reused = f"{os.getpid()}:1.00"  # a later process has the same number
    for dead in (
        {"host": here, "process": reused},
        {"host": here},
        {"since": time.time() - 121},
        {"host": here, "process": own, "since": time.time() - 121},
        {"since": 0},
        {"since": "abc"},
        {"since": None},
        {"since": math.nan},
        {"since": math.inf},
        {"since": time.time() + 1e6},  # a wrong clock
    ):
        claim(**dead)
        with take(holder):
            pass
        assert left(holder) == []
    for text in ("by hand", "[1]", "7", "[" * 4_900):
        holder.write("moving.x.abc", text)
        with take(holder):
            pass
        assert left(holder) == []
    for alive in ({"host": here, "process": own}, {"since": time.time() - 119}):
        tag = claim(**alive)
        with pytest.raises(ClaimedError, match="by eve@far"), take(holder):
            pass
        assert left(holder) == [tag]


def test_who_holds_a_right_for_long_gives_signs_of_life(
    holder: TagHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_BEAT_SECONDS", 0.05)
    with take(holder):
        (tag,) = left(holder)
        first, deadline = holder.read()[tag], time.monotonic() + 10
        while holder.read()[tag] == first:
            assert time.monotonic() < deadline
    time.sleep(0.2)
    assert left(holder) == []


@pytest.mark.parametrize("kind", ["experiment", "model"])
@pytest.mark.parametrize("store", ["registry_store", "postgres_store"])
def test_of_several_at_once_one_at_a_time_has_the_right(
    store: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Without exclusion, two that read the same number would lose one of the additions."""
    registry = request.getfixturevalue(store)
    holder = make_holder(kind, registry.client)
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count_up(_number: int) -> None:
        for _ in range(2):
            with take(holder, patience=120):
                before = int(counter.read_text())
                time.sleep(0.02)
                counter.write_text(str(before + 1))

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(count_up, range(3)))
    assert counter.read_text() == "6"
    assert left(holder) == []


def test_a_claim_that_could_not_be_removed_does_not_block_its_own_process(
    holder: TagHolder,
) -> None:
    def refuse(_name: str) -> None:
        raise OSError("the store is down")

    with take(replace(holder, remove=refuse)):
        pass
    assert len(left(holder)) == 1
    with take(holder):
        assert len(left(holder)) == 1
    assert left(holder) == []


def test_the_user_is_the_one_of_the_tracking_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    assert user() == f"ada@{socket.gethostname()}"
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.setattr(claims.getpass, "getuser", lambda: (_ for _ in ()).throw(KeyError("uid")))
    assert user().startswith(f"{os.getuid()}@")
