"""What prune removes and what stays, on a real store; tests/service kills it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from trainer.errors import TrainerError
from trainer.registry import alias, promotion, prune
from trainer.registry.alias import Move
from trainer.registry.prune import NeededVersion, Plan, Policy

NAME = "m-X"
LATER = datetime.now(UTC) + timedelta(days=100)


@pytest.fixture
def client(registry_store: Any) -> MlflowClient:
    """Client of a store with eight versions of m-X, each with a logged model, without files."""
    client: MlflowClient = registry_store.client
    client.create_registered_model(NAME)
    client.create_experiment("e")
    for _ in range(8):
        register(client)
    return client


def register(client: MlflowClient, model: str = "", name: str = NAME) -> str:
    """Register a new logged model, or one that has versions already; return its id."""
    if not model:
        run_id = client.create_run("1", tags={"kind": "candidate"}).info.run_id
        logged = client.create_logged_model("1", "m", source_run_id=run_id)
        model = client.finalize_logged_model(logged.model_id, "READY").model_id
    source = client.get_logged_model(model)
    client.create_model_version(name, f"models:/{model}", source.source_run_id)
    return str(model)


def planned(client: MlflowClient, keep: int = 2, **changes: Any) -> Plan:
    return prune.plan(client, Policy(keep, **changes), now=LATER)


def numbers(client: MlflowClient, name: str = NAME) -> list[int]:
    return sorted(int(v.version) for v in client.search_model_versions(f"name = '{name}'"))


def models(client: MlflowClient) -> int:
    return len(client.search_logged_models(["1"]))


def test_versions_beyond_the_policy_go_with_their_models(client: MlflowClient) -> None:
    plan = planned(client)
    assert [version.number for version in plan.versions] == ["1", "2", "3", "4", "5", "6"]
    assert (plan.needed, plan.staying, plan.runs) == ((), 2, ())
    assert (numbers(client), models(client)) == ([1, 2, 3, 4, 5, 6, 7, 8], 8), "nothing is changed"
    removal = prune.remove(client, plan)
    assert (removal.versions, removal.models, removal.runs, removal.skipped) == (6, 6, 0, ())
    assert (numbers(client), models(client)) == ([7, 8], 2)
    assert planned(client).versions == ()
    # Their runs are trials.
    assert len(client.search_runs(["1"])) == 8
    # MLflow goes on with the next number.
    register(client)
    assert numbers(client) == [7, 8, 9]
    tags = client.get_registered_model(NAME).tags
    assert [tag for tag in tags if tag.startswith("moving.")] == []


def test_young_versions_and_other_names_stay(client: MlflowClient) -> None:
    client.create_registered_model("m-Y")
    for _ in range(3):
        register(client, name="m-Y")
    assert prune.plan(client, Policy(1, timedelta(days=1))).versions == ()
    assert planned(client, keep=8).versions == ()
    of_y = planned(client, names=("m-Y",))
    assert {(v.name, v.number) for v in of_y.versions} == {("m-Y", "1")}
    assert of_y.staying == 2
    prune.remove(client, planned(client))
    assert (numbers(client), numbers(client, "m-Y")) == ([7, 8], [2, 3])
    with pytest.raises(TrainerError, match="no registered model 'm-Z'; there are m-X, m-Y"):
        planned(client, names=("m-X", "m-Z"))


def test_what_aliases_records_and_rollbacks_need_stays(client: MlflowClient) -> None:
    alias.move(client, Move(NAME, "champion", "2", None))
    alias.move(client, Move(NAME, "champion", "4", "2"))
    client.set_registered_model_alias(NAME, "by-hand", "5")
    client.set_model_version_tag(NAME, "8", "rollback_of", "1")
    plan = planned(client)
    assert plan.needed == (
        NeededVersion(NAME, "1", "version 8 is a rollback of it"),
        NeededVersion(NAME, "2", "its tags are the record of a move"),
        NeededVersion(NAME, "4", "@champion"),
        NeededVersion(NAME, "5", "@by-hand"),
    )
    prune.remove(client, plan)
    assert numbers(client) == [1, 2, 4, 5, 7, 8]
    assert [move.to for move in alias.history(client, NAME)] == ["2", "4"]


def test_the_newest_version_stays_whatever_its_number(client: MlflowClient) -> None:
    client.delete_model_version(NAME, "8")
    prune.remove(client, planned(client, keep=1))
    assert numbers(client) == [7]


def test_a_model_that_another_version_shares_stays(client: MlflowClient) -> None:
    shared = client.get_model_version(NAME, "3").source.removeprefix("models:/")
    register(client, shared)  # version 9, as a rollback registers it
    client.create_registered_model("m-Copy")
    register(client, client.get_model_version(NAME, "1").source.removeprefix("models:/"), "m-Copy")
    removal = prune.remove(client, planned(client, keep=1, names=(NAME,)))
    assert (removal.versions, removal.models) == (8, 6)
    assert client.get_logged_model(shared).model_id == shared
    # The last version that needs the model takes it along.
    register(client)
    assert prune.remove(client, planned(client, keep=1, names=(NAME,))).models == 1
    with pytest.raises(MlflowException, match="not found"):
        client.get_logged_model(shared)


def test_what_became_needed_after_the_plan_stays(client: MlflowClient) -> None:
    plan = planned(client)
    alias.move(client, Move(NAME, "champion", "3", None))
    alias.move(client, Move(NAME, "champion", "8", "3"))
    client.set_registered_model_alias(NAME, "by-hand", "5")
    client.delete_model_version(NAME, "2")  # by another prune
    removal = prune.remove(client, plan)
    assert removal.skipped == (
        f"version 3 of {NAME}: its tags are the record of a move",
        f"version 5 of {NAME}: @by-hand",
    )
    assert numbers(client) == [3, 5, 7, 8]
    assert alias.all_holders(client)[NAME] == {"champion": "8", "by-hand": "5"}


def test_an_alias_is_read_right_before_each_deletion(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's UI sets an alias in the middle: MLflow would delete it with its version."""
    plan, real = planned(client), client.delete_model_version

    def delete(name: str, version: str) -> None:
        real(name, version)
        if version == "2":
            client.set_registered_model_alias(NAME, "champion", "3")
            client.set_registered_model_alias(NAME, "staging", "4")
            for newer in ("7", "8"):
                real(NAME, newer)

    monkeypatch.setattr(client, "delete_model_version", delete)
    removal = prune.remove(client, plan)
    assert removal.skipped == (
        f"version 3 of {NAME}: @champion points to it now",
        f"version 4 of {NAME}: @staging points to it now",
        f"version 6 of {NAME}: it is the newest one now",
    )
    assert numbers(client) == [3, 4, 6]
    assert alias.all_holders(client)[NAME] == {"champion": "3", "staging": "4"}


@pytest.fixture
def claim(client: MlflowClient) -> Callable[[str], str]:
    """``claim(alias)``: write a claim of a living mover on another machine; return its tag."""

    def write(name: str) -> str:
        tag = f"moving.{name}.abc"
        value = {"who": "eve@far", "host": "far", "process": "1:1", "since": time.time()}
        client.set_registered_model_tag(NAME, tag, json.dumps(value))
        return tag

    return write


def test_a_name_with_a_move_under_way_stays(
    client: MlflowClient, claim: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alias, "_WAIT_SECONDS", 0)
    tag = claim("champion")
    removal = prune.remove(client, planned(client))
    assert (removal.versions, len(removal.skipped)) == (0, 6)
    assert removal.skipped[0] == (
        f"version 1 of {NAME}: an alias of {NAME} is being moved by eve@far; run it again when "
        "that ends"
    )
    client.delete_registered_model_tag(NAME, tag)
    # While versions are removed, no alias of the name moves.
    tag = claim(alias.EVERY_ALIAS)
    with pytest.raises(TrainerError, match="@champion of m-X is being moved by eve@far"):
        alias.move(client, Move(NAME, "champion", "1", None))
    client.delete_registered_model_tag(NAME, tag)
    assert prune.remove(client, planned(client)).versions == 6


def test_a_version_that_was_removed_meanwhile_is_not_promoted(client: MlflowClient) -> None:
    prune.remove(client, planned(client))
    with pytest.raises(TrainerError, match="m-X has no version '3'; it has 7, 8"):
        alias.move(client, Move(NAME, "champion", "3", None))
    assert client.get_registered_model(NAME).aliases == {}


def test_a_rollback_to_a_version_that_is_removed_meanwhile_registers_nothing(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Verifier:
        """A verifier during whose work another command removes the version, or is about to."""

        def __init__(self, remove: Callable[[], object]) -> None:
            self.remove = remove

        def verify(self, model_uri: str) -> None:
            self.remove()

    def rollback(to: str, meanwhile: Callable[[], object]) -> None:
        promotion.rollback(client, NAME, to, Verifier(meanwhile))  # type: ignore[arg-type]

    with pytest.raises(TrainerError, match="m-X has no version '3'; it has 7, 8"):
        rollback("3", lambda: prune.remove(client, planned(client)))
    monkeypatch.setattr(alias, "_WAIT_SECONDS", 0)
    claim = json.dumps({"who": "eve@far", "host": "far", "since": time.time()})
    tag = f"moving.{alias.EVERY_ALIAS}.abc"
    with pytest.raises(TrainerError, match="@latest of m-X is being moved by eve@far"):
        rollback("7", lambda: client.set_registered_model_tag(NAME, tag, claim))
    assert numbers(client) == [7, 8]
    client.delete_registered_model_tag(NAME, tag)
    rollback("7", lambda: None)
    assert numbers(client) == [7, 8, 9]


def test_runs_go_with_their_models_unless_a_version_needs_them(client: MlflowClient) -> None:
    failed, needed = (
        client.get_run(client.get_model_version(NAME, number).run_id) for number in ("1", "8")
    )
    for run in (failed, needed):
        client.set_tag(run.info.run_id, "kind", "failure")
    loose = client.create_run("1", tags={"kind": "failure"}).info.run_id
    for run in client.search_runs(["1"]):
        client.set_terminated(run.info.run_id)
    plan = prune.plan(
        client, Policy(2, runs=True), experiment="e", now=LATER, uri="sqlite:///mlflow.db"
    )
    assert {run.run_id for run in plan.runs} == {failed.info.run_id, loose}
    # It is registered again meanwhile.
    register(client, client.get_model_version(NAME, "1").source.removeprefix("models:/"))
    removal = prune.remove(client, plan)
    assert (removal.versions, removal.models, removal.runs) == (6, 5, 1)
    assert removal.skipped == (f"run {failed.info.run_id}: a version needs it now",)
    with pytest.raises(TrainerError, match="no experiment 'x'"):
        prune.plan(client, Policy(runs=True), experiment="x")


def test_plan_and_removal_are_json(client: MlflowClient) -> None:
    client.set_registered_model_alias(NAME, "champion", "1")
    plan = planned(client, keep=6)
    content = json.loads(json.dumps(plan.to_json()))
    assert content["needed"] == [{"name": NAME, "number": "1", "reason": "@champion"}]
    assert [version["number"] for version in content["versions"]] == ["2"]
    assert json.loads(json.dumps(prune.remove(client, plan).to_json())) == {
        "versions": 1, "models": 1, "runs": 0, "skipped": [],
    }  # fmt: skip
