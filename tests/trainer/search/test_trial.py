"""A trial of a search: its text keeps every bit, and which one is the best."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from trainer.errors import TrainerError
from trainer.search.trial import Trial, best_trial, changed_settings


def trial(number: int, *ratios: float, state: Any = "complete", n_trades: int = 30) -> Trial:
    return Trial(number, {"horizon": 3}, state, ratios, n_trades)


def test_the_text_of_a_trial_keeps_every_bit() -> None:
    whole = Trial(
        7, {"task": "direction", "horizon": 3, "gru.dropout": 0.1 + 0.2}, "pruned",
        (1 / 3, math.nan, -2e-17), 41, 2, 1.25, "", 1e-4 / 3,
    )  # fmt: skip
    again = Trial.from_json(whole.to_json())
    assert again.to_json() == whole.to_json()
    assert again.values == whole.values
    assert [type(v) for v in again.values.values()] == [str, int, float]
    assert again.net_sharpe[0] == 1 / 3
    assert math.isnan(again.net_sharpe[1])
    assert (again.name, again.value) == ("8", -2e-17)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"net_sharpe": [], "new": 1}', "null"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(TrainerError, match="its text is damaged"):
        Trial.from_json(text)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"number": "x"}, "its number is 'x'"),
        ({"values": [1]}, r"its values is \[1\]"),
        ({"state": "weird"}, "its state is 'weird'"),
        ({"state": ["complete"]}, r"its state is \['complete'\]"),
        ({"gain": "much"}, "its gain is 'much'"),
        ({"net_sharpe": ["much"]}, "its text is damaged"),
    ],
)
def test_fields_of_other_types_are_refused(changed: dict[str, Any], message: str) -> None:
    text = json.dumps({**json.loads(trial(1, 0.5).to_json()), **changed})
    with pytest.raises(TrainerError, match=message):
        Trial.from_json(text)


def test_the_gain_in_log_loss_tells_ties_apart_only() -> None:
    flat = [Trial(n, {}, "complete", (0.0,), gain=gain) for n, gain in enumerate((0.0, 0.004))]
    assert flat[0].objective < flat[1].objective < trial(2, 0.1).objective
    assert [t.value for t in flat] == [0.0, 0.0]
    assert best_trial(flat) is None


def test_a_trial_without_a_block_has_no_value() -> None:
    assert math.isnan(trial(0, state="failed").value)


def test_the_best_trial_is_complete_earned_and_traded() -> None:
    best = trial(5, 9.0, 2.0)
    others = [
        trial(1, 2.0, 1.9),
        trial(6, 0.0, 2.0),  # equal, and later
        trial(2, 8.0, 3.0, n_trades=29),
        trial(3, 4.0, state="pruned"),
        trial(4, state="failed"),
    ]
    assert best_trial([*others, best]) is best
    assert best_trial([others[4], trial(0, 0.0), trial(7, -1.0), trial(8, math.nan)]) is None
    assert best_trial([]) is None


def test_changed_settings_are_those_of_other_values_only() -> None:
    start = {"horizon": 12, "smooth": "off", "gru.dropout": 0.1}
    values = {"horizon": 12, "smooth": "h", "gru.dropout": 0.123456}
    assert changed_settings(Trial(1, values, "complete"), start) == [
        "smooth=h", "gru.dropout=0.1235",
    ]  # fmt: skip
