"""The validation study: its arms differ where they must, and its metrics are correct."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from adapters.lgbm import LightGBMAdapter
from benchmarks.measure import BenchmarkResult
from benchmarks.validation_study.arms import (
    ARMS,
    BASE,
    FIXED,
    GROSS,
    RAW,
    UNPURGED,
    Arm,
    ArmRun,
    Recorded,
)
from benchmarks.validation_study.checks import check_arms
from benchmarks.validation_study.measures import (
    MeasuredJob,
    compare_portfolios,
    make_procedure,
    mean_confidence_interval,
    measure,
    run_arms,
)
from benchmarks.validation_study.tables import add_tables
from features.labels import LabelSpec, average_uniqueness, forward_return, make_labels
from trainer.config import TrainConfig
from trainer.evidence.walk_forward import WalkForward
from trainer.job import Job
from trainer.jobs.run_job import run_job
from trainer.procedure.fit_cache import FitCache
from trainer.procedure.sample import Sample
from trainer.procedure.threshold_search import optimise_threshold
from trainer.statistics.bar_axis import BarAxis
from trainer.statistics.costs import Costs, Terms

Runs = dict[str, ArmRun]
HORIZON, COST = 6, 5.0


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Return SYNTHETIC rows: column 0 moves the next bar, so that thresholds differ in result."""
    rng, n = np.random.default_rng(0), 1_500
    length = n + HORIZON + 2
    driver = rng.normal(size=length)
    for i in range(1, length):
        driver[i] = 0.9 * driver[i - 1] + 0.44 * driver[i]
    moves = rng.normal(0.0, 0.004, length)
    moves[2:] += 0.002 * driver[:-2]
    open_ = 100 * np.exp(np.cumsum(moves))
    labels = make_labels(LabelSpec("direction", HORIZON), open_, open_, open_, open_)
    bar = np.arange(n)
    X = np.stack([driver[:n], rng.normal(size=n)], axis=1).astype(np.float32)
    y, weight = labels.y[bar], average_uniqueness(bar, labels.end[bar])
    return Sample(X, y, y.copy(), weight, forward_return(open_)[bar], bar, labels.end[bar])


@pytest.fixture(scope="module")
def runs(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("fits")

    def make(arm: Arm) -> Recorded:
        params = {"num_boost_round": 20, "min_data_in_leaf": 20}
        return arm.procedure(
            lambda: LightGBMAdapter(task="classification", params=params),
            n_splits=3,
            embargo=10,
            horizon=HORIZON,
            terms=Terms(Costs(COST, COST), 8_760.0),
            calibration=arm.calibration,
            fit_cache=FitCache.at(folder),
        )

    return run_arms(sample, make, 3)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    return TrainConfig.parse(
        {
            "symbols": "EURUSD",
            "models": "lightgbm",
            "source": "sample",
            "n_splits": 2,
            "wf_splits": 2,
            "fee_bps": 0.1,
            "slippage_bps": 0.1,
            "cache": "off",
            "fit_cache_folder": str(tmp_path_factory.mktemp("shared")),
            "params": "lightgbm.num_boost_round=20,lightgbm.learning_rate=0.1",
        }
    )


@pytest.fixture(scope="module")
def product(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Return the metrics of `barwright train`, which also writes its fits to the cache."""
    folder = tmp_path_factory.mktemp("job") / "model"
    result = run_job(Job("EURUSD", "lightgbm"), config, folder, lambda *progress: None)
    assert result.trained is not None, result.details
    return result.trained.headline.metrics


@pytest.fixture(scope="module")
def measured(config: TrainConfig, product: dict[str, float]) -> MeasuredJob:
    return measure("EURUSD", "lightgbm", config)


def test_the_base_has_the_metrics_of_the_product(
    measured: MeasuredJob, product: dict[str, float]
) -> None:
    base = measured.arms[BASE]
    for name in ("net_sharpe", "gross_sharpe", "log_loss", "ece", "turnover", "n_trades"):
        assert base[name] == product[name] or math.isnan(base[name])
    # The folds and the final fit of both blocks are read from the cache: the product made them.
    assert (base["fits_made"], base["fits_read"]) == (0, 6)


def test_only_the_selection_folds_without_purging_are_fitted_again(measured: MeasuredJob) -> None:
    made = {name: (arm["fits_made"], arm["fits_read"]) for name, arm in measured.arms.items()}
    assert made.pop(UNPURGED) == (4, 2)
    assert set(made.values()) == {(0, 6)}


def test_gains_are_the_differences_of_the_metrics(measured: MeasuredJob) -> None:
    base = measured.arms[BASE]
    assert len(measured.arms) == len(ARMS)
    for arm in measured.arms.values():
        sharpes = [np.nan_to_num(one["net_sharpe"]) for one in (base, arm)]
        assert arm["gain"] == pytest.approx(sharpes[0] - sharpes[1], abs=1e-9)
        assert arm["log_loss_gain"] == pytest.approx(arm["log_loss"] - base["log_loss"], abs=1e-9)
        assert arm["gain_lower"] <= arm["gain_upper"]
    assert any(arm["gain"] != 0 for arm in measured.arms.values())


def test_arms_differ_where_they_must_and_nowhere_else(runs: Runs) -> None:
    assert check_arms(runs) > 80
    walks = {name: run.walk for name, run in runs.items()}
    base = walks[BASE]
    assert (base.position != 0).any()
    for name in (GROSS, FIXED):
        assert np.array_equal(walks[name].probability, base.probability)
        assert (walks[name].position != base.position).any()
    for name in (RAW, UNPURGED, "isotonic"):
        assert not np.array_equal(walks[name].probability, base.probability)
    assert (walks["none of them"].position != 0).all()
    traded = np.repeat(
        [block.threshold == 0.5 for block in walks[FIXED].blocks],
        [block.test_rows for block in walks[FIXED].blocks],
    )
    assert traded.any()  # a block whose calibrator has no slope does not trade
    assert ((walks[FIXED].position != 0) == traded).all()


def test_gross_thresholds_are_chosen_as_if_trading_were_free(runs: Runs, sample: Sample) -> None:
    procedure = runs[GROSS].procedure
    for fitted in procedure.runs:
        axis = BarAxis.of(sample.bar[: len(fitted.probability)])
        forward_return = sample.forward_return[: len(fitted.probability)]
        free = optimise_threshold(
            axis.place(fitted.probability, np.nan),
            axis.place(forward_return, 0.0),
            Terms(Costs(0.0, 0.0), 8_760.0),
        )
        assert fitted.threshold == free.threshold
        np.testing.assert_array_equal(fitted.search.net_sharpe, free.net_sharpe)
    assert procedure.terms.costs.fee_bps == COST  # the result pays the costs


def test_folds_without_purging_train_on_every_other_row(runs: Runs, sample: Sample) -> None:
    for train, test in runs[UNPURGED].procedure.folds(sample):
        assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(len(sample)))
        touching = (sample.label_end[train] >= sample.bar[test[0]]) & (train <= test[-1] + HORIZON)
        assert touching.any()


def _moved(walk: WalkForward) -> WalkForward:
    changed = walk.probability.copy()
    changed[5] = np.nextafter(changed[5], 1.0)
    return replace(walk, probability=changed)


def _flipped(walk: WalkForward) -> WalkForward:
    changed = walk.position.copy()
    changed[-1] = 1 - changed[-1]
    return replace(walk, position=changed)


@pytest.mark.parametrize("name", [arm.name for arm in ARMS if arm.name != RAW])
@pytest.mark.parametrize(
    ("change", "text"), [(_moved, "the same models' scores"), (_flipped, "through its threshold")]
)
def test_an_arm_that_differs_by_one_bit_raises(
    runs: Runs, name: str, change: Callable[[WalkForward], WalkForward], text: str
) -> None:
    changed = replace(runs[name], walk=change(runs[name].walk))
    with pytest.raises(RuntimeError, match=text):
        check_arms({**runs, name: changed})


def test_an_arm_with_a_wrong_description_raises(runs: Runs) -> None:
    unpurged = runs[UNPURGED]
    same_folds = replace(unpurged, arm=replace(unpurged.arm, same_folds=True))
    with pytest.raises(RuntimeError, match="folds must be the base's"):
        check_arms({**runs, UNPURGED: same_folds})
    with_folds_of_base = replace(unpurged, procedure=runs[BASE].procedure)
    with pytest.raises(RuntimeError, match="no purging"):
        check_arms({**runs, UNPURGED: with_folds_of_base})
    fitted_again = replace(runs[GROSS].procedure, fits=[(False, 1.0)])
    with pytest.raises(RuntimeError, match="its fits must be the base's"):
        check_arms({**runs, GROSS: replace(runs[GROSS], procedure=fitted_again)})


def test_a_portfolio_of_one_job_is_that_job(measured: MeasuredJob) -> None:
    portfolios = compare_portfolios([measured.net], measured.periods_per_year)
    for name, arm in measured.arms.items():
        assert portfolios[name]["gain"] == pytest.approx(arm["gain"], abs=1e-12)
        assert portfolios[name]["gain_lower"] == pytest.approx(arm["gain_lower"], abs=1e-12)


def test_a_portfolio_is_the_mean_on_the_common_bars() -> None:
    times = pd.date_range("2020-01-01", periods=300, freq="1h", tz="UTC")
    rng = np.random.default_rng(0)
    first, second = (
        pd.DataFrame({BASE: rng.normal(size=200), "other": rng.normal(size=200)}, index=part)
        for part in (times[:200], times[100:])
    )
    portfolios = compare_portfolios([first, second], 8_760.0)
    mean = (first[BASE].to_numpy()[100:] + second[BASE].to_numpy()[:100]) / 2
    assert portfolios[BASE]["bars"] == 100
    expected = mean.mean() / mean.std(ddof=1) * math.sqrt(8_760)
    assert portfolios[BASE]["net_sharpe"] == pytest.approx(expected, abs=1e-9)


def test_the_confidence_interval_of_a_mean_respects_overlap() -> None:
    noise = np.random.default_rng(0).normal(size=2_012)
    summed = np.convolve(noise, np.ones(12))[11:-11] + 5
    mean, lower, upper = mean_confidence_interval(summed, 13)
    assert mean == pytest.approx(summed.mean())
    assert lower < mean < upper
    # For sums of 12, the standard error of the mean is sqrt(12 * 12 / n), not sqrt(12 / n).
    assert 0.7 < (upper - lower) / (2 * 1.96 * 12 / math.sqrt(len(summed))) < 1.2
    assert mean_confidence_interval(np.zeros(50), 13) == (0.0, 0.0, 0.0)


def test_the_summary_counts_jobs(measured: MeasuredJob) -> None:
    jobs = []
    for gain, lower, upper in ((2.0, 1.0, 3.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -0.5), (0.5, -1, 2)):
        gains = {"gain": gain, "gain_lower": lower, "gain_upper": upper}
        arms = {name: {**arm, **gains} for name, arm in measured.arms.items()}
        jobs.append(replace(measured, arms=arms))
    result = BenchmarkResult("validation_study", "")
    add_tables(result, jobs, compare_portfolios([measured.net], measured.periods_per_year))
    (rows,) = [rows for title, _, rows in result.tables if title.startswith("base - arm")]
    assert rows[0] == [RAW, "+0.38", "+0.25", "-1.00", "+2.00", "2", "1", "1", "1", "1"]


def test_arms_are_set_up_from_the_settings(config: TrainConfig) -> None:
    other = config.model_copy(
        update={"embargo": 7, "horizon": 5, "fee_bps": 3.0, "slippage_bps": 4.0, "n_splits": 6}
    )
    for arm in ARMS:
        procedure = make_procedure(arm, "EURUSD", "lightgbm", other, 6_000.0)
        for name in ("embargo", "horizon", "n_splits", "allow_short"):
            assert getattr(procedure, name) == getattr(other, name)
        for name in ("fee_bps", "slippage_bps"):
            assert getattr(procedure.terms.costs, name) == getattr(other, name)
        assert procedure.terms.periods_per_year == 6_000.0
        assert procedure.calibration == arm.calibration
        assert procedure.make_adapter().seed == config.seed_of("EURUSD", "lightgbm")
        assert procedure.make_adapter().params["num_boost_round"] == 20
