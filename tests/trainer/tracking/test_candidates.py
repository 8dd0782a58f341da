"""Candidates that are read from an MLflow store: on SQLite, and on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import mlflow
import pytest
from mlflow import MlflowClient

from trainer.errors import TrainerError
from trainer.serving.contract import COMPARED_FIELDS
from trainer.tracking.candidates import (
    CONTRACT,
    Candidate,
    CandidateVersion,
    find_candidates,
    find_experiment,
    newest_symbols,
)

pytestmark = pytest.mark.server


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
)
def uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a store with the content of `fill`."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("store") / "mlflow.db"
        shutil.copy(request.getfixturevalue("empty_store"), path)
        address = f"sqlite:///{path}"
    else:
        address = request.getfixturevalue("copy_postgres")()
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(address)
    fill(MlflowClient(address, address))
    yield address
    mlflow.set_tracking_uri(before)


@pytest.fixture
def client(uri: str) -> MlflowClient:
    return MlflowClient(uri, uri)


def add_run(
    client: MlflowClient,
    experiment_id: str,
    name: str,
    *,
    metrics: dict[str, float] | None = None,
    params: dict[str, str] | None = None,
    status: str = "FINISHED",
    **tags: str,
) -> str:
    model, _, symbol = name.partition("-")
    tags = {"kind": "candidate", "model": model, "symbol": symbol, **tags}
    run_id = str(
        client.create_run(
            experiment_id, start_time=1_700_000_000_000, run_name=name, tags=tags
        ).info.run_id
    )
    for metric, value in (metrics or {}).items():
        client.log_metric(run_id, metric, value)
    for param, text_ in (params or {}).items():
        client.log_param(run_id, param, text_)
    client.set_terminated(run_id, status)
    return run_id


def fill(client: MlflowClient) -> None:
    experiment = client.create_experiment("barwright")
    client.delete_experiment(client.create_experiment("gone"))
    first = add_run(
        client,
        experiment,
        "lightgbm-BTC",
        metrics={"wf_net_sharpe": 1.25, "wf_psr": float("nan")},
        params={"fee_bps": "10.0", "horizon": "12", "seed": "1"},
    )
    second = add_run(client, experiment, "lightgbm-BTC", metrics={"wf_net_sharpe": 2.5})
    client.set_tag(second, "status", "proven")
    add_run(client, experiment, "gru-BTC", status="KILLED")
    add_run(client, experiment, "gru-BTC", kind="failure")
    client.delete_run(add_run(client, experiment, "gru-BTC"))
    add_run(client, experiment, "gru-ETH")
    client.create_registered_model("lightgbm-BTC")
    for run_id, tags in (
        (first, {"run_id": first, "status": "unproven"}),
        (second, {"run_id": second, "status": "flat"}),
        # Registered again, by a person who set no tag.
        (first, {}),
    ):
        client.create_model_version("lightgbm-BTC", f"runs:/{run_id}/model", run_id, tags=tags)
    client.set_registered_model_alias("lightgbm-BTC", "champion", "1")
    client.set_registered_model_alias("lightgbm-BTC", "before", "1")


@pytest.fixture
def btc(uri: str, client: MlflowClient) -> list[Candidate]:
    return find_candidates(client, find_experiment(client, uri, "barwright"), "BTC")


def with_sharpe(candidates: list[Candidate], sharpe: float) -> Candidate:
    (candidate,) = (c for c in candidates if c.metrics.get("net_sharpe") == sharpe)
    return candidate


def test_only_candidates_of_the_symbol_are_returned(btc: list[Candidate]) -> None:
    assert sorted((c.model, c.status) for c in btc) == [
        ("gru", "killed"),
        ("lightgbm", "proven"),
        ("lightgbm", "unproven"),
    ]


def test_runs_with_a_part_of_the_tags_are_left_out(client: MlflowClient) -> None:
    experiment = client.create_experiment("by hand")
    client.delete_tag(add_run(client, experiment, "gru-BTC"), "model")
    client.delete_tag(add_run(client, experiment, "gru-BTC"), "symbol")
    add_run(client, experiment, "ppo-BTC")
    assert [c.model for c in find_candidates(client, experiment, "BTC")] == ["ppo"]
    assert newest_symbols(client, experiment) == ["BTC"]
    client.delete_experiment(experiment)  # other tests list the experiments


def test_the_symbols_of_the_newest_candidates_are_listed(
    uri: str, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = find_experiment(client, uri, "barwright")
    assert newest_symbols(client, experiment) == ["BTC", "ETH"]
    monkeypatch.setattr("trainer.tracking.candidates._NEWEST", 1)
    assert len(newest_symbols(client, experiment)) == 1


def test_versions_belong_to_their_run_newest_first(btc: list[Candidate]) -> None:
    assert with_sharpe(btc, 1.25).versions == (
        CandidateVersion(3, ("latest",), ""),
        CandidateVersion(1, ("before", "champion"), "unproven"),
    )
    assert with_sharpe(btc, 2.5).versions == (CandidateVersion(2, (), "flat"),)


def test_the_status_of_the_run_replaces_that_of_its_version(btc: list[Candidate]) -> None:
    assert with_sharpe(btc, 2.5).status == "proven"
    assert with_sharpe(btc, 1.25).status == "unproven"


def test_contract_metrics_and_start_are_as_logged(btc: list[Candidate]) -> None:
    first = with_sharpe(btc, 1.25)
    assert first.contract == {"fee_bps": "10.0", "horizon": "12"}
    assert first.metrics == {"net_sharpe": 1.25}, "without prefix, and without undefined ones"
    assert first.started.isoformat() == "2023-11-14T22:13:20+00:00"


def test_a_missing_or_deleted_experiment_is_refused(uri: str, client: MlflowClient) -> None:
    for name in ("nowhere", "gone"):
        with pytest.raises(
            TrainerError,
            match=rf"there is no experiment '{name}' in .*; give one of these as --experiment: "
            "Default, barwright$",
        ) as error:
            find_experiment(client, uri, name)
        assert uri.startswith("sqlite") or ":***@" in str(error.value)


def test_what_must_be_equal_is_the_contract_and_the_further_settings() -> None:
    assert set(COMPARED_FIELDS) < set(CONTRACT)
    assert CONTRACT[len(COMPARED_FIELDS) :] == (
        "allow_short", "feature_signature", "data_digest", "walk_forward_plan",
    )  # fmt: skip
