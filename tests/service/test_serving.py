"""Everyone who loads a version decides the same: trader, MLflow, HTTP."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import requests

from features.sources import open_source
from tests.service.conftest import Workspace
from trainer.flavor import data_folder, load_model

LAST = 400
MODEL = "models:/lightgbm-EURUSD@latest"


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return open_source("sample").read("EURUSD", "1h").frame


@pytest.fixture(scope="module")
def traded(trained) -> list[dict[str, object]]:
    """What trader.py says, as JSON."""
    done = trained.trade("--model", MODEL, "--source", "sample", "--last", str(LAST), "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["version"], answer["symbol"]) == ("1", "EURUSD")
    # When a bar is complete and can be filled is said by the trader only.
    times = ("complete_at", "fill_at")
    return [{k: v for k, v in one.items() if k not in times} for one in answer["decisions"]]


def test_the_compared_decisions_are_not_all_the_same(traded) -> None:
    assert len(traded) == LAST
    assert len({row["position"] for row in traded}) > 1, "free trading should find positions"


@pytest.fixture(scope="module")
def serve_model(serve) -> Callable[[Workspace], str]:
    """Serve the latest version of a store with MLflow; return the address."""

    def start(store: Workspace) -> str:
        tools = Path(sys.executable).parent
        return serve(
            [
                *(str(tools / "mlflow"), "models", "serve", "-m", MODEL),
                *("--env-manager", "local", "--workers", "1"),
            ],
            {
                **store.environment,
                "PATH": f"{tools}:{os.environ['PATH']}",
                "MLFLOW_MODELS_WORKERS": "1",
            },
            "/ping",
        )

    return start


def ask(address: str, bars: pd.DataFrame, **params: object) -> requests.Response:
    table = bars.assign(timestamp=lambda f: f["timestamp"].astype(str))
    asked = {"dataframe_split": table.to_dict("split", index=False), "params": params}
    return requests.post(f"{address}/invocations", json=asked, timeout=60)


def test_http_serving_decides_bit_for_bit_as_the_trader(trained, traded, bars, serve_model) -> None:
    address = serve_model(trained)
    answer = ask(address, bars.tail(1_000), last=LAST)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == traded
    short = ask(address, bars.tail(10))
    assert short.status_code == 400
    assert "needs at least 295 bars" in short.json()["message"]


@pytest.mark.slow
def test_http_serving_holds_positions_as_the_trader(
    make_workspace, tmp_path, bars, serve_model
) -> None:
    """The rule `exit`: the bars or the caller tell what is held; else the answer is an error."""
    store = make_workspace(tmp_path, f"sqlite:///{tmp_path}/mlflow.db")
    done = store.train_quickly("--position", "exit")
    assert done.returncode == 0, done.stderr
    words = ("--model", MODEL, "--source", "sample", "--json")
    traded = json.loads(store.trade(*words, "--last", str(LAST)).stdout)["decisions"]
    positions = [row["position"] for row in traded]
    assert len(set(positions)) > 1
    address = serve_model(store)
    answer = ask(address, bars.tail(2_000), last=LAST)
    assert answer.status_code == 200, answer.text
    assert [row["position"] for row in answer.json()["predictions"]] == positions

    names = {-1: "short", 0: "flat", 1: "long"}
    unknown = 0
    for back in range(1, 40):
        least = bars[len(bars) - back - 294 : len(bars) - back + 1]
        alone = ask(address, least, last=1)
        if alone.status_code == 200:
            assert alone.json()["predictions"][0]["position"] == positions[-back]
        else:
            unknown += 1
            assert "give more history, or the position held" in alone.json()["message"]
        told = ask(address, least, last=1, held=names[positions[-back - 1]])
        assert told.json()["predictions"][0]["position"] == positions[-back]
    assert unknown > 0
    # The trader takes the position held as well.
    held = store.trade(*words, "--held", names[positions[-2]])
    assert json.loads(held.stdout)["decisions"][0]["position"] == positions[-1]


def test_the_trader_says_what_training_said(trained) -> None:
    (version,) = trained.client.search_model_versions("name = 'lightgbm-EURUSD'")
    status, reason = version.tags["status"], version.tags["status_reason"]
    shown = trained.trade("--model", MODEL, "--source", "sample").stdout
    told = json.loads(trained.trade("--model", MODEL, "--source", "sample", "--json").stdout)
    assert (told["status"], told["status_reason"]) == (status, reason)
    words = " ".join(shown.split())
    assert (f"{status}: {reason} (status at training)" in words) == (status != "proven")


def test_the_trader_runs_no_code_from_the_registry(trained, tmp_path) -> None:
    """A version whose shipped code is poisoned: the trader decides, and the poison never runs."""
    proof = tmp_path / "ran"
    folder = trained.download(MODEL, tmp_path / "m")
    poison = f"open({str(proof)!r}, 'w').close()\n"
    for source in (folder / "code").rglob("*.py"):
        source.write_text(poison + source.read_text())
    (folder / "code" / "sitecustomize.py").write_text(poison)
    archive = folder / "code" / "barwright_code.zip"
    with zipfile.ZipFile(archive) as shipped:
        sources = {name: shipped.read(name).decode() for name in shipped.namelist()}
    with zipfile.ZipFile(archive, "w") as poisoned:
        for name, text in sources.items():
            poisoned.writestr(name, poison + text)
    done = trained.trade("--model", str(folder), "--source", "sample", "--json")
    assert done.returncode == 0, done.stderr
    assert not proof.exists()


def test_names_are_printed_as_they_are(trained, tmp_path) -> None:
    """Square brackets in a path are not a style of the terminal."""
    folder = trained.download(MODEL, tmp_path / "a[red]b[/blue]c")
    done = trained.trade("--model", str(folder), "--source", "sample", COLUMNS="500")
    assert done.returncode == 0, done.stderr
    assert "a[red]b[/blue]c" in done.stdout


@pytest.mark.parametrize("name", ["model.bin", "features.json", "calibrator.json"])
def test_an_altered_download_is_refused(trained, tmp_path, name: str) -> None:
    folder = trained.download(MODEL, tmp_path / "m")
    path = data_folder(folder) / name
    content = bytearray(path.read_bytes())
    spot = len(content) // 2
    content[spot] ^= 1
    path.write_bytes(bytes(content))
    done = trained.trade("--model", str(folder), "--source", "sample")
    assert done.returncode == 1, done.stdout
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_load_model_is_the_trading_model(trained) -> None:
    import mlflow

    mlflow.set_tracking_uri(trained.uri)
    model = load_model(MODEL)
    assert model.contract.symbol == "EURUSD"
    assert model.required_bars == 295


def test_files_that_agree_but_are_not_the_registered_ones_are_refused(
    registry_store, make_workspace
) -> None:
    """A forger who recomputes every digest in the files cannot recompute the registry's."""
    store = registry_store
    store.version(store.record(0.0))
    (path,) = store.folder.rglob("manifest.json")
    data = json.loads(path.read_text())
    data["golden"]["decisions"] = data["golden"]["decisions"][-1:]
    path.write_text(json.dumps(data))
    place = make_workspace(store.folder, store.uri)
    for version in ("@latest", "/1", "/latest"):
        uri = f"models:/{store.name}{version}"
        done = place.trade("--model", uri, "--source", store.source)
        assert done.returncode == 1, done.stdout
        assert "is not the one that was registered" in done.stderr
