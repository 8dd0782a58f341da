"""The headline: what metrics.json holds, in names and values of the files that exist."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.golden_run import GOLDEN, MODELS
from trainer.evidence.headline import Block, Headline
from trainer.serving.manifest import read_json, write_json

NAMES = st.sampled_from(["net_sharpe", "gross_sharpe", "n_trades", "log_loss", "null_percentile"])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
BLOCKS = st.builds(
    Block,
    block=st.integers(0, 9),
    first=st.just("2020-01-01T00:00:00+00:00"),
    last=st.just("2020-06-01T00:00:00+00:00"),
    train_rows=st.integers(0, 10_000),
    test_rows=st.integers(0, 10_000),
    threshold=st.none() | st.floats(0.5, 1.0),
    metrics=st.dictionaries(NAMES, NUMBERS),
)
HEADLINES = st.builds(
    Headline,
    metrics=st.dictionaries(NAMES, NUMBERS),
    selection=st.dictionaries(st.just("val_brier_mean"), NUMBERS),
    blocks=st.lists(BLOCKS, max_size=3).map(tuple),
)


@given(HEADLINES)
def test_a_headline_is_read_as_it_was_written(headline: Headline) -> None:
    content = json.loads(json.dumps(headline.to_json(), allow_nan=False))
    assert Headline.from_json(content) == headline


def test_undefined_metrics_are_null_and_come_back_as_nan() -> None:
    block = Block(0, "a", "b", 10, 5, None, {"net_sharpe": math.nan})
    headline = Headline({"net_sharpe": math.nan, "min_track_record": math.inf}, {}, (block,))
    content = headline.to_json()
    assert content["metrics"] == {"wf_net_sharpe": None, "wf_min_track_record": None}
    assert content["blocks"][0]["net_sharpe"] is None
    again = Headline.from_json(content)
    assert math.isnan(again.metrics["net_sharpe"])
    assert math.isnan(again.metrics["min_track_record"])
    assert math.isnan(again.blocks[0].metrics["net_sharpe"])
    assert again.blocks[0].threshold is None


def test_stored_metrics_have_the_names_that_mlflow_shows() -> None:
    headline = Headline({"net_sharpe": 1.0}, {"val_brier_mean": 0.25})
    assert headline.stored_metrics() == {"wf_net_sharpe": 1.0, "val_brier_mean": 0.25}


@pytest.mark.parametrize("model", MODELS)
def test_a_stored_file_is_written_again_with_the_same_bytes(model: str, tmp_path: Path) -> None:
    stored = json.loads(GOLDEN.read_text())["models"][model]["metrics"]
    write_json(tmp_path / "stored.json", stored)
    headline = Headline.from_json(read_json(tmp_path / "stored.json"))
    assert headline.blocks
    assert headline.selection
    write_json(tmp_path / "again.json", headline.to_json())
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "stored.json").read_bytes()
