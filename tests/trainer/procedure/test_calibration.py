"""Fits of calibrators: against Platt's own numbers, a general optimiser, and scikit-learn."""

import json
import math
import re

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.isotonic import IsotonicRegression

from trainer.errors import TrainerError
from trainer.procedure.calibration import fit_calibrator
from trainer.serving.calibrators import (
    IdentityCalibrator,
    calibrator_from_json,
)


def sample(n, a=1.0, b=0.0, seed=0):
    """Scores and classes whose true probability is sigmoid(a * score + b)."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=n)
    return scores, (rng.random(n) < expit(a * scores + b)).astype(int)


def halves(n):
    return [(np.arange(n // 2), np.arange(n // 2, n)), (np.arange(n // 2, n), np.arange(n // 2))]


def reloaded(calibrator):
    return calibrator_from_json(json.loads(json.dumps(calibrator.to_json())))


def slow_platt(scores, y, weight):
    """Platt's problem as he states it, given to a general optimiser on the raw scores."""
    ones, zeros = weight[y == 1].sum(), weight[y == 0].sum()
    target = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))

    def loss(ab):
        z = ab[0] * scores + ab[1]
        return -np.sum(weight * (target * log_expit(z) + (1 - target) * log_expit(-z)))

    options = {"xatol": 1e-9, "fatol": 1e-13}
    return minimize(loss, [0.0, 0.0], method="Nelder-Mead", options=options).x


# Platt


def test_platt_targets():
    # Platt (1999), sec. 2.2: 3 positives and 1 negative have the targets 4/5 and 1/3. Two scores
    # and two parameters, so that the fit goes through both.
    calibrator = fit_calibrator("platt", [0, 1, 1, 1], [0, 1, 1, 1], horizon=1)
    assert calibrator.transform([0, 1]) == pytest.approx([1 / 3, 4 / 5], abs=1e-12)
    assert calibrator.b == pytest.approx(math.log(1 / 2))
    assert calibrator.a == pytest.approx(math.log(4) - math.log(1 / 2))


@pytest.mark.parametrize("n", [20, 300])
@pytest.mark.parametrize("weighted", [False, True])
def test_platt_is_the_minimum_that_a_general_optimiser_finds(n, weighted):
    scores, y = sample(n, a=1.5, b=-0.4, seed=n)
    weight = np.random.default_rng(1).uniform(0.1, 1, n) if weighted else np.ones(n)
    calibrator = fit_calibrator(
        "platt", scores, y, horizon=1, sample_weight=weight if weighted else None
    )
    assert [calibrator.a, calibrator.b] == pytest.approx(slow_platt(scores, y, weight), abs=1e-6)


def test_platt_has_converged():
    scores, y = sample(5000, a=0.7, b=0.2)
    calibrator = fit_calibrator("platt", scores, y, horizon=1)
    ones, zeros = y.sum(), (1 - y).sum()
    target = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    error = calibrator.transform(scores) - target
    assert error.sum() == pytest.approx(0, abs=1e-9)
    assert (error * scores).sum() == pytest.approx(0, abs=1e-9)


def test_integer_weights_are_repeated_rows():
    scores, y = sample(60, a=2.0)
    repeat = np.random.default_rng(2).integers(1, 4, 60)
    weighted = fit_calibrator("platt", scores, y, horizon=1, sample_weight=repeat)
    repeated = fit_calibrator("platt", scores.repeat(repeat), y.repeat(repeat), horizon=1)
    assert [weighted.a, weighted.b] == pytest.approx([repeated.a, repeated.b], rel=1e-9)


@pytest.mark.parametrize(
    ("scale", "shift"), [(1e-4, 0.0), (1e-4, 3e-5), (1e6, -4e6), (1e-12, 0.0), (1e12, 0.0)]
)
def test_platt_takes_scores_of_any_size(scale, shift):
    scores, y = sample(500, a=1.2, b=0.3)
    plain = fit_calibrator("platt", scores, y, horizon=1)
    scaled = fit_calibrator("platt", scale * scores + shift, y, horizon=1)
    assert scaled.transform(scale * scores + shift) == pytest.approx(
        plain.transform(scores), rel=1e-9
    )
    assert scaled.a == pytest.approx(plain.a / scale, rel=1e-9)


def test_platt_survives_separable_classes_and_outliers():
    scores = np.linspace(-1, 1, 100)
    separable = fit_calibrator("platt", scores, scores > 0, horizon=1)
    assert 0 < separable.transform([-1])[0] < 0.05 < 0.95 < separable.transform([1])[0] < 1
    scores, y = sample(10_000)
    scores[0], y[0] = -1e4, 0  # agrees with the others, hence says nothing new, but spreads them
    assert fit_calibrator("platt", scores, y, horizon=1).a == pytest.approx(1.0, abs=0.1)
    scores[0] = 1e9
    assert np.isfinite(fit_calibrator("platt", scores, y, horizon=1).transform(scores)).all()


def test_a_ranking_is_never_inverted():
    scores, y = sample(400, a=-1.0, b=0.5)
    clamped = fit_calibrator("platt", scores, y, horizon=1)
    assert clamped.a == 0
    assert clamped.is_constant
    assert clamped.transform(scores) == pytest.approx(y.mean(), abs=1e-3)
    ones, zeros = y.sum(), (1 - y).sum()
    targets = (ones * (ones + 1) / (ones + 2) + zeros / (zeros + 2)) / 400
    assert clamped.transform([0])[0] == pytest.approx(targets, abs=1e-12)
    assert not fit_calibrator("platt", -scores, y, horizon=1).is_constant


def test_scores_that_say_nothing_give_the_base_rate():
    for scores in ([0.1] * 4, [1.0, 0.0, 1.0, 0.0]):
        flat = fit_calibrator("platt", scores, [1, 1, 0, 0], horizon=1)
        assert flat.is_constant
        assert flat.transform([0, 9]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("method", ["platt", "isotonic"])
@pytest.mark.parametrize(("label", "expected"), [(1, 11 / 12), (0, 1 / 12)])
def test_one_class_gives_its_smoothed_rate(method, label, expected):
    scores = np.arange(10) / 10
    constant = fit_calibrator(method, scores, np.full(10, label), horizon=1)
    assert constant.is_constant
    assert constant.transform([-5, 0.3, 5]) == pytest.approx([expected] * 3)
    assert reloaded(constant).is_constant


def test_excess_log_loss_falls_as_one_in_n_and_isotonic_costs_more():
    # METHOD, "Calibration and threshold": excess log-loss of Platt .0034 at n = 300 and .0012 at
    # n = 1000 (theory: two parameters, 2 / 2n), of isotonic .0427 and .0150.
    grid = np.random.default_rng(9).normal(size=4000)
    truth = expit(grid)

    def excess(method, n, repeats):
        gains = []
        for seed in range(repeats):
            p = fit_calibrator(method, *sample(n, seed=seed), horizon=1).transform(grid)
            gain = truth * np.log(truth / p) + (1 - truth) * np.log((1 - truth) / (1 - p))
            gains.append(gain.mean())
        return np.mean(gains)

    assert excess("platt", 300, 200) == pytest.approx(0.0034, rel=0.25)
    assert excess("platt", 1000, 100) == pytest.approx(0.0012, rel=0.35)
    assert excess("isotonic", 300, 40) > 5 * 0.0034


# Isotonic and identity


def test_isotonic_is_that_of_scikit_learn():
    scores, y = sample(800, a=2.0)
    weight = np.random.default_rng(3).uniform(0.2, 2, 800)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, y, sample_weight=weight)
    ours = fit_calibrator("isotonic", scores, y, horizon=1, sample_weight=weight)
    asked = np.linspace(-6, 6, 3000)
    expected = np.clip(theirs.predict(asked), 1e-6, 1 - 1e-6)
    assert ours.transform(asked) == pytest.approx(expected, abs=2e-6)
    inside = (expected > 0.1) & (expected < 0.9)
    assert ours.transform(asked)[inside] == pytest.approx(expected[inside], abs=1e-12)
    assert ours.transform([-9])[0] == 1e-6
    assert ours.transform([9])[0] == 1 - 1e-6
    assert not ours.is_constant
    assert len(ours.knots_x) < 200


def test_isotonic_of_an_inverted_ranking_is_constant():
    scores = np.arange(20.0)
    assert fit_calibrator("isotonic", scores, scores < 10, horizon=1).is_constant


def test_identity_passes_probabilities_and_refuses_scores():
    calibrator = fit_calibrator("none", [0.0, 0.5, 1.0], [0, 1, 1], horizon=1)
    assert isinstance(calibrator, IdentityCalibrator)
    assert calibrator.transform([0.0, 0.3, 1.0]).tolist() == [0.0, 0.3, 1.0]
    assert not calibrator.is_constant
    text = "`scores` must be in [0, 1] for calibration 'none', got -0.01; use calibration 'platt'"
    with pytest.raises(TrainerError, match=re.escape(text)):
        calibrator.transform([0.5, -0.01])
    with pytest.raises(TrainerError, match=r"calibration 'none', got 1\.5"):
        fit_calibrator("none", [0.5, 1.5], [0, 1], horizon=1)


@pytest.mark.parametrize("method", ["platt", "isotonic", "none"])
def test_fitting_twice_gives_the_same_bits(method):
    scores, y = sample(300)
    first, again = (fit_calibrator(method, expit(scores), y, horizon=1) for _ in range(2))
    assert again.to_json() == first.to_json()


# auto


def stairs(n, seed=5):
    """A step that no sigmoid follows."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(size=n)
    truth = np.where(scores < 0.2, 0.1, np.where(scores < 0.8, 0.5, 0.55))
    return scores, (rng.random(n) < truth).astype(int)


def test_auto_takes_isotonic_only_from_a_thousand_separate_labels():
    scores, y = stairs(4000)
    assert fit_calibrator("auto", scores, y, horizon=4, splits=halves(4000)).kind == "isotonic"
    assert fit_calibrator("auto", scores, y, horizon=5, splits=halves(4000)).kind == "platt"


def test_auto_judges_on_rows_that_were_not_fitted():
    # On its own rows isotonic always wins; on others it loses where a sigmoid is the truth.
    for seed in range(5):
        scores, y = sample(3000, seed=seed)
        assert fit_calibrator("auto", scores, y, horizon=1, splits=halves(3000)).kind == "platt"


def test_auto_takes_platt_without_splits_and_fits_on_all_rows():
    scores, y = stairs(4000)
    for splits in (None, []):
        calibrator = fit_calibrator("auto", scores, y, horizon=1, splits=splits)
        assert calibrator == fit_calibrator("platt", scores, y, horizon=1)
    generator = iter(halves(4000))
    calibrator = fit_calibrator("auto", scores, y, horizon=1, splits=generator)
    assert calibrator.to_json() == fit_calibrator("isotonic", scores, y, horizon=1).to_json()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"method": "beta"}, "`method` must be one of platt, isotonic, none, auto, got 'beta'"),
        ({"scores": [0.1, math.nan, 0.3]}, "`scores` must be finite to fit on, got NaN or inf"),
        ({"scores": [0.1, 0.2]}, "must be of one length >= 1, got shapes (2,), (3,) and (2,)"),
        ({"scores": [], "y": []}, "must be of one length >= 1, got shapes (0,), (0,) and (0,)"),
        ({"y": [0, 1, 2]}, "`y` must be 0 or 1 in every row; use 1 for a rise and 0 otherwise"),
        ({"y": [0, 1, math.nan]}, "`y` must be 0 or 1 in every row"),
        ({"horizon": 0}, "`horizon` must be >= 1 bars, got 0; use the label's horizon"),
        ({"sample_weight": [1, 1]}, "must be of one length >= 1"),
        ({"sample_weight": [1, -1, 1]}, "`sample_weight` must be finite, >= 0 and not all 0"),
        ({"sample_weight": [0, 0, 0]}, "`sample_weight` must be finite, >= 0 and not all 0"),
        ({"sample_weight": [1, math.nan, 1]}, "`sample_weight` must be finite, >= 0"),
    ],
)
def test_mistakes_are_refused_in_one_sentence(change, text):
    arguments = {"method": "platt", "scores": [0.1, 0.2, 0.3], "y": [0, 1, 1], "horizon": 1}
    with pytest.raises(TrainerError, match=re.escape(text)):
        fit_calibrator(**{**arguments, **change})
