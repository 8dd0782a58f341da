"""Fits a calibrator to out-of-sample scores.

References
----------
Platt, J. (1999). Probabilistic outputs for support vector machines, sec. 2.2.
Lin, H.-T., Lin, C.-J. and Weng, R. C. (2007). A note on Platt's probabilistic outputs for support
vector machines. Machine Learning 68(3).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from trainer.arrays import FloatArray, IntArray
from trainer.errors import TrainerError
from trainer.serving.calibrators import (
    FLOOR,
    METHODS,
    Calibrator,
    IdentityCalibrator,
    IsotonicCalibrator,
    PlattCalibrator,
    sigmoid,
)

#: Least number of labels that do not overlap from which `auto` considers isotonic regression.
_AUTO_LABELS = 1000


def fit_calibrator(
    method: str,
    scores: ArrayLike,
    y: ArrayLike,
    *,
    horizon: int,
    splits: Iterable[tuple[ArrayLike, ArrayLike]] | None = None,
    sample_weight: ArrayLike | None = None,
) -> Calibrator:
    """Fit a calibrator to out-of-sample scores.

    Parameters
    ----------
    method : {"platt", "isotonic", "none", "auto"}
        ``platt``: a sigmoid on Platt's smoothed targets, fitted by Newton's method until it
        converges. If its slope would not be positive, or ``y`` has one class, it is the constant
        that fits best: the smoothed base rate. ``isotonic``: scikit-learn's isotonic regression,
        clipped to [1e-6, 1 - 1e-6]; the smoothed base rate if ``y`` has one class. ``none``:
        scores are probabilities. ``auto``: isotonic if ``n / horizon >= 1000``, ``splits`` are
        given, and its log-loss over them is lower than Platt's; else Platt.
    scores : array of shape (n,)
        Real numbers of any size, from models that did not see these rows.
    y : array of shape (n,)
        Class of each score, 0 or 1.
    horizon : int
        Bars over which a label is read. Neighbouring labels overlap, so that n rows contain about
        ``n / horizon`` separate outcomes.
    splits : iterable of (train, test), optional
        Purged positions in ``scores``. Only ``auto`` reads them.
    sample_weight : array of shape (n,), optional
        Weights >= 0. Their sums take the place of the numbers of rows in Platt's targets.

    Returns
    -------
    Calibrator

    Raises
    ------
    TrainerError
        If the method is unknown, a score is NaN, or another argument breaks its rule.

    Examples
    --------
    Platt (1999), sec. 2.2: three ones and one zero have the targets 4/5 and 1/3. Here the sigmoid
    has two parameters for two different scores, so that it goes through both targets:

    >>> calibrator = fit_calibrator("platt", [0, 1, 1, 1], [0, 1, 1, 1], horizon=1)
    >>> calibrator.transform([0, 1]).round(6).tolist()
    [0.333333, 0.8]
    """
    if method not in METHODS:
        raise TrainerError(f"`method` must be one of {', '.join(METHODS)}, got {method!r}")
    if horizon < 1:
        raise TrainerError(f"`horizon` must be >= 1 bars, got {horizon}; use the label's horizon")
    x, target, weight = _checked_rows(scores, y, sample_weight)
    if method == "auto":
        pairs = [(np.asarray(train), np.asarray(test)) for train, test in splits or ()]
        method = "platt"
        if pairs and x.size / horizon >= _AUTO_LABELS:
            losses = [_cross_log_loss(m, x, target, weight, pairs) for m in ("platt", "isotonic")]
            method = "isotonic" if losses[1] < losses[0] else "platt"
    return _fit(method, x, target, weight)


def _checked_rows(
    scores: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return scores, classes and weights as float64 arrays of one length, or raise."""
    x, target = (np.asarray(values, dtype=np.float64) for values in (scores, y))
    weight = np.ones(x.shape) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if x.ndim != 1 or not x.size or not x.shape == target.shape == weight.shape:
        raise TrainerError(
            "`scores`, `y` and `sample_weight` must be of one length >= 1, got shapes "
            f"{x.shape}, {target.shape} and {weight.shape}; pass one of each for every row"
        )
    if not np.isfinite(x).all():
        raise TrainerError("`scores` must be finite to fit on, got NaN or inf; drop those rows")
    if not np.isin(target, (0, 1)).all():
        raise TrainerError("`y` must be 0 or 1 in every row; use 1 for a rise and 0 otherwise")
    if not ((weight >= 0).all() and 0 < weight.sum() < np.inf):
        raise TrainerError("`sample_weight` must be finite, >= 0 and not all 0; use None for ones")
    return x, target, weight


def _fit(method: str, x: FloatArray, y: FloatArray, weight: FloatArray) -> Calibrator:
    """Fit a calibrator of one kind to checked rows, all of shape (n,)."""
    if method == "none":
        identity = IdentityCalibrator()
        identity.transform(x)  # raises for scores that are not probabilities
        return identity
    ones, zeros = float(weight[y == 1].sum()), float(weight[y == 0].sum())
    target = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    rate = float(np.average(target, weights=weight))
    one_class = not ones or not zeros
    if method == "isotonic":
        if one_class:
            return IsotonicCalibrator(x[:1], np.array([rate]))
        return _isotonic(x, y, weight)
    constant = PlattCalibrator(0.0, float(np.log(rate / (1 - rate))))
    centre, spread = float(x.mean()), float(x.std())
    if one_class or x.min() == x.max() or not spread > 0:
        return constant
    slope, offset = _newton((x - centre) / spread, target, weight, constant.b)
    a, b = slope / spread, offset - slope * centre / spread
    # The loss is convex: if its minimum has a slope <= 0, the best a >= 0 is 0.
    return PlattCalibrator(a, b) if slope > 1e-9 and np.isfinite([a, b]).all() else constant


def _isotonic(x: FloatArray, y: FloatArray, weight: FloatArray) -> IsotonicCalibrator:
    from sklearn.isotonic import IsotonicRegression  # only this method needs it

    model = IsotonicRegression(y_min=FLOOR, y_max=1 - FLOOR, out_of_bounds="clip")
    model.fit(x, y, sample_weight=weight)
    return IsotonicCalibrator(model.X_thresholds_, np.maximum.accumulate(model.y_thresholds_))


def _newton(
    x: FloatArray, target: FloatArray, weight: FloatArray, offset: float
) -> tuple[float, float]:
    """Minimise the weighted cross-entropy of ``sigmoid(slope * x + offset)``, from slope 0.

    Newton's method on two parameters; a step that does not lower the loss enough is halved.
    """

    def loss(slope: float, offset: float) -> float:
        z = slope * x + offset
        return float((weight * (np.logaddexp(0.0, z) - target * z)).sum())

    slope, total = 0.0, float(weight.sum())
    for _ in range(100):
        p = sigmoid(slope * x + offset)
        # Gradient (g) and Hessian (h) by slope and offset.
        error, curve = weight * (p - target), weight * p * (1 - p)  # (n,)
        g0, g1 = float((error * x).sum()), float(error.sum())
        h00, h01, h11 = ((curve * f).sum() for f in (x * x, x, 1.0))
        determinant = h00 * h11 - h01 * h01
        if not determinant > 0:
            break
        step0 = float((h11 * g0 - h01 * g1) / determinant)
        step1 = float((h00 * g1 - h01 * g0) / determinant)
        gain = g0 * step0 + g1 * step1
        if gain <= 1e-16 * total:  # one more full step reaches the minimum up to the last bits
            return slope - step0, offset - step1
        size, start = 1.0, loss(slope, offset)
        while size > 1e-9 and loss(slope - size * step0, offset - size * step1) > (
            start - 1e-4 * size * gain
        ):
            size /= 2
        slope, offset = slope - size * step0, offset - size * step1
    return slope, offset


def _cross_log_loss(
    method: str,
    x: FloatArray,
    y: FloatArray,
    weight: FloatArray,
    splits: list[tuple[IntArray, IntArray]],
) -> float:
    """Return the log-loss over all test rows, with calibrators fitted to the training rows."""
    loss = total = 0.0
    for train, test in splits:
        p = _fit(method, x[train], y[train], weight[train]).transform(x[test])
        likelihood = np.where(y[test] == 1, p, 1 - p)
        loss -= float((weight[test] * np.log(np.maximum(likelihood, 1e-300))).sum())
        total += float(weight[test].sum())
    return loss / total
