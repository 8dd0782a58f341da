from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from adapters.base import AdapterError, ModelAdapter
from adapters.lgbm import LightGBMAdapter
from features.bars import validate_bars
from tests.registry_store import synthetic_bars
from trainer.errors import TrainerError
from trainer.serving.explanation import explain
from trainer.serving.trading_model import TradingModel

MODEL = TradingModel.load(Path(__file__).resolve().parents[2] / "data" / "model_format_3")
BARS = MODEL.needed_bars(synthetic_bars(1_500), 1)
SCORE = float(MODEL.decide_bars(BARS).score[-1])


def test_the_parts_add_up_to_the_log_odds_of_the_score() -> None:
    explained = explain(MODEL, BARS, SCORE, count=2)
    score = SCORE
    assert explained.score == score
    assert explained.timestamp == BARS.timestamps[-1].isoformat()
    assert explained.total == pytest.approx(math.log(score / (1 - score)), abs=1e-9)
    named = sum(part.part for part in explained.largest)
    assert explained.base + named + explained.others == pytest.approx(explained.total, abs=1e-12)
    assert json.loads(json.dumps(explained.to_json()))["largest"][0]["feature"]


def test_the_largest_parts_are_named_with_the_values_of_their_features() -> None:
    explained = explain(MODEL, BARS, SCORE, count=2)
    row = MODEL.features.compute(BARS)[-1:]
    parts = MODEL.adapter.contributions(row)[0, :-1]
    sizes = [abs(part.part) for part in explained.largest]
    assert sizes == sorted(np.abs(parts).tolist(), reverse=True)[:2]
    for part in explained.largest:
        column = MODEL.features.names.index(part.feature)
        assert (part.value, part.part) == (row[0, column], parts[column])
    assert len(explain(MODEL, BARS, SCORE, count=99).largest) == len(MODEL.features.names)


def test_a_bar_without_a_score_has_nothing_to_explain() -> None:
    frame = synthetic_bars(1_500)
    # The last bar follows a gap that is wider than the model accepts.
    frame = frame.drop(index=range(1_400, 1_499))
    bars = validate_bars(frame, symbol="SYNTH", interval=BARS.interval, calendar="24/7")
    with pytest.raises(TrainerError, match="has no score to explain: its features are undefined"):
        explain(MODEL, bars, float(MODEL.decide_bars(bars).score[-1]))


def test_other_models_say_that_they_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LightGBMAdapter, "contributions", ModelAdapter.contributions)
    with pytest.raises(AdapterError, match="lightgbm does not state what each feature adds to"):
        explain(MODEL, BARS, SCORE)
