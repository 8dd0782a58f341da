"""A trial of a search: it sees the first part of the bars only, and measures as a headline does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.lgbm import LightGBMAdapter
from features.sources import open_source
from trainer.config import TrainConfig
from trainer.dataset import make_builder
from trainer.evidence.walk_forward import first_tested_bar, walk_forward
from trainer.job import Job
from trainer.jobs.run_trial import SEARCH_BLOCKS, SEARCH_FOLDS, FirstPart, TrialTask, run_trial
from trainer.procedure.procedure import Procedure
from trainer.procedure.sample import Sample
from trainer.search.space import Space
from trainer.search.study import LEAST_COMPLETE
from trainer.search.trial import Trial
from trainer.statistics.costs import Terms

JOB = Job("EURUSD", "lightgbm")


def config(**changes: Any) -> TrainConfig:
    small = {
        "symbols": "EURUSD", "models": "lightgbm", "source": "sample", "fee_bps": 0.1,
        "slippage_bps": 0.1, "cache": "off", "fit_cache": "off",
        "params": "lightgbm.num_boost_round=20,lightgbm.learning_rate=0.1",
        # With these it trades.
        "horizon": 6, "position": "exit", "embargo": 20, "seed": 1,
    }  # fmt: skip
    return TrainConfig.parse({**small, **changes})


@pytest.fixture(scope="module")
def part() -> FirstPart:
    return FirstPart.of("EURUSD", config())


def task(part: FirstPart, settings: TrainConfig, *past: Trial) -> TrialTask:
    space = Space.of("lightgbm", settings, {})
    return TrialTask(JOB, settings, part, space, past, 9, dict(space.start))


def run(task: TrialTask) -> Trial:
    return run_trial(task, lambda *_: None)


@pytest.fixture(scope="module")
def measured(part: FirstPart) -> Trial:
    return run(task(part, config()))


@pytest.mark.parametrize("kind", ["direction", "forward_return", "triple_barrier"])
@pytest.mark.parametrize("features", ["", "returns"])
def test_no_headline_of_any_settings_contains_a_bar_of_the_search(
    part: FirstPart, kind: str, features: str
) -> None:
    for horizon in (3, 12, 48):
        chosen = config(task=kind, horizon=horizon, features=features)
        assert not part.touches_headline("EURUSD", chosen)
        data = make_builder(chosen).build("EURUSD")
        first = first_tested_bar(Sample.of(data), chosen.wf_splits)
        assert part.frame["timestamp"].iloc[-1] < data.meta.bars.timestamps[first]
    # The other direction: the part is not much shorter than it must be.
    assert len(part.frame) > 0.3 * len(data.meta.bars)


def test_a_longer_part_would_touch_a_headline(part: FirstPart) -> None:
    data = make_builder(config()).build("EURUSD")
    first = first_tested_bar(Sample.of(data), config().wf_splits)
    frame = data.meta.bars.to_frame()
    assert not replace(part, frame=frame.iloc[:first]).touches_headline("EURUSD", config())
    assert replace(part, frame=frame.iloc[: first + 1]).touches_headline("EURUSD", config())


def test_bars_after_the_first_part_change_no_trial(
    part: FirstPart, measured: Trial, tmp_path: Path
) -> None:
    frame = open_source("sample").read("EURUSD", "1h").frame.copy()
    later = frame.index[len(part.frame) :]
    for name in ("open", "high", "low", "close"):
        frame.loc[later, name] *= 1.1
    frame.to_parquet(tmp_path / "EURUSD_1h.parquet")
    settings = config(source=str(tmp_path), allow_jumps="on", calendar="24/5")
    other = FirstPart.of("EURUSD", settings)
    assert other.digest != part.digest
    np.testing.assert_array_equal(other.frame["close"], part.frame["close"])
    again = run(task(other, settings))
    assert again.net_sharpe == measured.net_sharpe
    assert again.record is not None
    assert measured.record is not None
    assert again.record.digest == measured.record.digest


def test_a_trial_is_the_walk_forward_of_the_first_part(part: FirstPart, measured: Trial) -> None:
    settings = config()
    builder = replace(make_builder(settings), source=part, calendar="24/5")
    data = builder.build("EURUSD")
    assert len(data.meta.bars) == len(part.frame)
    procedure = Procedure(
        lambda: LightGBMAdapter(
            task="classification", seed=settings.seed_of("EURUSD", "lightgbm"),
            params=settings.params["lightgbm"],
        ),
        n_splits=SEARCH_FOLDS,
        embargo=settings.embargo,
        horizon=settings.horizon,
        terms=Terms(settings.costs, data.meta.periods_per_year),
        position=settings.rule,
    )  # fmt: skip
    walk = walk_forward(Sample.of(data), procedure, SEARCH_BLOCKS)
    assert measured.state == "complete"
    assert len(measured.net_sharpe) == SEARCH_BLOCKS
    assert measured.value == walk.metrics["net_sharpe"]
    assert measured.n_trades == walk.metrics["n_trades"] > 0
    assert measured.gain == walk.metrics["base_rate_log_loss"] - walk.metrics["log_loss"] != 0
    first = procedure.performance(
        Sample.of(data),
        Sample.of(data).bar.searchsorted(walk.bar[: walk.blocks[0].test_rows]),
        walk.position[: walk.blocks[0].test_rows],
    )
    assert measured.net_sharpe[0] == np.nan_to_num(first["net_sharpe"])


def test_a_trial_below_the_median_ends_after_its_first_block(
    part: FirstPart, measured: Trial
) -> None:
    better = [
        Trial(n, measured.values, "complete", (measured.net_sharpe[0] + 1.0, 9.0, 9.0))
        for n in range(LEAST_COMPLETE)
    ]
    failed = Trial(7, measured.values, "failed")
    stopped = run(task(part, config(), *better, failed))
    assert (stopped.state, stopped.net_sharpe) == ("pruned", measured.net_sharpe[:1])
    assert stopped.record is None
    worse = [replace(t, net_sharpe=(-99.0, -99.0, -99.0)) for t in better]
    assert run(task(part, config(), *worse)).net_sharpe == measured.net_sharpe


def test_settings_that_cannot_be_used_fail_alone(part: FirstPart) -> None:
    failed = run(task(part, config(embargo=900)))
    assert failed.state == "failed"
    assert "`embargo` must be smaller" in failed.error
    assert failed.error.endswith("in at most 3 folds)")
    assert (failed.net_sharpe, failed.record) == ((), None)
