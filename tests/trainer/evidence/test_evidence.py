"""The evidence: what evidence.json holds, in names and values of the files that exist."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.golden_run import GOLDEN, MODELS
from trainer.evidence.evidence import (
    CostRow,
    Evidence,
    FoldRow,
    ImportanceRow,
    RegimeRow,
    ReliabilityRow,
    ThresholdRow,
)
from trainer.serving.manifest import read_json, write_json

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 10_000)
TEXTS = st.text(max_size=5)


def rows(
    row: type, /, **fields: st.SearchStrategy[object]
) -> st.SearchStrategy[tuple[object, ...]]:
    """Return tables of up to two rows."""
    return st.lists(st.builds(row, **fields), max_size=2).map(tuple)


VALUES = st.lists(NUMBERS, max_size=3).map(tuple)
EVIDENCE = st.builds(
    Evidence,
    rows=COUNTS,
    first=TEXTS,
    last=TEXTS,
    periods_per_year=NUMBERS,
    record_digest=TEXTS,
    threshold=st.none() | NUMBERS,
    flat_because=TEXTS,
    calibrator=TEXTS,
    folds=rows(
        FoldRow, fold=COUNTS, log_loss=NUMBERS, brier=NUMBERS, roc_auc=NUMBERS,
        net_sharpe=NUMBERS, gross_sharpe=NUMBERS, turnover=NUMBERS,
    ),
    regimes=rows(
        RegimeRow, kind=TEXTS, name=TEXTS, bars=COUNTS, net_sharpe=NUMBERS, gross_sharpe=NUMBERS,
        buy_hold_sharpe=NUMBERS, net_return=NUMBERS, n_trades=COUNTS, exposure=NUMBERS,
    ),
    cost_stress=rows(
        CostRow, multiple=COUNTS, bps_per_side=NUMBERS, net_sharpe=NUMBERS, net_return=NUMBERS
    ),
    cpcv_net_sharpe=VALUES,
    threshold_curve=rows(ThresholdRow, threshold=NUMBERS, val_net_sharpe=NUMBERS, trades=COUNTS),
    reliability=rows(ReliabilityRow, probability=NUMBERS, frequency=NUMBERS, rows=COUNTS),
    importance=rows(ImportanceRow, feature=TEXTS, mean=NUMBERS, std=NUMBERS, folds=VALUES),
    null_net_sharpe=VALUES,
)  # fmt: skip


@given(EVIDENCE)
def test_evidence_is_read_as_it_was_written(evidence: Evidence) -> None:
    content = json.loads(json.dumps(evidence.to_json(), allow_nan=False))
    assert Evidence.from_json(content) == evidence


def test_undefined_numbers_are_null_and_come_back_as_nan() -> None:
    evidence = Evidence(
        cpcv_net_sharpe=(1.0, math.nan),
        cost_stress=(CostRow(2, 3.0, math.nan, 0.0),),
        importance=(ImportanceRow("f", 0.1, 0.0, (math.nan, 0.2)),),
    )
    content = evidence.to_json()
    assert content["cpcv_net_sharpe"] == [1.0, None]
    assert content["cost_stress"][0]["net_sharpe"] is None
    assert content["importance"][0]["folds"] == [None, 0.2]
    again = Evidence.from_json(content)
    assert math.isnan(again.cpcv_net_sharpe[1])
    assert math.isnan(again.cost_stress[0].net_sharpe)
    assert math.isnan(again.importance[0].folds[0])


def test_evidence_of_an_earlier_version_has_defaults_for_what_it_lacks() -> None:
    evidence = Evidence.from_json({"threshold": None, "cost_stress": [{"multiple": 1}], "x": 1})
    assert (evidence.regimes, evidence.null_net_sharpe, evidence.threshold) == ((), (), None)
    assert math.isnan(evidence.cost_stress[0].net_sharpe)


@pytest.mark.parametrize("model", MODELS)
def test_a_stored_file_is_written_again_with_the_same_bytes(model: str, tmp_path: Path) -> None:
    stored = json.loads(GOLDEN.read_text())["models"][model]["evidence"]
    write_json(tmp_path / "stored.json", stored)
    evidence = Evidence.from_json(read_json(tmp_path / "stored.json"))
    assert evidence.folds
    assert evidence.regimes
    write_json(tmp_path / "again.json", evidence.to_json())
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "stored.json").read_bytes()
