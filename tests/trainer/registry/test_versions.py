"""Registered versions on a real store: loaded with their evidence or refused; their report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainer.errors import TrainerError
from trainer.evidence.verdict import judge
from trainer.registry.promotion import promote
from trainer.registry.versions import load, report, trial_metrics
from trainer.serving.manifest import MANIFEST_TAG
from trainer.statistics.costs import Costs, Terms
from trainer.tracking.model_uri import find_version


def test_a_version_is_loaded_with_its_evidence(registry_store: Any) -> None:
    store = registry_store
    record = store.record(0.25)
    store.version(record)
    version = load(store.client, find_version(store.client, store.name))
    assert (version.name, version.number, version.source) == (store.name, "1", store.source)
    assert version.run_id == store.client.get_model_version(store.name, "1").tags["run_id"]
    assert version.record.digest == record.digest
    assert version.evidence.record_digest == record.digest
    assert version.terms == Terms(Costs(10, 5), 8_760)
    own = version.headline.metrics
    assert own["n_bars"] == len(record)
    assert not [key for key in own if key.startswith("wf_")]
    of_trials = trial_metrics(store.client, version)
    assert of_trials["trials"] == 1
    assert all(criterion.passed for criterion in judge({**own, **of_trials}))
    # The version's own costs.
    net = record.net(Costs(10, 5))
    assert own["net_sharpe"] == pytest.approx(net.mean() / net.std(ddof=1) * np.sqrt(8_760))


def test_files_that_are_not_the_registered_ones_are_refused(registry_store: Any) -> None:
    store = registry_store
    client, name = store.client, store.name
    store.version(store.record(0.25))
    run_id = client.get_model_version(name, "1").tags["run_id"]
    store.version(store.record(0.25), evidence={})
    with pytest.raises(TrainerError, match=r"version 2 of lightgbm-SYNTH holds no evidence"):
        load(client, find_version(client, name, "2"))
    client.set_model_version_tag(name, "1", MANIFEST_TAG, "0" * 64)
    with pytest.raises(TrainerError, match="is not the one that was registered"):
        load(client, find_version(client, name, "1"))
    client.delete_model_version_tag(name, "1", MANIFEST_TAG)
    assert load(client, find_version(client, name, "1")).number == "1"
    store.record(0.5).write(store.folder / "walk_forward.parquet")
    client.log_artifact(run_id, str(store.folder / "walk_forward.parquet"))
    with pytest.raises(TrainerError, match=r"\(run \w+\) is not the one it was registered with"):
        load(client, find_version(client, name, "1"))
    for path in store.folder.rglob("walk_forward.parquet"):
        path.unlink()
    with pytest.raises(TrainerError, match=r"\(run \w+\) is gone; restore"):
        load(client, find_version(client, name, "1"))


def test_damaged_evidence_is_one_error_and_does_not_block_its_place(registry_store: Any) -> None:
    """The digests are right: somebody registered other values."""
    store = registry_store
    record = store.record(0.25)
    sound = {"record_digest": record.digest, "periods_per_year": 8_760.0, "last": "2022-05-01"}
    damages: list[dict[str, Any]] = [
        {"folds": 5}, {"importance": [1]}, {"last": "x"}, {"periods_per_year": "x"},
        {"periods_per_year": -1}, {"rows": "x"}, {"cpcv_net_sharpe": ["x"]},
        {"cost_stress": [{"multiple": "x"}]},
    ]  # fmt: skip
    for damage in damages:
        store.version(record, evidence={**sound, **damage})
        with pytest.raises(
            TrainerError, match=r"evidence of version \d of .* is damaged: .*; train"
        ):
            load(store.client, find_version(store.client, store.name))
    store.client.set_registered_model_alias(store.name, "champion", "1")
    store.version(record)
    forced = promote(store.client, store.name, force=True, reason="the old one is damaged")
    assert forced.moved
    assert "the evidence of version 1 of lightgbm-SYNTH is damaged" in forced.criteria[-1].why
    # The report reads more than the gate.
    store.version(record, evidence={**sound, "threshold": "x"})
    with pytest.raises(TrainerError, match="is damaged: "):
        report(store.client, f"models:/{store.name}@latest")


def test_the_report_is_of_the_requested_version(registry_store: Any, candidate: Any) -> None:
    store = registry_store
    client, name = store.client, store.name
    content, _ = candidate
    for seed in (1, 2):
        record = store.record(0.25, seed=seed)
        own = {"record_digest": record.digest, "flat_because": "", "periods_per_year": 8_760.0}
        store.version(record, evidence={**content, **own}, blocks=content["blocks"])
    client.set_registered_model_alias(name, "champion", "1")
    for asked, number in (("@Latest", "2"), ("@champion", "1"), ("/latest", "2")):
        file, text = report(client, f"models:/{name}{asked}")
        assert file == f"{name}-{number}.html"
        assert f"{name} version {number}" in text
        assert "2 of this symbol in the experiment" in text
    # All trials until now are counted.
    store.run(store.record(0.0, seed=3), trials=40)
    assert "42 of this symbol in the experiment" in report(client, f"{name}/1")[1]
    with pytest.raises(TrainerError, match=r"lightgbm-SYNTH has no alias @gold; give a version"):
        report(client, f"models:/{name}@gold")
    with pytest.raises(TrainerError, match="has no version '7'"):
        report(client, f"models:/{name}/7")
    with pytest.raises(TrainerError, match="no registered model 'gru-X'"):
        report(client, "models:/gru-X@gold")


def test_the_report_says_how_the_bars_were_read(registry_store: Any, candidate: Any) -> None:
    store = registry_store
    content, _ = candidate
    record = store.record(0.25)
    own = {"record_digest": record.digest, "flat_because": "", "periods_per_year": 8_760.0}
    store.version(record, evidence={**content, **own}, blocks=content["blocks"])
    run_id = store.client.get_model_version(store.name, "1").tags["run_id"]
    understood = "SYNTH_1h.parquet: 4,000 rows, times in UTC"
    store.client.log_dict(run_id, {"data": {"understood": understood}}, "facts.json")
    assert understood in report(store.client, f"{store.name}/1")[1]
