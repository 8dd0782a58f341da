"""Promotion and rollback on a real store: which versions pass the gate, and what is recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from features.errors import InputError
from trainer.errors import TrainerError, UsageError
from trainer.registry import alias
from trainer.registry.promotion import promote, rollback
from trainer.registry.verify import Verifier
from trainer.registry.versions import report

SKILL, MORE = 0.25, 0.35


def champion(store: Any) -> str | None:
    return alias.holder(store.client, store.name, "champion")


def test_a_version_with_enough_evidence_is_promoted_and_others_are_not(registry_store: Any) -> None:
    store = registry_store
    store.version(store.record(0.0))
    refused = promote(store.client, store.name)
    assert (refused.moved, champion(store)) == (False, None)
    assert {c.name.split(",")[0] for c in refused.criteria if not c.passed} >= {
        "net Sharpe ratio", "deflated Sharpe ratio", "bars of walk-forward",
    }  # fmt: skip
    assert alias.history(store.client, store.name) == []

    store.version(store.record(SKILL))
    decision = promote(store.client, store.name)
    assert (decision.moved, decision.forced, champion(store)) == (True, False, "2")
    assert all(c.passed for c in decision.criteria)
    again = promote(store.client, store.name)
    assert (again.moved, again.before, again.version) == (False, "2", "2")


def test_a_worse_challenger_does_not_replace_a_better_champion(registry_store: Any) -> None:
    store = registry_store
    store.version(store.record(MORE, seed=1))
    store.version(store.record(SKILL, seed=2))
    assert promote(store.client, store.name, version="1").moved
    refused = promote(store.client, store.name)
    failed = [c for c in refused.criteria if not c.passed]
    assert [c.name for c in failed] == ["not worse than the present @champion"]
    assert champion(store) == "1"

    forced = promote(store.client, store.name, force=True, reason=" paper trading ")
    assert (forced.moved, forced.forced, champion(store)) == (True, True, "2")
    assert promote(store.client, store.name, version="1").moved  # and back: it is better
    first, second, third = alias.history(store.client, store.name)
    assert (first.to, first.before, first.forced) == ("1", None, False)
    assert (second.to, second.before, second.reason) == ("2", "1", "paper trading")
    assert second.forced
    assert "@" in second.who
    assert (third.to, third.before, third.state) == ("1", "2", "done")
    assert {c["name"] for c in first.evidence} >= {"trades", "log-loss"}
    assert first.evidence[0].keys() == {"name", "figure", "rule", "passed", "why"}


def test_a_version_must_beat_the_baseline_that_its_training_or_the_promotion_names(
    registry_store: Any,
) -> None:
    store = registry_store
    bars = store.record(SKILL)
    # Always long after the first bar: on bars that rise it is as good as holding, never better.
    held = replace(bars, position=np.ones(len(bars)))
    rising = replace(held, forward_return=np.abs(bars.forward_return))
    store.version(rising, against="hold")

    def failed(**options: Any) -> list[str]:
        decision = promote(store.client, store.name, alias="staging", **options)
        return [c.name for c in decision.criteria if not c.passed]

    hold = "Sharpe ratio less that of always long, lower end"
    momentum = "Sharpe ratio less that of momentum, lower end"
    assert hold in failed()
    assert hold in failed(against="trained")
    assert hold not in failed(against="none")
    # The momentum of this store is always flat, and a rise beats that.
    assert not {hold, momentum} & set(failed(against="momentum"))
    assert f"{hold}</th>" in report(store.client, f"models:/{store.name}/1")[1]


def test_a_decision_is_json_values(registry_store: Any) -> None:
    store = registry_store
    store.version(store.record(SKILL))
    decision = promote(store.client, store.name)
    plain = json.loads(json.dumps(decision.to_json()))
    assert list(plain) == ["name", "alias", "version", "before", "criteria", "moved", "forced"]
    assert plain["criteria"] == [criterion.to_json() for criterion in decision.criteria]
    assert (plain["version"], plain["before"], plain["moved"]) == ("1", None, True)


def test_each_phase_is_reported(registry_store: Any) -> None:
    store = registry_store
    phases: list[str] = []
    for skill in (SKILL, MORE):
        store.version(store.record(skill))
        promote(store.client, store.name, on_progress=phases.append)
    assert phases == [
        "loading version 1", "counting trials",
        "loading version 2", "counting trials", "loading version 1, the present @champion",
    ]  # fmt: skip


def test_a_model_that_is_flat_is_not_promoted_for_its_walk_forward(registry_store: Any) -> None:
    store = registry_store
    store.version(store.record(SKILL), threshold=None)
    refused = promote(store.client, store.name)
    assert [c.value for c in refused.criteria if not c.passed] == ["flat: no threshold paid"]
    assert champion(store) is None


def test_every_further_trial_counts_against_a_version(registry_store: Any) -> None:
    """Evidence that is enough for the only trial is not enough for the best of hundreds."""
    store = registry_store
    store.version(store.record(0.15, seed=3))

    def deflated() -> str:
        decision = promote(store.client, store.name, alias="staging")
        return next(c.value for c in decision.criteria if c.name == "deflated Sharpe ratio")

    only_trial = float(deflated())
    for seed in range(4):
        store.run(store.record(0.0, seed=seed), trials=100)
    assert float(deflated()) < only_trial - 0.01


@pytest.mark.parametrize(
    ("contract", "value"),
    [
        ({"fee_bps": 5.0}, "fee_bps 5.0 against 10.0"),
        ({"horizon": 12}, "horizon 12 against 1"),
    ],
)
def test_another_contract_is_not_compared(
    registry_store: Any, contract: dict[str, Any], value: str
) -> None:
    store = registry_store
    store.version(store.record(SKILL))
    store.version(store.record(MORE), **contract)
    promote(store.client, store.name, version="1")
    refused = promote(store.client, store.name)
    failed = [c for c in refused.criteria if not c.passed]
    assert [(c.name, c.value) for c in failed] == [("same contract", value)]
    assert champion(store) == "1"


def test_both_versions_decide_the_bars_after_their_training(registry_store: Any) -> None:
    store = registry_store
    store.version(store.record(SKILL, stop=2_500), last=2_512)
    store.version(store.record(SKILL))
    promote(store.client, store.name, version="1")
    decision = promote(store.client, store.name)
    value = next(c.value for c in decision.criteria if c.name.startswith("not worse"))
    # The champion decides 2,513 to 3,499 itself while the challenger's walk-forward goes on, and
    # both decide 3,513 to 3,997: the returns of the last two bars are not known yet.
    assert f"on {2_000 + 987 + 485:,} bars, {987 + 485:,} of them after training" in value


def test_revised_bars_are_not_the_same_bars(registry_store: Any) -> None:
    store = registry_store
    store.version(store.record(SKILL))
    promote(store.client, store.name)
    store.bars["open"] *= 1 + 0.0001 * (store.bars.index % 2)
    store.version(store.record(MORE))
    refused = promote(store.client, store.name)
    assert [c.why for c in refused.criteria if not c.passed] == [
        "it saw other prices than version 1 on the same bars"
    ]


def test_a_version_that_cannot_be_judged_is_an_error(registry_store: Any) -> None:
    store = registry_store
    client, name = store.client, store.name
    with pytest.raises(TrainerError, match=r"no registered model 'lightgbm-SYNTH'; there is none"):
        promote(client, name)
    store.version(store.record(SKILL), evidence={})
    for call, text in (
        (lambda: promote(client, "gru-X"), "no registered model 'gru-X'; there are lightgbm-SYNTH"),
        (lambda: promote(client, name, version="7"), "has no version '7'; it has 1"),
        (lambda: promote(client, name), "version 1 of lightgbm-SYNTH holds no evidence"),
        (lambda: promote(client, name, force=True, reason="x"), "holds no evidence"),
    ):
        with pytest.raises(TrainerError, match=text):
            call()
    for call, text in (
        (lambda: promote(client, name, alias="latest"), "newest version and moves by itself"),
        (lambda: promote(client, name, alias="v3"), "not read like a version"),
        (lambda: promote(client, name, force=True), "needs a `--reason`"),
    ):
        with pytest.raises(UsageError, match=text):
            call()
    assert client.get_registered_model(name).aliases == {}


def test_a_present_version_that_cannot_be_judged_is_replaced_by_force_only(
    registry_store: Any,
) -> None:
    store = registry_store
    store.version(store.record(SKILL), evidence={})  # as an earlier version of barwright wrote it
    store.version(store.record(MORE))
    store.client.set_registered_model_alias(store.name, "champion", "1")
    refused = promote(store.client, store.name)
    (failed,) = [c for c in refused.criteria if not c.passed]
    assert failed.why.startswith(
        "version 1, the present @champion, cannot be judged: version 1 of lightgbm-SYNTH holds no"
    )
    assert (refused.moved, champion(store)) == (False, "1")
    forced = promote(store.client, store.name, force=True, reason="the old one is no more")
    assert (forced.moved, forced.forced, champion(store)) == (True, True, "2")


def test_without_bars_a_version_is_replaced_by_force_only(registry_store: Any) -> None:
    store = registry_store
    store.version(store.record(SKILL))
    promote(store.client, store.name)
    store.version(store.record(MORE))
    with pytest.raises(InputError, match="`source` is not a folder: 'gone'"):
        promote(store.client, store.name, source="gone")
    assert champion(store) == "1"
    forced = promote(store.client, store.name, source="gone", force=True, reason="bars moved")
    assert (forced.moved, forced.forced, champion(store)) == (True, True, "2")
    assert "cannot be judged: `source` is not a folder" in forced.criteria[-1].why


def test_a_reason_has_a_greatest_length(registry_store: Any) -> None:
    with pytest.raises(UsageError, match="`--reason` must be at most 1,000 characters, got 1,001"):
        promote(registry_store.client, registry_store.name, force=True, reason="x" * 1_001)


def test_a_reason_is_printable_text(registry_store: Any) -> None:
    for reason in ("caf\udce9", "two\nlines"):
        with pytest.raises(UsageError, match="`--reason` must be printable text on one line, got"):
            promote(registry_store.client, registry_store.name, force=True, reason=reason)


def test_an_altered_walk_forward_is_refused(registry_store: Any) -> None:
    store = registry_store
    store.version(store.record(SKILL))
    run_id = store.client.get_model_version(store.name, "1").tags["run_id"]
    store.record(MORE).write(store.folder / "walk_forward.parquet")
    store.client.log_artifact(run_id, str(store.folder / "walk_forward.parquet"))
    with pytest.raises(TrainerError, match="is not the one it was registered with"):
        promote(store.client, store.name)


def test_a_rollback_serves_the_old_decisions_as_the_newest_version(registry_store: Any) -> None:
    from trainer.flavor import load_model

    store = registry_store
    store.version(store.record(SKILL), threshold=0.52)
    store.version(store.record(MORE), threshold=0.9)
    promote(store.client, store.name, version="1")
    latest = f"models:/{store.name}@latest"
    before = load_model(f"models:/{store.name}/1").decide(store.bars)
    assert not load_model(latest).decide(store.bars).equals(before)

    def locked(*_: Any) -> None:
        raise MlflowException("database is locked")

    # If a call after the registration fails, the version and the record of its move are complete.
    store.client.update_model_version = locked
    with Verifier({"OMP_NUM_THREADS": "1"}) as verifier:
        verifier.open(store.uri)
        assert rollback(store.client, store.name, "1", verifier) == "3"
    assert load_model(latest).decide(store.bars).equals(before)
    newest = store.client.get_model_version(store.name, "3")
    assert newest.tags["rollback_of"] == "1"
    assert newest.source == store.client.get_model_version(store.name, "1").source
    assert not [tag for tag in newest.tags if tag.startswith("move.champion")]
    moved = alias.history(store.client, store.name)[-1]
    assert (moved.alias, moved.before, moved.to) == ("latest", "2", "3")
    # Its evidence came with it.
    assert promote(store.client, store.name, alias="staging").moved

    with Verifier({}) as verifier:
        verifier.open(store.uri)
        with pytest.raises(TrainerError, match=r"version 3 .* is the newest already"):
            rollback(store.client, store.name, "3", verifier)
        with pytest.raises(TrainerError, match="has no version '9'; it has 1, 2, 3"):
            rollback(store.client, store.name, "9", verifier)
        # A model whose files were altered is not served again.
        for path in store.folder.rglob("calibrator.json"):
            path.write_text(path.read_text().replace("0.9", "0.8"))
        with pytest.raises(TrainerError, match="does not pass verification"):
            rollback(store.client, store.name, "2", verifier)
    assert store.client.get_model_version_by_alias(store.name, "latest").version in (3, "3")
