"""Registered versions on a real store: found by what users write, loaded whole or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainer.errors import TrainerError
from trainer.evidence.verdict import judge
from trainer.registry.versions import campaign_figures, find, load, report
from trainer.serving.manifest import MANIFEST_TAG
from trainer.statistics.costs import Costs


def test_a_version_is_found_by_number_and_the_newest_without(registry_store: Any) -> None:
    store = registry_store
    client, name = store.client, store.name
    with pytest.raises(TrainerError, match=r"no registered model 'gru-X'; there is none yet"):
        find(client, "gru-X", "")
    client.create_registered_model(name)
    with pytest.raises(TrainerError, match="lightgbm-SYNTH has no version; `barwright train`"):
        find(client, name, "")
    with pytest.raises(TrainerError, match="there are lightgbm-SYNTH"):
        find(client, "gru-X", "")
    for _ in range(10):
        client.create_model_version(name, str(store.folder))
    assert find(client, name, "").version in (10, "10"), "not 9, which is last as text"
    assert str(find(client, name, "3").version) == "3"
    client.delete_model_version(name, "10")
    assert str(find(client, name, "").version) == "9"
    for wrong in ("10", "03", "latest", "x"):
        with pytest.raises(TrainerError, match=f"has no version '{wrong}'; it has 1, 2, 3"):
            find(client, name, wrong)
    for hostile in ("it's", f"{name}' and version_number='1"):
        with pytest.raises(TrainerError, match="no registered model"):
            find(client, hostile, "")


def test_a_version_is_loaded_with_all_that_is_judged_of_it(registry_store: Any) -> None:
    store = registry_store
    record = store.record(0.25)
    store.version(record)
    found = load(store.client, find(store.client, store.name, ""))
    assert (found.name, found.number, found.source) == (store.name, "1", store.source)
    assert found.record.digest == record.digest
    assert found.evidence["record_digest"] == record.digest
    assert found.metrics["n_bars"] == len(record)
    assert not [key for key in found.metrics if key.startswith("wf_")]
    figures = campaign_figures(store.client, found)
    assert figures["trials"] == 1
    assert all(criterion.passed for criterion in judge({**found.metrics, **figures}))
    # Costs are the version's own.
    net = record.net(Costs(10, 5))
    assert found.metrics["net_sharpe"] == pytest.approx(
        net.mean() / net.std(ddof=1) * np.sqrt(8_760)
    )


def test_what_is_not_what_was_registered_is_refused(registry_store: Any) -> None:
    store = registry_store
    client, name = store.client, store.name
    store.version(store.record(0.25))
    run_id = client.get_model_version(name, "1").tags["run_id"]
    store.version(store.record(0.25), evidence={})
    with pytest.raises(TrainerError, match=r"version 2 of lightgbm-SYNTH holds no evidence"):
        load(client, find(client, name, "2"))
    client.set_model_version_tag(name, "1", MANIFEST_TAG, "0" * 64)
    with pytest.raises(TrainerError, match="is not the one that was registered"):
        load(client, find(client, name, "1"))
    client.delete_model_version_tag(name, "1", MANIFEST_TAG)
    assert load(client, find(client, name, "1")).number == "1"
    store.record(0.5).write(store.folder / "walk_forward.parquet")
    client.log_artifact(run_id, str(store.folder / "walk_forward.parquet"))
    with pytest.raises(TrainerError, match=r"\(run \w+\) is not the one it was registered with"):
        load(client, find(client, name, "1"))
    for path in store.folder.rglob("walk_forward.parquet"):
        path.unlink()
    with pytest.raises(TrainerError, match=r"\(run \w+\) is gone; restore"):
        load(client, find(client, name, "1"))


def test_the_report_is_of_the_version_that_was_asked_for(
    registry_store: Any, candidate: Any
) -> None:
    store = registry_store
    client, name = store.client, store.name
    told, _ = candidate
    for seed in (1, 2):
        record = store.record(0.25, seed=seed)
        own = {"record_digest": record.digest, "flat_because": "", "periods_per_year": 8_760.0}
        store.version(record, evidence={**told, **own}, blocks=told["blocks"])
    client.set_registered_model_alias(name, "champion", "1")
    for asked, number in (("@Latest", "2"), ("@champion", "1"), ("/latest", "2")):
        file, text = report(client, f"models:/{name}{asked}")
        assert file == f"{name}-{number}.html"
        assert f"{name} version {number}" in text
        assert "2 of this symbol in the experiment" in text
    # Trials are counted as of now.
    store.run(store.record(0.0, seed=3), trials=40)
    assert "42 of this symbol in the experiment" in report(client, f"{name}/1")[1]
    with pytest.raises(TrainerError, match=r"lightgbm-SYNTH has no alias @gold; give a version"):
        report(client, f"models:/{name}@gold")
    with pytest.raises(TrainerError, match="has no version '7'"):
        report(client, f"models:/{name}/7")
    with pytest.raises(TrainerError, match="no registered model 'gru-X'"):
        report(client, "models:/gru-X@gold")
