"""The table of a comparison at several widths of the terminal, and the notes below it."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from cli.compare_view import print_comparison
from trainer.tracking.candidates import CONTRACT, Candidate, CandidateVersion
from trainer.tracking.ranking import Comparison, rank

METRICS = {
    "net_sharpe": 1.125,
    "net_sharpe_lower": -0.5,
    "net_sharpe_upper": 2.75,
    "dsr": 0.875,
    "pbo": 0.31,
    "n_trades": 1510,
    "net_return": -0.125,
    "gross_sharpe": 1.62,
    "buy_hold_sharpe": 1.04,
    "less_hold": 0.08,
    "log_loss": 0.6921,
    "base_rate_log_loss": 0.6934,
}
SHARED = {
    "fee_bps": "10.0",
    "slippage_bps": "5.0",
    "horizon": "12",
    "interval": "1h",
    "task": "direction",
    "calendar": "24/7",
    "allow_short": "True",
    "feature_signature": "f" * 64,
    "data_digest": "d" * 64,
    "walk_forward_plan": "p" * 64,
}


def candidate(
    run_id: str,
    metrics: dict[str, float] = METRICS,
    *versions: CandidateVersion,
    status: str = "proven",
    **contract: str | None,
) -> Candidate:
    known = {name: value for name, value in {**SHARED, **contract}.items() if value is not None}
    started = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return Candidate(run_id * 4, "lightgbm", "BTCUSDT", started, status, metrics, known, versions)


def printed(
    *candidates: Candidate,
    width: int = 200,
    terminal: bool = True,
    uri: str = "sqlite:///x.db",
    searched: int = 0,
) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    ranking = rank("BTCUSDT", candidates, "http://127.0.0.1:5000/#/" + "x" * 200)
    counted = replace(ranking, searched=searched)
    print_comparison(console, Comparison("barwright", uri, (counted,)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def cells(text: str, run: str) -> list[str]:
    (line,) = (
        line for line in text.splitlines() if f"  {run * 4}"[:10] in line and "run" not in line
    )
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_every_metric_is_in_its_column() -> None:
    versions = (
        CandidateVersion(5, ("latest",), ""),
        CandidateVersion(3, ("before", "champion"), ""),
    )
    text = printed(candidate("ab12", METRICS, *versions))
    assert cells(text, "ab12") == [
        "1",
        "lightgbm",
        "5 latest, 3 @before @champion",
        "proven",
        "ab12ab12",
        "1.12",
        "-0.50 to 2.75",
        "0.88",
        "0.31",
        "1510",
        "-12.5%",
        "1.62",
        "1.04",
        "+0.08",
        "-0.0013",
        "2026-01-02 03:04",
    ]
    (heading,) = (line for line in text.splitlines() if "version" in line)
    assert heading.split() == [
        "model", "version", "status", "run", "Sharpe", "interval", "DSR", "PBO", "trades",
        "return", "Sharpe", "Sharpe", "hold", "-", "base", "(UTC)",
    ]  # fmt: skip


def test_a_metric_that_was_not_logged_is_a_dash() -> None:
    row = cells(printed(candidate("ab12", {}, status="")), "ab12")
    assert row == ["-", "lightgbm", "-", "-", "ab12ab12", *["-"] * 10, "2026-01-02 03:04"]


@pytest.mark.parametrize(
    ("width", "printed_parts", "left_out"),
    [
        (200, ["-0.50 to 2.75", "0.31", "-0.0013", "2026-01-02"], []),
        (100, ["-0.50 to 2.75", "0.31", "1510"], ["-0.0013", "2026-01-02"]),
        (72, ["1.12", "-0.50 to 2.75"], ["0.31", "1510", "-0.0013"]),
        (60, ["1.12"], ["-0.50 to", "0.31"]),
    ],
)
def test_columns_are_as_many_as_fit(
    width: int, printed_parts: list[str], left_out: list[str]
) -> None:
    text = printed(candidate("ab12", METRICS, CandidateVersion(3, ("latest",), "")), width=width)
    table = text.partition("Ranked:")[0]
    for part in ("lightgbm", "3 latest", "proven", "ab12ab12", *printed_parts):
        assert part in table
    for part in (*left_out, "\u2026"):
        assert part not in table
    assert max(len(line) for line in table.splitlines()) <= width


def test_rows_of_another_contract_have_a_mark_and_a_note() -> None:
    text = printed(
        candidate("aa11"),
        candidate("bb22", fee_bps="5.0", horizon="24"),
        candidate("cc33", data_digest="e" * 64),
        candidate("dd44"),
        candidate("ee55", fee_bps="5.0", horizon="24"),
        candidate("ff66", walk_forward_plan=None, feature_signature="g" * 64),
    )
    assert [cells(text, run)[0] for run in ("aa11", "bb22", "cc33", "dd44", "ee55", "ff66")] == [
        "1", "*", "*", "2", "*", "*",
    ]  # fmt: skip
    notes = text.partition("Ranked:")[2].splitlines()
    assert notes[0] == (
        " fee_bps 10, slippage_bps 5, horizon 12, interval 1h, task direction, calendar 24/7, "
        "allow_short True."
    )
    assert notes[1].startswith("* Another contract: these Sharpe ratios may not be ranked")
    assert notes[2:5] == [
        "  runs bb22bb22, ee55ee55: fee_bps 5, others 10; horizon 24, others 12",
        "  run cc33cc33: bars eeeeeeee, others dddddddd",
        "  run ff66ff66: features gggggggg, others ffffffff; "
        "walk-forward blocks unknown, others pppppppp",
    ]


def test_the_contract_has_these_fields_in_this_order() -> None:
    assert tuple(SHARED) == CONTRACT


def test_one_contract_needs_no_note() -> None:
    text = printed(candidate("aa11"), candidate("bb22"))
    assert "*" not in text
    assert "--all" not in text


def test_settings_are_listed_if_they_differ() -> None:
    exits = [replace(candidate(name), settings="position=exit") for name in ("aa11", "bb22")]
    text = printed(*exits, candidate("cc33"))
    assert "Settings, as the names of the runs say them:" in text
    assert "  aa11aa11, bb22bb22: position=exit\n  cc33cc33: the defaults\n" in text
    assert "Settings, as" not in printed(*exits)


def test_trials_of_searches_are_counted() -> None:
    text = "50 trials of searches count, too, equal walk-forwards once; they have no model, so they"
    assert text in printed(candidate("aa11"), searched=50)
    assert "searches" not in printed(candidate("aa11"))


def test_candidates_that_are_left_out_are_counted() -> None:
    text = printed(*(candidate(f"{n:04d}") for n in range(23)))
    assert "BTCUSDT: 23 candidates, walk-forward, after costs" in text
    assert "3 more without an alias; --all lists them." in text


def test_the_link_is_not_broken_and_names_the_server_that_it_needs() -> None:
    text = printed(candidate("aa11"), width=60)
    assert "Charts: http://127.0.0.1:5000/#/" + "x" * 200 + "\n" in text
    assert "mlflow server --backend-store-uri sqlite:///x.db --workers 1\n" in text
    assert "mlflow server" not in printed(candidate("aa11"), uri="https://host")
    text = printed(candidate("aa11"), uri="sqlite:////my [red]bars/x.db", width=60)
    assert "mlflow server --backend-store-uri 'sqlite:////my [red]bars/x.db' --workers 1\n" in text
