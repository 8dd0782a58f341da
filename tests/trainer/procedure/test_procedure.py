"""The procedure leaks nothing: exact proofs on synthetic rows with a model that records calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adapters.base import ModelAdapter
from adapters.lgbm import LightGBMAdapter
from trainer.errors import TrainerError
from trainer.procedure.procedure import TAIL_FRACTION, Procedure
from trainer.procedure.sample import Sample
from trainer.serving.threshold import Threshold
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.performance import sharpe

Factory = Callable[..., Callable[[], ModelAdapter]]


def with_early_ends(sample: Sample, seed: int = 0) -> Sample:
    """Labels that end anywhere within their horizon, as a triple barrier's do."""
    ahead = np.random.default_rng(seed).integers(2, 8, len(sample))
    return replace(sample, label_end=sample.bar + ahead)


def rewritten(sample: Sample, rows: np.ndarray, seed: int = 1) -> Sample:
    """The same sample with other outcomes at these rows."""
    y, outcome, ahead = (a.copy() for a in (sample.y, sample.outcome, sample.forward_return))
    y[rows], outcome[rows] = 1 - y[rows], 1 - outcome[rows]
    ahead[rows] = np.random.default_rng(seed).normal(0, 0.01, len(rows))
    return replace(sample, y=y, outcome=outcome, forward_return=ahead)


def allowed_rows(sample: Sample, test: np.ndarray, gap: int) -> list[int]:
    """Rows that may be trained on, by comparing every label interval with every tested one."""
    tested = [(int(sample.bar[t]), int(sample.label_end[t])) for t in test]
    reach = max(end for _, end in tested)
    first = tested[0][0]
    return [
        row
        for row, (start, end) in enumerate(zip(sample.bar, sample.label_end, strict=True))
        if (end < first or start > reach + gap)
        and not any(start <= t1 and t0 <= end for t0, t1 in tested)
    ]


@pytest.mark.parametrize(("embargo", "lookback"), [(0, 1), (10, 1), (3, 8), (12, 8)])
def test_every_fit_sees_exactly_the_rows_that_do_not_touch_what_it_scores(
    synthetic_sample: Any, make_procedure: Any, spy: Factory, seen: list[Any],
    embargo: int, lookback: int,
) -> None:  # fmt: skip
    """Purged on both sides, embargoed by max(embargo, lookback - 1), tail purged as well."""
    sample = with_early_ends(synthetic_sample(300, holes=((120, 127), (200, 203))))
    procedure = make_procedure(spy(lookback=lookback), embargo=embargo, n_splits=4)
    procedure.run(sample)
    assert len(seen) == procedure.n_splits + 1
    *folds, production = seen
    for call, test in zip(folds, np.array_split(np.arange(len(sample)), 4), strict=True):
        check_fit(sample, call, allowed_rows(sample, test, max(embargo, lookback - 1)))
        (scored,) = call.scored
        assert scored[-1] == sample.bar[test[-1]]
        assert scored[0] == sample.bar[max(0, test[0] - lookback + 1)]
    check_fit(sample, production, list(range(len(sample))))
    assert not production.scored


def check_fit(sample: Sample, call: Any, allowed: list[int]) -> None:
    split = round((1 - TAIL_FRACTION) * len(allowed))
    tail = allowed[split:]
    train = [r for r in allowed[:split] if sample.label_end[r] < sample.bar[tail[0]]]
    np.testing.assert_array_equal(call.train, sample.bar[train])
    np.testing.assert_array_equal(call.tail, sample.bar[tail])
    # The same without the rule: the tail is later, and no label of a fitted row touches it.
    ends = sample.label_end[np.searchsorted(sample.bar, call.train)]
    assert ends.max() < call.tail.min()


def test_the_scores_of_a_fold_do_not_depend_on_the_outcomes_outside_its_training_rows(
    synthetic_sample: Any, make_procedure: Any, trees: Factory
) -> None:
    sample = synthetic_sample(edge=0.002)
    procedure = make_procedure(trees(), calibration="none")
    before = procedure.run(sample).probability
    for train, test in procedure.folds(sample):
        hidden = np.setdiff1d(np.arange(len(sample)), train)
        after = procedure.run(rewritten(sample, hidden)).probability
        assert after[test].tobytes() == before[test].tobytes()
        seen_rows = procedure.run(rewritten(sample, train)).probability
        assert not np.array_equal(seen_rows[test], before[test])


@pytest.mark.parametrize("calibration", ["platt", "isotonic"])
def test_the_probabilities_of_a_fold_do_not_depend_on_its_own_outcomes(
    synthetic_sample: Any, make_procedure: Any, spy: Factory, calibration: str
) -> None:
    """The scores here do not depend on outcomes: only the calibrator could leak them."""
    sample = synthetic_sample(edge=0.002)
    procedure = make_procedure(spy(learns=False), calibration=calibration)
    before = procedure.run(sample)
    for train, test in procedure.folds(sample):
        hidden = np.setdiff1d(np.arange(len(sample)), train)
        after = procedure.run(rewritten(sample, hidden))
        assert after.probability[test].tobytes() == before.probability[test].tobytes()
        assert after.calibrator.to_json() != before.calibrator.to_json()
        elsewhere = np.setdiff1d(train, test)
        assert not np.array_equal(after.probability[elsewhere], before.probability[elsewhere])


def test_the_threshold_is_judged_on_out_of_fold_probabilities(
    synthetic_sample: Any, make_procedure: Any
) -> None:
    """A model that memorises every training row has nothing to trade on in other rows."""

    def memorising() -> ModelAdapter:
        params = {"num_boost_round": 60, "learning_rate": 0.5, "num_leaves": 255}
        loose = {"min_data_in_leaf": 1, "lambda_l2": 0.0, "early_stopping_rounds": 60}
        return LightGBMAdapter(task="classification", params={**params, **loose})

    chosen = []
    for seed in range(4):
        sample = synthetic_sample(600, seed=seed)
        procedure = make_procedure(memorising, terms=Terms(Costs(10.0, 0.5), 8_760.0))
        fitted = procedure.run(sample)
        learnt = fitted.adapter.predict(sample.X)[:400]
        assert np.mean((learnt > 0.5) == sample.outcome[:400]) > 0.8
        known = fitted.probability
        assert abs(np.mean((known > 0.5) == sample.outcome) - 0.5) < 0.1
        chosen.append(fitted.threshold.value)
    assert chosen == [None] * 4


def test_a_calibrator_without_slope_does_not_trade(make_procedure: Any, spy: Factory) -> None:
    """The threshold search on its cross-calibrated probabilities would trade."""
    n = 400
    side = np.where(np.arange(n) // 4 % 2, 1.0, -1.0)
    first, rng = np.arange(n) < n // 2, np.random.default_rng(0)
    agrees = np.where(first, rng.random(n) < 0.1, rng.random(n) < 0.7)
    outcome = np.where(agrees, side > 0, side < 0).astype(float)
    bar = np.arange(n)
    sample = Sample(
        side[:, None].astype(np.float32), outcome, outcome, np.ones(n),
        np.where(first, 0.01 * side, 0.0) + rng.normal(0, 1e-4, n), bar, bar + 2,
    )  # fmt: skip
    fitted = make_procedure(spy(learns=False), n_splits=2, embargo=0, horizon=1).run(sample)
    assert fitted.calibrator.is_constant
    assert fitted.search.threshold.value is not None
    assert fitted.threshold == Threshold(None, True)
    assert not fitted.positions(sample, bar)[1].any()


def test_a_gap_is_left_and_entered_again_at_cost(make_procedure: Any, spy: Factory) -> None:
    """Bars 4 and 5 have no row: flat there, so that the exit and the entry are both paid."""
    bar = np.array([0, 1, 2, 3, 6, 7])
    ahead = np.array([0.01, -0.02, 0.03, 0.0, 0.01, 0.02])
    n = len(bar)
    sample = Sample(
        np.zeros((n, 1), np.float32), np.zeros(n), np.zeros(n), np.ones(n), ahead, bar, bar + 2
    )
    procedure = make_procedure(spy(), terms=Terms(Costs(10.0, 5.0), 8_760.0))
    position = np.array([1, 1, -1, 1, 1, 0], dtype=np.int8)
    metrics = procedure.performance(sample, np.arange(n), position)
    cost = 0.0015
    net = [0.01 - cost, -0.02, -0.03 - 2 * cost, -2 * cost, -cost, 0.0, 0.01 - cost, -cost]
    assert metrics["n_bars"] == 8
    assert metrics["turnover"] == 1 + 0 + 2 + 2 + 1 + 0 + 1 + 1
    assert metrics["n_trades"] == 4
    assert metrics["net_return"] == pytest.approx(np.prod(1 + np.array(net)) - 1, abs=1e-15)
    assert metrics["net_sharpe"] == pytest.approx(sharpe(net, 8_760), abs=1e-12)


class CalibratorKinds(Procedure):
    """Stores the method and the kind of every calibrator that the procedure fits."""

    def _calibrate(self, method: str, *arguments: Any) -> Any:
        calibrator = super()._calibrate(method, *arguments)
        self.__dict__.setdefault("calibrators", []).append((method, calibrator.kind))
        return calibrator


def test_auto_keeps_its_kind_in_the_cross_calibration(spy: Factory) -> None:
    """One step in the scores, and 1,000 rows at horizon 1: all rows suffice for isotonic.

    The training rows of a fold are fewer than 1,000, so that `auto` would choose Platt for them.
    """
    rng, n = np.random.default_rng(5), 1_200
    driver = rng.uniform(-2, 2, n).astype(np.float32)
    chance = np.where(driver < -1.2, 0.1, np.where(driver < 1.2, 0.5, 0.55))
    outcome = (rng.random(n) < chance).astype(float)
    bar = np.arange(n)
    sample = Sample(
        driver[:, None], outcome, outcome, np.ones(n), rng.normal(0, 0.01, n), bar, bar + 2
    )
    procedure = CalibratorKinds(
        spy(learns=False), n_splits=3, embargo=0, horizon=1,
        terms=Terms(Costs(1.0, 0.5), 8_760.0), calibration="auto",
    )  # fmt: skip
    fitted = procedure.run(sample)
    assert fitted.calibrator.kind == "isotonic"
    assert procedure.__dict__["calibrators"] == [
        ("auto", "isotonic"), *[("isotonic", "isotonic")] * 3
    ]  # fmt: skip
    # The same by the probabilities: those of a fold are values of an isotonic calibrator, of which
    # a sigmoid of 400 different scores has 400.
    for _, test in procedure.folds(sample):
        known = fitted.probability[test]
        assert len(np.unique(known)) < len(known) / 2


@pytest.mark.parametrize(("fee_bps", "slippage_bps"), [(10.0, 5.0), (7.0, 0.0), (0.0, 2.5)])
def test_every_fit_gets_fee_and_slippage_as_its_cost(
    synthetic_sample: Any, make_procedure: Any, spy: Factory, fee_bps: float, slippage_bps: float
) -> None:
    costs: list[float] = []

    def make() -> ModelAdapter:
        adapter = spy()()
        fit = adapter.fit

        def recording(train: Any, valid: Any = None) -> ModelAdapter:
            costs.extend((train.cost, valid.cost))
            return fit(train, valid)

        adapter.fit = recording  # type: ignore[method-assign]
        return adapter

    terms = Terms(Costs(fee_bps, slippage_bps), 8_760.0)
    make_procedure(make, terms=terms).run(synthetic_sample(300))
    assert costs == [(fee_bps + slippage_bps) * 1e-4] * 8  # training rows and tail of four fits


def test_gaps_are_bars_without_a_decision_in_the_search(
    synthetic_sample: Any, make_procedure: Any, spy: Factory
) -> None:
    """Its trades are those of the threshold on the bar axis, where a gap ends a trade."""
    holes = tuple((start, start + 3) for start in range(20, 800, 20))
    sample = synthetic_sample(edge=0.003, holes=holes)
    fitted = make_procedure(spy()).run(sample)
    assert fitted.threshold.value is not None
    position = fitted.threshold.positions(fitted.probability).astype(float)
    metrics = make_procedure(spy()).performance(sample, np.arange(len(sample)), position)
    at = list(fitted.search.candidates).index(fitted.threshold.value)
    assert fitted.search.n_trades[at] == metrics["n_trades"]
    assert fitted.search.net_sharpe[at] == metrics["net_sharpe"]


def test_one_seed_gives_equal_results_and_another_does_not(
    synthetic_sample: Any, make_procedure: Any, trees: Factory
) -> None:
    sample = synthetic_sample(edge=0.002)
    first, second, other = (make_procedure(trees(seed)).run(sample) for seed in (1, 1, 2))
    assert first.probability.tobytes() == second.probability.tobytes()
    assert first.calibrator.to_json() == second.calibrator.to_json()
    assert first.threshold == second.threshold
    assert first.fold_metrics == second.fold_metrics
    assert not np.array_equal(first.probability, other.probability)


def test_two_models_share_one_fold_plan(
    synthetic_sample: Any, make_procedure: Any, spy: Factory, trees: Factory
) -> None:
    sample = synthetic_sample()
    plans = [make_procedure(make).run(sample).plan_digest for make in (spy(), trees())]
    assert plans[0] == plans[1]
    assert make_procedure(spy(), embargo=11).run(sample).plan_digest != plans[0]


def test_rows_without_a_complete_window_have_no_decision(
    synthetic_sample: Any, make_procedure: Any, spy: Factory
) -> None:
    sample = synthetic_sample(edge=0.003, holes=((120, 127),))
    fitted = make_procedure(spy(lookback=5)).run(sample)
    unknown = (sample.bar < 4) | ((sample.bar >= 127) & (sample.bar < 131))
    np.testing.assert_array_equal(np.isnan(fitted.probability), unknown)
    probability, position = fitted.positions(sample, np.arange(len(sample)))
    np.testing.assert_array_equal(np.isnan(probability), unknown)
    assert not position[unknown].any()
    assert position[~unknown].any()
    assert all(np.isfinite(fold["log_loss"]) for fold in fitted.fold_metrics)


def test_every_fit_is_reported_with_its_seconds(
    synthetic_sample: Any, make_procedure: Any, spy: Factory
) -> None:
    seconds: list[float] = []
    procedure: Procedure = make_procedure(spy(), on_fit=seconds.append)
    procedure.run(synthetic_sample())
    assert len(seconds) == procedure.n_splits + 1 == 4
    assert min(seconds) >= 0


def test_too_few_rows_are_refused_with_numbers_that_work(
    synthetic_sample: Any, make_procedure: Any, spy: Factory
) -> None:
    with pytest.raises(TrainerError, match=r"`embargo` must be smaller .*; use `embargo`="):
        make_procedure(spy(), embargo=100).run(synthetic_sample(200))
