"""Which names are to be trained again, with which settings, and by whom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.job import Job
from trainer.registry import alias
from trainer.registry.claims import ClaimedError
from trainer.registry.stale import StaleName, StaleNames, read_config
from trainer.run_file import job_run_file

NOW = pd.Timestamp("2026-11-28T12:00:00Z")
WEEK = pd.Timedelta("7D")


@pytest.fixture
def client(registry_store: Any) -> Any:
    return registry_store.client


def add(client: Any, name: str, end: str | None = None, **tags: str) -> None:
    """Register a version without files."""
    if not [m for m in client.search_registered_models() if m.name == name]:
        client.create_registered_model(name)
    own = {"run_id": f"run of {name}", **tags, **({} if end is None else {"data_end": end})}
    client.create_model_version(name, "x", tags=own)


def found(client: Any, *only: str, older_than: pd.Timedelta = WEEK) -> list[str]:
    return [one.name for one in StaleNames(client).find(older_than, NOW, only)]


def test_requested_names_come_first_then_the_oldest(client: Any) -> None:
    add(client, "gru-A", "2026-11-20T00:00:00+00:00")
    add(client, "gru-B", "2026-11-01T00:00:00+00:00")
    add(client, "gru-C", "2026-11-28T00:00:00+00:00")
    add(client, "gru-D", "2026-11-28T11:00:00+00:00")
    assert found(client) == ["gru-B", "gru-A"]
    client.set_registered_model_tag("gru-D", "retrain.requested", "its scores\ndrift")
    assert found(client) == ["gru-D", "gru-B", "gru-A"]
    assert found(client, "gru-A", "gru-C") == ["gru-A"]
    assert found(client, older_than=pd.Timedelta("1h")) == ["gru-D", "gru-B", "gru-A", "gru-C"]
    left = StaleNames(client).find(WEEK, NOW, left_out=["gru-B", "gru-C"])
    assert [one.name for one in left] == ["gru-D", "gru-A"]
    first, second, _ = StaleNames(client).find(WEEK, NOW)
    assert first.why(NOW) == "requested: its scores drift"
    assert second.why(NOW) == "its bars end 27 d 12 h ago"


def test_a_version_is_stale_once_its_bars_are_older_than_the_bound(client: Any) -> None:
    add(client, "gru-A", str(NOW - WEEK))
    assert found(client) == []
    assert found(client, older_than=WEEK - pd.Timedelta("1s")) == ["gru-A"]


def test_only_the_newest_version_counts_and_only_those_of_barwright(client: Any) -> None:
    add(client, "gru-A", "2026-11-01T00:00:00+00:00")
    add(client, "gru-A", "2026-11-28T00:00:00+00:00")
    client.create_registered_model("somebody's")
    client.create_model_version("somebody's", "x")
    client.create_registered_model("empty")
    assert found(client) == []
    # A version of an earlier barwright: its bars ended before it was made, which was just now.
    add(client, "gru-A")
    assert found(client) == []
    (made,) = StaleNames(client).find(WEEK, pd.Timestamp.now("UTC") + pd.Timedelta("8D"), ["gru-A"])
    assert abs(made.data_end - pd.Timestamp.now("UTC")) < pd.Timedelta("5min")
    with pytest.raises(TrainerError, match="no registered model 'gru-Z'; there are"):
        found(client, "gru-A", "gru-Z")
    with pytest.raises(TrainerError, match="no registered model 'gru-Z'; there are"):
        StaleNames(client).find(WEEK, NOW, left_out=["gru-Z"])


def test_a_name_is_claimed_once_and_stays_requested_until_it_is_judged(client: Any) -> None:
    add(client, "gru-A", "2026-11-01T00:00:00+00:00")
    names = StaleNames(client)
    (one,) = names.find(WEEK, NOW)

    def tags() -> dict[str, str]:
        return dict(client.get_registered_model("gru-A").tags)

    with names.claim(one):
        assert tags()["retrain.requested"].startswith("its bars end ")
        with pytest.raises(ClaimedError, match="gru-A is being retrained by "), names.claim(one):
            pass
    assert list(tags()) == ["retrain.requested"], "the next command goes on with it"
    assert names.judge("gru-A", "1", "champion", "") is None
    assert tags() == {}

    add(client, "gru-A", "2026-11-28T00:00:00+00:00")
    with pytest.raises(ClaimedError, match="has just got another version"), names.claim(one):
        pass
    assert tags() == {}


def test_only_the_holder_of_an_alias_is_compared_with_the_new_version(registry_store: Any) -> None:
    store, names = registry_store, StaleNames(registry_store.client)
    store.version(store.record(0.2))
    store.version(store.record(0.3))
    client, name = store.client, store.name
    assert names.judge(name, "2", "champion", store.source) is None
    assert client.get_registered_model(name).aliases == {}
    client.set_registered_model_alias(name, "champion", "2")
    assert names.judge(name, "2", "champion", store.source) is None
    client.set_registered_model_alias(name, "champion", "1")
    decision = names.judge(name, "2", "champion", store.source)
    assert decision is not None
    assert decision.before == "1"
    assert decision.criteria
    # An error leaves the request to the next command.
    client.set_registered_model_alias(name, "champion", "1")
    client.set_registered_model_tag(name, "retrain.requested", "x")
    with pytest.raises(TrainerError, match="has no version '9'"):
        names.judge(name, "9", "champion", store.source)
    assert "retrain.requested" in client.get_registered_model(name).tags


def test_settings_are_those_of_the_run_with_the_changes_of_this_command(
    registry_store: Any,
) -> None:
    store = registry_store
    run_id = store.run(store.record(0.1))
    one = StaleName("gru-SYNTH", "3", run_id, NOW)
    with pytest.raises(
        TrainerError,
        match=r"run\.yaml of the run of gru-SYNTH version 3 cannot be read \(.+train it once",
    ):
        read_config(one, {})
    for damaged, reason in (("[1", "cannot be read"), ("n_splits: x\n", "`--n-splits` must be")):
        store.client.log_text(run_id, damaged, "run.yaml")
        with pytest.raises(TrainerError, match=rf"run\.yaml of .* version 3 cannot .*{reason}"):
            read_config(one, {})
    given = {"symbols": "SYNTH,B", "models": "gru,ppo", "source": store.source, "seed": 7}
    config = TrainConfig.parse({**given, "unchanged": "train", "fee_bps": 3})
    store.client.log_text(run_id, job_run_file(Job("SYNTH", "gru"), config), "run.yaml")
    job, read = read_config(one, {})
    assert (job, read.symbols, read.models) == (Job("SYNTH", "gru"), ("SYNTH",), ("gru",))
    assert (read.seed, read.fee_bps, read.unchanged) == (7, 3.0, "keep")
    assert read_config(one, {"source": "sample", "max_workers": "2"})[1].source == "sample"
    with pytest.raises(TrainerError, match=r"trains gru-SYNTH; train gru-OTHER once"):
        read_config(replace(one, name="gru-OTHER"), {})


def test_pages_are_all_read(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias, "_MODELS_A_PAGE", 1)
    for symbol in "ABC":
        add(client, f"gru-{symbol}", "2026-11-01T00:00:00+00:00")
    assert found(client) == ["gru-A", "gru-B", "gru-C"]
