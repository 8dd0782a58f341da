"""Moves of an alias: one mover at a time, their records, and movers that died."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from trainer.errors import TrainerError
from trainer.registry import alias
from trainer.registry import claims as claims_module
from trainer.registry.alias import Move

NAME = "m-X"


@pytest.fixture
def client(registry_store: Any) -> Any:
    """Client of a store with three versions of a registered model, without files."""
    client = registry_store.client
    client.create_registered_model(NAME)
    for _ in range(3):
        client.create_model_version(NAME, f"s3://models/{NAME}")
    return client


@pytest.fixture
def claim(client: Any) -> Callable[..., str]:
    """``claim(alias, process=, host=, since=)``: write a claim of another mover, return its tag."""

    def write(name: str = "champion", **changes: object) -> str:
        own = {"who": "eve@far", "host": "far", "process": "1:1", "since": time.time(), **changes}
        client.set_registered_model_tag(NAME, f"moving.{name}.abc", json.dumps(own))
        return f"moving.{name}.abc"

    return write


def states(client: Any) -> list[tuple[str, str]]:
    return [(move.to, move.state) for move in alias.history(client, NAME)]


def claims(client: Any) -> list[str]:
    return [tag for tag in client.get_registered_model(NAME).tags if tag.startswith("moving.")]


def test_moves_are_recorded_in_order_with_all_their_facts(client: Any) -> None:
    assert alias.holder(client, NAME, "champion") is None
    evidence = [{"name": "trades", "passed": True}]
    alias.move(client, Move(NAME, "champion", "2", None, evidence=evidence))
    alias.move(client, Move(NAME, "champion", "1", "2", forced=True, reason="a drill"))
    (tag,) = alias.rollback_record(NAME, "2").items()
    client.set_model_version_tag(NAME, "3", *tag)
    assert alias.holder(client, NAME, "champion") == "1"
    first, second, third = alias.history(client, NAME)
    assert (first.to, first.before, first.evidence) == ("2", None, evidence)
    assert (second.forced, second.reason, second.before) == (True, "a drill", "2")
    assert (third.alias, third.to) == ("latest", "3")
    assert {move.state for move in (first, second, third)} == {"done"}
    assert first.tag in client.get_model_version(NAME, "2").tags
    assert first.when < second.when < third.when
    assert claims(client) == []
    assert second.to_json() == {
        "tag": second.tag, "name": NAME, "alias": "champion", "to": "1", "before": "2",
        "forced": True, "reason": "a drill", "evidence": [], "who": second.who,
        "when": second.when, "state": "done",
    }  # fmt: skip


def test_the_history_of_an_unknown_model_is_an_error_that_lists_the_models(client: Any) -> None:
    assert alias.history(client, NAME) == []
    for name in ("gru-X", "it's"):
        with pytest.raises(TrainerError, match=r"no registered model .*; there are m-X"):
            alias.history(client, name)


def test_a_mover_that_read_another_holder_loses_and_that_is_recorded(client: Any) -> None:
    alias.move(client, Move(NAME, "champion", "1", None))
    with pytest.raises(TrainerError, match="moved from no version to version 1 while version 2"):
        alias.move(client, Move(NAME, "champion", "2", None))
    assert alias.holder(client, NAME, "champion") == "1"
    assert states(client) == [("1", "done"), ("2", "lost: version 1 was made @champion meanwhile")]
    client.delete_registered_model_alias(NAME, "champion")
    with pytest.raises(TrainerError, match="moved from version 1 to no version"):
        alias.move(client, Move(NAME, "champion", "2", "1"))
    assert claims(client) == []


def test_a_mover_waits_for_a_living_one_and_then_names_it(
    client: Any, claim: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alias, "_WAIT_SECONDS", 0)
    tag = claim()
    with pytest.raises(TrainerError, match="@champion of m-X is being moved by eve@far"):
        alias.move(client, Move(NAME, "champion", "2", None))
    assert alias.holder(client, NAME, "champion") is None
    assert (claims(client), states(client)) == ([tag], [])
    # The claim does not concern other aliases, and without it the move is possible.
    alias.move(client, Move(NAME, "champ", "3", None))
    client.delete_registered_model_tag(NAME, tag)
    alias.move(client, Move(NAME, "champion", "2", None))
    assert alias.holder(client, NAME, "champion") == "2"


def test_a_waiting_mover_moves_when_the_other_one_ends(
    client: Any, claim: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = claim()
    monkeypatch.setattr(
        claims_module.time, "sleep", lambda seconds: client.delete_registered_model_tag(NAME, tag)
    )
    alias.move(client, Move(NAME, "champion", "2", None))
    assert (states(client), claims(client)) == ([("2", "done")], [])


def test_interrupted_moves_are_settled_by_the_version_of_the_alias(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias.move(client, Move(NAME, "champion", "1", None))
    for to, name in (("2", "champion"), ("3", "champion"), ("3", "other")):
        alias._record(client, Move(NAME, name, to, "1"), "intended")
    client.set_registered_model_alias(NAME, "champion", "3")
    alias.settle(client, NAME, "champion")
    assert sorted(states(client)) == [
        ("1", "done"), ("2", "interrupted: the alias was not moved"), ("3", "done"),
        ("3", "intended"),
    ]  # fmt: skip
    alias.move(client, Move(NAME, "champion", "2", "3"))
    assert sorted(states(client))[1:3] == [
        ("2", "done"),
        ("2", "interrupted: the alias was not moved"),
    ]


def test_an_error_during_a_move_leaves_no_claim(client: Any) -> None:
    with pytest.raises(TrainerError, match="m-X has no version '9'"):
        alias.move(client, Move(NAME, "champion", "9", None))
    assert claims(client) == []


def test_tags_of_people_are_no_moves(client: Any) -> None:
    whole = {**asdict(Move(NAME, "champion", "1", None)), "state": "done"}
    wrong: tuple[dict[str, object], ...] = (
        {"when": "now"},
        {"who": None},
        {"to": 1},
        {"reason": [1]},
    )
    texts = ("by hand", "[1]", "7", "[" * 4_900, '{"when": "2020"}')
    texts += tuple(json.dumps({**whole, **change}) for change in wrong)
    for text in texts:
        client.set_model_version_tag(NAME, "1", "move.champion.x", text)
        alias.settle(client, NAME, "champion")
    alias.move(client, Move(NAME, "champion", "1", None))
    assert states(client) == [("1", "done")]
