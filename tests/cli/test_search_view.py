"""Progress and summary of a search."""

from __future__ import annotations

import io
from dataclasses import replace

import pandas as pd
import pytest
from rich.console import Console

from cli.options import given_values
from cli.search_view import SearchView, print_search
from trainer.config import TrainConfig
from trainer.job import Job
from trainer.jobs.run_trial import FirstPart
from trainer.jobs.search import SearchSummary, Study
from trainer.search.space import Space
from trainer.search.trial import Trial

CONFIG = TrainConfig.parse(
    {"symbols": "BTCUSDT", "models": "lightgbm", "source": "sample", "fee_bps": "5"}
)
SPACE = Space.of("lightgbm", CONFIG, {})


def trial(number: int, ratio: float, n_trades: int = 40, **values: object) -> Trial:
    own = {**SPACE.start, **values}
    return Trial(number, own, "complete", (ratio,), n_trades)  # type: ignore[arg-type]


@pytest.fixture
def study() -> Study:
    times = pd.date_range("2020-01-01", periods=100, freq="1D", tz="UTC")
    part = FirstPart(pd.DataFrame({"timestamp": times}), "24/7", "d")
    trials = [
        trial(0, 0.0, 0),
        *(trial(n, n / 10, horizon=24, position="exit") for n in range(1, 8)),
    ]
    pruned = Trial(8, {**SPACE.start}, "pruned", (-3.0,))
    failed = Trial(9, {**SPACE.start}, "failed", error="`embargo` is too long")
    return Study(
        Job("BTCUSDT", "lightgbm"), key="0123456789abcdef", part=part, space=SPACE,
        trials={t.number: t for t in (*trials, pruned, failed)}, read=4,
    )  # fmt: skip


def printed(study: Study, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_search(console, SearchSummary([study], None), CONFIG)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_has_the_best_trials_and_that_of_the_command(study: Study, width: int) -> None:
    text = printed(study, width)
    assert "2020-01-01 to 2020-04-09" in " ".join(text.split())
    rows = [line.split()[0] for line in text.splitlines() if line.split()[:1] and
            line.split()[0].isdigit()]  # fmt: skip
    assert rows == ["8", "7", "6", "5", "4", "1"]
    assert "horizon=24, position=exit" in text
    assert "none" in text


def test_the_lines_say_how_trials_ended_and_how_to_train_again(study: Study) -> None:
    text = printed(study)
    assert (
        "lightgbm-BTCUSDT: 10 trials (8 complete, 1 ended early, 1 failed); 4 of them had been "
        "made before. Study 0123456789abcdef." in text
    )
    (line,) = [line for line in text.splitlines() if "trained as" in line]
    words = line.partition("barwright train ")[2].split()
    options = dict(zip(words[::2], words[1::2], strict=True))
    again = TrainConfig.parse(
        given_values({name.removeprefix("--").replace("-", "_"): v for name, v in options.items()})
    )
    best = study.best
    assert best is not None
    chosen = SPACE.apply(CONFIG, best.values)
    assert again == chosen.model_copy(update={"search": "0123456789abcdef"})


def test_a_study_without_a_best_trial_says_that_nothing_was_trained(study: Study) -> None:
    few = {n: replace(t, n_trades=29) for n, t in study.trials.items()}
    text = printed(replace(study, trials=few))
    assert "no settings earned anything on at least 30 trades, so nothing was trained." in text
    assert "trained as" not in text


def test_a_study_that_failed_is_named_with_its_reason(study: Study) -> None:
    text = printed(Study(Job("X", "gru"), error="there are no bars of [X]"))
    assert text.strip() == "gru-X: there are no bars of [X]"
    text = printed(replace(study, error="its settings failed"))
    assert "its settings failed" in text
    assert "trained as" not in text


def test_the_end_of_each_trial_is_a_line(study: Study) -> None:
    console = Console(file=io.StringIO(), width=60)
    with SearchView(console, CONFIG, 50) as view:
        view.on_progress("lightgbm-BTCUSDT", "trial 3", 1, 3)
        view.on_trial(study, study.trials[7])
        view.on_trial(study, study.trials[9])
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines == [
        "lightgbm-BTCUSDT: trial 8, 10 of 50, after 0.0 s: complete, net Sharpe ratio 0.70",
        "lightgbm-BTCUSDT: trial 10, 10 of 50, after 0.0 s: `embargo` is too long",
    ]
