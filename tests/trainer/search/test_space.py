"""The space of a search: what is given stays, what is declared is varied."""

from __future__ import annotations

from typing import Any

import pytest

import adapters
from adapters.base import Range
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.errors import TrainerError
from trainer.search.space import HORIZONS, SEARCHED_OPTIONS, Space
from trainer.search.trial import Trial


def config(**values: Any) -> TrainConfig:
    return TrainConfig.parse({"symbols": "EURUSD", "source": "sample", **values})


def space(model: str = "lightgbm", **given: Any) -> Space:
    return Space.of(model, config(models=model, **given), given)


@pytest.mark.parametrize("model", adapters.names())
def test_every_declared_value_is_a_valid_setting(model: str) -> None:
    adapter = adapters.find(model)
    assert adapter.space
    for name, values in adapter.space.items():
        default = adapter.defaults[name]
        tried = (values.low, values.high) if isinstance(values, Range) else values
        for value in tried:
            adapter(task="classification", params={name: value})
        if isinstance(values, Range):
            assert values.low < default < values.high
            assert type(values.low) is type(values.high) is type(default)
        else:
            assert default in values


def test_every_value_of_an_option_is_a_valid_setting() -> None:
    declared = space().dimensions
    for name in SEARCHED_OPTIONS:
        values = declared[name]
        assert isinstance(values, tuple)
        for value in values:
            tried = config(models="lightgbm", **({name: value} if value else {}))
            make_builder(tried)
    assert declared["horizon"] == HORIZONS
    # All features, or all but those of one group.
    assert len(declared["features"]) == 1 + 6  # type: ignore[arg-type]


def test_trials_of_other_dimensions_are_refused() -> None:
    own = space()
    own.check([Trial(0, own.start, "complete")])
    with pytest.raises(TrainerError, match="trial 2 of this search was changed in the store: it h"):
        own.check([Trial(0, own.start, "complete"), Trial(1, {"foo": 1}, "complete")])


def test_the_start_is_the_settings_of_the_command() -> None:
    base = config(models="lightgbm", position="exit")
    own = space(position="exit")
    assert own.start.keys() == own.dimensions.keys()
    assert own.apply(base, own.start).rule == base.rule
    applied = own.apply(base, own.start)
    assert {name: getattr(applied, name) for name in SEARCHED_OPTIONS} == {
        name: getattr(base, name) for name in SEARCHED_OPTIONS
    }
    defaults = adapters.find("lightgbm").defaults
    assert applied.params["lightgbm"] == {
        name: defaults[name] for name in adapters.find("lightgbm").space
    }


def test_what_is_given_is_not_varied() -> None:
    own = space(horizon="24", smooth="h", params="lightgbm.num_leaves=7")
    assert "horizon" not in own.dimensions
    assert "smooth" not in own.dimensions
    assert "lightgbm.num_leaves" not in own.dimensions
    base = config(models="lightgbm", horizon=24, params="lightgbm.num_leaves=7")
    chosen = own.apply(base, {**own.start, "lightgbm.lambda_l2": 9.0})
    assert chosen.horizon == 24
    assert chosen.params["lightgbm"]["num_leaves"] == 7
    assert chosen.params["lightgbm"]["lambda_l2"] == 9.0


def test_a_command_that_gives_every_setting_leaves_nothing_to_search() -> None:
    names = ("learning_rate=0.1", "num_leaves=7", "min_data_in_leaf=50", "feature_fraction=0.5")
    given = {
        "task": "direction", "horizon": "3", "position": "break-even", "smooth": "off",
        "features": "returns",
        "params": ",".join(f"lightgbm.{name}" for name in (*names, "lambda_l2=1")),
    }  # fmt: skip
    with pytest.raises(TrainerError, match="there is nothing to search for lightgbm"):
        space(**given)
    assert list(space(**{k: v for k, v in given.items() if k != "smooth"}).dimensions) == ["smooth"]


def test_smoothing_has_no_effect_beside_exit() -> None:
    assert "smooth" not in space(position="exit").dimensions
    assert "smooth" in space(position="break-even").dimensions
    own, base = space(), config(models="lightgbm")
    for position, span in (("exit", 0), ("threshold", 24), ("break-even", 24)):
        values = {**own.start, "position": position, "smooth": "h", "horizon": 24}
        chosen = own.apply(base, values)
        assert (chosen.rule.kind, chosen.rule.smooth, chosen.rule.horizon) == (position, span, 24)


def test_scores_of_returns_need_a_calibrator() -> None:
    own = space(calibration="none")
    assert own.dimensions["task"] == ("direction", "triple_barrier")
