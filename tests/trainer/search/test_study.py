"""The study: proposals that depend on nothing but what they may know, and trials that end early."""

from __future__ import annotations

import random

import pytest

from adapters.base import Range
from trainer.search.space import Space
from trainer.search.study import (
    BATCH,
    LEAST_COMPLETE,
    RANDOM_TRIALS,
    known_before,
    propose,
    should_stop,
)
from trainer.search.trial import Trial

SPACE = Space(
    {"horizon": (3, 12, 48), "position": ("threshold", "exit"),
     "m.leaves": Range(4, 64, log=True), "m.rate": Range(0.01, 1.0, log=True)},
    {"horizon": 12, "position": "threshold", "m.leaves": 15, "m.rate": 0.03},
)  # fmt: skip


def earned(values: dict[str, object]) -> float:
    """Return the ratio of settings: best at horizon 3, exit and a high rate."""
    good = (values["horizon"] == 3) + (values["position"] == "exit")
    return good + float(values["m.rate"])  # type: ignore[arg-type]


def run(budget: int, seed: int = 1, order: random.Random | None = None) -> list[Trial]:
    """Run trials batch by batch; those of a batch end in any order."""
    trials: list[Trial] = []
    while len(trials) < budget:
        begin = len(trials)
        numbers = list(range(begin, min(begin + BATCH - begin % BATCH, budget)))
        if order:
            order.shuffle(numbers)
        for number in numbers:
            values = propose(SPACE, known_before(trials, number), number, seed)
            trials.append(Trial(number, values, "complete", (earned(values),), 40))
    return sorted(trials, key=lambda trial: trial.number)


def test_the_first_trial_has_the_settings_of_the_command() -> None:
    assert propose(SPACE, [], 0, 1) == SPACE.start


def test_every_value_lies_in_the_space_with_its_type() -> None:
    for trial in run(40):
        assert list(trial.values) == list(SPACE.dimensions)
        for name, values in SPACE.dimensions.items():
            value = trial.values[name]
            if isinstance(values, Range):
                assert type(value) is type(values.low)
                assert values.low <= value <= values.high  # type: ignore[operator]
            else:
                assert value in values


def test_a_search_that_goes_on_has_the_trials_that_it_would_have_had() -> None:
    """Trials of a batch end in any order, and a kill loses any of them."""
    whole = run(30)
    mixed = run(30, order=random.Random(3))
    assert [trial.values for trial in mixed] == [trial.values for trial in whole]
    for kept in (5, 13, 18):
        left = [trial for trial in whole[:kept] if trial.number != kept - 2]
        for number in (kept - 2, kept):
            if number - number % BATCH <= kept - 2:  # the batches before are complete
                again = propose(SPACE, known_before(left, number), number, 1)
                assert again == whole[number].values
    assert [t.values for t in run(30, seed=2)[1:]] != [t.values for t in whole[1:]]


def test_a_batch_knows_nothing_of_itself() -> None:
    trials = [Trial(number, {}, "complete", (1.0,)) for number in range(2 * BATCH)]
    for number in range(BATCH):
        assert known_before(trials, number) == []
        known = known_before(trials[::-1], BATCH + number)
        assert [trial.number for trial in known] == list(range(BATCH))


def test_later_trials_are_better_than_random_ones() -> None:
    trials = run(60)
    early = [trial.value for trial in trials[1 : RANDOM_TRIALS + 1]]
    late = [trial.value for trial in trials[-20:]]
    assert sum(late) / len(late) > sum(early) / len(early) + 0.5


def test_trials_that_never_trade_are_told_apart_by_their_gain() -> None:
    def horizons(gain: float) -> list[object]:
        trials: list[Trial] = []
        for number in range(60):
            values = propose(SPACE, known_before(trials, number), number, 1)
            better = gain if values["horizon"] == 3 else 0.0
            trials.append(Trial(number, values, "complete", (0.0,), gain=better))
        return [trial.values["horizon"] for trial in trials[-20:]]

    assert horizons(0.003).count(3) >= 15
    assert horizons(0.0).count(3) < 15


def test_a_value_of_the_command_outside_the_space_is_tried_too() -> None:
    own = Space(SPACE.dimensions, {**SPACE.start, "horizon": 7})
    first = Trial(0, propose(own, [], 0, 1), "complete", (0.0,))
    tried = {propose(own, [first], number, 1)["horizon"] for number in range(BATCH, 60)}
    assert tried == {3, 7, 12, 48}


def complete(count: int) -> list[Trial]:
    """Trials whose ratios after their first block are 0, 1, 2, ... and 10 after the second."""
    return [
        Trial(number, {**SPACE.start}, "complete", (float(number), 10.0), 40)
        for number in range(count)
    ]


def test_a_trial_ends_early_if_it_is_below_the_median() -> None:
    past = complete(LEAST_COMPLETE)
    assert LEAST_COMPLETE == 5
    assert should_stop(SPACE, past, [1.9])
    assert not should_stop(SPACE, past, [2.0])
    assert should_stop(SPACE, past, [2.0, 9.9])
    assert not should_stop(SPACE, past, [2.0, 10.0])


@pytest.mark.parametrize("state", ["pruned", "failed"])
def test_too_few_complete_trials_end_none_early(state: str) -> None:
    past = complete(LEAST_COMPLETE - 1)
    others = [
        Trial(n, {**SPACE.start}, state, (9.0,) if state == "pruned" else ())  # type: ignore[arg-type]
        for n in range(10, 20)
    ]
    assert not should_stop(SPACE, [*past, *others], [-100.0])
