"""A name that cannot be trained; tests/service/test_retrain.py runs the command."""

from __future__ import annotations

from typing import Any

import pandas as pd

from trainer.config import TrainConfig
from trainer.job import Job
from trainer.jobs.retrain import Retraining
from trainer.registry.stale import StaleNames
from trainer.registry.verify import Verifier
from trainer.run_file import job_run_file


def test_a_fit_cache_that_cannot_be_used_is_found_before_a_run_begins(registry_store: Any) -> None:
    store = registry_store
    store.version(store.record(0.1))
    run_id = store.client.get_model_version(store.name, "1").tags["run_id"]
    given = {"symbols": "SYNTH", "models": "lightgbm", "source": store.source}
    config = TrainConfig.parse(given)
    store.client.log_text(run_id, job_run_file(Job("SYNTH", "lightgbm"), config), "run.yaml")
    (store.folder / "in the way").touch()
    names = StaleNames(store.client)
    stale = names.find(pd.Timedelta("0D"), pd.Timestamp.now("UTC"))
    changes = {"fit_cache_folder": str(store.folder / "in the way")}
    retraining = Retraining(names, store.uri, "champion", changes, print, print)  # type: ignore[arg-type]
    (outcome,) = retraining.run(stale, Verifier({}))
    assert outcome.failed
    assert "cannot be made: " in outcome.error
    assert "give another --fit-cache-folder" in outcome.error
    assert store.client.get_experiment_by_name("barwright") is None
    # The next command goes on with it.
    assert "retrain.requested" in store.client.get_registered_model(store.name).tags
