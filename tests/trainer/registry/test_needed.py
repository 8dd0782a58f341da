"""Versions that must stay: aliases, the newest, records of moves, and what these name."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

from trainer.registry.alias import Move
from trainer.registry.needed import needed_versions

RECORD = "its tags are the record of a move"


def version(number: int, **tags: str) -> ModelVersion:
    named = [ModelVersionTag(key.replace("__", "."), value) for key, value in tags.items()]
    return ModelVersion("m-X", str(number), 0, tags=named)


def moved(to: str, before: str | None, state: str = "done", alias: str = "champion") -> str:
    return json.dumps({**asdict(Move("m-X", alias, to, before)), "state": state})


def test_aliases_and_the_newest_stay() -> None:
    versions = [version(number) for number in range(1, 6)]
    assert needed_versions(versions, {"champion": "2", "gone": "9"}, {"4"}) == {
        "2": "@champion", "5": "@latest", "9": "@gone",
    }  # fmt: skip
    assert needed_versions(versions, {"champion": "5"}, set())["5"] == "@champion"


def test_the_record_of_a_move_stays_with_the_version_that_the_alias_left() -> None:
    # @champion: 1 by hand, then 3, then 4; the record of 4 names 3, that of 3 names 1.
    versions = [
        version(1),
        version(2),
        version(3, move__champion__a=moved("3", "1")),
        version(4, move__champion__b=moved("4", "3")),
        version(5),
    ]
    assert needed_versions(versions, {"champion": "4"}, {"5"}) == {
        "4": "@champion",
        "5": "@latest",
        "3": RECORD,
        "1": "@champion moved from it to version 3",
    }


@pytest.mark.parametrize(
    ("state", "stays"),
    [
        ("done", True),
        ("intended", True),
        ("lost: version 3 was made @champion meanwhile", False),
        ("interrupted: the alias was not moved", False),
    ],
)
def test_a_move_that_did_not_happen_keeps_nothing(state: str, stays: bool) -> None:
    versions = [version(1), version(2, move__champion__a=moved("2", "1", state)), version(3)]
    assert ({"1", "2"} <= needed_versions(versions, {}, set()).keys()) == stays


def test_what_a_version_is_a_rollback_of_stays_link_by_link() -> None:
    versions = [
        version(1),
        version(2),
        version(3),
        version(4, rollback_of="2", move__latest__a=moved("", "3", alias="latest")),
        version(5, rollback_of="4"),
        version(6),
    ]
    # 5 is kept by the policy; 3 is the one that the rollback 4 replaced.
    assert needed_versions(versions, {}, {"5", "6"}) == {
        "6": "@latest", "4": RECORD, "2": "version 4 is a rollback of it",
    }  # fmt: skip
    assert "2" not in needed_versions(versions[:3], {}, {"3"})


def test_tags_of_people_and_versions_that_are_gone_name_nothing() -> None:
    versions = [version(2, move__champion__x="by hand", rollback_of="1"), version(3)]
    assert needed_versions(versions, {}, {"2"}) == {"3": "@latest"}
