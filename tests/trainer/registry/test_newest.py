"""Which newest version need not be made again."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trainer.registry.newest import Newest


@pytest.fixture
def store(registry_store: Any) -> Any:
    """A version with all of its evidence, and with digests s and d."""
    registry_store.version(registry_store.record(0.1))
    tag(registry_store, "1", settings_digest="s", data_digest="d", status_reason="it loses")
    run_id = registry_store.client.get_model_version(registry_store.name, "1").tags["run_id"]
    registry_store.client.log_metric(run_id, "wf_trials", 3.0)
    return registry_store


def tag(store: Any, version: str, **tags: str) -> None:
    for name, value in tags.items():
        store.client.set_model_version_tag(store.name, version, name, value)


def newest(store: Any, experiment: str = "e") -> Newest:
    found = store.client.get_experiment_by_name(experiment)
    return Newest(store.client, found.experiment_id)


def test_an_equal_version_is_kept_with_its_results(store: Any) -> None:
    kept = newest(store).unchanged(store.name, "s", lambda: "d")
    assert kept is not None
    assert (kept.version, kept.verdict.reason) == ("1", "it loses")
    assert kept.metrics["trials"] == 3.0
    assert math.isfinite(kept.metrics["net_sharpe"])


def test_bars_are_not_read_if_the_settings_have_changed(store: Any) -> None:
    def read() -> str:
        raise AssertionError

    assert newest(store).unchanged(store.name, "other", read) is None
    assert newest(store).unchanged("lightgbm-NONE", "s", read) is None


@pytest.mark.parametrize("digest", ["other", None])
def test_other_bars_are_trained_on(store: Any, digest: str | None) -> None:
    assert newest(store).unchanged(store.name, "s", lambda: digest) is None


def test_only_the_newest_version_counts(store: Any) -> None:
    """With version 1 kept, @latest would still be version 2, which has other settings."""
    store.version(store.record(0.2))
    assert newest(store).unchanged(store.name, "s", lambda: "d") is None


def test_a_version_without_all_evidence_is_made_again(store: Any) -> None:
    """Its command was killed between the registration and the verdict."""
    tag(store, "1", status_reason="its evidence is not gathered yet")
    assert newest(store).unchanged(store.name, "s", lambda: "d") is None
    tag(store, "1", status_reason="it loses")
    run_id = store.run(store.record(0.1))
    tag(store, "1", run_id=run_id)  # a run without its trials
    assert newest(store).unchanged(store.name, "s", lambda: "d") is None


def test_a_version_of_another_experiment_or_of_a_deleted_run_is_made_again(store: Any) -> None:
    store.client.create_experiment("other")
    assert newest(store, "other").unchanged(store.name, "s", lambda: "d") is None
    run_id = store.client.get_model_version(store.name, "1").tags["run_id"]
    store.client.delete_run(run_id)
    assert newest(store).unchanged(store.name, "s", lambda: "d") is None


def test_an_equal_version_is_found_whoever_registered_it(store: Any) -> None:
    known = newest(store)
    assert known.unchanged(store.name, "t", lambda: "d") is None
    assert known.equal(store.name, "t", "d") is None
    store.version(store.record(0.2))
    tag(store, "2", settings_digest="t", data_digest="d")
    assert known.equal(store.name, "t", "other") is None
    kept = known.equal(store.name, "t", "d")
    assert kept is not None
    assert kept.version == "2"
    # It came after the beginning: its own command completes its evidence.
    assert not known.is_left(store.name, kept, kept.manifest_sha256)


def test_what_a_killed_command_left_is_completed_with_the_evidence_of_the_same_model(
    store: Any,
) -> None:
    tag(store, "1", status_reason="its evidence is not gathered yet")
    known = newest(store)
    assert known.unchanged(store.name, "s", lambda: "d") is None
    kept = known.equal(store.name, "s", "d")
    assert kept is not None
    assert known.is_left(store.name, kept, kept.manifest_sha256)
    assert not known.is_left(store.name, kept, "another model")
    tag(store, "1", status_reason="it loses")
    whole = known.equal(store.name, "s", "d")
    assert whole is not None
    assert not known.is_left(store.name, whole, whole.manifest_sha256)
