"""Trials: which runs are counted, and how they lower the metrics of the chosen one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import kurtosis, norm, skew

from trainer.errors import TrainerError
from trainer.evidence.record import Record
from trainer.statistics.costs import Costs, Terms
from trainer.statistics.overfitting import backtest_overfitting
from trainer.tracking.trials import Trial, Trials, find_trials, load_record, overfitting

HOUR = 3_600_000_000_000
COSTS = Costs(10.0, 5.0)


def trials_of(store: Any) -> Trials:
    experiment = store.client.get_experiment_by_name("e").experiment_id
    return find_trials(store.client, experiment, "SYNTH")


def synthetic_record(start: int, stop: int, seed: int, skill: float = 0.3) -> Record:
    """Return a record of the bars from `start` to `stop`; equal bars have equal returns."""
    moves = np.random.default_rng(0).normal(0, 0.02, 5_000)[start:stop]
    guess = skill * moves / 0.02 + np.random.default_rng(seed).normal(0, 1, len(moves))
    position = np.where(np.abs(guess) > 1, np.sign(guess), 0.0)
    bars = HOUR * np.arange(start, stop)
    return Record(bars, position, moves, np.full(len(moves), 0.5), (moves > 0).astype(float))


def test_every_run_that_can_be_chosen_is_a_trial_with_seeds_and_deleted_ones(
    registry_store: Any,
) -> None:
    store = registry_store
    one, two, three = (store.record(0.1, seed=seed) for seed in range(3))
    store.run(one)
    store.run(two, trials=5)  # five seeds
    store.client.delete_run(store.run(three))
    store.run(store.record(0.1, seed=3), interval="4h")
    store.run(one)  # the same command again
    store.run(store.record(0.1, seed=4), symbol="OTHER")
    for _ in range(2):  # older runs without a record: they may differ
        store.run(one, record_digest="")
    failed = store.run(store.record(0.1, seed=5))
    store.client.set_tag(failed, "kind", "failure")
    trials = trials_of(store)
    assert trials.n_trials == 1 + 5 + 1 + 1 + 0 + 0 + 2 + 0
    assert len(trials.trials) == 6
    assert sorted(trial.tries for trial in trials.trials) == [1, 1, 1, 1, 1, 5]
    other = store.client.create_experiment("another")
    assert find_trials(store.client, other, "SYNTH").n_trials == 0


def test_every_page_of_runs_is_read(registry_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = registry_store
    for seed in range(3):
        store.run(store.record(0.1, seed=seed))
    monkeypatch.setattr("trainer.tracking.store._RUNS_A_PAGE", 1)
    assert trials_of(store).n_trials == 3


def test_the_pbo_is_that_of_the_records_of_all_trials(registry_store: Any) -> None:
    store = registry_store
    chosen = store.record(0.2, seed=1)
    used = [
        store.record(0.1, seed=2),
        store.record(0.15, seed=3, start=600, stop=3_400),
        store.record(0.1, seed=4, start=1_900),  # more than half of the bars
    ]
    for record in (chosen, *used):
        store.run(record)
    store.client.delete_run(store.run(gone := store.record(0.1, seed=5)))
    store.run(store.record(0.9, seed=6, start=2_100))  # less than half
    store.run(store.record(0.9, seed=7), interval="4h")
    metrics = trials_of(store).metrics(chosen, interval="1h", terms=Terms(COSTS, 8_760))
    assert metrics["trials"] == 7
    # Bars 1,900 to 3,399 are common to all that count.
    columns = [np.zeros(1_500)]
    for record, first in [
        (chosen, 500),
        (used[0], 500),
        (used[1], 600),
        (used[2], 1_900),
        (gone, 500),
    ]:
        columns.append(record.net(Costs(10, 5))[1_900 - first :][:1_500])
    assert metrics["pbo"] == backtest_overfitting(np.column_stack(columns))
    assert 0 < metrics["pbo"] < 1, "it could not tell one column from another"


def test_all_trials_pay_the_costs_of_the_chosen_one() -> None:
    chosen, other = synthetic_record(0, 2_000, 1), synthetic_record(0, 2_000, 2)
    for fee in (0.0, 30.0):
        columns = [np.zeros(2_000), chosen.net(Costs(fee, 0)), other.net(Costs(fee, 0))]
        expected = backtest_overfitting(np.column_stack(columns))
        records = {other.digest: other}
        assert overfitting(records, chosen, Costs(fee, 0)) == expected


@pytest.mark.parametrize(("stop", "counts"), [(1_000, True), (999, False)])
def test_a_trial_needs_half_of_the_bars_of_the_chosen_one(stop: int, counts: bool) -> None:
    chosen, short = (
        synthetic_record(0, 2_000, 1, skill=0.05),
        synthetic_record(0, stop, 2, skill=0.3),
    )
    records = {chosen.digest: chosen, short.digest: short}
    columns = [np.zeros(2_000), chosen.net(Costs(10, 5))]
    if counts:
        columns = [column[:stop] for column in (*columns, short.net(Costs(10, 5)))]
    expected = backtest_overfitting(np.column_stack(columns))
    assert overfitting(records, chosen, COSTS) == expected


def test_holes_in_the_bars_of_a_trial_do_not_shift_it() -> None:
    chosen, whole = synthetic_record(0, 2_000, 1), synthetic_record(0, 2_000, 2)
    keep = np.arange(2_000) % 7 != 3
    fields = ("time_ns", "position", "forward_return", "probability", "outcome")
    holed = Record(*(getattr(whole, name)[keep] for name in fields))
    columns = [np.zeros(keep.sum()), chosen.net(Costs(10, 5))[keep], holed.net(Costs(10, 5))]
    pbo = overfitting({holed.digest: holed}, chosen, COSTS)
    assert pbo == backtest_overfitting(np.column_stack(columns))


def test_a_single_trial_is_compared_with_not_trading() -> None:
    good, bad = synthetic_record(0, 3_000, 1, skill=0.5), synthetic_record(0, 3_000, 2, skill=-0.5)
    assert overfitting({}, good, COSTS) == 0.0
    assert overfitting({good.digest: good}, good, COSTS) == 0.0
    # Not trading is chosen each time, and is right each time.
    assert overfitting({}, bad, COSTS) == 0.0
    assert math.isnan(overfitting({}, synthetic_record(0, 20, 1), COSTS))


def deflated(net: np.ndarray, ratios: list[float], n: int) -> float:
    """Return the deflated Sharpe ratio by the formulas of the papers and of ADR 0019."""
    sharpe = net.mean() / net.std(ddof=1)
    per_bar = np.array(ratios) / math.sqrt(8_760)
    gamma = 0.5772156649015329
    most = (
        (1 - gamma) * norm.ppf(1 - 1 / n) + gamma * norm.ppf(1 - 1 / (n * math.e)) if n > 1 else 0.0
    )
    luck = math.sqrt(1 / (len(net) - 1)) * most
    if len(ratios) > 1:
        luck = max(luck, min(0.0, per_bar.mean()) + per_bar.std(ddof=1) * most)
    spread = 1 - skew(net) * sharpe + (kurtosis(net, fisher=False) - 1) / 4 * sharpe**2
    return float(norm.cdf((sharpe - luck) * math.sqrt(len(net) - 1) / math.sqrt(spread)))


@pytest.mark.parametrize(
    "ratios",
    [
        [(1.0, 1)],
        [(1.0, 1), (1.0, 1), (1.1, 1)],  # hardly any spread: less than luck gives
        [(1.0, 1), (4.0, 3), (-2.0, 1)],
        [(1.0, 1), (-30.0, 1), (-25.0, 10)],  # lost to their costs
        [(9.0, 1), (8.0, 1), (1.0, 1)],  # a mean above 0 is no luck
    ],
)
def test_the_deflated_ratio_is_the_formula(ratios: list[tuple[float, int]]) -> None:
    net = synthetic_record(0, 2_000, 1, skill=0.06).net(Costs(0, 0))
    trials = Trials(
        tuple(Trial(str(i), "1h", ratio, tries, "") for i, (ratio, tries) in enumerate(ratios))
    )
    expected = deflated(net, [ratio for ratio, _ in ratios], sum(tries for _, tries in ratios))
    assert trials.deflated_sharpe(net, 8_760) == pytest.approx(expected, abs=1e-9)
    assert 0.001 < expected < 0.9999, "it could not tell one formula from another"


def test_trials_that_never_traded_count_with_a_ratio_of_0(registry_store: Any) -> None:
    store = registry_store
    store.run(flat := store.record(0.0), record_digest="a")
    store.client.log_metric(store.run(flat, record_digest="b"), "wf_net_sharpe", math.nan)
    still = Record(
        flat.time_ns, np.zeros(len(flat)), flat.forward_return, flat.probability, flat.outcome
    )
    store.run(still)
    ratios = sorted(trial.sharpe for trial in trials_of(store).trials)
    assert ratios.count(0.0) == 2
    assert ratios[0] < 0


def test_a_lost_record_is_none_and_a_number_of_trials_must_be_a_number(
    registry_store: Any,
) -> None:
    store = registry_store
    run_id = store.run(chosen := store.record(0.2))
    artifact_uri = store.client.get_run(run_id).info.artifact_uri
    assert load_record(artifact_uri).digest == chosen.digest  # type: ignore[union-attr]
    (store.folder / "mlruns").rename(store.folder / "elsewhere")
    assert load_record(artifact_uri) is None
    # Without the lost record the chosen one could only look better.
    metrics = trials_of(store).metrics(chosen, interval="1h", terms=Terms(COSTS, 8_760))
    assert math.isnan(metrics["pbo"])
    assert math.isfinite(metrics["dsr"])
    # A command that was killed may have left none, though.
    store.client.set_terminated(run_id, "KILLED")
    metrics = trials_of(store).metrics(chosen, interval="1h", terms=Terms(COSTS, 8_760))
    assert metrics["pbo"] == overfitting({}, chosen, COSTS)
    bad = store.run(chosen, trials="many")
    with pytest.raises(TrainerError, match=f"run {bad} has trials='many', which is not a number"):
        trials_of(store)


def test_trials_of_a_search_count_and_have_no_part_in_the_spread() -> None:
    net = synthetic_record(0, 3_000, 1, skill=0.12).net(COSTS)
    candidates = tuple(Trial(str(n), "1h", 0.1 * n, 1, str(n)) for n in range(3))
    searched = tuple(
        Trial(f"s{n}", "1h", 40.0 * (-1) ** n, 1, f"s{n}", True, "abc") for n in range(50)
    )
    seeds = (Trial("many", "1h", 0.1, 50, "many"),)
    alone = Trials(candidates).deflated_sharpe(net, 8_760)
    with_search = Trials(candidates + searched).deflated_sharpe(net, 8_760)
    assert with_search < alone
    assert with_search == Trials(candidates + seeds).deflated_sharpe(net, 8_760)
    as_candidates = tuple(replace(trial, search="") for trial in searched)
    assert Trials(candidates + as_candidates).deflated_sharpe(net, 8_760) < 1e-6 < with_search


def test_the_pbo_of_searched_settings_is_the_higher_one_of_two() -> None:
    """That of the candidates on the bars of the headline, that of the trials on theirs."""
    headline = synthetic_record(2_000, 4_000, 1)
    lucky = {seed: synthetic_record(0, 1_600, seed, skill=0.0) for seed in range(2, 12)}
    skilled = {seed: synthetic_record(0, 1_600, seed, skill=s) for seed, s in ((20, 2), (21, 0))}
    terms = Terms(COSTS, 8_760)

    def pbo(study: dict[int, Record], search: str) -> float:
        def ratio(record: Record) -> float:
            net = record.net(COSTS)
            return float(net.mean() / net.std(ddof=1) * np.sqrt(8_760))

        trials = tuple(
            Trial(str(n), "1h", ratio(record), 1, record.digest, True, "abc")
            for n, record in study.items()
        )
        records = {record.digest: record for record in (*study.values(), headline)}
        own = Trial("own", "1h", ratio(headline), 1, headline.digest)
        counted = Trials((own, *trials), records)
        return counted.metrics(headline, interval="1h", terms=terms, search=search)["pbo"]

    alone = overfitting({}, headline, COSTS)
    # Trials on other bars are no alternatives to the headline.
    assert pbo(lucky, "") == alone
    best = max(lucky.values(), key=lambda r: r.net(COSTS).mean() / r.net(COSTS).std(ddof=1))
    of_luck = overfitting({r.digest: r for r in lucky.values()}, best, COSTS)
    assert of_luck > alone
    assert pbo(lucky, "abc") == of_luck
    assert pbo(skilled, "abc") == alone
    assert math.isnan(pbo(lucky, "lost"))
