"""Rankings: which candidates have a place, and errors for candidates that do not exist."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import mlflow
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from cli.app import cli
from trainer.tracking.candidates import CONTRACT, Candidate, CandidateVersion
from trainer.tracking.ranking import LISTED, compare_link, rank

START = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
CANDIDATE_CONTRACT = dict.fromkeys(CONTRACT, "1")


def candidate(
    run_id: str,
    sharpe: float | None,
    *versions: CandidateVersion,
    age: int = 0,
    **contract: str | None,
) -> Candidate:
    whole = {**CANDIDATE_CONTRACT, **contract}
    return Candidate(
        run_id,
        "gru",
        "BTC",
        START - timedelta(minutes=age),
        "unproven",
        {} if sharpe is None else {"net_sharpe": sharpe},
        {name: value for name, value in whole.items() if value is not None},
        versions,
    )


def order(*candidates: Candidate, everything: bool = False) -> list[tuple[str, int | None]]:
    ranking = rank("BTC", candidates, "", everything=everything)
    return [(row.candidate.run_id, row.place) for row in ranking.rows]


# --- ranking ---------------------------------------------------------------------------------


def test_best_first_and_those_that_never_traded_last_newest_first() -> None:
    assert order(
        candidate("old", None, age=9),
        candidate("poor", -1.0),
        candidate("new", None, age=1),
        candidate("best", 2.0),
    ) == [("best", 1), ("poor", 2), ("new", None), ("old", None)]


def test_equal_ratios_newest_first() -> None:
    assert order(candidate("old", 1.0, age=1), candidate("new", 1.0)) == [("new", 1), ("old", 2)]


@pytest.mark.parametrize("field", CONTRACT)
def test_another_contract_has_no_place_and_takes_none(field: str) -> None:
    ranking = rank(
        "BTC",
        [
            candidate("a", 1.0),
            candidate("cheap", 9.0, **{field: "2"}),
            candidate("unknown", 5.0, **{field: None}),
            candidate("b", 0.5),
        ],
        "",
    )
    assert [(row.candidate.run_id, row.place, row.differs) for row in ranking.rows] == [
        ("cheap", None, {field: ("2", "1")}),
        ("unknown", None, {field: (None, "1")}),
        ("a", 1, {}),
        ("b", 2, {}),
    ]
    assert ranking.contract == CANDIDATE_CONTRACT


def test_among_equally_common_contracts_that_of_the_best_candidate_counts() -> None:
    ranking = rank("BTC", [candidate("a", 1.0), candidate("b", 2.0, horizon="2")], "")
    assert ranking.contract["horizon"] == "2"
    assert [row.place for row in ranking.rows] == [1, None]


def test_the_contract_is_compared_as_a_whole_not_field_by_field() -> None:
    # Each field's most common value is 1, but no candidate has both.
    ranking = rank(
        "BTC",
        [
            candidate("a", 3.0, horizon="2"),
            candidate("b", 2.0, horizon="2"),
            candidate("c", 1.0, fee_bps="2"),
            candidate("d", 0.0, fee_bps="3"),
            candidate("e", 0.0, fee_bps="4"),
        ],
        "",
    )
    assert ranking.contract["horizon"] == "2"
    assert [row.place for row in ranking.rows] == [1, 2, None, None, None]


def test_the_tail_is_left_out_by_default_except_versions_with_an_alias() -> None:
    many = [candidate(f"{n}", -float(n)) for n in range(LISTED + 2)]
    named = candidate("named", -99.0, CandidateVersion(3, ("champion",), ""))
    ranking = rank("BTC", [*many, named], "")
    assert [row.candidate.run_id for row in ranking.rows][-2:] == [f"{LISTED - 1}", "named"]
    assert ranking.rows[-1].place == LISTED + 3
    assert ranking.left_out == 2
    everything = rank("BTC", [*many, named], "", everything=True)
    assert (len(everything.rows), everything.left_out) == (LISTED + 3, 0)


# --- the link --------------------------------------------------------------------------------


def test_a_link_has_no_character_at_which_a_terminal_would_end_it() -> None:
    link = compare_link("https://me:secret@host/mlflow/", "7", "tags.symbol='BTC'")
    assert link.startswith("https://me:***@host/mlflow/#/experiments/7/runs?")
    assert not set(link) & set(" '`\"<>")
    query = parse_qs(urlsplit(urlsplit(link).fragment).query)
    assert query == {
        "searchFilter": ["tags.kind='candidate' and tags.symbol='BTC'"],
        "orderByKey": ["metrics.`wf_net_sharpe`"],
        "orderByAsc": ["false"],
        "compareRunsMode": ["CHART"],
    }


def test_the_link_of_a_database_is_that_of_a_server_on_the_default_port() -> None:
    assert compare_link("sqlite:///mlflow.db", "7").startswith("http://127.0.0.1:5000/#/")


# --- the command, on a real store ------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    uri = f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri, uri)
    experiment = client.create_experiment("barwright")
    client.create_experiment("empty")
    for name, sharpe in (
        ("gru-BTC", 1.0),
        ("lightgbm-BTC", 2.0),
        ("ppo-BTC", 3.0),
        ("gru-ETH", 4.0),
    ):
        model, _, symbol = name.partition("-")
        tags = {"kind": "candidate", "model": model, "symbol": symbol}
        run_id = client.create_run(experiment, tags=tags, run_name=name).info.run_id
        client.log_metric(run_id, "wf_net_sharpe", sharpe)
        client.log_metric(run_id, "val_net_sharpe_mean", 7.0)
        for field in CONTRACT:
            client.log_param(run_id, field, "12")
        client.set_terminated(run_id)
    yield uri
    mlflow.set_tracking_uri(before)


@pytest.fixture
def run(store: str, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["compare", *arguments])

    return invoke


def test_one_table_for_each_symbol_in_the_given_order(run) -> None:
    done = run("--symbols", "ETH, BTC,ETH")
    assert done.exit_code == 0, done.output
    eth, btc = done.output.index("ETH: 1 candidate,"), done.output.index("BTC: 3 candidates,")
    assert eth < btc
    assert done.output.count("Charts: http://127.0.0.1:5000/#/experiments/1/runs?") == 2


def test_models_that_were_not_requested_are_in_neither_table_nor_link(run, store: str) -> None:
    done = run("--symbols", "BTC,ETH", "--models", "gru,lightgbm", "--json")
    assert done.exit_code == 0, done.output
    btc, eth = json.loads(done.output)["symbols"]
    assert [c["model"] for c in btc["candidates"]] == ["lightgbm", "gru"]
    client = MlflowClient(store, store)
    for ranking in (btc, eth):
        query = parse_qs(urlsplit(urlsplit(ranking["link"]).fragment).query)
        runs = client.search_runs(["1"], query["searchFilter"][0])
        assert {run.info.run_id for run in runs} == {c["run_id"] for c in ranking["candidates"]}


def test_json_has_everything_that_the_table_has(run) -> None:
    done = run("--symbols", "ETH", "--json")
    (eth,) = json.loads(done.output)["symbols"]
    (candidate_,) = eth["candidates"]
    assert candidate_["place"] == 1
    assert candidate_["metrics"] == {"wf_net_sharpe": 4.0}
    assert candidate_["contract"] == dict.fromkeys(CONTRACT, "12")
    assert (candidate_["versions"], candidate_["differs_in"]) == ([], [])
    assert (candidate_["status"], eth["left_out"], eth["search_trials"]) == (None, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (
            ["--symbols", "BTC,XRP"],
            1,
            "Error: experiment 'barwright' has no candidate of 'XRP'; its newest ones are of BTC, "
            "ETH; name these as --symbols, or train it first\n",
        ),
        (
            ["--symbols", "BTC", "--experiment", "empty"],
            1,
            "Error: experiment 'empty' has no candidate of 'BTC'; its newest ones are of none; "
            "name these as --symbols, or train it first\n",
        ),
        (
            ["--symbols", "BTC,ETH", "--models", "ppo"],
            1,
            "Error: ETH has no candidate of ppo, but of gru; name these as --models, or train it "
            "first\n",
        ),
        (
            ["--symbols", "BTC,ETH", "--models", "gru,svm"],
            1,
            "Error: BTC, ETH has no candidate of svm, but of gru, lightgbm, ppo; name these as "
            "--models, or train it first\n",
        ),
        (
            ["--symbols", " ,"],
            2,
            "Error: `--symbols` must name at least one, got none; for example --symbols EURUSD\n",
        ),
        (
            ["--symbols", "BTC' or '1"],
            2,
            "Error: `symbols` must be letters, digits, '.', '-' or '_' (at most 64), got "
            "\"BTC' or '1\"; give the instrument's name, not a path\n",
        ),
    ],
    ids=["symbol", "nothing", "model of a symbol", "model", "no symbol", "quotes"],
)
def test_an_error_lists_the_candidates_that_exist(
    run, arguments: list[str], status: int, message: str
) -> None:
    done = run(*arguments)
    assert (done.exit_code, done.output) == (status, message)


def test_a_store_that_does_not_exist_is_not_created(run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    done = run("--symbols", "BTC")
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: there is no MLflow database '{tmp_path}/none.db';")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_store_gives_one_line(run, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "text.db").write_text("not a database, " * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/text.db")
    done = run("--symbols", "BTC")
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: MLflow at sqlite:///{tmp_path}/text.db cannot be used:")
    assert done.output.count("\n") == 1
