"""A job and its result: names, the content of facts.json, and terms of a trained model."""

from __future__ import annotations

import json
from dataclasses import replace

from features.labels import LabelSpec
from tests.trainer.made import trained_model
from trainer.evidence.evidence import Evidence
from trainer.job import DataFacts, Job, JobResult
from trainer.statistics.costs import Costs, Terms

FACTS = DataFacts(
    symbol="X", interval="1h", bars=12, rows=10, first="a", last="b", dropped={"warmup": 2},
    gaps={"gaps": 1}, cache="off", understood="X_1h.csv", digest="d",
    label=LabelSpec("direction", 3), fits_read=4,
)  # fmt: skip


def test_the_name_of_a_job_is_that_of_its_registered_model() -> None:
    assert Job("BTCUSDT", "gru").name == "gru-BTCUSDT"


def test_facts_are_written_in_their_order() -> None:
    content = FACTS.to_json()
    assert list(content) == [
        "symbol", "interval", "bars", "rows", "first", "last", "dropped", "gaps", "cache",
        "understood", "digest", "label", "fits_read",
    ]  # fmt: skip
    assert content["label"]["horizon"] == 3
    assert json.loads(json.dumps(content)) == content


def test_a_trained_model_has_the_terms_of_its_contract_and_its_evidence() -> None:
    evidence = Evidence(periods_per_year=8_760.0, flat_because="no threshold paid")
    trained = trained_model({}, evidence=evidence)
    assert trained.terms == Terms(Costs(10.0, 5.0), 8_760.0)
    assert trained.flat_because == "no threshold paid"


def test_details_are_not_part_of_a_results_text() -> None:
    result = JobResult(Job("X", "gru"), 0.0, 1.0, error="it failed", details="Traceback")
    assert "Traceback" not in repr(result)
    assert replace(result, error="").trained is None
