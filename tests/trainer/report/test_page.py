"""A page from its parts, as JSON and back."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd
import pytest

from tests.trainer.made import trained_model
from trainer.evidence.evidence import Evidence
from trainer.evidence.headline import Block, Headline
from trainer.report.page import Page

Candidate = tuple[dict[str, Any], pd.DataFrame]


def test_json_is_read_as_it_was_written(candidate: Candidate) -> None:
    page = Page.from_json(candidate[0])
    content = page.to_json()
    assert Page.from_json(content).to_json() == content
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert {name: content[name] for name in ("metrics", "cost_stress", "null_net_sharpe")} == {
        name: candidate[0][name] for name in ("metrics", "cost_stress", "null_net_sharpe")
    }


def test_a_page_has_the_walk_forward_only_and_the_contract_as_it_is() -> None:
    block = Block(0, "2023-01-01", "2023-02-01", 10, 5, None, {"net_sharpe": math.nan})
    headline = Headline({"net_sharpe": 1.0}, {"val_net_sharpe_mean": 9.0}, (block,))
    trained = trained_model({}, headline=headline, evidence=Evidence(rows=7))
    page = Page.of_trained(trained, "proven")
    content = page.to_json()
    assert content["metrics"] == {"net_sharpe": 1.0}
    assert (content["status"], content["rows"]) == ("proven", 7)
    assert content["blocks"] == [block.to_json()]
    assert (content["horizon"], content["fee_bps"]) == (12, 10.0)


def test_the_page_of_a_candidate_has_how_its_bars_were_read() -> None:
    trained = trained_model({}, {"understood": "a.csv: 12 rows, times in UTC"})
    page = Page.of_trained(trained, "flat")
    assert (page.understood, page.status) == ("a.csv: 12 rows, times in UTC", "flat")
    assert Page(trained.contract, trained.headline, trained.evidence, "flat").understood == ""


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_metric_without_a_finite_value_is_nan(candidate: Candidate, value: float | None) -> None:
    candidate[0]["metrics"]["psr"] = value
    page = Page.from_json(candidate[0])
    assert math.isnan(page.metric("psr"))
    assert math.isnan(page.metric("never_measured"))
    assert page.metric("net_sharpe") == 1.25


def test_the_reason_for_a_missing_headline(candidate: Candidate) -> None:
    candidate[0]["metrics"]["n_trades"] = 0
    assert Page.from_json(candidate[0]).why_undefined == "never traded"
    candidate[0]["metrics"]["n_trades"] = None
    assert Page.from_json(candidate[0]).why_undefined == "not measured"
