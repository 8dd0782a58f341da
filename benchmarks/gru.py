"""GRU training on chunks against one window a sample: speed, and log-loss out of fold."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from adapters.base import Batch
from adapters.gru import GRUAdapter
from adapters.gru_training import Rows, Settings, train_network
from adapters.recurrent import RecurrentNetwork, window_ends
from adapters.torch_tools import Standardiser, deterministic, one_thread
from benchmarks.inputs import real_builder, real_source
from benchmarks.measure import Options, Report, Target
from trainer.procedure.procedure import TAIL_FRACTION
from trainer.procedure.sample import Sample
from trainer.procedure.splits import PurgedKFold, purged_tail
from trainer.statistics.performance import base_rate_log_loss, log_loss

#: The sizes that the target is stated for.
FEATURES, LOOKBACK, HIDDEN = 60, 64, 64
#: One window a sample learns best from many small draws; 256 was the best of 64, 256, 1,024.
_WINDOWS = {"batch": 256}


def run(options: Options) -> Report:
    report = Report(
        "gru",
        "Training on chunks with a burn-in, as the adapter does, against one window a sample. Both "
        "are the same network, loss, optimiser and early stopping; one thread.",
    )
    _speed(report, options)
    _quality(report, options)
    return report


def _speed(report: Report, options: Options) -> None:
    n = options.pick(60_000, 2_000)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, FEATURES)).astype(np.float32)
    y = (rng.random(n) < 0.5).astype(float)
    rows = _rows(Standardiser.of(X), Batch(X, y, np.ones(n), np.arange(n)))
    large = _settings(1, lookback=LOOKBACK)
    rates = _rates(
        rows,
        HIDDEN,
        {
            "chunks": replace(large, chunk=256, batch=32),
            "windows": replace(large, chunk=LOOKBACK, batch=256),
        },
        options,
    )
    _add_rates(report, f"{FEATURES} features, {LOOKBACK} steps, hidden {HIDDEN}", rates)
    fast = statistics.median(rates["chunks"])
    report.targets.append(Target("training, samples a CPU second", fast, 60_000, True))
    ratio = fast / statistics.median(rates["windows"])
    report.notes.append(f"chunks / windows: {ratio:.1f}x samples a CPU second")
    standard, hidden = _settings(1), int(GRUAdapter.defaults["hidden"])
    rates = _rates(rows, hidden, {"chunks": standard}, options)
    what = f"{FEATURES} features, {standard.lookback} steps, hidden {hidden}: the defaults"
    _add_rates(report, what, rates)
    pairs = zip(rates["scoring"], rates["chunks"], strict=True)
    quicker = statistics.median(scoring / training for scoring, training in pairs)
    report.targets.append(Target("scoring / training, defaults", quicker, 1, True, "x"))


def _rates(
    rows: Rows, hidden: int, schemes: dict[str, Settings], options: Options
) -> dict[str, list[float]]:
    """Samples a CPU second: trained by each scheme, and scored."""
    n, lookback = len(rows.position), next(iter(schemes.values())).lookback
    rates: dict[str, list[float]] = {name: [] for name in (*schemes, "scoring")}
    for _ in range(options.repeats(5)):
        for name, settings in schemes.items():
            # A window a sample is slow: fewer updates say as much.
            few = replace(settings, max_updates=options.pick(40 if name == "windows" else 200, 2))
            network = RecurrentNetwork(FEATURES, hidden, 0.1)
            started = time.process_time()
            with deterministic(0):
                history = train_network(network, rows, None, few, lambda _: None)
            counted = min(n, history.updates * settings.batch * (settings.chunk - lookback + 1))
            rates[name].append(counted / (time.process_time() - started))
        started = time.process_time()
        with one_thread():
            network.score_windows(rows.x, torch.arange(lookback - 1, n), lookback)
        rates["scoring"].append((n - lookback + 1) / (time.process_time() - started))
    return rates


def _add_rates(report: Report, what: str, rates: dict[str, list[float]]) -> None:
    report.add_table(
        f"samples a CPU second, SYNTHETIC rows: {what}",
        ["", "min", "median", "max"],
        [
            [name, *(f"{f(values):,.0f}" for f in (min, statistics.median, max))]
            for name, values in rates.items()
        ],
    )


@dataclass
class _Scheme:
    chunk: int
    batch: int
    scores: np.ndarray
    seconds: float = 0.0


def _quality(report: Report, options: Options) -> None:
    source, symbol, which = real_source("sample" if options.quick else options.source)
    sample = Sample.of(real_builder(source).build(symbol))
    adapter = GRUAdapter(task="classification")
    lookback = adapter.lookback
    blank = np.full(len(sample), np.nan)
    chunk, batch = int(adapter.params["chunk"]), int(adapter.params["batch"])
    schemes = {
        "chunks": _Scheme(chunk, batch, blank.copy()),
        "windows, equal time": _Scheme(lookback, _WINDOWS["batch"], blank.copy()),
        "windows, equal epochs": _Scheme(lookback, _WINDOWS["batch"], blank.copy()),
    }
    epochs = 1 if options.quick else int(adapter.params["max_epochs"])
    splitter = PurgedKFold(5, embargo=100, lookback=lookback, t0=sample.bar, t1=sample.label_end)
    for rows, test in list(splitter.split())[: options.pick(5, 1)]:
        train, tail = purged_tail(sample.bar[rows], sample.label_end[rows], TAIL_FRACTION)
        fitted, watched = sample.batch(rows[train]), sample.batch(rows[tail])
        keep = Standardiser.of(fitted.X)
        budget = 0.0
        for name, scheme in schemes.items():
            settings = replace(_settings(epochs), chunk=scheme.chunk, batch=scheme.batch)
            if name == "windows, equal time":
                settings = replace(
                    settings, max_updates=_affordable(keep, fitted, settings, budget)
                )
            started = time.process_time()
            with deterministic(1):
                network = RecurrentNetwork(
                    fitted.X.shape[1],
                    int(adapter.params["hidden"]),
                    float(adapter.params["dropout"]),
                )
                rate = float(np.average(fitted.y, weights=fitted.weight))
                torch.nn.init.constant_(network.head.bias, float(np.log(rate / (1 - rate))))
                train_network(
                    network, _rows(keep, fitted), _rows(keep, watched), settings, lambda _: None
                )
            spent = time.process_time() - started
            scheme.seconds += spent
            budget = budget or spent
            scheme.scores[test] = _score(network, keep, sample, test, lookback)
    tested = np.isfinite(schemes["chunks"].scores)
    outcome = sample.outcome[tested]
    report.add_table(
        f"{which} 12-bar direction, purged folds, out of fold, default hyperparameters",
        ["", "CPU seconds", "log-loss"],
        [
            [name, f"{s.seconds:.1f}", f"{log_loss(s.scores[tested], outcome):.5f}"]
            for name, s in schemes.items()
        ]
        + [["base rate", "", f"{base_rate_log_loss(outcome):.5f}"]],
    )
    losses = [log_loss(s.scores[tested], outcome) for s in schemes.values()]
    report.targets.append(
        Target("log-loss, chunks less the better of windows", losses[0] - min(losses[1:]), 0, False)
    )


def _settings(epochs: int, lookback: int | None = None) -> Settings:
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


def _rows(keep: Standardiser, batch: Batch) -> Rows:
    y, weight = batch.y.astype(np.float32), batch.weight.astype(np.float32)
    return Rows(keep(batch.X), torch.from_numpy(y), torch.from_numpy(weight), batch.position)


def _affordable(keep: Standardiser, batch: Batch, settings: Settings, seconds: float) -> int:
    """Updates of one window a sample that fit into the time the chunks took."""
    network = RecurrentNetwork(batch.X.shape[1], int(GRUAdapter.defaults["hidden"]), 0.1)
    rows = _rows(keep, batch)
    with deterministic(0):
        for tried in (5, 60):  # the first ones also warm torch up
            few = replace(settings, max_updates=tried)
            started = time.process_time()
            train_network(network, rows, None, few, lambda _: None)
    return max(1, int(seconds / ((time.process_time() - started) / tried)))


def _score(
    network: RecurrentNetwork, keep: Standardiser, sample: Sample, test: np.ndarray, lookback: int
) -> np.ndarray:
    ends = np.intersect1d(window_ends(sample.bar, lookback), test)
    scores = np.full(len(sample), np.nan)
    with one_thread():
        output = network.eval().score_windows(keep(sample.X), torch.from_numpy(ends), lookback)
    scores[ends] = torch.sigmoid(output.double()).numpy()
    return np.asarray(scores[test])
