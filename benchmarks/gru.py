"""GRU training on chunks of rows against training on one window per sample.

Both schemes are compared by speed and by log-loss out of fold.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from adapters.base import Batch
from adapters.gru import GRUAdapter
from adapters.gru_training import Rows, Settings, train_network
from adapters.recurrent import RecurrentNetwork, window_ends
from adapters.torch_tools import Standardiser, deterministic, one_thread
from benchmarks.inputs import real_builder, real_source
from benchmarks.measure import BenchmarkResult, Options, Target
from trainer.procedure.procedure import TAIL_FRACTION
from trainer.procedure.sample import Sample
from trainer.procedure.splits import PurgedKFold, purged_tail
from trainer.statistics.performance import base_rate_log_loss, log_loss

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
#: Sizes for which the target is stated.
FEATURES, LOOKBACK, HIDDEN = 60, 64, 64
#: Windows in one update. With 256 the log-loss was lower than with 64 and with 1,024.
_WINDOW_BATCH = 256
_CHUNKS, _EQUAL_TIME, _EQUAL_EPOCHS = "chunks", "windows, equal time", "windows, equal epochs"


def run(options: Options) -> BenchmarkResult:
    result = BenchmarkResult(
        "gru",
        "Training on chunks with a burn-in, as the adapter does, against one window a sample. Both "
        "are the same network, loss, optimiser and early stopping; one thread.",
    )
    _compare_speed(result, options)
    _compare_quality(result, options)
    return result


# --- speed -----------------------------------------------------------------------------------


def _compare_speed(result: BenchmarkResult, options: Options) -> None:
    """Compare samples per CPU second on SYNTHETIC rows."""
    n = options.pick(60_000, 2_000)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, FEATURES)).astype(np.float32)
    y = (rng.random(n) < 0.5).astype(float)
    rows = _network_rows(Standardiser.of(X), Batch(X, y, np.ones(n), np.arange(n)))
    large = _settings(1, lookback=LOOKBACK)
    rates = _measure_rates(
        rows,
        HIDDEN,
        {
            "chunks": replace(large, chunk=256, batch=32),
            "windows": replace(large, chunk=LOOKBACK, batch=256),
        },
        options,
    )
    _add_rates(result, f"{FEATURES} features, {LOOKBACK} steps, hidden {HIDDEN}", rates)
    fast = statistics.median(rates["chunks"])
    result.targets.append(Target("training, samples a CPU second", fast, 60_000, True))
    ratio = fast / statistics.median(rates["windows"])
    result.notes.append(f"chunks / windows: {ratio:.1f}x samples a CPU second")
    standard, hidden = _settings(1), int(GRUAdapter.defaults["hidden"])
    rates = _measure_rates(rows, hidden, {"chunks": standard}, options)
    what = f"{FEATURES} features, {standard.lookback} steps, hidden {hidden}: the defaults"
    _add_rates(result, what, rates)
    pairs = zip(rates["scoring"], rates["chunks"], strict=True)
    quicker = statistics.median(scoring / training for scoring, training in pairs)
    result.targets.append(Target("scoring / training, defaults", quicker, 1, True, "x"))


def _measure_rates(
    rows: Rows, hidden: int, schemes: dict[str, Settings], options: Options
) -> dict[str, list[float]]:
    """Return samples per CPU second of training by each scheme, and of scoring."""
    n, lookback = len(rows.position), next(iter(schemes.values())).lookback
    rates: dict[str, list[float]] = {name: [] for name in (*schemes, "scoring")}
    for _ in range(options.repeats(5)):
        for name, settings in schemes.items():
            # One window a sample is slow, and fewer updates give the same rate.
            few = replace(settings, max_updates=options.pick(40 if name == "windows" else 200, 2))
            network = RecurrentNetwork(FEATURES, hidden, 0.1)
            started = time.process_time()
            with deterministic(0):
                history = train_network(network, rows, None, few, lambda _: None)
            n_samples = min(n, history.updates * settings.batch * (settings.chunk - lookback + 1))
            rates[name].append(n_samples / (time.process_time() - started))
        started = time.process_time()
        with one_thread():
            network.score_windows(rows.x, torch.arange(lookback - 1, n), lookback)
        rates["scoring"].append((n - lookback + 1) / (time.process_time() - started))
    return rates


def _add_rates(result: BenchmarkResult, what: str, rates: dict[str, list[float]]) -> None:
    result.add_spreads(f"samples a CPU second, SYNTHETIC rows: {what}", rates, ",.0f")


# --- quality ---------------------------------------------------------------------------------


@dataclass
class _Scheme:
    """One scheme of training, with its results over the folds.

    Attributes
    ----------
    chunk, batch : int
        Rows of a chunk, and chunks in one update. A chunk of `lookback` rows is one window.
    scores : float64 array of shape (n,)
        Out-of-fold scores; NaN for rows that were not tested.
    seconds : float
        CPU seconds of all fits.
    """

    chunk: int
    batch: int
    scores: FloatArray
    seconds: float = 0.0


def _compare_quality(result: BenchmarkResult, options: Options) -> None:
    """Compare the log-loss of the schemes on real bars, out of fold."""
    source, symbol, description = real_source("sample" if options.quick else options.source)
    sample = Sample.of(real_builder(source).build(symbol))
    adapter = GRUAdapter(task="classification")
    chunk, batch = int(adapter.params["chunk"]), int(adapter.params["batch"])
    blank = np.full(len(sample), np.nan)
    schemes = {
        _CHUNKS: _Scheme(chunk, batch, blank.copy()),
        _EQUAL_TIME: _Scheme(adapter.lookback, _WINDOW_BATCH, blank.copy()),
        _EQUAL_EPOCHS: _Scheme(adapter.lookback, _WINDOW_BATCH, blank.copy()),
    }
    epochs = 1 if options.quick else int(adapter.params["max_epochs"])
    splitter = PurgedKFold(
        5, embargo=100, lookback=adapter.lookback, t0=sample.bar, t1=sample.label_end
    )
    for train, test in list(splitter.split())[: options.pick(5, 1)]:
        _score_fold(sample, train, test, schemes, _settings(epochs))
    tested = np.isfinite(schemes[_CHUNKS].scores)
    outcome = sample.outcome[tested]
    result.add_table(
        f"{description} 12-bar direction, purged folds, out of fold, default hyperparameters",
        ["", "CPU seconds", "log-loss"],
        [
            [name, f"{s.seconds:.1f}", f"{log_loss(s.scores[tested], outcome):.5f}"]
            for name, s in schemes.items()
        ]
        + [["base rate", "", f"{base_rate_log_loss(outcome):.5f}"]],
    )
    losses = [log_loss(s.scores[tested], outcome) for s in schemes.values()]
    result.targets.append(
        Target("log-loss, chunks less the better of windows", losses[0] - min(losses[1:]), 0, False)
    )


def _score_fold(
    sample: Sample,
    train: IntArray,
    test: IntArray,
    schemes: dict[str, _Scheme],
    defaults: Settings,
) -> None:
    """Fit one fold by each scheme, and write its scores and seconds into the scheme.

    The first scheme is the chunks; its seconds are the budget of the windows at equal time.
    """
    fit_rows, tail_rows = purged_tail(sample.bar[train], sample.label_end[train], TAIL_FRACTION)
    fit_batch, tail_batch = sample.batch(train[fit_rows]), sample.batch(train[tail_rows])
    standardise = Standardiser.of(fit_batch.X)
    budget = 0.0
    for name, scheme in schemes.items():
        settings = replace(defaults, chunk=scheme.chunk, batch=scheme.batch)
        if name == _EQUAL_TIME:
            settings = replace(
                settings, max_updates=_affordable(standardise, fit_batch, settings, budget)
            )
        started = time.process_time()
        network = _fit_network(standardise, fit_batch, tail_batch, settings)
        spent = time.process_time() - started
        scheme.seconds += spent
        budget = budget or spent
        scheme.scores[test] = _score(network, standardise, sample, test, settings.lookback)


def _fit_network(
    standardise: Standardiser, fit_batch: Batch, tail_batch: Batch, settings: Settings
) -> RecurrentNetwork:
    """Fit a network with the default hyperparameters, as the adapter does."""
    params = GRUAdapter.defaults
    with deterministic(1):
        network = RecurrentNetwork(
            fit_batch.X.shape[1], int(params["hidden"]), float(params["dropout"])
        )
        # The first scores are the base rate.
        rate = float(np.average(fit_batch.y, weights=fit_batch.weight))
        torch.nn.init.constant_(network.head.bias, float(np.log(rate / (1 - rate))))
        train_network(
            network,
            _network_rows(standardise, fit_batch),
            _network_rows(standardise, tail_batch),
            settings,
            lambda _: None,
        )
    return network


def _settings(epochs: int, lookback: int | None = None) -> Settings:
    """Return the default settings with these epochs."""
    p = GRUAdapter.defaults
    return Settings(
        task="classification",
        lookback=lookback or int(p["lookback"]),
        chunk=int(p["chunk"]),
        batch=int(p["batch"]),
        learning_rate=float(p["learning_rate"]),
        weight_decay=float(p["weight_decay"]),
        clip_norm=float(p["clip_norm"]),
        max_epochs=epochs,
        checks_per_epoch=int(p["checks_per_epoch"]),
        patience=int(p["patience"]),
        seed=1,
    )


def _network_rows(standardise: Standardiser, batch: Batch) -> Rows:
    """Return standardised rows in the form that the network reads."""
    y, weight = batch.y.astype(np.float32), batch.weight.astype(np.float32)
    return Rows(standardise(batch.X), torch.from_numpy(y), torch.from_numpy(weight), batch.position)


def _affordable(standardise: Standardiser, batch: Batch, settings: Settings, seconds: float) -> int:
    """Return the number of updates on windows that take these CPU seconds."""
    network = RecurrentNetwork(batch.X.shape[1], int(GRUAdapter.defaults["hidden"]), 0.1)
    rows = _network_rows(standardise, batch)
    with deterministic(0):
        for n_updates in (5, 60):  # the first five updates warm PyTorch up
            few = replace(settings, max_updates=n_updates)
            started = time.process_time()
            train_network(network, rows, None, few, lambda _: None)
    return max(1, int(seconds / ((time.process_time() - started) / n_updates)))


def _score(
    network: RecurrentNetwork,
    standardise: Standardiser,
    sample: Sample,
    test: IntArray,
    lookback: int,
) -> FloatArray:
    """Return the scores of the test rows; NaN for a row without a complete window."""
    ends = np.intersect1d(window_ends(sample.bar, lookback), test)
    scores = np.full(len(sample), np.nan)  # (n,)
    with one_thread():
        output = network.eval().score_windows(
            standardise(sample.X), torch.from_numpy(ends), lookback
        )
    scores[ends] = torch.sigmoid(output.double()).numpy()
    return np.asarray(scores[test])
