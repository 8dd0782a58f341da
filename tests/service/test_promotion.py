"""promote and rollback as commands, on SQLite and PostgreSQL: races, and kills at every point."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from subprocess import CompletedProcess
from typing import Any, NamedTuple

import pytest

from tests import commands
from tests.commands import Death
from trainer.evidence.verdict import judge
from trainer.registry import alias
from trainer.registry.promotion import promote


class Job(NamedTuple):
    """A command of this file."""

    args: tuple[str, ...]
    death: Death | None


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(
        "registry_store" if request.param == "sqlite" else "postgres_store"
    )


def command(*args: str, death: Death | None = None) -> Job:
    return Job(args, death)


Run = Callable[[Any, Sequence[Sequence[Job]]], list[CompletedProcess[str]]]


@pytest.fixture
def run(make_workspace: Any) -> Run:
    """``run(store, groups)``: run groups of commands on a store, one group after the other.

    The commands of a group wait for each other right before they move an alias.
    """

    def run_groups(store: Any, groups: Sequence[Sequence[Job]]) -> list[CompletedProcess[str]]:
        environment = make_workspace(store.folder, store.uri).environment
        done = []
        for group in groups:
            barrier = commands.new_barrier(len(group)) if len(group) > 1 else None
            running = [
                commands.start(
                    store.folder,
                    environment,
                    ("-m", "trainer", *job.args),
                    death=job.death,
                    barrier=barrier,
                )
                for job in group
            ]
            done += [command.finished() for command in running]
        return done

    return run_groups


def states(store: Any, name: str) -> dict[str, str]:
    """Version to state of its last recorded move of an alias."""
    moves = alias.history(store.client, store.name)
    return {move.to: move.state for move in moves if move.alias == name}


def claims(store: Any) -> list[str]:
    tags = store.client.get_registered_model(store.name).tags
    return [key for key in tags if key.startswith("moving.")]


@pytest.mark.slow
def test_exit_status_output_and_record_of_a_promotion(store, run, make_workspace) -> None:
    name = store.name
    store.version(store.record(0.0))
    store.version(store.record(0.25))
    place = make_workspace(store.folder, store.uri)
    moved = place.run_as_users_do("-m", "trainer", "promote", name)
    assert moved.returncode == 0, moved.stderr
    for criterion in judge({}):
        assert criterion.name in moved.stdout
    assert "fails" not in moved.stdout
    assert moved.stdout.strip().endswith(f"@champion of {name} is version 2 now.")

    refused, refused_json, again, forced, back, *wrong = run(
        store,
        [
            [command("promote", name, "--version", "1", "--alias", "staging")],
            [command("promote", name, "--version", "1", "--json")],
            [command("promote", name, "--json")],
            [command("promote", name, "--version", "1", "--force", "--reason", "a 'drill'")],
            [command("promote", name, "--version", "2", "--source", str(store.source))],
            [command("promote")],
            [command("promote", name, "--force")],
            [command("promote", name, "--alias", "latest")],
            [command("promote", name, "--alias", "v7")],
            [command("promote", name, "--version", "9")],
        ],
    )
    assert (refused.returncode, again.returncode, forced.returncode) == (1, 0, 0)
    text = " ".join(refused.stdout.split())
    fails, of = text.count(" fails "), len(judge({})) + 2  # the model trades; the present version
    assert 4 <= fails < of
    assert f"{fails} of {of} criteria failed; @staging of {name} still has no version." in text
    assert "--force" in text

    decision = json.loads(refused_json.stdout)
    assert (refused_json.returncode, decision["moved"], decision["before"]) == (1, False, "2")
    failed = {c["name"] for c in decision["criteria"] if not c["passed"]}
    assert {"deflated Sharpe ratio", "not worse than the present @champion"} <= failed
    already = json.loads(again.stdout)
    assert (already["moved"], already["before"], already["version"]) == (False, "2", "2")
    assert "is version 1 now, forced; it was version 2." in forced.stdout
    assert (back.returncode, alias.holder(store.client, name, "champion")) == (0, "2"), back.stdout

    assert [done.returncode for done in wrong] == [2, 2, 2, 2, 1]
    assert not any("Traceback" in done.stderr or done.stdout for done in wrong)
    assert "needs a `--reason`" in wrong[1].stderr
    assert wrong[-1].stderr == f"Error: {name} has no version '9'; it has 1, 2\n"

    first, second, third = alias.history(store.client, name)
    assert (first.before, first.to, first.forced, first.state) == (None, "2", False, "done")
    assert [c["passed"] for c in first.evidence] == [True] * of
    assert (second.to, second.forced, second.reason) == ("1", True, "a 'drill'")
    assert {c["name"] for c in second.evidence if not c["passed"]} == failed
    assert "@" in second.who
    assert (third.before, third.to) == ("1", "2")
    tags = store.client.get_model_version(name, "1").tags
    assert [key for key in tags if key.startswith("move.champion.")] == [second.tag]
    assert claims(store) == []


@pytest.mark.slow
def test_of_two_promotions_at_once_one_moves_the_alias_and_the_other_is_an_error(
    store, run
) -> None:
    store.version(store.record(0.25, seed=1))
    store.version(store.record(0.25, seed=2))
    rounds = [f"round{number}" for number in range(3)]
    finished = run(
        store,
        [
            [command("promote", store.name, "--version", v, "--alias", name) for v in ("1", "2")]
            for name in rounds
        ],
    )
    for name, pair in zip(rounds, zip(finished[::2], finished[1::2], strict=True), strict=True):
        assert sorted(done.returncode for done in pair) == [0, 1], pair
        winner = "1" if pair[0].returncode == 0 else "2"
        loser = "2" if winner == "1" else "1"
        assert alias.holder(store.client, store.name, name) == winner
        assert states(store, name) == {
            winner: "done",
            loser: f"lost: version {winner} was made @{name} meanwhile",
        }
        assert pair[int(loser) - 1].stderr == (
            f"Error: @{name} of {store.name} moved from no version to version {winner} while "
            f"version {loser} was judged; run it again to compare it with the new one\n"
        )
    assert claims(store) == []


#: Where the mover from 1 to 2 is killed; the version of the alias after that; the state of its
#: record; the version that is promoted next; the state of the first record after that.
DEATHS = {
    "claimed": (("set_registered_model_tag", "after"), "1", None, "3", ""),
    "intended": (("set_model_version_tag", "after"), "1", "intended", "3", "interrupted: "),
    "unmoved": (("set_registered_model_alias", "before"), "1", "intended", "3", "interrupted: "),
    "moved": (("set_registered_model_alias", "after"), "2", "intended", "3", "done"),
    "repeated": (("set_registered_model_alias", "after"), "2", "intended", "2", "done"),
    "done": (("delete_registered_model_tag", "before"), "2", "done", "3", "done"),
}


@pytest.mark.slow
def test_a_promotion_killed_midway_leaves_the_old_alias_or_the_new_one(store, run) -> None:
    name, client = store.name, store.client
    for number, skill in enumerate((0.25, 0.35, 0.45)):
        store.version(store.record(skill, seed=number))
    for point in DEATHS:
        client.set_registered_model_alias(name, point, "1")
    killed = run(
        store,
        [
            [
                command(
                    "promote",
                    name,
                    "--version",
                    "2",
                    "--alias",
                    point,
                    death=Death("mlflow:MlflowClient", *where),
                )
            ]
            for point, (where, *_) in DEATHS.items()
        ],
    )
    assert [done.returncode for done in killed] == [-signal.SIGKILL] * len(DEATHS)
    for point, (_, holder, written, following, settled) in DEATHS.items():
        assert alias.holder(client, name, point) == holder, point
        assert states(store, point).get("2") == written, point
        assert [c for c in claims(store) if c.startswith(f"moving.{point}.")], point
        decision = promote(client, name, version=following, alias=point)
        assert (decision.moved, decision.before) == (following != holder, holder), point
        assert alias.holder(client, name, point) == following, point
        after = states(store, point)
        assert after[following] == "done", point
        assert after.get("2", "").startswith(settled), (point, after)
    assert claims(store) == []


@pytest.mark.slow
def test_a_rollback_by_command_decides_as_before_and_survives_a_kill(
    store, run, make_workspace
) -> None:
    name, client = store.name, store.client
    store.version(store.record(0.25), threshold=0.51)
    store.version(store.record(0.35), threshold=0.9)
    bars = ("--source", store.source, "--last", "200", "--json")
    trade = [command("trade", "--model", f"models:/{name}@latest", *bars)]
    roll_back = ("rollback", name, "--to")
    death = Death("mlflow", "register_model", "before")
    first, second, killed, after, rolled, third, twice = run(
        store,
        [
            [command("trade", "--model", f"models:/{name}/1", *bars)],
            trade,
            [command(*roll_back, "1", death=death)],
            trade,
            [command(*roll_back, "1")],
            trade,
            [command(*roll_back, "2")],
        ],
    )
    place = make_workspace(store.folder, store.uri)
    fourth = place.run_as_users_do(commands.TRADER, "--model", f"models:/{name}@latest", *bars)

    def decided(done: Any, by: str) -> str:
        assert done.returncode == 0, done.stderr
        printed = json.loads(done.stdout)
        assert printed["version"] == by
        return json.dumps(printed["decisions"])

    assert decided(first, "1") != decided(second, "2")
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "")
    assert decided(after, "2") == decided(second, "2"), (
        "it was killed before anything was registered"
    )
    assert rolled.stdout == f"{name}: version 3 is version 1 again, and @latest serves it.\n"
    assert decided(third, "3") == decided(first, "1")
    assert twice.stdout == f"{name}: version 4 is version 2 again, and @latest serves it.\n"
    assert decided(fourth, "4") == decided(second, "2")
    assert client.get_model_version(name, "4").tags["rollback_of"] == "2"
    moves = alias.history(client, name)
    assert [(m.alias, m.before, m.to, m.state) for m in moves] == [
        ("latest", "2", "3", "done"), ("latest", "3", "4", "done"),
    ]  # fmt: skip
