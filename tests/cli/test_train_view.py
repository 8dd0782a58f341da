"""Progress and summary of a run at several widths of the terminal."""

from __future__ import annotations

import io
import math
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from cli.train_view import print_summary, summary_json
from trainer.config import TrainConfig
from trainer.evidence.evidence import Evidence
from trainer.evidence.headline import Headline
from trainer.evidence.record import Record
from trainer.evidence.verdict import Verdict
from trainer.job import DataFacts, Job, JobResult, TrainedModel
from trainer.jobs.train import Registration, Summary
from trainer.registry.newest import KeptVersion
from trainer.serving.contract import Contract

METRICS = {
    "net_sharpe": -0.25,
    "gross_sharpe": 1.5,
    "buy_hold_sharpe": 1.04,
    "less_hold": -1.29,
    "net_return": -0.125,
    "n_trades": 1510,
    "turnover": 3021,
}
DATA = DataFacts(
    symbol="BTCUSDT", interval="1h", bars=12, rows=10, first="", last="", dropped={"warmup": 2},
    gaps={"gaps": 1, "missing_bars": 2, "longest": 2}, cache="off",
    understood="BTCUSDT_1h.parquet", digest="",
)  # fmt: skip
EMPTY = np.zeros(0)
MODEL = TrainedModel(
    folder=Path(),
    contract=Contract("gru", "BTCUSDT", "1h", "24/7", "direction", 12, 10.0, 5.0, 24, False),
    headline=Headline(METRICS),
    evidence=Evidence(),
    record=Record(EMPTY.astype(np.int64), EMPTY, EMPTY, EMPTY, EMPTY),
    figures={},
    curves=[],
    params={},
    data=DATA,
    seconds={},
    requirements=(),
)
CONFIG = TrainConfig.parse({"symbols": "BTCUSDT", "source": "sample"})
PROVEN, UNPROVEN = Verdict("proven", "", []), Verdict("unproven", "it lost", [])
FLAT = Verdict("flat", "no threshold paid", [])


def registration(
    model: str, verdict: Verdict | None, trained: TrainedModel = MODEL
) -> Registration:
    """A job that ended with this verdict; without one it failed."""
    job = Job("BTCUSDT", model)
    if verdict is None:
        return Registration(JobResult(job, 0.0, 12.34, None, "no such [bars]"), None, None, {})
    return Registration(JobResult(job, 0.0, 12.34, trained), "3", verdict, {})


def printed(
    width: int,
    *registrations: Registration,
    uri: str = "sqlite:///mlflow.db",
    config: TrainConfig = CONFIG,
) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    summary = Summary(list(registrations), uri, "http://127.0.0.1:5000/#/x")
    print_summary(console, summary, config)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("width", "printed_parts", "left_out"),
    [
        (120, ["-0.25", "1510", "-12.5%", "1.50", "1.04", "3021", "12.3"], []),
        (80, ["-0.25", "1510", "-12.5%", "1.50"], ["3021", "12.3"]),
        (60, ["-0.25", "1510"], ["3021", "12.3", "1.50"]),
    ],
)
def test_names_and_status_are_whole_and_metrics_are_as_many_as_fit(
    width: int, printed_parts: list[str], left_out: list[str]
) -> None:
    text = printed(width, registration("lightgbm", UNPROVEN))
    table = text.partition("BTCUSDT: ")[0]
    for part in ("lightgbm-BTCUSDT", "unproven", *printed_parts):
        assert part in table
    for part in (*left_out, "\u2026"):
        assert part not in table
    assert max(len(line) for line in table.splitlines()) <= width


def test_an_undefined_metric_is_a_dash() -> None:
    model = replace(MODEL, headline=Headline({**METRICS, "net_sharpe": math.nan}))
    row = next(
        line for line in printed(120, registration("gru", UNPROVEN, model)).splitlines()
        if "gru-BTCUSDT" in line
    )  # fmt: skip
    assert row.split()[:4] == ["gru-BTCUSDT", "3", "unproven", "-"]


def test_a_failed_job_has_its_error_and_no_version() -> None:
    text = printed(120, registration("gru", None), registration("ppo", PROVEN))
    assert "gru-BTCUSDT: no such [bars]" in text
    row = next(line for line in text.splitlines() if "failed" in line)
    assert row.split() == ["gru-BTCUSDT", "-", "failed", *["-"] * 7, "12.3"]


def test_data_are_described_once_a_symbol() -> None:
    text = printed(200, registration("gru", PROVEN), registration("ppo", PROVEN))
    line = (
        "BTCUSDT: BTCUSDT_1h.parquet. 10 of 12 bars used (dropped: 2 warmup); 1 gaps, 2 bars "
        "missing, longest 2."
    )
    assert text.count(line) == 1


def test_of_many_symbols_the_one_with_most_missing_bars_is_described() -> None:
    symbols = [
        replace(DATA, symbol=f"S{n}", gaps={**DATA.gaps, "missing_bars": 7 if n == 3 else n % 5})
        for n in range(13)
    ]
    models = [registration("gru", PROVEN, replace(MODEL, data=data)) for data in symbols]
    text = " ".join(printed(200, *models).split())
    assert "13 symbols; the report of a model says how its bars were read." in text
    assert "Most bars are missing in S3: BTCUSDT_1h.parquet. 10 of 12 bars used" in text
    assert "S4:" not in text
    assert "S4:" in printed(200, *models[:12])


def test_fits_that_were_read_are_counted_if_there_were_any() -> None:
    read = replace(MODEL, data=replace(DATA, fits_read=30))
    text = printed(
        100, registration("gru", PROVEN, read), registration("ppo", PROVEN),
        registration("lightgbm", None),
    )  # fmt: skip
    assert "30 of 72 fits read from the cache." in text  # of two models: 6 procedures x 6 fits
    assert "from the cache" not in printed(100, registration("gru", PROVEN))


def test_null_runs_are_reported_if_there_were_any() -> None:
    model = replace(
        MODEL,
        headline=Headline({**METRICS, "null_percentile": 75.0}),
        evidence=Evidence(null_net_sharpe=(0.1, -0.2, math.nan, 0.3)),
    )
    text = printed(200, registration("gru", PROVEN, model))
    assert "gru-BTCUSDT beats 75 % of 4 null runs" in text
    assert "null runs" not in printed(200, registration("gru", PROVEN))
    # A walk-forward without a trade equals the null runs without one: it beats nothing.
    idle = Headline({**METRICS, "null_percentile": 50.0, "n_trades": 0.0})
    text = printed(200, registration("gru", PROVEN, replace(model, headline=idle)))
    assert "null runs" not in text


def test_the_verdict_is_printed_with_its_own_reason() -> None:
    text = printed(200, registration("gru", UNPROVEN), registration("ppo", FLAT))
    assert "gru-BTCUSDT is unproven: it lost." in text
    assert "ppo-BTCUSDT is flat: no threshold paid." in text
    assert "ppo-BTCUSDT traded in its walk-forward" in text
    never = replace(MODEL, headline=Headline({**METRICS, "n_trades": 0}))
    assert "traded in its walk-forward" not in printed(200, registration("ppo", FLAT, never))
    assert " is proven" not in printed(200, registration("gru", PROVEN))


def test_the_next_steps_are_for_the_best_status() -> None:
    text = printed(
        200, registration("gru", FLAT), registration("ppo", PROVEN), registration("x", UNPROVEN)
    )
    steps = [line.strip() for line in text.partition("Next:\n")[2].splitlines()]
    assert steps[0].endswith("--model models:/ppo-BTCUSDT@latest --source sample --last 5")
    assert steps[1:] == [
        "barwright report models:/ppo-BTCUSDT@latest",
        "barwright promote ppo-BTCUSDT",
        "mlflow server --backend-store-uri sqlite:///mlflow.db --workers 1",
        "compare: http://127.0.0.1:5000/#/x",
    ]
    text = printed(200, registration("gru", FLAT), uri="https://host")
    assert "barwright promote" not in text
    assert "mlflow server" not in text
    assert "Next:" not in printed(200, registration("gru", None))


def test_the_next_steps_can_be_copied_into_a_shell(tmp_path: Path) -> None:
    """Paths are quoted, and nothing in them is taken for a colour, a symbol or a line break."""
    folder = tmp_path / "my [red]bars; :dog: $HOME"
    folder.mkdir()
    config = TrainConfig.parse({"symbols": "BTCUSDT", "source": str(folder)})
    text = printed(60, registration("gru", PROVEN), uri=f"sqlite:///{folder}/x.db", config=config)
    steps = [shlex.split(line) for line in text.partition("Next:\n")[2].splitlines()]
    assert steps[0][-4:] == ["--source", str(folder), "--last", "5"]
    assert steps[3] == [
        "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/x.db", "--workers", "1",
    ]  # fmt: skip
    # A password is not printed, so the command takes the address from where it came from.
    text = printed(60, registration("gru", FLAT), uri="postgresql://me:***@db/mlflow")
    assert '  mlflow server --backend-store-uri "$MLFLOW_TRACKING_URI" --workers 1\n' in text


def test_statuses_of_many_models_are_counted_and_errors_are_all_printed() -> None:
    few = printed(100, *[registration("gru", UNPROVEN)] * 12)
    assert few.count("is unproven: it lost.") == 12
    many = [*[registration("gru", UNPROVEN)] * 12, registration("ppo", FLAT)]
    text = printed(100, *many, *[registration("lightgbm", None)] * 2)
    assert "is unproven" not in text
    assert text.count("lightgbm-BTCUSDT: no such [bars]") == 2
    assert "15 models: 12 unproven, 1 flat, 2 failed. `barwright compare` ranks them." in text


def test_kept_versions_have_their_metrics_and_the_reason() -> None:
    result = JobResult(Job("BTCUSDT", "gru"), 0.0, 0.0)
    kept = KeptVersion("7", "r", UNPROVEN, METRICS)
    text = printed(120, Registration.of_kept(result, kept), registration("ppo", PROVEN))
    row = next(line for line in text.splitlines() if "gru-BTCUSDT   7" in line)
    assert row.split()[2:5] == ["unproven", "-0.25", "1510"]
    assert row.split()[-1] == "-"
    assert "1 of 2 models are unchanged: " in text
    assert "gru-BTCUSDT is unproven: it lost." in text
    assert "are unchanged" not in printed(120, registration("ppo", PROVEN))


def test_the_end_as_json_counts_the_jobs() -> None:
    kept = Registration.of_kept(
        JobResult(Job("X", "gru"), 0.0, 0.0), KeptVersion("7", "r", UNPROVEN, METRICS)
    )
    summary = Summary([registration("gru", None), kept, registration("ppo", FLAT)], "u", "link")
    end = summary_json(summary)
    results: Any = end.pop("results")
    assert [(one["name"], one["version"], one["status"]) for one in results] == [
        ("gru-BTCUSDT", None, "failed"), ("gru-X", "7", "unproven"), ("ppo-BTCUSDT", "3", "flat"),
    ]  # fmt: skip
    assert end == {
        "jobs": 3, "failed": 1, "unchanged": 1, "tracking_uri": "u", "compare": "link",
    }  # fmt: skip
